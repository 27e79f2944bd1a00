"""The market on a terminal: the book and the tape live, a line to type commands into; or plain lines in and out."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from api.client import AsyncClient
from api.console import out
from api.trader import Trader, ct, kwh

TAPE = 8
"""Trades that are shown."""
SHOWN = 3
"""Slots whose books are shown beside each other."""
REFRESH = 0.2
"""Seconds between two pictures."""
LEAVE = {"quit", "exit", "q"}


async def plain(client: AsyncClient) -> None:
    """Commands from standard input, one a line; answers to standard output, until the input ends."""
    trader = Trader(client)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip().lower() in LEAVE:
            return
        answer = await trader.say(line)
        if answer:
            out().print(answer, soft_wrap=True)


async def screen(client: AsyncClient) -> None:
    """Pictures of the market until somebody leaves with quit, Ctrl-C or Ctrl-D. Needs a POSIX terminal."""
    trader, view = Trader(client), Screen()
    tape = asyncio.create_task(view.watch(client))
    loop, keys = asyncio.get_running_loop(), asyncio.Queue[str]()
    try:
        with _keys(), Live(view.picture(trader), console=out(), screen=True, auto_refresh=False) as live:
            loop.add_reader(sys.stdin, lambda: keys.put_nowait(sys.stdin.read(1)))
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH):
                        line = view.key(await keys.get())
                        if line is not None and line.strip().lower() in LEAVE:
                            return
                        if line:
                            view.answer = Text(f"> {line}"), await trader.say(line)
                if tape.done():
                    tape.result()
                live.update(view.picture(trader), refresh=True)
    finally:
        loop.remove_reader(sys.stdin)
        tape.cancel()


class Screen:
    """What is on the screen, the market aside: trades, the line being typed, the last answer."""

    def __init__(self) -> None:
        self.typed = ""
        self.answer: tuple[RenderableType, ...] = (Text("type help and Enter", "dim"),)
        self.tape: deque[str] = deque(maxlen=TAPE)

    async def watch(self, client: AsyncClient) -> None:
        """Keep the tape, until the client is closed. Raises what ended it."""
        async for trade in client.events("trades"):
            if trade["type"] == "trade":
                source = trade["source"] or "-"
                self.tape.append(f"{trade['slot']}  {kwh(trade['quantity'])} kWh  {ct(trade['price'])} ct  {source}")

    def key(self, key: str) -> str | None:
        """A key was pressed: the line if it is finished, `quit` at the end of input."""
        if key in ("\n", "\r"):
            line, self.typed = self.typed, ""
            return line
        if key in ("", "\x04"):
            return "quit"
        if key in ("\x7f", "\b"):
            self.typed = self.typed[:-1]
        elif key.isprintable():
            self.typed += key
        return None

    def picture(self, trader: Trader) -> RenderableType:
        """The whole screen."""
        view = trader.client.view
        slots = sorted(view.slots)[:SHOWN]
        books = Columns([Panel(trader.levels(slot)) for slot in slots]) if slots else Text("no slot trades now")
        welcome = trader.client.welcome
        who = (welcome.participant or welcome.role) if welcome else ""
        state = "" if trader.client.connected else "   NOT CONNECTED, trying again"
        return Group(
            Text(f"{welcome.market if welcome else ''}  {view.time}  {who}{state}", "bold"),
            books,
            Panel(Text("\n".join(self.tape) or "no trade yet"), title="trades"),
            *self.answer,
            Text(f"> {self.typed}▏"),
        )


@contextmanager
def _keys() -> Iterator[None]:
    """Keys come one by one and are not echoed."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
