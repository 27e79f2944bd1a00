"""The report of a run: from the files in its folder to one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from agents.results import Results
from api.digest import seal
from api.errors import CommandError, Exit
from api.report_data import Run, report_data
from api.report_page import page
from api.report_trading import is_special, trading
from api.targets import shown
from api.version import version
from grid.feeder import Feeder
from market.store import Ledger

LEDGER = "ledger.db"
REPORT = "report.html"


def write(directory: Path, ledger: str | None = None) -> Path:
    """Write report.html into the folder of a finished run and return its path.

    The run's ledger is in the folder, or where `ledger` says.

    Raises CommandError if the folder holds no finished run, OSError, LedgerError or FeederError if a file of it is bad.
    """
    path = directory / REPORT
    text = page(report_data(read(directory, ledger)))
    put(path, text)
    return path


def put(path: Path, text: str) -> None:
    """Write a file whole or not at all: a full disk leaves no half of a page. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(directory: Path, ledger: str | None = None) -> Run:
    """The run in a folder: tables and summary, and rules and feeder from its ledger. Raises as `write` does."""
    if not directory.is_dir():
        raise CommandError(
            Exit.INPUT, f"{directory}: no such folder; give the folder of a run, such as runs/village-seed1"
        )
    if ledger is None and not (directory / LEDGER).exists():
        raise CommandError(
            Exit.INPUT,
            f"{directory}: holds no {LEDGER}; give the folder of a run, such as runs/village-seed1, or with --db the "
            "database that the run was told to use",
        )
    if not (directory / "summary.json").exists():
        raise CommandError(Exit.INPUT, f"{directory}: the run in it was not finished; run the scenario again")
    try:
        results = Results.read(directory)
    except ValueError as error:
        raise CommandError(Exit.INPUT, str(error)) from error
    target = ledger or str(directory / LEDGER)
    sealed = seal(target)
    if sealed.market is None or sealed.feeder is None:
        raise CommandError(Exit.INPUT, f"{shown(target)}: holds no market; run the scenario again")
    feeder = Feeder.from_json(sealed.feeder)
    with Ledger.open(target) as journal:
        seen = trading(journal.entries(), sealed.market) if is_special(sealed.market) else None
    return Run(results, sealed.market, feeder, sealed, shown(ledger) if ledger else LEDGER, version(), seen)
