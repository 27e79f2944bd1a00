"""Any sequence of commands that hypothesis can think of: the exchange and the plain one stay alike, event by event."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from market.orders import (
    AdvanceClock,
    Amend,
    Basket,
    Cancel,
    Command,
    Halt,
    Leg,
    MassCancel,
    RecordMeter,
    Register,
    Resume,
    Scope,
    Settle,
    Submit,
    TimeInForce,
    UpdateGrid,
)
from market.slots import MINUTE, format_time
from tests.market.rig import GATES, Rig
from tests.market.test_every_command import MARKETS
from tests.market.traffic import LIMITS, NAMES, Traffic, replace

people = st.sampled_from(NAMES)
places = st.integers(0, 3)
ticks = st.integers(95, 105)
lots = st.integers(1, 12)
legs = st.builds(
    Leg,
    places,
    st.sampled_from(["buy", "sell"]),
    ticks.map(lambda tick: tick * 100),
    lots.map(lambda lot: lot * 10),
    st.booleans(),
)
scopes = st.sampled_from(["market", "feeder", "participant"])


class ExchangeMachine(RuleBasedStateMachine):
    """`Rig` compares all events and asserts what must hold after every command; here is only what to send."""

    @initialize(gate=st.sampled_from(GATES), market=st.sampled_from(sorted(MARKETS)))
    def start(self, gate: str, market: str) -> None:
        self.traffic = Traffic(0, replace(MARKETS[market], gate="linear" if gate == "mixed" else gate))
        self.rig = Rig(gate)
        self.rig.send(self.traffic.opening())
        self.orders = [("anna", 1)]
        self.named: list[Command] = []
        self.closed = [self.slot(0) - 1]

    def slot(self, place: int) -> int:
        return self.traffic.slots()[place]

    @rule(
        who=people,
        leg=legs,
        force=st.sampled_from(["gtc", "gtc", "gtd", "ioc", "fok"]),
        origin=st.sampled_from(["", "solar", "wind"]),
        post_only=st.booleans(),
        minutes=st.integers(1, 90),
        named=st.booleans(),
    )
    def submit(
        self, who: str, leg: Leg, force: TimeInForce, origin: str, post_only: bool, minutes: int, named: bool
    ) -> None:
        order = Submit(who, self.slot(leg.slot), leg.side, leg.price, leg.quantity, force, leg.flexible)
        order = replace(
            order, **({"source": origin} if leg.side == "sell" else {"sources": (origin,) if origin else ()})
        )
        if force == "gtd":
            order = replace(order, good_till=format_time(self.traffic.now + minutes * MINUTE))
        if force in ("gtc", "gtd"):
            order = replace(order, post_only=post_only)
        if named:
            order = replace(order, client_order_id=f"order {len(self.named)}")
            self.named.append(order)
        self.orders.append((who, len(self.rig.entries) + 1))
        self.rig.send([order])

    @rule(
        who=people, chosen=st.lists(legs, min_size=2, max_size=4, unique_by=lambda leg: leg.slot), named=st.booleans()
    )
    def basket(self, who: str, chosen: list[Leg], named: bool) -> None:
        basket = Basket(who, tuple(replace(leg, slot=self.slot(leg.slot)) for leg in chosen))
        if named:
            basket = replace(basket, client_order_id=f"order {len(self.named)}")
            self.named.append(basket)
        self.rig.send([basket])

    @precondition(lambda self: self.named)
    @rule(pick=st.integers(0, 20), other=st.booleans())
    def send_again(self, pick: int, other: bool) -> None:
        before = self.named[pick % len(self.named)]
        changed = replace(before, **({"quantity": 10} if isinstance(before, Submit) else {"legs": ()}))
        self.rig.send([changed if other else before])

    @rule(pick=st.integers(0, 20), who=st.none() | people)
    def cancel(self, pick: int, who: str | None) -> None:
        owner, order = self.orders[-1 - pick % len(self.orders)]
        self.rig.send([Cancel(who or owner, order)])

    @rule(pick=st.integers(0, 20), tick=st.none() | ticks, lot=st.none() | lots)
    def amend(self, pick: int, tick: int | None, lot: int | None) -> None:
        owner, order = self.orders[-1 - pick % len(self.orders)]
        self.rig.send([Amend(owner, order, tick and tick * 100, lot and lot * 10)])

    @rule(who=people, place=st.none() | places)
    def mass_cancel(self, who: str, place: int | None) -> None:
        self.rig.send([MassCancel(who, None if place is None else self.slot(place))])

    @rule(scope=scopes, who=people, take=st.booleans())
    def halt(self, scope: Scope, who: str, take: bool) -> None:
        self.rig.send([Halt(scope, who if scope == "participant" else "", take)])

    @rule(scope=scopes, who=people)
    def resume(self, scope: Scope, who: str) -> None:
        self.rig.send([Resume(scope, who if scope == "participant" else "")])

    @rule(place=places, lots=st.lists(st.integers(-20, 20), min_size=len(LIMITS), max_size=len(LIMITS)))
    def baseline(self, place: int, lots: list[int]) -> None:
        self.rig.send([UpdateGrid(self.slot(place), [10 * lot for lot in lots])])

    @rule(step=st.integers(0, 12 * MINUTE) | st.sampled_from([0, 1, 15 * MINUTE, 90 * MINUTE]))
    def clock(self, step: int) -> None:
        before = self.slot(0)
        self.traffic.now += step
        self.closed += range(before, self.slot(0))
        self.rig.send([AdvanceClock(format_time(self.traffic.now))])

    @rule(pick=st.integers(0, 9), readings=st.dictionaries(people, st.integers(-500, 500), max_size=4))
    def deliver(self, pick: int, readings: dict[str, int]) -> None:
        slot = self.closed[-1 - pick % len(self.closed)]
        self.rig.send([RecordMeter(slot, readings), Settle(slot)])

    @rule(place=st.sampled_from(list(LIMITS)))
    def join(self, place: str) -> None:
        self.rig.send([Register("fay", place)])

    @rule(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 120))
    def crowd(self, seed: int, count: int) -> None:
        crowd = Traffic(seed, self.traffic.market)
        crowd.now, crowd.seq, crowd.steady = self.traffic.now, len(self.rig.entries), True
        before = self.slot(0)
        self.rig.send(crowd.take(count))
        self.traffic.now = crowd.now
        self.closed += range(before, self.slot(0))

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.rig.replay()


TestExchangeMachine = ExchangeMachine.TestCase
TestExchangeMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


class LongExchangeMachine(ExchangeMachine):
    """The same for minutes."""


TestLongExchangeMachine = pytest.mark.slow(LongExchangeMachine.TestCase)  # 300 long sequences: a minute
TestLongExchangeMachine.settings = settings(
    max_examples=300, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
