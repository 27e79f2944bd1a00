"""Slots: phases depend on nothing but the slot and the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.slots import MINUTE, NS, Phase, SlotClock, format_time, parse_time

CLOCK = SlotClock(length=15 * MINUTE, opens_before=75 * MINUTE, gate_before=15 * MINUTE)


@given(now=st.integers(0, 2**62))
def test_times_survive_text(now: int) -> None:
    assert parse_time(format_time(now)) == now


@pytest.mark.parametrize(
    "text",
    ["", "2016-06-21", "2016-06-21T12:00:00", "2016-06-21T12:00:00+02:00", "2016-13-01T00:00Z", "2016-06-21T25:00Z"],
)
def test_times_without_utc_or_off_the_calendar_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_a_slot_runs_through_its_phases_at_their_very_nanosecond() -> None:
    slot = CLOCK.slot_at(parse_time("2016-06-21T12:00:00Z"))
    edges = [
        (CLOCK.opens(slot), Phase.OPEN),
        (CLOCK.gate(slot), Phase.GATE_CLOSED),
        (CLOCK.start(slot), Phase.DELIVERY),
    ]
    edges.append((CLOCK.end(slot), Phase.DELIVERED))
    before = Phase.PRE_OPEN
    for instant, phase in edges:
        assert CLOCK.phase(slot, instant - 1) is before
        assert CLOCK.phase(slot, instant) is phase
        before = phase


@given(
    now=st.integers(0, 10**6).map(lambda second: second * NS),
    length=st.integers(1, 3600),
    gate=st.integers(0, 5000),
    lead=st.integers(1, 9000),
)
def test_open_slots_are_those_whose_phase_is_open(now: int, length: int, gate: int, lead: int) -> None:
    clock = SlotClock(length * NS, (gate + lead) * NS, gate * NS)
    around = range(clock.slot_at(now) - 2, clock.slot_at(now) + (gate + lead) // length + 3)
    assert list(clock.open_slots(now)) == [slot for slot in around if clock.phase(slot, now) is Phase.OPEN]
