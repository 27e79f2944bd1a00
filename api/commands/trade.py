"""`wattbook trade` and `wattbook bot`: a person, or a strategy of the simulation, at a live market."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.console import complain, note, say
from api.errors import CommandError, Exit

if TYPE_CHECKING:
    import numpy as np

    from agents.strategies import Strategy

Token = Annotated[
    str,
    typer.Option(help="Who you are; without it you can only look on.", envvar="WATTBOOK_TOKEN", show_default=False),
]


def trade(
    url: Annotated[str, typer.Argument(help="Of the market, such as http://127.0.0.1:8000.", show_default=False)],
    token: Token = "",
    plain: Annotated[bool, typer.Option("--plain", help="Lines in and out, as where there is no terminal.")] = False,
) -> None:
    """Watch a live market and trade in it: `buy`, `sell`, `cancel`, `orders`, `account`, `help`.

    On a terminal the book and the tape are shown live; else commands are read and answered line by line.
    """
    live = not plain and sys.stdin.isatty() and sys.stdout.isatty() and sys.platform != "win32"
    _run(_trade(url, token, live))


def bot(
    strategy: Annotated[str, typer.Option(help="A strategy by its name, or package.module:Class.", show_default=False)],
    url: Annotated[str, typer.Option(help="Of the market, such as http://127.0.0.1:8000.", show_default=False)],
    token: Token = "",
    participant: Annotated[
        str, typer.Option("--as", help="Whom the token must trade for.", metavar="NAME", show_default=False)
    ] = "",
    every: Annotated[float, typer.Option(help="Seconds between two rounds of quotes.", min=0.05)] = 1.0,
    rounds: Annotated[int, typer.Option(help="Rounds until it leaves; 0: for ever.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.", min=0)] = 1,
    value: Annotated[
        str, typer.Option(help="What bought energy is worth, instead of what the market knows.", metavar="PRICE")
    ] = "",
    cost: Annotated[str, typer.Option(help="The least price for sold energy, likewise.", metavar="PRICE")] = "",
) -> None:
    """Let a strategy of the simulation trade for a participant of a live market.

    It sells and buys what the participant's account expects. Orders are taken out when it stops.
    """
    import numpy as np

    from agents.strategies import StrategyError, create

    try:
        made = create(strategy)
    except StrategyError as error:
        raise CommandError(Exit.INPUT, *(f"--strategy: {line}" for line in error.errors)) from error
    terms = _price("--value", value), _price("--cost", cost)
    _run(_bot(url, token, participant, made, np.random.default_rng(seed), every, rounds, terms))


async def _trade(url: str, token: str, live: bool) -> None:
    from api import terminal
    from api.client import AsyncClient

    async with AsyncClient(url, token) as client:
        await (terminal.screen(client) if live else terminal.plain(client))


async def _bot(
    url: str, token: str, participant: str, strategy: Strategy, rng: np.random.Generator, every: float, rounds: int,
    terms: tuple[int | None, int | None],
) -> None:  # fmt: skip
    from api.client import AsyncClient
    from api.trader import refusal
    from api.wire_desk import WireDesk

    async with AsyncClient(url, token) as client:
        mine = client.welcome.participant if client.welcome else ""
        if participant and mine != participant:
            raise CommandError(Exit.INPUT, f"--as {participant}: the token trades for {mine or 'nobody'}")
        try:
            desk = WireDesk(client, strategy, rng, every, *terms)
        except ValueError as error:
            raise CommandError(Exit.INPUT, f"--token: {error}") from error
        note(f"trades as {mine}; stop with Ctrl-C")
        listening = asyncio.create_task(desk.listen())
        done = 0
        try:
            while not listening.done() and (not rounds or done < rounds):
                complain([refusal(result) for result in await desk.round()])
                done += 1
                await asyncio.wait((listening,), timeout=every)
            if listening.done():
                listening.result()
        finally:
            listening.cancel()
        await client.mass_cancel()
        sold = sum(client.view.account.contracted.values())
        say(f"{done} rounds, {desk.sent} requests; sold less bought in slots not settled yet: {sold / 1000:.3f} kWh")


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine; what the market or the wire says becomes lines and exit codes."""
    from api.connection import LostError
    from api.gateway import RefusedError

    try:
        asyncio.run(work)
    except RefusedError as error:
        raise CommandError(Exit.INPUT, f"{error.code}: {error.reason}") from error
    except (LostError, ConnectionError) as error:
        raise CommandError(Exit.ENVIRONMENT, str(error)) from error


def _price(option: str, text: str) -> int | None:
    from market.units import price

    if not text:
        return None
    try:
        return price(text)
    except ValueError as error:
        raise CommandError(Exit.INPUT, f"{option}: {error}") from error
