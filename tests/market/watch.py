"""What must hold after every command, from commands and events alone: energy, limits, capacity, priority, money."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from market.conservation import Conservation
from market.events import (
    Accepted,
    Amended,
    Cancelled,
    Corrected,
    Entry,
    Expired,
    GateClosed,
    Lost,
    Rejected,
    Settled,
    Traded,
)
from market.ledger import postings
from market.orders import AdvanceClock, Amend, Basket, CreateMarket, Leg, MarketSettings, Register, Submit, UpdateGrid

AT_WILL = (AdvanceClock, UpdateGrid)
"""Commands after which orders meet that rested before."""


@dataclass(slots=True)
class Held:
    """An accepted order that is neither filled nor gone. Energy in Wh."""

    number: int
    participant: str
    side: str
    price: int
    left: int
    filled: int
    source: str
    sources: tuple[str, ...]
    turn: int

    def suits(self, other: Held) -> bool:
        bid, ask = (self, other) if self.side == "buy" else (other, self)
        return not bid.sources or ask.source in bid.sources


class Watch:
    """`limits` are those of the connections [Wh], None if no wire binds; then priority is checked as well."""

    def __init__(self, limits: list[int] | None) -> None:
        self.limits = limits
        self.settings: MarketSettings | None = None
        self.node: dict[str, int] = {}
        self.books: dict[int, dict[int, Held]] = {}
        """Orders by slot and number."""
        self.slot_of: dict[int, int] = {}
        self.schedule: dict[int, Counter[int]] = {}
        self.energy: Counter[str] = Counter()
        """What each account holds: bought less sold, and the imbalance that it took from the utility."""
        self.balance: dict[tuple[str, str], int] = {}
        self.units: dict[int, dict[tuple[str, str], tuple[int, ...]]] = {}
        """Slot -> (participant, source) -> issued, cancelled, returned."""
        self.injected: dict[int, dict[str, int]] = {}
        self.came = self.filled = self.cancelled = self.expired = self.rejected = self.resting = 0
        self.turn = 0
        self.conservation = Conservation()

    def observe(self, entry: Entry) -> None:
        command, events = entry.command, entry.events
        if isinstance(command, CreateMarket) and events == (Accepted(),):
            self.settings = command.settings
        elif isinstance(command, Register) and events == (Accepted(),):
            self.node[command.participant] = len(self.node)
        for event in events:
            if isinstance(event, Accepted):
                self.accept(entry, event)
            elif isinstance(event, Rejected):
                if isinstance(command, Submit) and type(command.quantity) is int:
                    self.came += command.quantity
                    self.rejected += command.quantity
            elif isinstance(event, Traded):
                self.trade(entry, event)
            elif isinstance(event, Amended):
                self.amend(event)
            elif isinstance(event, Cancelled | Expired):
                self.leave(event)
            elif isinstance(event, GateClosed):
                assert not self.books.pop(event.slot, None), f"orders outlive the gate of slot {event.slot}"
        self.post(entry)
        gone = self.filled + self.cancelled + self.rejected + self.expired
        assert self.came == gone + self.resting, (
            f"command {entry.seq}: {self.came} Wh in, {gone} out, {self.resting} left"
        )

    def accept(self, entry: Entry, event: Accepted) -> None:
        command = entry.command
        if event.order != entry.seq:  # An answer that is given once more; or of a command that makes no order.
            return
        for order in command.legs if isinstance(command, Basket) else (command,):
            assert isinstance(order, Submit | Leg)
            self.turn += 1
            participant = command.participant  # type: ignore[union-attr]
            held = Held(
                event.order,
                participant,
                order.side,
                order.price,
                order.quantity,
                0,
                order.source,
                order.sources,
                self.turn,
            )
            self.books.setdefault(order.slot, {})[event.order] = held
            self.slot_of[event.order] = order.slot
            self.came += order.quantity
            self.resting += order.quantity

    def trade(self, entry: Entry, event: Traded) -> None:
        assert self.settings is not None
        book = self.books[event.slot]
        bid, ask = book[event.buy_order], book[event.sell_order]
        assert (bid.side, ask.side) == ("buy", "sell")
        assert (bid.participant, ask.participant) == (event.buyer, event.seller)
        assert bid.participant != ask.participant
        assert ask.price <= event.price <= event.price + event.fee <= bid.price
        older = min(bid, ask, key=lambda order: order.turn)
        paid = event.price + (event.fee if older is bid else 0)
        assert (paid, event.resting) == (older.price, older.side)
        assert 0 < event.quantity <= min(bid.left, ask.left)
        assert event.quantity % self.settings.lot == 0
        assert bid.suits(ask)
        assert event.source == ask.source
        if self.limits is None:
            self.check_priority(entry, book, bid, ask)
        for order in (bid, ask):
            order.left -= event.quantity
            order.filled += event.quantity
            self.filled += event.quantity
            self.resting -= event.quantity
            if not order.left:
                del book[order.number]
        self.move(event)
        self.energy[event.buyer] += event.quantity
        self.energy[event.seller] -= event.quantity

    def check_priority(self, entry: Entry, book: dict[int, Held], bid: Held, ask: Held) -> None:
        """Nobody who could have traded instead was passed over."""
        if not isinstance(entry.command, AT_WILL):
            mine = {entry.seq, entry.command.order if isinstance(entry.command, Amend) else 0}
            incoming, resting = (bid, ask) if bid.number in mine else (ask, bid)
            assert incoming.number in mine
            better = [order for order in book.values() if before(order, resting)]
            assert not [order for order in better if incoming.suits(order)]
            return
        for order, chosen in ((bid, ask), (ask, bid)):
            better = [other for other in book.values() if before(other, chosen)]
            assert not [other for other in better if order.suits(other) and other.participant != order.participant]

    def move(self, event: Traded) -> None:
        """Flexible trades change the schedule; no connection may leave its limits."""
        assert self.settings is not None
        schedule = self.schedule.setdefault(event.slot, Counter())
        for flexible, name, wh in (
            (event.buy_flexible, event.buyer, -event.quantity),
            (event.sell_flexible, event.seller, event.quantity),
        ):
            if flexible:
                assert name != self.settings.utility
                schedule[self.node[name]] += wh
                assert self.limits is None or abs(schedule[self.node[name]]) <= self.limits[self.node[name]]

    def amend(self, event: Amended) -> None:
        order = self.books[self.slot_of[event.order]][event.order]
        kept = event.price == order.price and event.quantity <= order.left + order.filled
        assert event.priority == ("kept" if kept else "lost")
        assert event.quantity > order.filled
        change = event.quantity - order.filled - order.left
        order.left += change
        self.came += change
        self.resting += change
        order.price = event.price
        if not kept:
            self.turn += 1
            order.turn = self.turn

    def leave(self, event: Cancelled | Expired) -> None:
        if isinstance(event, Cancelled) and event.why == "basket":
            legs = [book.pop(event.order) for book in self.books.values() if event.order in book]
            assert len(legs) > 1
            assert not any(leg.filled for leg in legs)
        else:
            legs = [self.books[self.slot_of[event.order]].pop(event.order)]
        assert sum(leg.left for leg in legs) == event.quantity > 0
        self.resting -= event.quantity
        if isinstance(event, Cancelled):
            self.cancelled += event.quantity
        else:
            self.expired += event.quantity

    def post(self, entry: Entry) -> None:
        """Every asset sums to zero, and what the ledger holds of energy is what was traded and settled."""
        posted = postings(entry, self.settings)
        sums: Counter[str] = Counter()
        for account, asset, amount in posted:
            sums[asset] += amount
            self.balance[account, asset] = self.balance.get((account, asset), 0) + amount
        assert not any(sums.values())
        for event in entry.events:
            if isinstance(event, Lost):
                assert self.settings is not None
                self.energy[self.settings.utility] -= sum(quantity for _, quantity in event.lines)
            if isinstance(event, Settled):
                assert self.settings is not None
                for name, metered, contracted, imbalance in event.lines:
                    assert imbalance == metered - contracted
                    self.energy[name] -= imbalance
                    self.energy[self.settings.utility] += imbalance
            if isinstance(event, Corrected):
                assert self.settings is not None
                for name, was, metered, _ in event.lines:
                    self.energy[name] -= metered - was
                    self.energy[self.settings.utility] += metered - was
            if isinstance(event, Settled | Corrected):
                self.originate(event)
        self.hold_origins()
        for account, _, _ in posted:
            assert (
                account in ("wires", "origin issued", "origin cancelled")
                or self.balance.get((account, "WH"), 0) == self.energy[account]
            )
        assert list(self.conservation.observe(entry, posted)) == []

    def originate(self, event: Settled | Corrected) -> None:
        """Add up the units of a slot over all its runs: never below zero, issued at most what was injected."""
        units = self.units.setdefault(event.slot, {})
        injected = self.injected.setdefault(event.slot, {})
        for name, first, second, _ in event.lines:
            injected[name] = first if isinstance(event, Settled) else second
        for name, source, *change in event.origins:
            was = units.get((name, source), (0, 0, 0))
            units[name, source] = tuple(a + b for a, b in zip(was, change, strict=True))
        for (name, _), (issued, cancelled, _) in units.items():
            assert self.settings is not None
            assert cancelled >= 0 <= issued
            assert name == self.settings.utility or issued <= max(injected[name], 0)
        for source in {source for _, source in units}:
            three = [sums for (_, of), sums in units.items() if of == source]
            issued, cancelled, returned = (sum(column) for column in zip(*three, strict=True))
            assert cancelled <= issued
            assert returned == 0

    def hold_origins(self) -> None:
        """What all accounts hold of a source and what was cancelled is what was issued."""
        sums: Counter[str] = Counter()
        for (_, asset), amount in self.balance.items():
            sums[asset] += amount
        assert not any(sums.values())


def before(order: Held, other: Held) -> bool:
    """True if `order` is on the same side and has priority over the other."""
    if order.side != other.side or order.number == other.number:
        return False
    sign = 1 if order.side == "sell" else -1
    return (sign * order.price, order.turn) < (sign * other.price, other.turn)
