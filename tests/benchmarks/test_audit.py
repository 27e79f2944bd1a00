from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import audit as bench
from tests.market.signed import ENTRIES, signed_ledger


def test_every_stage_of_an_audit_is_measured_and_compared_with_hashing(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--entries", "300", "--repeat", "1"]) == 0
    told = capsys.readouterr().out
    for stage in ("read", "export", "hash", "tree", "decode", "postings", "conservation", "replay", "audit, ledger"):
        assert f"| {stage} |" in told
    assert "| hash | " in told
    assert " | 1.0 |" in told


def test_an_audit_with_findings_has_no_rate(tmp_path: Path) -> None:
    path = signed_ledger(tmp_path / "ledger.db", ENTRIES[:300])
    forged = signed_ledger(tmp_path / "forged.db", [*ENTRIES[:300], ENTRIES[0].__class__(301, ENTRIES[5].command, ())])
    bench._sound(path)
    with pytest.raises(RuntimeError, match="the audit found"):
        bench._sound(forged)
