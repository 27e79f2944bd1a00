from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from market import journal
from market.events import Accepted, Cancelled, Corrected, Curtailed, Entry, Event, Limited, Rejected, Settled, Traded
from market.journal import JournalError
from market.orders import Amend, Cancel, Command, Curtail, RecordMeter, Settle, Submit, UpdateGrid
from market.units import MAX_EXACT
from tests.market import day

wholes = st.integers(-MAX_EXACT, MAX_EXACT)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
keys = st.text(st.characters(codec="ascii"), max_size=20)
sides = st.sampled_from(["buy", "sell"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Submit, texts, wholes, sides, wholes, wholes, st.sampled_from(["gtc", "ioc"]), st.booleans(), texts, texts
    ),
    st.builds(Amend, texts, wholes, st.none() | wholes, st.none() | wholes),
    st.builds(Cancel, texts, wholes),
    st.builds(UpdateGrid, wholes, st.lists(wholes, max_size=4), st.lists(wholes, max_size=4)),
    st.builds(
        RecordMeter, wholes, st.dictionaries(keys, wholes, max_size=4), st.dictionaries(keys, wholes, max_size=2)
    ),
    st.builds(Curtail, wholes, st.dictionaries(keys, wholes, max_size=4)),
    st.builds(Settle, wholes),
)
lines = st.lists(st.tuples(texts, wholes, wholes, wholes), max_size=3)
prices = st.none() | st.tuples(wholes, wholes)
units = st.lists(st.tuples(texts, texts, wholes, wholes, wholes), max_size=3)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Accepted, wholes),
    st.builds(Rejected, texts, texts, texts),
    st.builds(Traded, wholes, wholes, wholes, texts, texts, wholes, wholes, sides, st.booleans(), st.booleans(), texts),
    st.builds(Limited, wholes, wholes, wholes, wholes, texts),
    st.builds(Cancelled, wholes, wholes, texts),
    st.builds(Settled, wholes, lines, wholes, prices, units),
    st.builds(Corrected, wholes, wholes, wholes, lines, prices, units),
    st.builds(Curtailed, wholes, st.lists(st.tuples(texts, wholes), max_size=3)),
)
entries = st.builds(Entry, wholes, commands, st.lists(events, max_size=4).map(tuple))


@given(entries)
def test_bytes_are_those_of_rfc_8785_and_lead_back_to_the_entry(entry: Entry) -> None:
    body = journal.encode(entry)
    assert body == rfc8785.dumps(json.loads(body))
    assert journal.decode(body) == entry


@given(st.lists(entries, max_size=5))
def test_many_entries_have_the_bytes_of_each(many: list[Entry]) -> None:
    assert journal.encode_all(many) == [journal.encode(entry) for entry in many]


@given(entries, st.sampled_from([Cancel("a", MAX_EXACT + 1), UpdateGrid(0, [0, -MAX_EXACT - 1]), Cancel("a", 0.5)]))  # type: ignore[arg-type]
def test_among_many_entries_the_one_without_canonical_form_is_named(entry: Entry, command: Command) -> None:
    bad = Entry(77, command, (Accepted(),))
    with pytest.raises(JournalError) as found:
        journal.encode_all([entry, bad, entry])
    assert found.value.seq == 77


@pytest.mark.parametrize("mode", ["off", "linear", "ac"])
def test_every_entry_of_a_market_day_survives_the_round_trip(mode: Any) -> None:
    for entry in day.entries(mode):
        body = journal.encode(entry)
        assert body == rfc8785.dumps(json.loads(body))
        assert journal.decode(body) == entry


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_journal_error(garbage: bytes) -> None:
    with pytest.raises(JournalError):
        journal.decode(garbage)


@given(entries, st.data())
def test_an_edited_body_is_refused_or_is_another_canonical_entry(entry: Entry, data: st.DataObject) -> None:
    body = bytearray(journal.encode(entry))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        other = journal.decode(bytes(body))
    except JournalError:
        return
    assert journal.encode(other) == bytes(body)
    assert other != entry
    assert journal.leaf(bytes(body)) != journal.leaf(journal.encode(entry))


