from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import journal
from market.ledger import LedgerError
from market.notes import Verifier
from market.receipt import ReceiptError, make, verify
from market.store import Ledger
from tests.market.day import trade_seq
from tests.market.signed import ENTRIES, FOREIGN, KEY, NEXT, signed_ledger

TRADE = trade_seq(ENTRIES)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return signed_ledger(tmp_path_factory.mktemp("receipt") / "ledger.db")


@pytest.fixture(scope="module")
def receipt(path: Path) -> str:
    with Ledger.open(path) as ledger:
        return make(ledger, TRADE)


@pytest.mark.parametrize("key", [KEY.verifier, NEXT.verifier])
def test_a_receipt_proves_its_entry_to_whoever_trusts_a_key_of_the_log(receipt: str, key: Verifier) -> None:
    proved = verify(receipt, [key])
    assert proved.entry == ENTRIES[TRADE - 1]
    assert proved.checkpoint.size == len(ENTRIES)
    assert proved.key == str(NEXT.verifier)
    assert proved.trusted


def test_every_entry_of_a_ledger_has_its_receipt(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for seq in range(1, len(ENTRIES) + 1, 37):
            assert verify(make(ledger, seq), [KEY.verifier]).entry == ENTRIES[seq - 1]


def test_without_a_key_the_receipt_vouches_for_itself_and_says_so(receipt: str) -> None:
    assert not verify(receipt).trusted


def test_another_key_is_refused(receipt: str) -> None:
    with pytest.raises(ReceiptError, match="not by the key that you gave"):
        verify(receipt, [FOREIGN.verifier])


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**6), flip=st.integers(1, 127))
def test_a_receipt_with_one_other_character_proves_nothing(receipt: str, place: int, flip: int) -> None:
    text = list(receipt)
    text[place % len(text)] = chr(ord(text[place % len(text)]) ^ flip)
    with pytest.raises(ReceiptError):
        verify("".join(text), [KEY.verifier])


def test_another_entry_in_the_same_receipt_is_refused(receipt: str, path: Path) -> None:
    with Ledger.open(path) as ledger:
        other = make(ledger, TRADE + 1)
    mixed = [other.split("\n")[1] if line.startswith("extra") else line for line in receipt.split("\n")]
    with pytest.raises(ReceiptError):
        verify("\n".join(mixed), [KEY.verifier])
    body = journal.encode(ENTRIES[TRADE - 1]).decode().replace('"price":', '"price":1', 1)
    forged = base64.b64decode(receipt.split("\n")[1].split()[1]).replace(
        journal.encode(ENTRIES[TRADE - 1]).replace(b'"', b'\\"'), body.encode().replace(b'"', b'\\"')
    )
    lines = receipt.split("\n")
    lines[1] = f"extra {base64.b64encode(forged).decode()}"
    assert lines != receipt.split("\n")
    with pytest.raises(ReceiptError, match="leads to another root"):
        verify("\n".join(lines), [KEY.verifier])


@pytest.mark.parametrize("text", ["", "hello", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\nindex 5\n\nx\n1\n",
                                  "c2sp.org/tlog-proof@v1\nextra AAAA\nindex 5\n\nx"])  # fmt: skip
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(ReceiptError, match="not a receipt"):
        verify(text)


def test_an_entry_that_is_not_signed_yet_has_no_receipt(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.db") as ledger:
        ledger.append(ENTRIES[:50])
        with pytest.raises(LedgerError, match="not signed yet"):
            make(ledger, 7)
        with pytest.raises(LedgerError, match="has no entry 51"):
            make(ledger, 51)
        ledger.sign_with(KEY)
        ledger.sign()
        assert verify(make(ledger, 7), [KEY.verifier]).entry == ENTRIES[6]
