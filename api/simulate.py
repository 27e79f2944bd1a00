"""One simulation from start to files, with its progress and summary on the terminal."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agents import MarketModel
from agents.results import Results
from agents.scenario import Scenario
from api import keys
from api import report as html_report
from api.console import err, note, say
from api.errors import CommandError, Exit
from api.patience import Patient
from api.summary import show
from grid.feeder import Feeder
from grid.gate import GridViolation
from grid.powerflow import PowerFlowError
from market.commit import Background
from market.store import Ledger

LEDGER = "ledger.db"
KEY = "signing.key"
RESULTS = (
    "trades.csv", "trades.parquet", "slots.csv", "participants.csv", "limited.csv", "depth.csv", "grid.npz",
    "summary.json", "report.html", "scenario.yaml", "feeder.json", LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm",
    KEY, f"{KEY}.pub",
)  # fmt: skip
"""Files that a run writes into its folder, and that --force removes."""
PLAIN_STEPS = 10
"""Lines of progress in all where there is no terminal."""

Watch = Callable[[int, int, Mapping[str, int]], None]


def simulate(
    scenario: Scenario, folder: Path, *, report: bool, db: str | None = None, signing_key: Path | None = None
) -> None:
    """Run the scenario, write everything into `folder` and print the summary; the ledger goes to `db` if given.

    The ledger is signed with the key of the file or of the environment, else with a new one that is left in `folder`.
    Raises CommandError if the wires do not carry what was admitted, or on Ctrl-C or SIGTERM; the ledger then holds
    all slots that were completed.
    """
    _clear(folder)
    note(f"{scenario.name}, seed {scenario.seed}, gate {scenario.grid.gate}: results go to {folder}")
    started = time.perf_counter()
    signer = keys.chosen(signing_key)
    if signer is None:
        signer = keys.generate(re.sub(r"[\s+]+", "-", f"wattbook/{scenario.name}-seed{scenario.seed}"))
        keys.write(signer, folder / KEY)
    with Ledger.create(db or folder / LEDGER) as ledger:
        ledger.sign_with(signer)
        patient = Patient(ledger)
        try:
            with stoppable() as check, Background(patient) as background:
                results, feeder = _run(scenario, background, check)
        except KeyboardInterrupt as stop:
            raise CommandError(Exit.INTERRUPTED, *_interrupted(ledger)) from stop
        except PowerFlowError as error:
            raise CommandError(Exit.FINDING, f"{error}; the ledger up to then is {ledger.name}") from error
        except GridViolation as violation:
            raise CommandError(
                Exit.FINDING,
                f"{violation}: the wires would not carry what the gate admitted, which is a fault of the gate. Please "
                f"report it with the scenario; the ledger up to the slot before is {ledger.name}",
            ) from violation
        finally:
            patient.sign()
    results.write(folder)
    (folder / "scenario.yaml").write_text(scenario.to_yaml(), encoding="utf-8")
    (folder / "feeder.json").write_text(feeder.to_json(), encoding="utf-8")
    show(results, scenario.market_settings(feeder))
    if report and scenario.output.report:
        say(f"Report:  {html_report.write(folder, db)}", "bold")
    say(f"Ledger:  {ledger.name}   (check it: wattbook audit {ledger.name})")
    note(f"{time.perf_counter() - started:.1f} s in all")


def _run(scenario: Scenario, ledger: Background, check: Callable[[], None]) -> tuple[Results, Feeder]:
    if _first_run():
        note("First run on this machine: the matching kernel is compiled, which takes some seconds more.")
    with err().status("preparing …") if err().is_terminal else _nothing():
        model = MarketModel(scenario, ledger=ledger)
    started = time.perf_counter()
    with _progress(model.slots) as watch:
        while model.running:
            model.step()
            watch(model.steps, model.slots, model.counts)
            check()
    model.record.seconds = time.perf_counter() - started
    with err().status("comparing and writing …") if err().is_terminal else _nothing():
        results = model.results()
    check()
    return results, model.population.feeder


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt; what is given raises it again if it was lost.

    Python cannot pass an exception on from a callback, such as that of a weak reference, and goes on without it.
    """
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():  # no other may listen
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {
            number: signal.signal(number, ask) for number in numbers if signal.getsignal(number) != signal.SIG_IGN
        }
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_run() -> bool:
    """Whether numba has not compiled the kernel for this version of it yet."""
    from market import kernel

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    place = Path(chosen) if chosen else Path(kernel.__file__).parent / "__pycache__"
    return not any(place.rglob("kernel.*.nbi"))


def _clear(folder: Path) -> None:
    """Remove the results of an earlier run."""
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)


def _interrupted(ledger: Ledger) -> list[str]:
    return [
        f"interrupted; the ledger keeps the {len(ledger):,} entries of all slots that were completed",
        f"check it with: wattbook audit {ledger.name}",
    ]


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _progress(total: int) -> Iterator[Watch]:
    """A bar with rates on a terminal, else a line now and then."""
    started = time.perf_counter()

    def rates(done: int, counts: Mapping[str, int]) -> str:
        seconds = max(time.perf_counter() - started, 1e-9)
        return (
            f"{counts['orders'] / seconds:,.0f} orders/s, {counts['trades']:,} trades, "
            f"{seconds / max(done, 1) * 1000:,.0f} ms a slot"
        )

    if not err().is_terminal:

        def tell(done: int, total: int, counts: Mapping[str, int]) -> None:
            if done * PLAIN_STEPS // total > (done - 1) * PLAIN_STEPS // total:
                note(f"slot {done} of {total}: {rates(done, counts)}")

        yield tell
        return
    columns = (
        SpinnerColumn(),
        TextColumn("slot {task.completed:.0f} of {task.total:.0f}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rates]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("run", total=total, rates="")
        yield lambda done, _, counts: bar.update(task, completed=done, rates=rates(done, counts))
