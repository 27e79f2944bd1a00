"""The market on a terminal: the book and the tape live, a line to type commands into; or plain lines in and out."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from api.client import AsyncClient
from api.console import out
from api.trader import DEPTH, Trader, ct, kwh
from market.slots import NS, format_time

TAPE = 40
"""Trades that are kept for the screen."""
PANEL = 42
"""Characters that the book of a slot is wide; as many slots are shown as fit beside each other."""
REFRESH = 0.2
"""Seconds between two pictures."""
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])")
"""What a terminal sends for a key without a sign, such as an arrow."""
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
    tape = asyncio.create_task(view.watch(trader))
    loop, keys = asyncio.get_running_loop(), asyncio.Queue[str]()
    decoder, source = codecs.getincrementaldecoder("utf-8")("replace"), sys.stdin.fileno()

    def pressed() -> None:
        data = os.read(source, 4096)
        keys.put_nowait(SEQUENCE.sub("", decoder.decode(data)) if data else "\x04")

    try:
        with _keys(), Live(view.picture(trader, out()), console=out(), screen=True, auto_refresh=False) as live:
            loop.add_reader(source, pressed)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH):
                        typed = await keys.get()
                    for line in filter(None, map(view.key, typed)):
                        if line.strip().lower() in LEAVE:
                            return
                        view.answer = Text(f"> {line}"), await trader.say(line)
                if tape.done():
                    tape.result()
                live.update(view.picture(trader, out()), refresh=True)
    finally:
        loop.remove_reader(source)
        tape.cancel()


class Screen:
    """What is on the screen, the market aside: trades, the line being typed, the last answer."""

    def __init__(self) -> None:
        self.typed = ""
        self.answer: tuple[RenderableType, ...] = (Text("type help and Enter", "dim"),)
        self.tape: deque[str] = deque(maxlen=TAPE)

    async def watch(self, trader: Trader) -> None:
        """Keep the tape, latest first, until the client is closed. Raises what ended it."""
        async for trade in trader.client.events("trades"):
            if trade["type"] == "trade":
                energy, price = f"{kwh(trade['quantity'])} kWh", f"{ct(trade['price'])} ct/kWh"
                delivery, source = trader.clock(trade["slot"]), trade["source"] or "-"
                self.tape.appendleft(f"{trade['time'][11:16]}  for {delivery}  {energy:>12}  {price:>13}  {source}")

    def key(self, key: str) -> str | None:
        """A key was pressed: the line if it is finished, `quit` at the end of input."""
        if key in ("\n", "\r"):
            line, self.typed = self.typed, ""
            return line
        if key == "\x04":
            return "quit"
        if key in ("\x7f", "\b"):
            self.typed = self.typed[:-1]
        elif key.isprintable():
            self.typed += key
        return None

    def picture(self, trader: Trader, console: Console) -> RenderableType:
        """The whole screen. The line being typed is always there; books and tape share what the answer leaves."""
        client = trader.client
        slots = sorted(client.view.slots)[: max(1, console.width // PANEL)]
        books = Columns([Panel(trader.levels(slot)) for slot in slots]) if slots else Text("no slot trades now")
        welcome = client.welcome
        who = (welcome.participant or welcome.role) if welcome else ""
        state = "" if client.connected else "   NOT CONNECTED, trying again"
        now = format_time(client.now // NS * NS)[:16].replace("T", " ")
        room = max(2, console.height - 2)
        said = min(room // 2, len(console.render_lines(Group(*self.answer))))
        book = min(2 * (room - said) // 3, DEPTH + 5)
        picture = Layout()
        picture.split_column(
            Layout(Text(f"{welcome.market if welcome else ''}  {now} UTC  {who}{state}", "bold"), size=1),
            Layout(books, size=max(1, book)),
            Layout(Panel(Text("\n".join(self.tape) or "no trade yet"), title="trades")),
            Layout(Group(*self.answer), size=max(1, said)),
            Layout(Text(f"> {self.typed}▏"), size=1),
        )
        return picture


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
