"""`wattbook compare`: scenarios, or market designs of one, side by side, over many seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.errors import CommandError, Exit, explain

if TYPE_CHECKING:
    from agents.designs import Design
    from agents.scenario import Scenario

RESULT = "compare.json"
MOST_SEEDS = 10_000

Slots = Annotated[int | None, typer.Option(help="Deliver this many slots only.", min=1, show_default=False)]
Days = Annotated[int | None, typer.Option(help="Deliver this many days.", min=1, show_default=False)]
Designs = Annotated[
    str | None,
    typer.Option(
        help="Designs with commas between: cda, clock, call, pay_as_bid, mmr, sdr, none, which is the default, and "
        "cda+opening, cda+closing, clock+closing, periodic. Differences are taken from the first.",
        metavar="LIST",
        show_default=False,
    ),
]
Tariffs = Annotated[
    list[str] | None,
    typer.Option(
        help="Compare the scenario's tariffs with those of this one, under its own design; may be repeated.",
        metavar="NAME|FILE",
        show_default=False,
    ),
]


def compare(
    scenarios: Annotated[
        list[str],
        typer.Argument(
            help="Shipped scenarios or YAML files. One is compared with itself under other designs or tariffs, several "
            "with each other.",
            metavar="NAME|FILE...",
            show_default=False,
        ),
    ],
    designs: Designs = None,
    tariffs: Tariffs = None,
    seeds: Annotated[int, typer.Option(help="How many seeds each column runs with.", min=1, max=MOST_SEEDS)] = 10,
    seed: Annotated[
        int | None,
        typer.Option(help="The first of them; by default the first scenario's.", min=0, show_default=False),
    ] = None,
    slots: Slots = None,
    days: Days = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes that share the runs; by default one per processor.", min=1, show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; by default a new one in runs/.", metavar="DIR", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of an earlier comparison in the folder.")
    ] = False,
) -> None:
    """Run scenarios, or one under several designs, with many seeds; print, plot and keep their figures side by side.

    Several scenarios run as they are written. Of one scenario, the designs of each seed share participants, weather
    and wires; with --tariffs the columns are not designs but the tariffs of other scenarios, under the participants of
    the first. Differences are taken seed by seed from the first column. The folder, runs/NAMES-compare if not given,
    gets runs.csv (a row per seed and column, written as runs end), table.csv (means and 95 % confidence intervals),
    compare.json (both) and compare.html.
    """
    errors = []
    if slots is not None and days is not None:
        errors.append("--slots and --days: give one of the two")
    if tariffs and designs is not None:
        errors.append("--designs and --tariffs: give one of the two")
    if len(scenarios) > 1 and (tariffs or designs is not None):
        errors.append("--designs and --tariffs are for one scenario; leave them out, or compare one at a time")
    changes: dict[str, Any] = {} if slots is None and days is None else {"time.slots": slots, "time.days": days}
    chosen = _loaded([*scenarios, *(tariffs or [])], changes, errors)
    columns = _columns(scenarios, chosen, errors)
    if errors:
        raise CommandError(Exit.INPUT, *errors)
    first = chosen[scenarios[0]]
    begin = first.seed if seed is None else seed
    span, processes = range(begin, begin + seeds), jobs or _processors()
    if len(scenarios) > 1:
        from api.comparison import run_scenarios  # after the cheap checks: it brings the engine

        folder = _folder(_name(columns), out, force)
        run_scenarios({name: chosen[source] for name, source in columns.items()}, columns, span, processes, folder)
        return
    offer, wanted = _designs(first, [chosen[name] for name in tariffs or []], designs)
    from api.comparison import run_comparison

    run_comparison(first, wanted, span, processes, _folder(f"{first.name}-compare", out, force), offer)


def _designs(
    scenario: Scenario, others: Sequence[Scenario], designs: str | None
) -> tuple[Mapping[str, Design], list[str]]:
    """What is on offer, and what of it is wanted: designs, or the tariffs of other scenarios. Raises CommandError."""
    from agents.designs import DESIGNS, PLAIN, problems, tariff_designs

    offer = tariff_designs(scenario, others) if others else DESIGNS
    wanted = _split(designs) if designs is not None else list(offer if others else PLAIN)
    found = problems(wanted, offer)
    if found:
        raise CommandError(Exit.INPUT, *(f"--{line}" for line in found))
    return offer, wanted


def _loaded(sources: Sequence[str], changes: dict[str, Any], errors: list[str]) -> dict[str, Scenario]:
    """The scenarios by what was given for them; all that is wrong in any of them is added to `errors`."""
    from scenarios import load

    found = {}
    for source in dict.fromkeys(sources):
        try:
            chosen = load(source)
            found[source] = chosen.changed(**changes) if changes and "time.slots" in changes else chosen
        except (ValueError, OSError) as error:
            told = explain(error)
            if told is None:
                raise
            errors += [line if Path(source).name in line else f"{source}: {line}" for line in told.messages]
    return found


def _columns(sources: Sequence[str], chosen: dict[str, Scenario], errors: list[str]) -> dict[str, str]:
    """A name for the column of each scenario, and what was given for it: its own name, else its file's, else all."""
    errors += [
        f"{source}: is given twice; give it once" for source in dict.fromkeys(sources) if sources.count(source) > 1
    ]
    loaded = [source for source in chosen if source in sources]
    for names in ([chosen[source].name for source in loaded], [Path(source).stem for source in loaded]):
        if len(set(names)) == len(names):
            return dict(zip(names, loaded, strict=True))
    return {source: source for source in loaded}


def _name(columns: dict[str, str]) -> str:
    """Of the folder: the first columns, as far as they fit."""
    stems = [Path(name).stem for name in columns]
    joined = "-".join(stems)
    return f"{joined if len(joined) <= 60 else f'{stems[0]}-and-{len(stems) - 1}-others'}-compare"


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
