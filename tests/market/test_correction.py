from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from market.audit import audit
from market.conservation import Conservation
from market.events import Corrected, Curtailed, Entry, Event, Rejected, Settled
from market.ledger import fold, postings
from market.orders import Command, Curtail, RecordMeter, Settle
from market.origins import differences, lines
from market.settlement import imbalance_prices
from tests.market.corrected import SLOT, after, deal, journal
from tests.market.day import SETTINGS, ledger_at

SETTLED = [
    *deal("anna", "cleo", 1_000, 100_000, "solar"),
    *deal("bert", "cleo", 500, 160_000, "wind"),
    after(15),
    RecordMeter(SLOT, {"anna": 800, "bert": 500, "cleo": -1_400}),
    Settle(SLOT),
]


def test_the_example_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "settlement.md").read_text()
    example, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)[:2]
    exec(example, {})
    assert capsys.readouterr().out == printed


def last(entries: list[Entry]) -> Event:
    return entries[-1].events[-1]


def balances(entries: list[Entry]) -> dict[tuple[str, str], int]:
    settings = entries[0].command.settings  # type: ignore[union-attr]
    sums: dict[tuple[str, str], int] = {}
    for entry in entries:
        fold(postings(entry, settings), sums)
    return {key: amount for key, amount in sums.items() if amount}


def codes(entries: list[Entry]) -> list[str]:
    return [event.code for entry in entries for event in entry.events if isinstance(event, Rejected)]


def test_the_markets_price_of_imbalance_is_the_mean_local_price_less_and_plus_the_surcharge() -> None:
    settled = last(journal(*SETTLED))
    assert isinstance(settled, Settled)
    # (1000 Wh at 100 000 and 500 Wh at 160 000) / 1500 Wh = 120 000
    assert settled.prices == (100_000, 140_000)
    money = balances(journal(*SETTLED))
    assert money["anna", "EUR"] == 1_000 * 100_000 - 200 * 140_000
    assert money["cleo", "EUR"] == -1_000 * 100_000 - 500 * 160_000 + 100 * 100_000
    assert sum(amount for (_, asset), amount in money.items() if asset == "EUR") == 0


def test_the_mean_is_rounded_down_and_without_local_trades_the_tariff_holds() -> None:
    rules = msgspec.structs.replace(SETTINGS, settlement=journal()[0].command.settings.settlement)  # type: ignore[union-attr]
    assert imbalance_prices(rules, 0, 3, -10) == (-20_004, 19_996)
    assert imbalance_prices(rules, 0, 0, 0) is None
    assert imbalance_prices(SETTINGS, 0, 5, 5) is None


def test_units_are_issued_for_metered_generation_only_and_the_rest_is_returned_by_who_holds_them() -> None:
    settled = last(journal(*SETTLED))
    assert isinstance(settled, Settled)
    assert settled.origins == [
        ("anna", "solar", 800, 0, 200),
        ("cleo", "solar", 0, 800, -200),
        ("bert", "wind", 500, 0, 0),
        ("cleo", "wind", 0, 500, 0),
    ]
    held = {key: amount for key, amount in balances(journal(*SETTLED)).items() if key[1].startswith("GO:")}
    assert held == {
        ("origin issued", "GO:solar"): -800,
        ("origin cancelled", "GO:solar"): 800,
        ("origin issued", "GO:wind"): -500,
        ("origin cancelled", "GO:wind"): 500,
    }


def test_a_meter_of_generation_bounds_what_is_issued() -> None:
    meters = RecordMeter(SLOT, {"anna": 1_000, "cleo": -1_000}, {"anna": 300})
    settled = last(journal(*deal("anna", "cleo", 1_000, source="solar"), after(15), meters, Settle(SLOT)))
    assert isinstance(settled, Settled)
    assert settled.origins == [("anna", "solar", 300, 0, 700), ("cleo", "solar", 0, 300, -700)]


def test_nobody_is_issued_units_of_a_source_that_is_not_its_own() -> None:
    meters = RecordMeter(SLOT, {"anna": 1_000, "cleo": -1_000})
    settled = last(journal(*deal("anna", "cleo", 1_000, source="wind"), after(15), meters, Settle(SLOT)))
    assert isinstance(settled, Settled)
    assert settled.origins == [("anna", "wind", 0, 0, 1_000), ("cleo", "wind", 0, 0, -1_000)]


