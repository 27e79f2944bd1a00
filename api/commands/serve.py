"""`wattbook serve`: a live market of a scenario's neighbours, open to clients over websocket and HTTP."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

import typer

from api.errors import CommandError, Exit

REALTIME = "realtime"


def serve(
    scenario: Annotated[
        str, typer.Argument(help="A shipped scenario or a YAML file.", metavar="NAME|FILE", show_default=False)
    ],
    speed: Annotated[
        str, typer.Option(help="Seconds of the market in one second, or realtime.", metavar="N|realtime")
    ] = "60",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    db: Annotated[
        Path | None,
        typer.Option(help="The ledger; by default NAME-live.db in runs/.", metavar="FILE", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Everything random follows from it.", min=0, metavar="N", show_default=False)
    ] = None,
    days: Annotated[int, typer.Option(help="Days that the market lasts.", min=1)] = 7,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Speak TLS with this certificate (PEM).", metavar="FILE", show_default=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="The certificate's private key (PEM).", metavar="FILE", show_default=False)
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Pages of this origin may connect too. Can be given again.", metavar="ORIGIN", show_default=False
        ),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Write logs to standard error, a line of JSON each.")] = False,
) -> None:
    """Open a live market: simulated neighbours trade by the clock, and anyone's program may bid.

    Prints the addresses and a demo token. Everything that is acknowledged is in the ledger first, and the market goes
    on where its ledger ends when it is started again with the same scenario.
    """
    from agents import MarketModel
    from api import live, logs
    from scenarios import load

    pace = _pace(speed)
    if log:
        logs.begin()
    _require_pair(tls_cert, tls_key)
    chosen = load(scenario).changed(**{"time.days": days, "time.slots": None})
    if seed is not None:
        chosen = chosen.changed(seed=seed)
    path = db or Path("runs") / f"{chosen.name}-live.db"
    live.serve(MarketModel(chosen), path, pace, live.Door(host, port, tls_cert, tls_key, tuple(allow_origin or ())))


def _require_pair(cert: Path | None, key: Path | None) -> None:
    """Raises CommandError unless these are a certificate and its key, or neither is given."""
    if cert is None and key is None:
        return
    if cert is None or key is None:
        raise CommandError(Exit.INPUT, "--tls-cert and --tls-key go together; give both files")
    options = {"--tls-cert": cert, "--tls-key": key}
    if missing := [f"{option}: there is no file {path}" for option, path in options.items() if not path.is_file()]:
        raise CommandError(Exit.INPUT, *missing)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise CommandError(
            Exit.INPUT, f"--tls-cert: {cert} and {key} are no certificate and its key in PEM ({error.reason})"
        ) from error


def _pace(text: str) -> float:
    if text == REALTIME:
        return 1.0
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0 < pace <= 100_000:
        raise CommandError(Exit.INPUT, f"--speed: must be realtime or a number from 0 to 100000, got {text!r}")
    return pace
