// The book as its snapshots and changes make it.

export class Book {
  constructor() {
    this.slots = new Map();
  }

  /** Take in a message of the channel. */
  take(message) {
    if (message.type === "snapshot") this.slots.clear();
    for (const change of message.slots) {
      if (change.closed) {
        this.slots.delete(change.slot);
        continue;
      }
      const sides = this.slots.get(change.slot) ?? { bids: new Map(), asks: new Map() };
      this.slots.set(change.slot, sides);
      for (const side of ["bids", "asks"])
        for (const [price, wh] of change[side]) wh ? sides[side].set(price, wh) : sides[side].delete(price);
    }
  }

  /** Levels of a slot, best first. */
  levels(slot) {
    const sides = this.slots.get(slot) ?? { bids: new Map(), asks: new Map() };
    return {
      bids: [...sides.bids].sort((a, b) => b[0] - a[0]),
      asks: [...sides.asks].sort((a, b) => a[0] - b[0]),
    };
  }
}
