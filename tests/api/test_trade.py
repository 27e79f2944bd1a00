"""People at a terminal and strategies over the wire."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from agents.strategies import NO_PRICE, Market, Orders, Traders, create
from agents.strategies.columns import quote_all
from api.client import AsyncClient
from api.terminal import Screen
from api.trader import Trader
from api.wire_desk import WireDesk
from tests.api.live_kit import SECONDS, Live, running


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("market"), speed=1.0, heartbeat=0.2, grace=0.3) as found:
        yield found


def wattbook(*words: str, said: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "api", *words], input=said, capture_output=True, text=True, timeout=90, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_commands_are_answered_line_by_line_where_there_is_no_terminal(live: Live) -> None:
    token = live.tokens.issue("participant", "home-002")
    lines = ["slots", "buy 0.5 1", "orders", "cancel all", "buy much 1", "sell 1", "dance", "account", "book", "quit"]
    code, answers, errors = wattbook("trade", live.stream, "--token", token, said="\n".join(lines))
    assert (code, errors) == (0, "")
    assert "0.500 kWh rest as #" in answers
    assert "all orders are taken out" in answers
    assert "write it like" in answers
    assert "say: sell KWH CT [SLOT]" in answers
    assert "no command 'dance'" in answers
    assert "balance" in answers
    assert "ask ct" in answers


def test_the_screen_shows_the_book_what_is_typed_and_the_answer(live: Live) -> None:
    from rich.console import Console

    async def main() -> str:
        async with AsyncClient(live.stream, live.tokens.issue("participant", "home-002")) as client:
            trader, screen = Trader(client), Screen()
            line = None
            for key in "order\x7f\x7fers\n":
                line = screen.key(key) or line
            assert line == "orders"
            screen.answer = ("the answer",)
            screen.key("b")
            console = Console(width=140)
            with console.capture() as capture:
                console.print(screen.picture(trader, console))
            assert screen.key("\x04") == "quit"
            return capture.get()

    shown = asyncio.run(main())
    for part in ("delivery", "bid kWh", "the answer", "> b", "home-002"):
        assert part in shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_on_a_terminal_whole_lines_may_be_typed_at_once(live: Live) -> None:
    import pty
    import termios

    token = live.tokens.issue("participant", "home-003")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 90))
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "api", "trade", live.url]
    paths = os.environ | {"WATTBOOK_TOKEN": token, "TERM": "xterm"}
    shown, typed = "", ["grüße \x1b[A\n", "buy 0.5 1\n", "quit\n"]
    wanted = ["delivery", "no command 'grüße'", "0.500 kWh rest as #"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=paths) as process:
        end = time.monotonic() + SECONDS
        while wanted and time.monotonic() < end:
            if select.select([ours], [], [], 1.0)[0]:
                shown += os.read(ours, 65536).decode(errors="replace")
            if wanted[0] in shown:
                del wanted[0]
                os.write(ours, typed.pop(0).encode())
        assert not wanted, shown[-2000:]
        while process.poll() is None and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                os.read(ours, 65536)
        assert process.returncode == 0
    assert termios.tcgetattr(theirs)[3] == before[3]
    os.close(ours)
    os.close(theirs)


SELLERS = enumerate(["zip", "gd", "aa", "truthful", "zi_c", "roth_erev", "shaver"], 1)


@pytest.mark.parametrize(("name", "strategy"), [(f"sun-{number:03}", strategy) for number, strategy in SELLERS])
def test_a_strategy_of_the_simulation_trades_over_the_wire(live: Live, name: str, strategy: str) -> None:
    async def main() -> None:
        token = live.tokens.issue("participant", name)
        async with AsyncClient(live.stream, token) as client:
            desk = WireDesk(client, create(strategy), np.random.default_rng(1), 1.0)
            listening = asyncio.create_task(desk.listen())
            for _ in range(4):
                assert await desk.round() == []
                await asyncio.sleep(0.15)
            offered = client.view.account.forecast
            for order in client.view.orders.values():
                kind = f"{'flexible' if order.flexible else 'firm'}_{order.side}"
                assert order.quantity - order.filled <= offered[order.slot][kind]
            assert desk.sent > 0
            listening.cancel()
            await client.mass_cancel()

    asyncio.run(main())


def test_over_the_wire_a_strategy_sees_columns_like_those_of_the_simulation(live: Live) -> None:
    seen: list[tuple[Traders, Market]] = []

    class Watcher:
        def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
            seen.append((traders, market))
            dearest = np.full(len(traders), market.cap)
            return quote_all(traders, dearest, np.ones(len(traders), dtype=np.bool_))

    async def main() -> None:
        async with (
            AsyncClient(live.stream, live.tokens.issue("participant", "sun-008")) as client,
            AsyncClient(live.stream, live.tokens.issue("participant", "home-009")) as other,
        ):
            desk = WireDesk(client, Watcher(), np.random.default_rng(1), 1.0)
            listening = asyncio.create_task(desk.listen())
            await desk.round()
            slot = max(other.view.slots)
            shouted = await other.buy(slot, 41_000, 500)
            async with asyncio.timeout(SECONDS):
                while 41_000 not in client.view.levels(slot).bids:
                    await asyncio.sleep(0.01)
            await desk.round()
            await other.cancel(shouted.order)
            listening.cancel()
            await client.mass_cancel()
            assert client.view.settings is not None
            (_, before), (traders, market) = seen
            column = int(np.flatnonzero(market.number == slot)[0])
            heard = market.shouts
            assert ((heard.slot == column) & ~heard.sell & ~heard.accepted).any()
            assert (before.rounds_done == 0).all()
            assert (market.rounds_done == 1).all()
            assert (market.seconds_to_gate > 0).all()
            assert (market.retail == client.view.settings.retail).all()
            there = market.bid != NO_PRICE
            assert (market.bid[there] >= market.feed_in[there]).all()
            assert (traders.quantity > 0).all()
            assert (traders.live == market.cap).all()
            assert not traders.limit.flags.writeable

    asyncio.run(main())


def test_the_bot_says_whom_it_trades_for_and_what_is_wrong(live: Live) -> None:
    token = live.tokens.issue("participant", "home-009")
    common = ["--url", live.stream, "--token", token, "--every", "0.1", "--rounds", "2"]
    code, told, errors = wattbook("bot", "--strategy", "zip", "--as", "home-009", *common)
    assert (code, "2 rounds, " in told) == (0, True), errors
    assert "trades as home-009" in errors
    code, _, errors = wattbook("bot", "--strategy", "zip", "--as", "home-001", *common)
    assert (code, "the token trades for home-009" in errors) == (2, True)
    code, _, errors = wattbook("bot", "--strategy", "guess", *common)
    assert (code, "unknown strategy 'guess'" in errors) == (2, True)
