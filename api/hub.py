"""Channels: numbered messages of which nobody misses one without noticing it.

Every message carries the journal number `seq` of what it tells and `prev`, the number of the message before it in the
same channel. Who sees another `prev` than its last `seq` has missed something and asks for it again; what is no longer
kept is answered by a snapshot. The book is conflated: its messages tell what changed since the message before.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from api.projection import PRIVATE, PUBLIC, Item, Key, Projection
from market.events import Entry

KEPT = 10_000
"""Messages of a public channel that are kept for those who missed some; of a private one a tenth."""

TAIL = 200
"""Messages that a snapshot of a channel without a state of its own repeats."""

BEATEN = ("book", "grid", "system", "account")
"""Channels that tell at a beat what has changed; their numbers are not those of single entries."""

Snapshot = Callable[[str], Item]
"""The present state of a channel, for one participant."""

_encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, gc=False):
    """One message of a channel; encoded when it is first sent, once for all."""

    key: Key
    seq: int
    prev: int
    body: Item
    text: bytes = b""

    @property
    def data(self) -> bytes:
        """The message as a client gets it."""
        if not self.text:
            self.text = _encode({"ch": self.key[0], "seq": self.seq, "prev": self.prev} | self.body)
        return self.text

    def again(self) -> bytes:
        """The message as one that the client may have seen."""
        return self.data[:-1] + b',"poss_dup":true}'


class Subscriber(Protocol):
    """Who listens; must not block."""

    def tell(self, message: Message) -> None:
        """Take one message of a channel that was subscribed to."""


class Channel:
    """The last messages of one channel, and who listens to it."""

    def __init__(self, key: Key, kept: int) -> None:
        self.key = key
        self.last = 0
        """Number of the last message."""
        self.messages: deque[Message] = deque(maxlen=kept)
        self.subscribers: dict[Subscriber, None] = {}

    def publish(self, seq: int, body: Item) -> None:
        message = Message(self.key, seq, self.last, body)
        self.last = seq
        self.messages.append(message)
        for subscriber in self.subscribers:
            subscriber.tell(message)

    def skip(self, seq: int) -> None:
        """Something happened that nobody was there to hear: who comes back gets a snapshot."""
        self.last = seq
        self.messages.clear()

    def since(self, seq: int) -> list[Message] | None:
        """Messages after number `seq`, oldest first; None if they are not all kept, or `seq` was never told."""
        if seq == 0:
            return None  # what was known before the first message may be of another run of the server
        if seq == self.last:
            return []
        found = [message for message in self.messages if message.seq > seq]
        return found if found and found[0].prev == seq else None


class Hub:
    """All channels of one market. It hears of entries only after they are durable."""

    def __init__(self, forecast: Callable[[str], Item], grid: Callable[[], Item]) -> None:
        """`forecast` gives what a participant has to trade, `grid` the state of the wires."""
        self.projection = Projection()
        self._forecast, self._grid = forecast, grid
        self._channels: dict[Key, Channel] = {}
        self._books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
        """Slot -> the levels that the book channel has told of."""
        self._restart = 0
        """Number of the last entry that was in the journal when this hub began."""
        self._slots: frozenset[int] = frozenset()
        """Those that were open when accounts were last told."""
        self._announced: dict[str, list[object]] = defaultdict(list)
        self._snapshots: dict[str, Snapshot] = {
            "market": lambda _: self.projection.market(),
            "book": lambda _: self._book_snapshot(),
            "trades": lambda _: self._tail("trades"),
            "grid": lambda _: self._grid(),
            "limits": lambda _: self._tail("limits"),
            "system": lambda _: self._system(),
            "orders": self.projection.own_orders,
            "account": lambda name: self.projection.account(name) | self._forecast(name),
        }

    def channel(self, name: str, participant: str = "") -> Channel:
        """A channel by name; a private one is that of the participant. Raises KeyError for an unknown one."""
        if name not in PUBLIC and name not in PRIVATE:
            raise KeyError(name)
        key = (name, participant if name in PRIVATE else "")
        found = self._channels.get(key)
        if found is None:
            found = self._channels[key] = Channel(key, KEPT // 10 if key[1] else KEPT)
            if name in BEATEN:
                found.last = self._restart
        return found

    def snapshot(self, name: str, participant: str = "") -> bytes:
        """The present state of a channel as a message; the next one has its `seq` as `prev`."""
        channel = self.channel(name, participant)
        head = {"ch": name, "type": "snapshot", "seq": channel.last}
        return _encode(head | self._snapshots[name](participant))

    def remember(self, past: Iterable[Entry]) -> None:
        """Begin where a journal ends, before anybody listens. No number that may have been told before comes again."""
        self.publish(past)
        self._restart = self.projection.seq
        self._slots = frozenset(self.projection.open)
        for slot in self.projection.changed:
            self._book_changes(slot)
        self.projection.changed.clear()
        self.projection.touched.clear()
        for (name, _), channel in self._channels.items():
            if name in BEATEN:
                channel.last = self._restart

    def publish(self, entries: Iterable[Entry]) -> None:
        """Tell what follows from entries, which must be durable. The book follows at the next `beat`."""
        take, channels = self.projection.take, self._channels
        for entry in entries:
            for key, items in take(entry).items():
                channel = channels.get(key) or self.channel(*key)
                channel.publish(entry.seq, {"items": items})

    def announce(self, name: str, item: object) -> None:
        """Something that is not from the journal, such as the state of the grid or an alarm; told at a next `beat`."""
        self._announced[name].append(item)

    def beat(self) -> None:
        """Tell what has changed in the books and accounts since the last call."""
        changed = [self._book_changes(slot) for slot in sorted(self.projection.changed)]
        self.projection.changed.clear()
        slots = [change for change in changed if change is not None]
        if slots:
            self.channel("book").publish(self.projection.seq, {"slots": slots})
        self._tell_accounts()
        for name, items in [*self._announced.items()]:
            # A number serves one message of a channel; the next entry is never far.
            if self.projection.seq > self.channel(name).last:
                self.channel(name).publish(self.projection.seq, {"items": items})
                del self._announced[name]

    def _tell_accounts(self) -> None:
        """Accounts that were posted to; all of them where slots have opened or closed, since forecasts are by slot."""
        seq, touched, slots = self.projection.seq, self.projection.touched, frozenset(self.projection.open)
        for (name, owner), channel in self._channels.items():
            if name != "account" or (owner not in touched and slots == self._slots):
                continue
            if channel.subscribers:
                channel.publish(seq, self._snapshots["account"](owner))
            else:
                channel.skip(seq)
        self._slots = slots
        touched.clear()

    def heads(self, keys: Iterable[Key]) -> dict[str, int]:
        """Number of the last message of each channel."""
        return {key[0]: self._channels[key].last for key in keys}

    def _tail(self, name: str) -> Item:
        """What a channel told of late, each item with the number of its message."""
        late = [*self.channel(name).messages][-TAIL:]
        return {"items": [replace(item, seq=message.seq) for message in late for item in message.body["items"]]}

    def _system(self) -> Item:
        return {"halts": self.projection.market()["halts"], "time": self.projection.now} | self._tail("system")

    def _book_changes(self, slot: int) -> Item | None:
        """Levels that are other than told; energy 0 where one is gone. None if nothing is."""
        if slot not in self.projection.open:
            return {"slot": slot, "closed": True} if self._books.pop(slot, None) is not None else None
        bids, asks = self.projection.books[slot]
        now, told = (bids.copy(), asks.copy()), self._books.get(slot, ({}, {}))
        self._books[slot] = now
        changes = [
            [[price, wh] for price, wh in new.items() if old.get(price) != wh]
            + [[price, 0] for price in old if price not in new]
            for old, new in zip(told, now, strict=True)
        ]
        return {"slot": slot, "bids": changes[0], "asks": changes[1]} if any(changes) else None

    def _book_snapshot(self) -> Item:
        told: dict[str, Any] = defaultdict(list)
        for slot, (bids, asks) in sorted(self._books.items()):
            told["slots"].append(
                {"slot": slot, "bids": sorted(bids.items(), reverse=True), "asks": sorted(asks.items())}
            )
        return {"slots": told["slots"]}
