"""The race is fair only if the stream is what it says and every engine of ours makes the plain book's trades."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import c_book, gated
from benchmarks.matching import main, plain
from benchmarks.plain_book import BUY, SELL, PlainBook
from benchmarks.race import Race, digest
from benchmarks.wattbook_exchange import exchange
from benchmarks.wattbook_kernel import batch, latencies, packets, single, ungated
from benchmarks.wires import every_row, radial
from benchmarks.workload import CANCEL, LEVELS, Workload, draw

SMALL = 6_000


@pytest.fixture(scope="module")
def workload() -> Workload:
    return draw(SMALL, seed=5)


def test_one_seed_gives_one_stream_and_another_seed_another(workload: Workload) -> None:
    assert np.array_equal(draw(SMALL, seed=5).messages, workload.messages)
    assert not np.array_equal(draw(SMALL, seed=6).messages, workload.messages)


def test_the_stream_has_the_shares_that_it_announces(workload: Workload) -> None:
    shares = workload.shares()
    assert shares["limit"] == pytest.approx(0.70, abs=0.03)
    assert shares["cancel"] == pytest.approx(0.25, abs=0.03)
    assert shares["take"] == pytest.approx(0.05, abs=0.02)
    assert shares["crossing limit orders"] == pytest.approx(0.35, abs=0.04)


def test_a_cancel_names_an_order_that_rests(workload: Workload) -> None:
    book = PlainBook(LEVELS)
    for kind, side, level, quantity, handle in workload.messages.tolist():
        if kind == CANCEL:
            assert book.rests(handle)
            book.cancel(handle)
        else:
            book.submit(handle, side, None if kind else level, quantity)


def test_the_plain_book_prefers_the_better_price_then_the_older_order() -> None:
    book = PlainBook(10)
    for handle, level in [(0, 5), (1, 4), (2, 4)]:
        assert book.submit(handle, SELL, level, 10) == []
    assert book.submit(3, BUY, 5, 25) == [(1, 3, 4, 10), (2, 3, 4, 10), (0, 3, 5, 5)]
    assert book.best(SELL) == 5
    assert book.submit(4, BUY, 4, 7) == []
    assert book.submit(5, SELL, None, 100) == [(4, 5, 4, 7)]
    assert not book.rests(5)


@pytest.mark.parametrize("prepare", [plain, batch(ungated), packets(ungated, 64), single(ungated), exchange])
def test_every_way_to_drive_our_engine_gives_the_trades_of_the_plain_book(
    prepare: Callable[[Workload], Race], workload: Workload
) -> None:
    go, trades = prepare(workload)
    go()
    assert len(workload.trades) > SMALL // 4
    assert np.array_equal(trades(), workload.trades)


def test_other_trades_have_another_digest(workload: Workload) -> None:
    changed = workload.trades.copy()
    changed[-1, 3] += 1
    assert digest(changed) != digest(workload.trades)


@pytest.mark.skipif(c_book.compiler() is None, reason="there is no C compiler")
def test_the_loop_in_c_gives_the_trades_of_the_plain_book(workload: Workload) -> None:
    go, trades = c_book.c_loop(workload)
    go()
    assert np.array_equal(trades(), workload.trades)


def test_every_message_of_its_own_has_a_time(workload: Workload) -> None:
    taken = latencies(ungated, workload)
    assert taken.shape == (SMALL,)
    assert (taken > 0).all()


def test_the_small_feeder_has_a_row_for_every_bus_and_branch_but_the_source() -> None:
    wires = every_row(radial())
    assert (wires.buses, wires.rows, wires.connections) == (116, 230, 115)
    assert np.array_equal(wires.sensitivity, np.rint(wires.sensitivity))
    present = np.hypot(*wires.state)
    assert ((present >= wires.lower) & (present <= wires.upper)).all()


@pytest.fixture(scope="module")
def small() -> list[gated.Condition]:
    slack, congested = gated.conditions()[:2]
    # A short stream does not load the wires as far as the whole one does.
    return [slack, replace(congested, tightness=60.0)]


def test_slack_wires_limit_nothing_and_congested_ones_most(small: list[gated.Condition], workload: Workload) -> None:
    slack, congested = small
    assert gated.infeasible(slack, 1, workload) == 0.0
    assert gated.infeasible(congested, 1, workload) > 0.8


def test_on_wires_every_way_to_drive_the_kernel_makes_the_same_trades(
    small: list[gated.Condition], workload: Workload
) -> None:
    for condition in small:
        found = []
        for entrant in gated.entrants(condition, 1, ""):
            go, trades = entrant.prepare(workload)
            go()
            found.append(trades())
        assert all(np.array_equal(made, found[0]) for made in found)
        assert np.array_equal(found[0], workload.trades) == (condition.tightness == 0.0)


def test_on_congested_wires_no_row_ends_beyond_its_bound(small: list[gated.Condition], workload: Workload) -> None:
    wires = small[1].wires
    messages, book = small[1].make(1)(workload, True)
    book.feed(messages)
    schedule, _, state, sensitivity, _, _, (least, most, *_), _ = book.capacity
    squares = (state**2).sum(axis=0)
    assert schedule.any()
    assert np.array_equal(state, wires.state + np.tensordot(schedule.astype(float), sensitivity, axes=1))
    assert ((squares >= least) & (squares <= most)).all()


def test_the_race_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main(["--messages", "500", "--repeat", "1", "--only", "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))
    ours = [engine for engine in figures["engines"] if engine["name"].startswith("wattbook")]
    assert len(ours) == 4
    assert {engine["digest"] for engine in ours} == {figures["workload"]["digest"]}
    assert len(figures["gated"]) == (12 if c_book.compiler() is None else 16)
    assert all(way["identical"] for way in figures["gated"])
    assert figures["single_message_us"]["p50"] > 0
    out = capsys.readouterr().out
    assert "plain Python book" in out
    assert "116 buses, congested" in out


def test_without_a_c_compiler_the_race_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert main(["--messages", "200", "--repeat", "1", "--only"]) == 0
    assert "not here: a C compiler" in capsys.readouterr().out
