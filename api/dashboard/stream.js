// The stream of a market: connects, notices what was missed, asks for it again, and comes back after a restart.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

export class Stream {
  /**
   * handlers: message(channel, message), begun(channel, seq) once a channel's state is there for the first time,
   * status(text, on), welcome(frame), heartbeat(time), lost(reason), refused(reason).
   */
  constructor(address, channels, handlers) {
    this.address = address;
    this.channels = channels;
    this.handlers = handlers;
    this.token = "";
    this.seen = new Map();
    this.waiting = new Map();
    this.number = 0;
    this.wait = FIRST_WAIT;
  }

  /** Connect, or connect anew, in the name of a token; an empty one is an observer's. */
  open(token) {
    this.token = token;
    this.seen.clear();
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.close();
    }
    this.connect();
  }

  connect() {
    this.handlers.status("connecting …", false);
    const socket = (this.socket = new WebSocket(this.address));
    socket.onopen = () => this.send({ op: "auth", token: this.token });
    socket.onmessage = (event) => {
      const frame = JSON.parse(event.data);
      for (const message of Array.isArray(frame) ? frame : [frame]) this.take(message);
    };
    socket.onclose = (event) => this.lost(event);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Send a request; resolves with its answer. A lost connection answers it with an error. */
  ask(message) {
    const id = `w${++this.number}`;
    return new Promise((resolve) => {
      if (this.socket.readyState !== WebSocket.OPEN) {
        resolve({ op: "error", code: "STOPPED", reason: "not connected; nothing was sent" });
        return;
      }
      this.waiting.set(id, resolve);
      this.send({ ...message, id });
    });
  }

  take(message) {
    if (message.ch) this.channel(message);
    else if (message.op === "welcome") this.welcome(message);
    else if (message.op === "heartbeat") {
      this.handlers.heartbeat(message.time);
      this.compare(message.last);
    } else if (message.id && this.waiting.has(message.id)) {
      this.waiting.get(message.id)(message);
      this.waiting.delete(message.id);
    } else if (message.op === "error" && message.code === "BAD_TOKEN") this.handlers.refused(message.reason);
  }

  welcome(frame) {
    this.wait = FIRST_WAIT;
    this.handlers.status("connected", true);
    this.handlers.welcome(frame);
    const names = this.channels.filter((name) => frame.channels.includes(name));
    const fresh = names.filter((name) => !this.seen.has(name));
    if (fresh.length) this.send({ op: "subscribe", channels: fresh });
    for (const name of names) if (this.seen.has(name)) this.resume(name);
  }

  channel(message) {
    const last = this.seen.get(message.ch);
    if (message.type === "snapshot") {
      this.seen.set(message.ch, message.seq);
      this.handlers.message(message.ch, message);
      if (last === undefined) this.handlers.begun(message.ch, message.seq);
    } else if (last === undefined || message.seq <= last) return;
    else if (message.prev !== last) this.resume(message.ch);
    else {
      this.seen.set(message.ch, message.seq);
      this.handlers.message(message.ch, message);
    }
  }

  /** The last message of a channel may be what was lost: the heartbeat tells its number. */
  compare(last) {
    for (const [name, seq] of Object.entries(last)) if (seq > (this.seen.get(name) ?? seq)) this.resume(name);
  }

  resume(name) {
    this.send({ op: "resume", ch: name, from_seq: this.seen.get(name) });
  }

  lost(event) {
    for (const resolve of this.waiting.values())
      resolve({ op: "error", code: "STOPPED", reason: "the connection was lost; look whether the order is there" });
    this.waiting.clear();
    this.handlers.lost(event.reason);
    this.handlers.status(`disconnected; trying again in ${Math.round(this.wait / 100) / 10} s`, false);
    this.timer = setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
  }
}
