"""`wattbook run`: simulate a scenario and leave ledger, tables and report in a folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.errors import CommandError, Exit
from api.targets import LedgerOption

if TYPE_CHECKING:
    from agents.laboratory_file import Laboratory
    from agents.scenario import Scenario

LEDGER = "ledger.db"
LABORATORY = "laboratory.yaml"


class GateMode(StrEnum):
    """How matches are held to the wires."""

    OFF = "off"
    LINEAR = "linear"
    CERTIFIED = "certified"
    AC = "ac"


def run(
    scenario: Annotated[
        str,
        typer.Argument(
            help="A shipped scenario or laboratory, or a YAML file.", metavar="NAME|FILE", show_default=False
        ),
    ],
    seed: Annotated[
        int | None,
        typer.Option(
            help="Everything random follows from it; by default the scenario's.", min=0, metavar="N", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; by default a new one in runs/.", metavar="DIR", show_default=False),
    ] = None,
    gate: Annotated[
        GateMode | None,
        typer.Option(
            help="How matches are held to the wires; by default the scenario's way.",
            metavar="off|linear|ac",
            show_default=False,
        ),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="Deliver this many slots only.", min=1, metavar="N", show_default=False)
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Deliver this many days.", min=1, metavar="N", show_default=False)
    ] = None,
    db: LedgerOption = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            help="Private key that signs the ledger; by default the one in WATTBOOK_SIGNING_KEY, else a new one.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of an earlier run in the folder.")
    ] = False,
) -> None:
    """Simulate a scenario: progress while it runs, then a summary; results go to a folder.

    Without --out the folder is runs/NAME-seedN, or the first free of
    runs/NAME-seedN-2, -3 and so on. A folder given by --out that holds a
    ledger is refused, unless --force allows its results to be replaced.

    A file with `kind: laboratory` runs an abstract market instead, as does the name of a shipped one; of the options
    it takes --seed, --out and --force.
    """
    laboratory = _laboratory(scenario)
    if laboratory is not None:
        others: list[object] = [gate, slots, days, db, signing_key, None if report else report]
        _run_laboratory(laboratory, seed, out, force, given=others)
        return
    chosen = _changed(_load(scenario), seed, gate, slots, days)
    from api.simulate import simulate  # after the cheap checks: it brings the engine

    folder = choose_folder(chosen.name, chosen.seed, out, force)
    simulate(chosen, folder, report=report, db=db, signing_key=signing_key)


def choose_folder(name: str, seed: int, out: Path | None, force: bool) -> Path:
    """The folder for the results, made if it is not there.

    Raises CommandError if `out` holds a ledger and `force` is not set; OSError if it cannot be made.
    """
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, what in ((LEDGER, "ledger"), (LABORATORY, "laboratory")):
            if (out / name).exists() and not force:
                raise CommandError(
                    Exit.INPUT,
                    f"--out {out}: holds the {what} of an earlier run; choose another folder or replace it by --force",
                )
        return out
    first = Path("runs") / f"{name}-seed{seed}"
    if force:
        first.mkdir(parents=True, exist_ok=True)
        return first
    folder, number = first, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = first.with_name(f"{first.name}-{number}")
        else:
            return folder


def _laboratory(source: str) -> Laboratory | None:
    """The laboratory that a name or a file means; None if it means something else."""
    from agents import laboratory_file
    from scenarios import laboratory, names

    if source.endswith((".yaml", ".yml")):
        path = Path(source)
        if not path.is_file() or not laboratory_file.is_laboratory(path.read_bytes()):
            return None
        return laboratory_file.load_laboratory(path)
    return laboratory.load(source) if source not in names() and laboratory.means(source) else None


def _run_laboratory(chosen: Laboratory, seed: int | None, out: Path | None, force: bool, given: list[object]) -> None:
    from api.laboratory import run_laboratory  # it brings the engine

    if any(option is not None for option in given):
        raise CommandError(
            Exit.INPUT, "a laboratory has no gate, slots, days, db, signing key or report; leave these options out"
        )
    if seed is not None:
        chosen = chosen.changed(seed=seed)
    run_laboratory(chosen, choose_folder(chosen.name, chosen.seed, out, force))


def _load(source: str) -> Scenario:
    from scenarios import load

    return load(source)


def _changed(
    scenario: Scenario, seed: int | None, gate: GateMode | None, slots: int | None, days: int | None
) -> Scenario:
    if slots is not None and days is not None:
        raise CommandError(Exit.INPUT, "--slots and --days: give one of the two")
    changes: dict[str, Any] = {}
    if seed is not None:
        changes["seed"] = seed
    if gate is not None:
        changes["grid.gate"] = gate.value
        if gate is GateMode.OFF:  # nothing to compare it with
            changes["output.compare"] = [name for name in scenario.output.compare if name != "gate_off"]
    if slots is not None or days is not None:
        changes |= {"time.slots": slots, "time.days": days}
    return scenario.changed(**changes) if changes else scenario
