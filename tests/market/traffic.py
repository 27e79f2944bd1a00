"""Seeded commands of every kind, good and bad, as a hostile but busy crowd would send them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from market.orders import (
    AdvanceClock,
    Amend,
    Basket,
    Cancel,
    Command,
    CreateMarket,
    Curtail,
    Halt,
    Leg,
    MarketSettings,
    MassCancel,
    RecordLosses,
    RecordMeter,
    Register,
    Resume,
    Settle,
    SettlementRules,
    Submit,
    UpdateGrid,
)
from market.slots import MINUTE, NS, format_time, parse_time
from tests.market.naive import SETTINGS

T = TypeVar("T")

NAMES = ("anna", "ben", "cleo", "dora", "emil", "utility")
LIMITS = {"c0": 0, "c1": 150, "c2": 400, "c3": 1000, "c4": 60, "slack": 0, "spare": 300}
"""Connections and by how much each may change its injection [Wh]."""
START = parse_time("2016-06-21T12:00:00Z")
RULES = SettlementRules("market", 700, 9_000, 3_600, "metered")
MARKET = msgspec.structs.replace(SETTINGS, max_orders=20, losses="marginal", losses_price=12_000, settlement=RULES)
GENERATION = ("solar", "wind", "", "solar")
"""What the first participants are registered for."""
BEYOND = (-(2**53), 2**53, 2**63 - 1, -(2**63), 2**64, 10**30)
"""Whole numbers that no journal can carry."""
ODD = (float("nan"), float("inf"), 1.5, True, "7", None)
"""What is no whole number."""

replace = msgspec.structs.replace


class Dice:
    """Random choices from a stream that is drawn in blocks: a call of the generator for each would take longer."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._drawn: Iterator[float] = iter(())

    def roll(self) -> float:
        for value in self._drawn:
            return value
        self._drawn = iter(self._rng.random(1 << 16).tolist())
        return next(self._drawn)

    def chance(self, share: float) -> bool:
        return self.roll() < share

    def between(self, least: int, most: int) -> int:
        return least + int(self.roll() * (most + 1 - least))

    def pick(self, values: Sequence[T]) -> T:
        return values[int(self.roll() * len(values))]