def test_the_utility_brings_the_units_that_it_sells_and_keeps_those_that_it_buys() -> None:
    trades = [*deal("utility", "cleo", 300, source="hydro"), *deal("anna", "utility", 200, source="solar")]
    settled = last(journal(*trades, after(15), RecordMeter(SLOT, {"anna": 200, "cleo": -300}), Settle(SLOT)))
    assert isinstance(settled, Settled)
    assert settled.origins == [
        ("cleo", "hydro", 0, 300, 0),
        ("utility", "hydro", 300, 0, 0),
        ("anna", "solar", 200, 0, 0),
    ]


def test_with_labels_only_nothing_is_issued_and_the_labels_stay_with_who_holds_them() -> None:
    entries = journal(*SETTLED, origins="labels")
    settled = last(entries)
    assert isinstance(settled, Settled)
    assert settled.origins == []
    assert balances(entries)["cleo", "GO:solar"] == 1_000


CORRECTIONS: list[Command] = [RecordMeter(SLOT, {"anna": 950, "dora": -60}), Settle(SLOT)]


def test_a_correction_posts_the_difference_and_leaves_what_the_right_meters_would_have_left() -> None:
    corrected = last(journal(*SETTLED, *CORRECTIONS))
    assert corrected == Corrected(
        SLOT, 2, 2, [("anna", 800, 950, 1_000), ("dora", 0, -60, 0)], (100_000, 140_000),
        [("anna", "solar", 150, 0, -150), ("cleo", "solar", 0, 150, 150), ("cleo", "wind", 0, -50, 0)],
    )  # fmt: skip
    right = [*SETTLED[:-2], RecordMeter(SLOT, {"anna": 950, "bert": 500, "cleo": -1_400, "dora": -60}), Settle(SLOT)]
    assert balances(journal(*SETTLED, *CORRECTIONS)) == balances(journal(*right))
    again: list[Command] = [RecordMeter(SLOT, {"anna": 800, "dora": 0}), Settle(SLOT)]
    assert balances(journal(*SETTLED, *CORRECTIONS, *again)) == balances(journal(*SETTLED))


def test_a_reading_that_was_missing_is_settled_later() -> None:
    silent = [*SETTLED[:-2], RecordMeter(SLOT, {"bert": 500}), Settle(SLOT)]
    late: list[Command] = [RecordMeter(SLOT, {"anna": 800, "cleo": -1_400}), Settle(SLOT)]
    assert balances(journal(*silent, *late)) == balances(journal(*SETTLED))


def test_a_slot_is_settled_again_only_for_new_readings_and_within_the_time_for_corrections() -> None:
    assert codes(journal(*SETTLED, Settle(SLOT))) == ["ALREADY_SETTLED"]
    assert codes(journal(*SETTLED, *CORRECTIONS, Settle(SLOT))) == ["ALREADY_SETTLED"]
    week = 7 * 24 * 60
    for minutes, refused in ((15 + week, []), (16 + week, ["ALREADY_SETTLED"] * 2)):
        assert codes(journal(*SETTLED, after(minutes), *CORRECTIONS)) == refused
    assert codes(journal(*SETTLED, *CORRECTIONS, corrections_seconds=0)) == ["ALREADY_SETTLED"] * 2


def test_who_is_curtailed_is_paid_by_the_wires() -> None:
    entries = journal(*SETTLED[:4], after(0), Curtail(SLOT, {"anna": 200, "cleo": 10}), *SETTLED[4:])
    told = [event for entry in entries for event in entry.events if isinstance(event, Curtailed)]
    assert told == [Curtailed(SLOT, [("anna", 200), ("cleo", 10)])]
    paid, unpaid = balances(entries), balances(journal(*SETTLED))
    assert paid["wires", "EUR"] == -210 * 150_000
    assert paid["anna", "EUR"] - unpaid["anna", "EUR"] == 200 * 150_000


