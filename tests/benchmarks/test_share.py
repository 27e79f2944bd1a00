"""What the ledger adds is said as a share, and against the limit."""

from __future__ import annotations

from api.patience import Patient
from benchmarks.share import Forgetful, table


def test_a_share_is_related_to_the_limit() -> None:
    told = table({"whole run": (10.0, 11.5), "trading steps": (1.0, 1.6)}).splitlines()
    assert told[-2:] == [
        "| whole run | 10.00 | 11.50 | 15% | 0.50 |",
        "| trading steps | 1.00 | 1.60 | 60% | 2.00 |",
    ]


def test_what_stands_in_for_a_ledger_takes_whatever_a_run_gives_it() -> None:
    asked = {name for name in vars(Patient) if not name.startswith("_")}
    assert asked <= {name for name in vars(Forgetful) if not name.startswith("_")}
