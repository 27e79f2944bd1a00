"""The journal as pandas tables, for people who analyse: market units and UTC times, one row per trade or statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from market.events import Corrected, Entry, Rejected, Settled, Traded
from market.journal import holding
from market.orders import AdvanceClock, MarketSettings, RecordMeter
from market.settlement import Statement, correct, settle, tariff
from market.slots import NS, parse_time

if TYPE_CHECKING:
    import pandas as pd

TRADING = holding("advance_clock", "traded")
"""Of which entries `trades_frame` is made."""
SETTLING = holding("record_meter", "settled", "corrected")
"""Of which entries `owings` is made."""
_TRADE = [*Traded.__struct_fields__]


def trades_frame(entries: Iterable[Entry], settings: MarketSettings) -> pd.DataFrame:
    """One row per trade: seq, time of the trade and of delivery (UTC), then the fields of `market.events.Traded`."""
    now = 0
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        if isinstance(entry.command, AdvanceClock) and not refused(entry):
            now = parse_time(entry.command.now)
        for event in entry.events:
            if isinstance(event, Traded):
                start = event.slot * settings.slot_seconds * NS
                rows.append((entry.seq, now, start, *(getattr(event, field) for field in _TRADE)))
    return _frame(rows, ["seq", "time", "delivery", *_TRADE], times=["time", "delivery"])


def settlements_frame(entries: Iterable[Entry], settings: MarketSettings) -> pd.DataFrame:
    """One row per participant, settled slot and run, the utility's closing rows included: the fields of `Owed`, and the
    start of delivery (UTC) behind the slot.
    """
    length = settings.slot_seconds * NS
    rows = [(*owed[:2], owed.slot * length, *owed[2:]) for owed in owings(entries, settings)]
    return _frame(rows, ["seq", "slot", "delivery", *Owed._fields[2:]], times=["delivery"])


class Owed(NamedTuple):
    """One participant in one run over one slot. Energy in Wh, injection positive; money [nano-currency] received."""

    seq: int
    slot: int
    run: int
    """1 for the settlement, more for corrections of it."""
    meters: int
    """Version of the slot's meters, 0 where versions are not counted."""
    participant: str
    metered: int
    contracted: int
    imbalance: int
    money: int
    """What the run posts; of a correction the difference, while the energies are the new ones."""
    estimated: bool
    """No meter reading was known: settled as contracted."""


def owings(entries: Iterable[Entry], settings: MarketSettings) -> Iterator[Owed]:
    """What the runs of a journal settle, in its order; for the utility, what closes the sums of each run."""
    read: dict[int, set[str]] = {}
    for entry in entries:
        if isinstance(entry.command, RecordMeter) and not refused(entry):
            read.setdefault(entry.command.slot, set()).update(entry.command.readings)
        for event in entry.events:
            if isinstance(event, Settled):
                known = read.pop(event.slot, set()) | {settings.utility}
                for line in settle(event.lines, event.prices or tariff(settings, event.slot), settings.utility):
                    yield _owed(entry.seq, event.slot, 1, event.meters, line, line.participant not in known)
            elif isinstance(event, Corrected):
                head = entry.seq, event.slot, event.run, event.meters
                changed = correct(event.lines, event.prices or tariff(settings, event.slot), settings.utility)
                for (name, _, now, contract), change in zip(event.lines, changed[:-1], strict=True):
                    yield Owed(*head, name, now, contract, now - contract, change.money, False)
                if changed:
                    yield _owed(*head, changed[-1], False)


def _owed(seq: int, slot: int, run: int, meters: int, line: Statement, estimated: bool) -> Owed:
    name, metered, contracted, imbalance, money = line
    return Owed(seq, slot, run, meters, name, metered, contracted, imbalance, money, estimated)


def refused(entry: Entry) -> bool:
    """True for an entry whose command changed nothing."""
    return any(isinstance(event, Rejected) for event in entry.events)


def _frame(rows: list[tuple[Any, ...]], columns: list[str], times: list[str]) -> pd.DataFrame:
    import pandas as pd  # a ledger opens, and is audited, without it

    frame = pd.DataFrame(rows, columns=columns)
    for column in times:
        frame[column] = pd.to_datetime(frame[column], unit="ns", utc=True)
    return frame
