"""Damaged bytes: the journal's reader, the ledger and the exchange answer with an error of theirs, or are right."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market import journal
from market.audit import audit
from market.capacity import OpenGate
from market.events import Entry
from market.exchange import Exchange
from market.journal import JournalError
from market.store import Ledger
from tests.market import day
from tests.market.rig import gate_of
from tests.market.test_audit import without_triggers
from tests.market.traffic import MARKET, Traffic, replace

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+|true|false|null|[][{}]')
MEMBER = re.compile(rb'"[a-z_]+":(?:"[^"]*"|-?[0-9]+|true|false|null)')
ODD = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1.0", b"0.5", b"-0", b"01", b"+1", b"0x1", b"1_0"),
    *(b"9007199254740992", b"-9007199254740992", b"9223372036854775808", b"18446744073709551616", b"7" * 5_000),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b'"\xff"', b'"\xc3\xa9"', b'"\\u0061"', b'"\x00"', b'"\\'),
    *(b'"submit"', b'"accepted"', b'"' + b"x" * 50_000 + b'"', b"[" * 3_000 + b"]" * 3_000, b'{"a":' * 3_000, b"/**/"),
)
Change = tuple[int, int, int]
changes = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2**16), st.integers(0, 2**16)), min_size=8, max_size=8)
decoder = msgspec.json.Decoder(Entry)


@cache
def corpus() -> list[bytes]:
    """Bodies with every kind of command and event."""
    traffic = Traffic(2, replace(MARKET, gate="linear", spread_start=1_500))
    exchange = Exchange(gate_of("linear"))
    kinds: dict[tuple[str, ...], bytes] = {}
    for entry in exchange.apply_many(traffic.opening() + traffic.take(3_000)):
        kind = type(entry.command).__name__, *(type(event).__name__ for event in entry.events[:3])
        kinds.setdefault(kind, journal.encode(entry))
    return list(kinds.values())


def damage(body: bytes, change: Change) -> bytes:
    """One change of the text, by what it is made of rather than by its bytes alone."""
    how, here, there = change
    spans = [found.span() for found in TOKEN.finditer(body)] or [(0, len(body))]
    begin, end = spans[here % len(spans)]
    if how == 0:  # another value
        return body[:begin] + ODD[there % len(ODD)] + body[end:]
    if how == 1:  # a member twice
        members = [found.group() for found in MEMBER.finditer(body)] or [b'"seq":1']
        return body[:begin] + members[there % len(members)] + b"," + body[begin:]
    if how == 2:  # something is missing
        return body[:begin] + body[begin + 1 + there % 40 :]
    if how == 3:  # two things in each other's place
        other, last = spans[there % len(spans)]
        first, second = sorted([(begin, end), (other, last)])
        if first[1] > second[0]:
            return body[: first[0]] + body[second[1] :]
        middle = body[first[1] : second[0]]
        return body[: first[0]] + body[slice(*second)] + middle + body[slice(*first)] + body[second[1] :]
    if how == 4:  # one byte
        place = here % max(len(body), 1)
        return body[:place] + bytes([there % 256]) + body[place + 1 :]
    if how == 5:  # a part of another entry
        other_body = corpus()[there % len(corpus())]
        return body[:begin] + other_body[len(other_body) * (here % 7) // 7 :]
    if how == 6:  # cut short
        return body[: here % (len(body) + 1)]
    if how == 7:  # nested
        depth = 1 + there % 2_000
        return body[:begin] + b"[" * depth + body[begin:end] + b"]" * depth + body[end:]
    return body[:end] + (b" ", b"\n", b"\t", b"\0", b",", b":")[there % 6] + body[end:]


def read(body: bytes) -> None:
    """What bytes give is an entry with just these bytes, or a JournalError that says why; alone and among others."""
    good = corpus()[0]
    try:
        entry = journal.decode(body)
    except JournalError:
        assert journal.decode_all([good, body]) is None
        return
    assert journal.encode(entry) == body
    assert journal.decode_all([good, body]) == [journal.decode(good), entry]


def carry_out(body: bytes, exchange: Exchange) -> None:
    """A command out of damaged bytes that can be read at all, in any spelling, is answered and can be stored."""
    try:
        command = decoder.decode(body).command
        journal.require_canonical(command)
    except (msgspec.MsgspecError, UnicodeError, JournalError, RecursionError):
        return
    entry = exchange.apply(command)
    assert entry.events
    assert journal.decode(journal.encode(entry)) == entry


def fuzz(examples: int) -> int:
    """Damage entries in `examples` times sixteen ways; returns in how many."""
    exchange = Exchange(OpenGate(gate_of("off").connections()))
    exchange.apply_many(Traffic(1, replace(MARKET, gate="off")).opening())
    count = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(corpus()), changes)
    def every(body: bytes, made: list[Change]) -> None:
        nonlocal count
        worse = body
        for change in made:
            worse = damage(worse, change)[:200_000]
            for damaged in (damage(body, change), worse):
                read(damaged)
                carry_out(damaged, exchange)
                count += 1

    every()
    return count


def test_damaged_entries_are_refused_or_right(record_property: Callable[[str, object], None]) -> None:
    record_property("damaged", fuzz(130))


@pytest.mark.slow  # a hundred thousand damaged entries: a minute or two
def test_a_hundred_thousand_damaged_entries_are_refused_or_right(
    record_property: Callable[[str, object], None],
) -> None:
    count = fuzz(6_500)
    assert count >= 100_000
    record_property("damaged", count)


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.slow)])  # each time all of it is audited
def test_a_ledger_with_a_damaged_body_names_its_entry(count: int, tmp_path: Path) -> None:
    path = day.ledger_at(tmp_path / "ledger.db", day.entries())
    without_triggers(path)
    known = {row.seq: journal.encode(row) for row in day.entries()}
    dice = Traffic(count).dice
    for _ in range(count):
        seq = dice.pick(sorted(known))
        change = (dice.between(0, 8), dice.between(0, 2**16), dice.between(0, 2**16))
        damaged = damage(known[seq], change)
        without_triggers(path, ("UPDATE journal SET body = ? WHERE seq = ?", (damaged, seq)))
        if damaged != known[seq]:
            report = audit(path)
            assert min(finding.seq or seq for finding in report.findings) == seq
        with Ledger.open(path) as ledger:
            found = None
            try:
                assert len(list(ledger.entries())) == len(known)
            except JournalError as error:
                found = error.seq
        assert found in (None, seq)
        without_triggers(path, ("UPDATE journal SET body = ? WHERE seq = ?", (known[seq], seq)))
    assert not audit(path).findings