@pytest.mark.parametrize(
    ("commands", "rules", "code"),
    [
        ([Curtail(SLOT, {"anna": 1})], {}, "GATE_OPEN"),
        ([after(0), Curtail(SLOT, {"anna": 1})], {"curtailment": 0}, "BAD_CURTAILMENT"),
        ([after(0), Curtail(SLOT, {})], {}, "BAD_CURTAILMENT"),
        ([after(0), Curtail(SLOT, {"anna": 0})], {}, "BAD_CURTAILMENT"),
        ([after(0), Curtail(SLOT, {"utility": 5})], {}, "BAD_CURTAILMENT"),
        ([*SETTLED, Curtail(SLOT, {"anna": 5})], {}, "ALREADY_SETTLED"),
    ],
)
def test_what_cannot_have_been_withheld_is_not_paid(commands: list[Command], rules: dict[str, Any], code: str) -> None:
    assert codes(journal(*commands, **rules)) == [code]


FORGED: list[dict[str, Any]] = [
    {"origins": [("anna", "solar", 1_000, 0, 0), ("cleo", "solar", 0, 1_000, 0)]},
    {"prices": (100_000, 139_999)},
    {"meters": 7},
    {"lines": [("anna", 1_000, 1_000, 0), ("bert", 500, 500, 0), ("cleo", -1_400, -1_500, 100), ("dora", 0, 0, 0)]},
]


@pytest.mark.parametrize("forged", FORGED, ids=["origins", "prices", "version", "reading"])
def test_an_audit_finds_a_forged_settlement_and_a_forged_correction(forged: dict[str, Any], tmp_path: Path) -> None:
    entries = journal(*SETTLED, *CORRECTIONS)
    for kind in (Settled, Corrected):
        (place,) = (number for number, entry in enumerate(entries) if isinstance(entry.events[0], kind))
        event = msgspec.structs.replace(entries[place].events[0], **forged)
        changed = [*entries]
        changed[place] = msgspec.structs.replace(entries[place], events=(event,))
        report = audit(ledger_at(tmp_path / f"{kind.__name__}.db", tuple(changed)))
        assert {"conservation", "replay"} <= {finding.check for finding in report.findings}
        assert report.first_bad == entries[place].seq


def test_a_ledger_with_corrections_is_sound(tmp_path: Path) -> None:
    entries = journal(*SETTLED, *CORRECTIONS, Curtail(SLOT + 1, {"anna": 5}))
    report = audit(ledger_at(tmp_path / "ledger.db", tuple(entries)))
    assert report.ok, report.findings


def test_the_check_lets_go_of_slots_whose_time_is_over() -> None:
    check = Conservation()
    entries = journal(*SETTLED, *CORRECTIONS, after(15 + 7 * 24 * 60), after(16 + 7 * 24 * 60))
    settings = entries[0].command.settings  # type: ignore[union-attr]
    for entry in entries[:-1]:
        assert list(check.observe(entry, postings(entry, settings))) == []
    assert SLOT in check._deliveries._slots
    assert list(check.observe(entries[-1], [])) == []
    assert SLOT not in check._deliveries._slots


def test_who_holds_units_of_several_sources_cancels_them_in_alphabetical_order() -> None:
    held = {("solar", "anna"): -100, ("solar", "cleo"): 100, ("biomass", "bert"): -100, ("biomass", "cleo"): 100}
    sources = {"anna": "solar", "bert": "biomass"}
    found = lines(held, {"anna": 100, "bert": 100, "cleo": -130}, {}, sources, "utility")
    assert [line for line in found if line[0] == "cleo"] == [
        ("cleo", "biomass", 0, 100, 0),
        ("cleo", "solar", 0, 30, 0),
    ]


def test_differences_lead_from_one_state_to_the_other() -> None:
    before = [("anna", "solar", 5, 0, 1), ("cleo", "solar", 0, 4, -1)]
    now = [("anna", "solar", 6, 0, 0), ("bert", "wind", 2, 0, 0)]
    assert differences(before, now) == [
        ("anna", "solar", 1, 0, -1),
        ("cleo", "solar", 0, -4, 1),
        ("bert", "wind", 2, 0, 0),
    ]
    assert differences(now, now) == []
