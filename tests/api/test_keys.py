"""Keys on the command line, and all that is signed with them: checkpoints, exports, receipts."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.errors import Exit
from market.audit import audit
from market.store import Ledger
from tests.market import day

ENTRIES = day.entries()
TRADE = day.trade_seq(ENTRIES)


def wattbook(*arguments: Any, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(app, [str(argument) for argument in arguments], prog_name="wattbook")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    assert wattbook("keys", "new", "example.org/lane", "-o", tmp_path / "lane.key").exit_code == 0
    return tmp_path / "lane.key"


@pytest.fixture
def ledger(tmp_path: Path, key: Path) -> Path:
    path = day.ledger_at(tmp_path / "ledger.db", ENTRIES)
    assert wattbook("keys", "sign", path, "--signing-key", key).exit_code == 0
    return path


def test_a_new_key_is_its_owners_alone_and_its_public_half_is_printed(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = key.with_name("lane.key.pub").read_text()
    assert public.startswith("example.org/lane+")
    shown = wattbook("keys", "show", key)
    assert shown.stdout == public
    assert key.read_text().strip() not in shown.output


def test_a_key_is_never_overwritten(key: Path, tmp_path: Path) -> None:
    before = key.read_bytes()
    assert wattbook("keys", "new", "example.org/lane", "-o", key).exit_code == Exit.INPUT
    (tmp_path / "other.key.pub").touch()
    assert wattbook("keys", "new", "example.org/lane", "-o", tmp_path / "other.key").exit_code == Exit.INPUT
    assert not (tmp_path / "other.key").exists()
    assert key.read_bytes() == before


def test_a_key_that_others_may_read_is_refused_with_the_fix(key: Path, ledger: Path) -> None:
    key.chmod(0o640)
    for command in (["keys", "sign", ledger, "--signing-key", key], ["keys", "show", key]):
        result = wattbook(*command)
        assert result.exit_code == Exit.INPUT
        assert f"chmod 600 {key}" in result.stderr


@pytest.mark.parametrize("name", ["two words", "a+b", ""])
def test_a_name_that_no_signature_can_carry_is_refused(tmp_path: Path, name: str) -> None:
    result = wattbook("keys", "new", name, "-o", tmp_path / "x.key")
    assert result.exit_code == Exit.INPUT
    assert "cannot name a key" in result.stderr


def test_a_key_may_come_from_the_environment_and_is_never_printed(tmp_path: Path, key: Path) -> None:
    path = day.ledger_at(tmp_path / "ledger.db", ENTRIES)
    assert "no key to sign with" in wattbook("keys", "sign", path).stderr
    wrong = wattbook("keys", "sign", path, WATTBOOK_SIGNING_KEY=key.read_text()[:-9])
    assert wrong.exit_code == Exit.INPUT
    assert key.read_text()[40:60] not in wrong.output
    signed = wattbook("keys", "sign", path, WATTBOOK_SIGNING_KEY=key.read_text())
    assert signed.exit_code == 0, signed.output
    assert signed.stdout.startswith(f"example.org/lane\n{len(ENTRIES)}\n")
    assert audit(path).signed == len(ENTRIES)


def test_an_unsigned_ledger_has_no_keys_to_show(tmp_path: Path, ledger: Path) -> None:
    unsigned = day.ledger_at(tmp_path / "unsigned.db", ENTRIES)
    assert wattbook("keys", "show", unsigned).exit_code == Exit.FINDING
    assert "signs from entry 1 on" in wattbook("keys", "show", ledger).stdout


def test_keys_rotate_and_either_of_them_is_enough_to_audit(tmp_path: Path, ledger: Path, key: Path) -> None:
    new = tmp_path / "new.key"
    assert wattbook("keys", "new", "example.org/lane", "-o", new).exit_code == 0
    result = wattbook("keys", "rotate", ledger, "--old", key, "--new", new)
    assert result.exit_code == 0, result.output
    for public in ("lane.key.pub", "new.key.pub"):
        assert wattbook("audit", ledger, "--key", tmp_path / public).exit_code == 0
    assert wattbook("keys", "sign", ledger, "--signing-key", key).exit_code == Exit.INPUT
    assert len(wattbook("keys", "show", ledger).stdout.splitlines()) == 2


def test_the_audit_of_an_export_needs_the_file_and_a_key_only(tmp_path: Path, ledger: Path, key: Path) -> None:
    out = tmp_path / "lane.ndjson.gz"
    result = wattbook("export", ledger, "-o", out)
    assert result.exit_code == 0, result.output
    ledger.unlink()
    public = key.with_name("lane.key.pub")
    result = wattbook("audit", out, "--key", public.read_text().strip())
    assert result.exit_code == 0, result.output
    assert "The ledger is sound." in result.stdout
    assert "names itself" not in result.stdout
    assert "names itself" in wattbook("audit", out).stdout
    told = json.loads(wattbook("audit", out, "--key", public, "--json").stdout)
    assert (told["ok"], told["entries"], told["signed"], told["first_bad"]) == (True, len(ENTRIES), len(ENTRIES), None)
    assert told["keys"] == [public.read_text().strip()]


def test_an_export_of_an_unsigned_ledger_warns(tmp_path: Path) -> None:
    path = day.ledger_at(tmp_path / "unsigned.db", ENTRIES)
    result = wattbook("export", path, "-o", tmp_path / "out.gz")
    assert result.exit_code == 0
    assert "not signed" in result.stdout
    assert wattbook("export", path, "-o", tmp_path / "out.gz").exit_code == Exit.INPUT


def test_a_forged_export_exits_with_1_names_the_entry_and_tells_machines_too(tmp_path: Path, ledger: Path) -> None:
    import gzip

    out = tmp_path / "lane.gz"
    wattbook("export", ledger, "-o", out)
    lines = gzip.decompress(out.read_bytes()).splitlines(keepends=True)
    lines[TRADE] = lines[TRADE].replace(b'"quantity":', b'"quantity":1', 1)
    out.write_bytes(gzip.compress(b"".join(lines)))
    result = wattbook("audit", out)
    assert result.exit_code == Exit.FINDING
    assert f"the first bad entry is {TRADE}" in result.stderr
    told = json.loads(wattbook("audit", out, "--json").stdout)
    assert (told["ok"], told["first_bad"]) == (False, TRADE)


def test_another_key_fails_the_audit_and_a_wrong_text_is_wrong_input(tmp_path: Path, ledger: Path, key: Path) -> None:
    wattbook("keys", "new", "example.org/lane", "-o", tmp_path / "other.key")
    result = wattbook("audit", ledger, "--key", tmp_path / "other.key.pub")
    assert result.exit_code == Exit.FINDING
    assert "not by the key that you gave" in result.stdout
    for text in ("nonsense+1+2", tmp_path / "nothing.pub", key):
        assert wattbook("audit", ledger, "--key", text).exit_code == Exit.INPUT


def test_a_receipt_proves_its_trade_and_a_later_ledger_must_continue_it(
    tmp_path: Path, ledger: Path, key: Path
) -> None:
    receipt, public = tmp_path / "trade.tlog-proof", tmp_path / "lane.key.pub"
    assert wattbook("proof", TRADE, "--db", ledger, "-o", receipt).exit_code == 0
    result = wattbook("verify-proof", receipt, "--key", public)
    assert result.exit_code == 0, result.output
    assert f"proved: entry {TRADE}" in result.stdout
    assert "traded: slot" in result.stdout
    assert "names it itself" in wattbook("verify-proof", receipt).stdout
    assert wattbook("audit", ledger, "--key", public, "--checkpoint", receipt).exit_code == 0
    other = tmp_path / "other.db"
    day.ledger_at(other, day.entries(seed=2))
    wattbook("keys", "sign", other, "--signing-key", key)
    fork = wattbook("audit", other, "--key", public, "--checkpoint", receipt)
    assert fork.exit_code == Exit.FINDING
    assert "continuity" in fork.stdout


def test_a_forged_receipt_exits_with_1(tmp_path: Path, ledger: Path) -> None:
    receipt = tmp_path / "trade.tlog-proof"
    wattbook("proof", TRADE, "--db", ledger, "-o", receipt)
    assert wattbook("proof", TRADE, "--db", ledger, "-o", receipt).exit_code == Exit.INPUT
    receipt.write_text(receipt.read_text().replace(f"index {TRADE - 1}", f"index {TRADE}"))
    result = wattbook("verify-proof", receipt)
    assert result.exit_code == Exit.FINDING
    assert "proves nothing" in result.stderr or "proves a place" in result.stderr


def test_an_entry_that_is_not_there_or_not_signed_has_no_receipt(tmp_path: Path, ledger: Path) -> None:
    result = wattbook("proof", 10**6, "--db", ledger, "-o", tmp_path / "x")
    assert result.exit_code == Exit.INPUT
    assert "has no entry" in result.stderr
    unsigned = day.ledger_at(tmp_path / "unsigned.db", ENTRIES)
    assert "not signed yet" in wattbook("proof", 5, "--db", unsigned, "-o", tmp_path / "x").stderr
    assert not (tmp_path / "x").exists()


def test_signing_needs_a_ledger_that_may_be_written(tmp_path: Path, ledger: Path, key: Path) -> None:
    with Ledger.open(ledger, readonly=False):
        result = wattbook("keys", "sign", ledger, "--signing-key", key)
    assert result.exit_code == Exit.ENVIRONMENT
