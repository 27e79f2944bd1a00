"""Nothing is acknowledged before it is stored, whoever collects it, and nothing that was collected is lost."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from market.audit import audit
from market.commit import Background, GroupCommit
from market.events import Entry
from market.ledger import LedgerError
from market.store import Ledger
from tests.market import day
from tests.market.conftest import Place

ENTRIES = day.entries()


class Shelf:
    """Holds what it is given, in groups; refuses while it is `full`."""

    def __init__(self) -> None:
        self.groups: list[list[Entry]] = []
        self.full = False
        self.open = threading.Event()
        self.open.set()

    def append(self, entries: Sequence[Entry]) -> None:
        self.open.wait()
        if self.full:
            raise LedgerError("the disk is full")
        self.groups.append(list(entries))

    def entries(self) -> tuple[Entry, ...]:
        return tuple(entry for group in self.groups for entry in group)


def test_a_group_is_acknowledged_when_it_is_stored(place: Place) -> None:
    target = place()
    with Ledger.create(target) as ledger:
        group = GroupCommit(ledger, most=50)
        acknowledged: list[Entry] = []
        for entry in ENTRIES:
            group.add([entry])
            if group.full:
                assert len(ledger) == len(acknowledged)
                acknowledged += group.commit()
                assert len(ledger) == len(acknowledged)
        assert len(group) == len(ENTRIES) % 50
        acknowledged += group.commit()
        assert group.commit() == []
    assert tuple(acknowledged) == ENTRIES
    assert audit(target).entries == len(ENTRIES)


def test_what_was_refused_waits_and_can_be_committed_again() -> None:
    shelf = Shelf()
    group = GroupCommit(shelf)
    group.add(ENTRIES[:3])
    shelf.full = True
    with pytest.raises(LedgerError, match="full"):
        group.commit()
    group.add(ENTRIES[3:5])
    shelf.full = False
    assert group.commit() == [*ENTRIES[:5]]
    assert shelf.groups == [[*ENTRIES[:5]]]


def test_a_background_stores_everything_in_order(place: Place) -> None:
    target = place()
    with Ledger.create(target) as ledger, Background(ledger) as background:
        for first in range(0, len(ENTRIES), 7):
            background.append(ENTRIES[first : first + 7])
        background.flush()
        assert len(ledger) == len(ENTRIES)
    assert audit(target).entries == len(ENTRIES)


def test_what_comes_during_a_commit_is_stored_in_one_group_and_too_much_has_to_wait() -> None:
    shelf = Shelf()
    with Background(shelf, most=4) as background:
        shelf.open.clear()
        background.append(ENTRIES[:1])
        while background._coming:
            pass  # until the thread has taken it
        for place in range(1, 5):
            background.append(ENTRIES[place : place + 1])
        late = threading.Thread(target=background.append, args=(ENTRIES[5:6],))
        late.start()
        late.join(0.2)
        assert late.is_alive()
        shelf.open.set()
        late.join()
    assert shelf.entries() == ENTRIES[:6]
    assert shelf.groups[0] == [ENTRIES[0]]
    assert len(shelf.groups[1]) >= 4


def test_what_the_disk_refuses_is_told_and_nothing_is_stored_after_it() -> None:
    shelf = Shelf()
    background = Background(shelf)
    background.append(ENTRIES[:1])
    background.flush()
    shelf.full = True
    background.append(ENTRIES[1:2])
    with pytest.raises(LedgerError, match="full"):
        background.flush()
    shelf.full = False
    with pytest.raises(LedgerError, match="full"):
        background.append(ENTRIES[1:2])
    with pytest.raises(LedgerError, match="full"):
        background.__exit__(None, None, None)
    assert shelf.entries() == ENTRIES[:1]


def test_an_error_of_the_caller_does_not_lose_what_was_given_before() -> None:
    def interrupted(shelf: Shelf) -> None:
        with Background(shelf) as background:
            background.append(ENTRIES[:5])
            raise KeyboardInterrupt

    shelf = Shelf()
    with pytest.raises(KeyboardInterrupt):
        interrupted(shelf)
    assert shelf.entries() == ENTRIES[:5]
