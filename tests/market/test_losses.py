"""What the wires lose: whole Wh by rule, supplied by the utility, paid as the settings say, zero in every sum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.audit import audit
from market.capacity import OpenGate
from market.events import Entry, Lost, Rejected
from market.exchange import Exchange
from market.ledger import fold, postings
from market.orders import (
    RULES,
    AdvanceClock,
    Command,
    CreateMarket,
    LossModel,
    RecordLosses,
    RecordMeter,
    Register,
    Settle,
)
from market.settlement import loss_shares
from market.slots import MINUTE, format_time
from tests.market import day

PRICE = 123_400
SLOT = day.FIRST
READINGS = {"anna": 900, "bert": -600, "cleo": 0, "dora": -300}


def held(model: LossModel, *commands: Command) -> list[Entry]:
    """A slot that was delivered and metered, then `commands`."""
    rules = msgspec.structs.replace(day.SETTINGS, losses=model, losses_price=PRICE)
    begun: list[Command] = [CreateMarket(rules, day.FEEDER, RULES)]
    begun += [Register(name, place) for name, place in zip(day.NAMES, day.CONNECTIONS, strict=True)]
    begun += [AdvanceClock(format_time((SLOT * 15 - 30) * MINUTE)), AdvanceClock(format_time((SLOT + 1) * 15 * MINUTE))]
    return Exchange(OpenGate(day.CONNECTIONS)).apply_many([*begun, RecordMeter(SLOT, READINGS), *commands])


def lost(entries: list[Entry]) -> list[tuple[str, int]]:
    (event,) = [event for entry in entries for event in entry.events if isinstance(event, Lost)]
    return event.lines


weights = st.dictionaries(st.sampled_from("abcdef"), st.integers(-(10**9), 10**12), max_size=6)


@given(st.integers(0, 10**9), weights)
def test_shares_are_whole_near_their_proportion_and_sum_to_the_whole(energy: int, given: dict[str, int]) -> None:
    parts = dict(loss_shares(energy, given))
    assert sum(parts.values()) == energy
    total = sum(given.values())
    if total <= 0:
        assert parts.keys() <= {"wires"}
        return
    for name, weight in given.items():
        assert abs(parts.get(name, 0) * total - energy * weight) < total


def test_equal_remainders_go_by_name() -> None:
    assert loss_shares(10, {"c": 1, "b": 1, "a": 1}) == [("a", 4), ("b", 3), ("c", 3)]
    assert loss_shares(4, {"a": 3, "b": -1}) == [("a", 6), ("b", -2)]


@pytest.mark.parametrize(("model", "given", "lines"), [
    ("operator", {}, [("wires", 90)]),
    ("average", {}, [("anna", 45), ("bert", 30), ("dora", 15)]),
    ("marginal", {"anna": -10, "bert": 70, "dora": 30}, [("anna", -10), ("bert", 70), ("dora", 30)]),
    ("marginal", {"anna": -10}, [("wires", 90)]),
])  # fmt: skip
def test_each_model_charges_whom_it_says(model: LossModel, given: dict[str, int], lines: Any) -> None:
    assert lost(held(model, RecordLosses(SLOT, 90, given))) == lines


@pytest.mark.parametrize("model", ["operator", "average", "marginal"])
def test_the_energy_of_a_slot_closes_and_the_money_of_losses_goes_to_the_utility(model: LossModel) -> None:
    given = {"bert": 5, "dora": 2} if model == "marginal" else {}
    entries = held(model, RecordLosses(SLOT, 91, given), Settle(SLOT))
    rules = entries[0].command.settings  # type: ignore[union-attr]
    balances: dict[tuple[str, str], int] = {}
    for entry in entries:
        fold(postings(entry, rules), balances)
    for name, reading in READINGS.items():
        assert balances.get((name, "WH"), 0) == -reading
    assert balances["wires", "WH"] == 91
    # What the source has fed in is what the participants drew beyond what they fed in, and what was lost.
    assert -balances["utility", "WH"] == -sum(READINGS.values()) + 91
    for asset in ("WH", "EUR"):
        assert sum(amount for (_, kind), amount in balances.items() if kind == asset) == 0
    bare: dict[tuple[str, str], int] = {}
    for entry in held(model, Settle(SLOT)):
        fold(postings(entry, rules), bare)
    paid = {name: bare.get((name, "EUR"), 0) - balances.get((name, "EUR"), 0) for name in [*READINGS, "wires"]}
    assert sum(paid.values()) == 91 * PRICE == balances["utility", "EUR"] - bare["utility", "EUR"]
    assert (paid["wires"] == 91 * PRICE) == (model == "operator")


@pytest.mark.parametrize(("model", "command", "code"), [
    ("none", RecordLosses(SLOT, 90), "BAD_LOSSES"),
    ("average", RecordLosses(SLOT, -1), "BAD_LOSSES"),
    ("average", RecordLosses(SLOT, 2**53), "BAD_LOSSES"),
    ("average", RecordLosses(SLOT, 90, {"anna": 1}), "BAD_LOSSES"),
    ("marginal", RecordLosses(SLOT, 90, {"zoe": 1}), "BAD_LOSSES"),
    ("marginal", RecordLosses(SLOT, 90, {"utility": 1}), "BAD_LOSSES"),
    ("marginal", RecordLosses(SLOT, 90, {"anna": 10**6, "bert": 1 - 10**6}), "BAD_LOSSES"),
    ("average", RecordLosses(SLOT + 1, 90), "NOT_DELIVERED"),
])  # fmt: skip
def test_statements_that_make_no_sense_change_nothing(model: LossModel, command: RecordLosses, code: str) -> None:
    (event,) = held(model, command)[-1].events
    assert isinstance(event, Rejected)
    assert event.code == code


def test_losses_are_stated_once_and_before_the_settlement() -> None:
    first, again, settled, late = held("average", *[RecordLosses(SLOT, 9)] * 2, Settle(SLOT), RecordLosses(SLOT, 9))[
        -4:
    ]
    assert isinstance(first.events[0], Lost)
    assert isinstance(again.events[0], Rejected)
    assert again.events[0].code == "BAD_LOSSES"
    assert isinstance(late.events[0], Rejected)
    assert late.events[0].code == "ALREADY_SETTLED"
    assert not isinstance(settled.events[0], Rejected)


@pytest.mark.parametrize("forged", [[("bert", 90)], [("anna", 46), ("bert", 29), ("dora", 15)], [("wires", 90)], []])
def test_an_audit_finds_forged_shares(tmp_path: Path, forged: list[tuple[str, int]]) -> None:
    entries = held("average", RecordLosses(SLOT, 90), Settle(SLOT))
    assert audit(day.ledger_at(tmp_path / "honest.db", tuple(entries))).ok
    (place,) = [place for place, entry in enumerate(entries) if isinstance(entry.command, RecordLosses)]
    entries[place] = msgspec.structs.replace(entries[place], events=(Lost(SLOT, forged),))
    report = audit(day.ledger_at(tmp_path / "forged.db", tuple(entries)))
    assert report.first_bad == place + 1
    assert {finding.check for finding in report.findings if finding.seq == place + 1} == {"conservation", "replay"}