class Traffic:
    """Commands in the order in which they are to be sent to a fresh exchange, the first being number 1.

    `wild` mixes in values that no journal can carry. With `steady` the clock stays before the first gate.
    """

    def __init__(self, seed: int, market: MarketSettings = MARKET, *, wild: bool = False, steady: bool = False) -> None:
        self.dice = Dice(seed)
        self.market = market
        self.seq = 0
        self.now = START
        self.steady = steady
        self.wild = wild
        self.odd: tuple[Any, ...] = (*BEYOND, *ODD) if wild else (2**53 - 1, 1 - 2**53)
        self.orders: deque[tuple[str, int]] = deque([("anna", 1)], maxlen=60)
        """Owner and number of the latest orders, refused ones among them."""
        self.named: deque[Submit | Basket] = deque(maxlen=40)
        """Orders that had a name."""
        self.halts: list[tuple[Any, str]] = []
        self.names = 0
        self.sources = 0
        self.due: deque[int] = deque(maxlen=50)
        """Slots whose gate has closed, for meters and settlement."""
        self.kinds: list[tuple[float, Callable[[], Command]]] = [
            (0.57, self.submit),
            (0.12, self.cancel),
            (0.12, self.amend),
            (0.02, self.basket),
            (0.03, self.again),
            (0.02, self.mass_cancel),
            (0.005, self.halt),
            (0.005, self.resume),
            (0.02, self.baseline),
            (0.015, self.clock),
            (0.02, self.meter),
            (0.01, self.curtail),
            (0.02, self.losses),
            (0.02, self.settle),
            (0.01, self.register),
            (0.005, self.create),
        ]

    def opening(self) -> list[Command]:
        """A market with all but one of its members, after some that cannot be."""
        commands: list[Command] = [
            Submit("anna", 1, "buy", 0, 10),
            CreateMarket(replace(self.market, lot=0), ""),
            CreateMarket(self.market, feeder()),
            Submit("anna", self.slots()[0], "buy", 0, 10),
            AdvanceClock(format_time(self.now)),
        ]
        sources = dict(zip(NAMES, GENERATION, strict=False))
        commands += [Register(name, place, sources.get(name, "")) for name, place in zip(NAMES, LIMITS, strict=False)]
        self.seq += len(commands)
        return commands

    def take(self, count: int) -> list[Command]:
        kinds = [make for share, make in self.kinds for _ in range(round(share * 200))]
        commands = []
        for _ in range(count):
            self.seq += 1
            lift = bool(self.halts) and self.dice.chance(0.1)
            commands.append(self.resume() if lift else self.dice.pick(kinds)())
        return commands

    def slots(self) -> range:
        """Slots that trade at the present time."""
        m = self.market
        first = (self.now // NS + m.gate_before_seconds) // m.slot_seconds + 1
        return range(first, (self.now // NS + m.opens_before_seconds) // m.slot_seconds + 1)

    # -- one command of each kind --------------------------------------------------------------------------------

    def submit(self) -> Command:
        order = self.order(self.who())
        draw = self.dice.roll()
        if draw < 0.06:
            order = self.spoilt(order)
        elif draw < 0.16:
            self.names += 1
            order = replace(order, client_order_id=f"order {self.names}")
            self.named.append(order)
        self.orders.append((order.participant, self.seq))
        return order

    def order(self, who: str) -> Submit:
        dice = self.dice
        leg = self.leg(dice.pick(self.slots()))
        force = dice.pick(("gtc",) * 15 + ("gtd", "gtd", "gtd", "ioc", "ioc", "ioc", "fok"))
        return Submit(
            who,
            leg.slot,
            leg.side,
            leg.price,
            leg.quantity,
            force,  # type: ignore[arg-type]
            leg.flexible,
            leg.source,
            "",
            leg.sources,
            format_time(self.now + dice.between(1, 60 * 10**9 * 40)) if force == "gtd" else "",
            force in ("gtc", "gtd") and dice.chance(0.1),
        )

    def leg(self, slot: int) -> Leg:
        dice = self.dice
        sells = dice.chance(0.5)
        # Bids and asks overlap by some ticks, so that many meet and as many wait.
        ticks = dice.between(92, 112) if sells else dice.between(88, 108)
        source = dice.pick(("solar", "wind", "hydro", "")) if sells and dice.chance(0.5) else ""
        sources = ("solar", "hydro") if not sells and dice.chance(0.15) else ()
        quantity = dice.between(1, 25) * 10
        return Leg(slot, "sell" if sells else "buy", ticks * 100, quantity, dice.chance(0.6), source, sources)

    def spoilt(self, order: Submit) -> Submit:
        dice = self.dice
        fields: list[dict[str, Any]] = [
            {"participant": dice.pick(("zoe", "", "Anna", "wires"))},
            {"slot": order.slot + dice.pick((-1, -2, -99, 99, 4, 5))},
            {"slot": dice.pick(self.odd)},
            {"price": dice.pick((-100, 50_100, order.price + 50))},
            {"price": dice.pick(self.odd)},
            {"quantity": dice.pick((0, -10, order.quantity + 5))},
            {"quantity": dice.pick(self.odd)},
            {"time_in_force": "gtd", "good_till": dice.pick(("", "noon", "2016-06-21T25:00:00Z", "2016-06-21"))},
            {"time_in_force": "gtd", "good_till": format_time(self.now - dice.between(0, 1))},
            {"time_in_force": "gtc", "good_till": format_time(self.now + MINUTE)},
            {"time_in_force": dice.pick(("ioc", "fok")), "post_only": True},
            {"source": dice.pick(("SUN", "sun shine", "7", "solar"))},
            {"sources": (dice.pick(("Solar", "", "solar", "é")),)},
            {"client_order_id": dice.pick(("é", "x" * 65, "a\n"))},
            {"side": "sell", "source": self.new_source(), "sources": ()},
        ]
        if self.wild:
            fields += [{"side": dice.pick(("", "up", "BUY"))}, {"time_in_force": dice.pick(("", "day", "GTC"))}] * 2
        return replace(order, **dice.pick(fields))

    def new_source(self) -> str:
        """One that was never named before: a market knows no more than 61."""
        self.sources += 1
        return f"s{self.sources}"

    def cancel(self) -> Command:
        return Cancel(*self.one_order())

    def amend(self) -> Command:
        dice = self.dice
        price, quantity = dice.between(84, 116) * 100, dice.between(1, 30) * 10
        if dice.chance(0.05):
            price, quantity = dice.pick(((150, 10), (-100, 10), (9_000, 15), (9_000, 0), (9_000, 2**52)))
        change = dice.pick(((price, None), (None, quantity), (None, quantity), (price, quantity)))
        if dice.chance(0.05):
            change = dice.pick(((None, None), (dice.pick(self.odd), 10), (9_000, dice.pick(self.odd))))
        return Amend(*self.one_order(), *change)

    def one_order(self) -> tuple[str, int]:
        dice = self.dice
        who, number = dice.pick(self.orders)
        if dice.chance(0.06):
            number = dice.pick((0, -1, self.seq, self.seq + 1, dice.between(1, self.seq), dice.pick(self.odd)))
        return (dice.pick((*NAMES, "zoe")) if dice.chance(0.05) else who), number

    def basket(self) -> Command:
        dice = self.dice
        slots = self.slots()
        count = dice.between(2, len(slots))
        legs = tuple(self.leg(slot) for slot in slots[:count])
        if dice.chance(0.5):  # most of these can be filled: at prices that reach deep into the other side
            legs = tuple(
                replace(leg, price=(12_000 if leg.side == "buy" else 8_000), quantity=dice.between(1, 8) * 10)
                for leg in legs
            )
        if dice.chance(0.2):
            new = tuple(
                Leg(slot, "sell", 10_000, 10, source=source)
                for slot, source in zip(slots, ("s70", "s71"), strict=False)
            )
            faults: list[dict[str, Any]] = [{"slot": 0}, {"price": 50}, {"source": "?"}, {"quantity": 15}]
            bad = replace(legs[-1], **dice.pick(faults))
            legs = dice.pick(((), legs[:1], (legs[0], *legs), (*legs[:-1], bad), new))
        basket = Basket(self.who(), legs)
        if dice.chance(0.5):
            self.names += 1
            basket = replace(basket, client_order_id=f"order {self.names}" if dice.chance(0.9) else "é")
            self.named.append(basket)
        return basket

    def again(self) -> Command:
        """An order that was sent before, or another one under its name."""
        if not self.named:
            return self.submit()
        before = self.dice.pick(self.named)
        if self.dice.chance(0.7):
            return before
        if self.dice.chance(0.5):
            return replace(self.order(before.participant), client_order_id=before.client_order_id)
        return Basket(before.participant, (), before.client_order_id)

    def mass_cancel(self) -> Command:
        slots = self.slots()
        slot = self.dice.pick((None, *slots, slots.start - 1, slots.stop, self.dice.pick(self.odd)))
        return MassCancel(self.who(), slot)

    def halt(self) -> Command:
        scope, who = self.scope()
        self.halts.append((scope, who))
        return Halt(scope, who, self.dice.chance(0.5), "drill")

    def resume(self) -> Command:
        return Resume(*(self.halts.pop() if self.halts and self.dice.chance(0.9) else self.scope()))

    def scope(self) -> tuple[Any, str]:
        dice = self.dice
        if dice.chance(0.1):
            odd = ("street", "") if self.wild else ("feeder", "ben")
            return dice.pick((odd, ("market", "anna"), ("participant", ""), ("participant", "zoe")))
        scope = dice.pick(("market", "feeder", "participant"))
        return scope, (dice.pick(NAMES) if scope == "participant" else "")

    def baseline(self) -> Command:
        dice = self.dice
        slot = dice.pick((*self.slots(), *self.slots(), self.slots().stop))
        values: list[Any] = [dice.between(-30, 30) * 10 for _ in LIMITS]
        reactive: list[Any] = [dice.between(-9, 9) for _ in LIMITS] if dice.chance(0.3) else []
        if dice.chance(0.1):
            (values if dice.chance(0.7) or not reactive else reactive)[dice.between(0, 3)] = dice.pick(self.odd)
        if dice.chance(0.1):
            (values if dice.chance(0.5) or not reactive else reactive).pop()
        return UpdateGrid(slot, values, reactive)

    def clock(self) -> Command:
        dice = self.dice
        draw = dice.roll()
        if draw < 0.15:
            wrong = ("noon", "", "2016-02-30T12:00:00Z", "2016-06-21T12:00:00+00:00", "9999-01-01T00:00Z")
            return AdvanceClock(dice.pick((*wrong, format_time(self.now - 1))))
        before = self.slots()
        gate = (before.start * self.market.slot_seconds - self.market.gate_before_seconds) * NS
        then = self.now + dice.between(1, 6 * MINUTE)
        if draw < 0.35:
            then = gate - 1
        elif draw < 0.5:
            then = gate
        elif draw < 0.51:
            then = self.now + dice.between(1, 150) * MINUTE
        if self.steady:
            then = min(then, gate - 1)
        if then < self.now:
            then = self.now
        self.now = then
        self.due.extend(range(before.start, self.slots().start))
        return AdvanceClock(format_time(then))

    def meter(self) -> Command:
        dice = self.dice
        readings: dict[str, Any] = {name: dice.between(-400, 400) for name in NAMES[:5] if dice.chance(0.7)}
        if dice.chance(0.15):
            readings |= dice.pick(({"zoe": 1}, {"utility": 1}, {"anna": dice.pick(self.odd)}))
        generated: dict[str, Any] = {name: dice.between(0, 200) for name in readings if dice.chance(0.2)}
        if dice.chance(0.05):
            generated |= dice.pick(({"zoe": 1}, {"anna": -1}, {"ben": dice.pick(self.odd)}))
        return RecordMeter(self.slot_to_settle(), readings, generated)

    def curtail(self) -> Command:
        dice = self.dice
        energy: dict[str, Any] = {name: dice.between(1, 90) for name in NAMES[:5] if dice.chance(0.4)}
        if dice.chance(0.2):
            energy |= dice.pick(({"zoe": 1}, {"utility": 1}, {"anna": 0}, {"anna": dice.pick(self.odd)}))
        return Curtail(dice.pick((self.slot_to_settle(), self.slots().start)), energy)

    def losses(self) -> Command:
        dice = self.dice
        weights: dict[str, Any] = {name: dice.between(-20, 90) for name in NAMES[:5] if dice.chance(0.5)}
        energy: Any = dice.between(0, 60)
        if dice.chance(0.15):
            weights |= dice.pick(({"zoe": 1}, {"utility": 1}, {"anna": dice.pick(self.odd)}))
        elif dice.chance(0.1):
            energy = dice.pick((*self.odd, -1, 2**50))
        return RecordLosses(self.slot_to_settle(), energy, weights)

    def settle(self) -> Command:
        return Settle(self.slot_to_settle())

    def slot_to_settle(self) -> Any:
        if self.due and self.dice.chance(0.9):
            return self.dice.pick(self.due)
        return self.dice.pick((self.slots().start, *self.odd))

    def register(self) -> Command:
        name = self.dice.pick((*NAMES, "wires", "a b", "", "Zoë", "x" * 65, "fay", "fay2"))
        return Register(name, self.dice.pick((*LIMITS, "spare", "c9", "")), self.dice.pick(("", "solar", "SUN")))

    def create(self) -> Command:
        return CreateMarket(self.market, feeder())

    def who(self) -> str:
        return self.dice.pick(NAMES)


def feeder() -> str:
    """As much of a feeder as a replay reads."""
    return msgspec.json.encode({"connections": [{"id": name} for name in LIMITS]}).decode()
