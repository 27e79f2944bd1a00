"""`wattbook compare`: market designs side by side, over many seeds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from api.errors import CommandError, Exit

RESULT = "compare.json"
MOST_SEEDS = 10_000


def compare(
    scenario: Annotated[
        str, typer.Argument(help="A shipped scenario or a YAML file.", metavar="NAME|FILE", show_default=False)
    ],
    designs: Annotated[
        str | None,
        typer.Option(
            help="Designs with commas between: cda, clock, call, pay_as_bid, mmr, sdr, none, which is the default, and "
            "cda+opening, cda+closing, clock+closing, periodic. Differences are taken from the first.",
            metavar="LIST",
            show_default=False,
        ),
    ] = None,
    tariffs: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare the scenario's tariffs with those of this one, under its own design; may be repeated.",
            metavar="NAME|FILE",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds each design runs with.", min=1, max=MOST_SEEDS)] = 10,
    seed: Annotated[
        int | None, typer.Option(help="The first of them; by default the scenario's.", min=0, show_default=False)
    ] = None,
    slots: Annotated[int | None, typer.Option(help="Deliver this many slots only.", min=1, show_default=False)] = None,
    days: Annotated[int | None, typer.Option(help="Deliver this many days.", min=1, show_default=False)] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes that share the seeds; by default one per processor.", min=1, show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; by default a new one in runs/.", metavar="DIR", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of an earlier comparison in the folder.")
    ] = False,
) -> None:
    """Run a scenario under several market designs and many seeds; print, plot and keep the figures side by side.

    All designs of one seed share participants, weather and wires. With --tariffs the columns are not designs but the
    tariffs of several scenarios, under the participants of the first. The folder, runs/NAME-compare if not given, gets
    runs.csv (a row per seed and design), table.csv (means and 95 % confidence intervals), compare.json (both) and
    compare.html.
    """
    from scenarios import load

    if slots is not None and days is not None:
        raise CommandError(Exit.INPUT, "--slots and --days: give one of the two")
    changes: dict[str, Any] = {} if slots is None and days is None else {"time.slots": slots, "time.days": days}
    chosen = load(scenario)
    if changes:
        chosen = chosen.changed(**changes)
    if tariffs and designs is not None:
        raise CommandError(Exit.INPUT, "--designs and --tariffs: give one of the two")
    from agents.compare import DESIGNS, problems, tariff_designs  # after the cheap checks: it brings the engine

    offer = tariff_designs(chosen, [load(name) for name in tariffs]) if tariffs else DESIGNS
    wanted = _split(designs) if designs is not None else [name for name in offer if not problems([name], offer)]
    found = problems(wanted, offer)
    if found:
        raise CommandError(Exit.INPUT, *(f"--{line}" for line in found))
    first = chosen.seed if seed is None else seed
    folder = _folder(f"{chosen.name}-compare", out, force)
    from api.comparison import run_comparison

    run_comparison(chosen, wanted, range(first, first + seeds), jobs or os.cpu_count() or 1, folder, offer)


def _split(designs: str) -> list[str]:
    return [name.strip() for name in designs.split(",") if name.strip()]


def _folder(name: str, out: Path | None, force: bool) -> Path:
    """The folder for the results, made if it is not there. Raises CommandError if it holds a comparison already."""
    if out is not None:
        if (out / RESULT).exists() and not force:
            raise CommandError(
                Exit.INPUT,
                f"--out {out}: holds an earlier comparison; choose another folder or replace it with --force",
            )
        out.mkdir(parents=True, exist_ok=True)
        return out
    folder, number = Path("runs") / name, 1
    while (folder / RESULT).exists() and not force:
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