CANONICAL = b'{"command":{"order":7,"participant":"anna","type":"cancel"},"events":[{"type":"accepted"}],"seq":8}'


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        (b'"seq":8', b'"seq":8,"zone":1'),
        (b'"order":7', b'"order":7,"order":7'),
        (b'"order":7,"participant":"anna"', b'"participant":"anna","order":7'),
        (b'"order":7', b'"order": 7'),
        (b'"order":7', b'"order":7.0'),
        (b'"order":7', b'"order":7e0'),
        (b'"order":7', b'"order":"7"'),
        (b'"order":7', b'"order":true'),
        (b'"order":7', b'"order":null'),
        (b'"order":7', b'"order":-0'),
        (b'"order":7', b'"order":9007199254740992'),
        (b'"order":7', b'"order":99999999999999999999999999'),
        (b'"anna"', b'"\\u0061nna"'),
        (b'"anna"', b'"\xff"'),
        (b'"anna"', b'"\\ud800"'),
        (b'"cancel"', b'"cancelled"'),
        (b'{"type":"accepted"}', b'{"order":0,"type":"accepted"}'),
        (b'"events":[{"type":"accepted"}],', b""),
        (b'"seq":8}', b'"seq":8}\n'),
        (b'"seq":8}', b'"seq":8'),
        (b'"seq":8', b'"nested":' + b"[" * 100_000 + b"]" * 100_000 + b',"seq":8'),
    ],
)
def test_only_the_canonical_spelling_is_read(find: bytes, replace: bytes) -> None:
    assert journal.decode(CANONICAL).seq == 8
    assert CANONICAL.count(find) == 1
    with pytest.raises(JournalError):
        journal.decode(CANONICAL.replace(find, replace))


@pytest.mark.parametrize("body", ["text", None, 7, memoryview(CANONICAL)])
def test_what_is_not_bytes_is_refused(body: Any) -> None:
    with pytest.raises(JournalError, match="must be bytes"):
        journal.decode(body)


@pytest.mark.parametrize(
    "command",
    [
        Cancel("anna", MAX_EXACT + 1),
        Cancel("anna", -MAX_EXACT - 1),
        Cancel("anna", 2**70),
        Cancel("\ud800", 1),
        msgspec.structs.replace(Cancel("anna", 1), order=1.5),
        msgspec.structs.replace(Cancel("anna", 1), order=float("nan")),
        msgspec.structs.replace(Cancel("anna", 1), order=None),
        msgspec.structs.replace(Cancel("anna", 1), participant=None),
        UpdateGrid(1, [1, MAX_EXACT + 1]),
        RecordMeter(1, {"zoë": 1}),
        RecordMeter(1, {"zoe": MAX_EXACT + 1}),
        object(),
    ],
)
def test_what_has_no_canonical_form_is_not_written(command: Any) -> None:
    with pytest.raises(JournalError, match="entry 5: has no canonical form") as caught:
        journal.encode(Entry(5, command, ()))
    assert caught.value.seq == 5


def test_a_text_that_looks_like_a_large_number_is_written() -> None:
    entry = Entry(1, Cancel('a":12345678901234567890', 1), ())
    assert journal.decode(journal.encode(entry)) == entry


def test_the_leaf_is_the_hash_of_rfc_6962() -> None:
    # RFC 6962 prefixes a leaf with a zero byte; this is the known hash of an empty leaf.
    assert journal.leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def texts_in(value: object) -> list[str]:
    """Every text in a value of JSON, keys too."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts_in(part)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


def test_marks_find_the_entries_of_a_type_or_a_name_and_no_others() -> None:
    trades, home = journal.holding("advance_clock", "traded"), journal.naming("anna")
    for entry in day.entries():
        body = journal.encode(entry)
        kinds = {told.__struct_config__.tag for told in (entry.command, *entry.events)}
        assert bool(trades(body)) == bool(kinds & {"advance_clock", "traded"})
        assert home(body) == ("anna" in texts_in(msgspec.to_builtins(entry)))
    liar = Entry(1, Cancel('"type":"traded"', 1), (Rejected("BAD_NAME", '"anna"', ""),))
    assert not trades(journal.encode(liar))
    assert not home(journal.encode(liar))
