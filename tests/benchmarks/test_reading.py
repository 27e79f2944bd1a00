from __future__ import annotations

import pytest

from benchmarks import reading


def test_every_question_is_compared_with_reading_and_decoding(capsys: pytest.CaptureFixture[str]) -> None:
    assert reading.main(["--entries", "9000", "--repeat", "1"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("9,000 entries")
    for name in ("statement", "ledger trades", "ledger settlements", "ledger postings", "ledger balances"):
        (line,) = (line for line in told.splitlines() if line.startswith(f"| {name} |"))
        rows, _, of_reading, of_decoding = (cell.strip() for cell in line.split("|")[2:6])
        assert int(rows.replace(",", "")) > 0
        assert min(float(of_reading), float(of_decoding)) >= 0
