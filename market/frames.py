"""The journal as pandas tables, for people who analyse: market units and UTC times, one row per trade or statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from market.events import Entry, Rejected, Settled, Traded
from market.orders import AdvanceClock, MarketSettings, RecordMeter
from market.settlement import Statement, settle
from market.slots import NS, parse_time

if TYPE_CHECKING:
    import pandas as pd

_TRADE = [*Traded.__struct_fields__]
_STATEMENT = [*Statement._fields]


def trades_frame(entries: Iterable[Entry], settings: MarketSettings) -> pd.DataFrame:
    """One row per trade: seq, time of the trade and of delivery (UTC), then the fields of `market.events.Traded`."""
    now = 0
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        if isinstance(entry.command, AdvanceClock) and not _refused(entry):
            now = parse_time(entry.command.now)
        for event in entry.events:
            if isinstance(event, Traded):
                start = event.slot * settings.slot_seconds * NS
                rows.append((entry.seq, now, start, *(getattr(event, field) for field in _TRADE)))
    return _frame(rows, ["seq", "time", "delivery", *_TRADE], times=["time", "delivery"])


def settlements_frame(entries: Iterable[Entry], settings: MarketSettings) -> pd.DataFrame:
    """One row per participant and settled slot, the utility's closing row included: seq, slot, start of delivery
    (UTC), the fields of `market.settlement.Statement`, and `estimated`: no meter reading was known.
    """
    read: dict[int, set[str]] = {}
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        if isinstance(entry.command, RecordMeter) and not _refused(entry):
            read.setdefault(entry.command.slot, set()).update(entry.command.readings)
        for event in entry.events:
            if isinstance(event, Settled):
                known = read.pop(event.slot, set()) | {settings.utility}
                start = event.slot * settings.slot_seconds * NS
                rows.extend(
                    (entry.seq, event.slot, start, *statement, statement.participant not in known)
                    for statement in settle(event.lines, settings)
                )
    return _frame(rows, ["seq", "slot", "delivery", *_STATEMENT, "estimated"], times=["delivery"])


def _refused(entry: Entry) -> bool:
    return any(isinstance(event, Rejected) for event in entry.events)


def _frame(rows: list[tuple[Any, ...]], columns: list[str], times: list[str]) -> pd.DataFrame:
    import pandas as pd  # a ledger opens, and is audited, without it

    frame = pd.DataFrame(rows, columns=columns)
    for column in times:
        frame[column] = pd.to_datetime(frame[column], unit="ns", utc=True)
    return frame
