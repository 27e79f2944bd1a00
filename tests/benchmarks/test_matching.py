"""The race is fair only if the stream is what it says and every engine of ours makes the plain book's trades."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.matching import digest, main, plain
from benchmarks.peers import Race
from benchmarks.plain_book import BUY, SELL, PlainBook
from benchmarks.wattbook_exchange import exchange
from benchmarks.wattbook_kernel import batch, micro_batch, single
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


@pytest.mark.parametrize("prepare", [plain, batch, micro_batch(64), single, exchange])
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


def test_the_race_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main(["--messages", "500", "--repeat", "1", "--only", "--json", str(target)]) == 0
    figures = json.loads(target.read_text(encoding="utf-8"))
    ours = [engine for engine in figures["engines"] if engine["name"].startswith("wattbook")]
    assert len(ours) == 4
    assert all(engine["identical"] for engine in ours)
    assert "plain Python book" in capsys.readouterr().out
