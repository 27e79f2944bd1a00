"""The whole exchange in the race: checked commands in, journal entries out, not matching alone as the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import Race
from benchmarks.workload import BUY, CANCEL, LEVELS, TAKE, Workload
from market.capacity import OpenGate
from market.events import Entry, Rejected, Traded
from market.exchange import Exchange
from market.orders import (
    AdvanceClock,
    Cancel,
    Command,
    CreateMarket,
    MarketSettings,
    Register,
    Side,
    Submit,
    TimeInForce,
)

PARTICIPANTS = 100
PACKET = 1000
_TICK = 100
_SLOT = 4
_SETTINGS = MarketSettings(
    name="benchmark",
    currency="EUR",
    slot_seconds=900,
    opens_before_seconds=3600,
    gate_before_seconds=0,
    tick=_TICK,
    price_floor=0,
    price_cap=(LEVELS - 1) * _TICK,
    lot=1,
    max_orders=4096,
    gate="off",
    voltage_min_ppm=900_000,
    voltage_max_ppm=1_100_000,
    loading_max_ppm=1_000_000,
    utility="p0",
    retail=300_000,
    feed_in=80_000,
    grid_fee=0,
)


def _opening() -> list[Command]:
    members = [Register(f"p{number}", f"c{number}") for number in range(PARTICIPANTS)]
    return [CreateMarket(_SETTINGS, "{}"), *members, AdvanceClock("1970-01-01T00:10:00Z")]


def _commands(workload: Workload, first: int) -> tuple[list[Command], dict[int, int]]:
    """The stream as commands numbered from `first`, and the handle of each order number."""
    commands: list[Command] = []
    number: dict[int, int] = {}
    owner: dict[int, str] = {}
    half = PARTICIPANTS // 2
    for seq, (kind, side, level, quantity, handle) in enumerate(workload.messages.tolist(), first):
        if kind == CANCEL:
            commands.append(Cancel(owner[handle], number[handle]))
            continue
        # One half of the participants buys, the other sells: nobody meets an order of their own.
        member = owner[handle] = f"p{handle % half + (0 if side == BUY else half)}"
        number[handle] = seq
        if kind == TAKE:
            level = LEVELS - 1 if side == BUY else 0
        word: Side = "buy" if side == BUY else "sell"
        force: TimeInForce = "ioc" if kind == TAKE else "gtc"
        commands.append(
            Submit(member, _SLOT, word, level * _TICK, quantity, force, source="" if side == BUY else "solar")
        )
    return commands, {seq: handle for handle, seq in number.items()}


def exchange(workload: Workload) -> Race:
    """Commands by the thousand through `Exchange.apply_many`, each answered by its entry."""
    market = Exchange(OpenGate([f"c{number}" for number in range(PARTICIPANTS)]))
    opened = market.apply_many(_opening())
    commands, handles = _commands(workload, len(opened) + 1)
    packets = [commands[start : start + PACKET] for start in range(0, len(commands), PACKET)]
    entries: list[Entry] = []

    def go() -> None:
        for packet in packets:
            entries.extend(market.apply_many(packet))

    def trades() -> NDArray[np.int64]:
        events = [event for entry in entries for event in entry.events]
        refused = next((event for event in events if isinstance(event, Rejected)), None)
        if refused is not None:
            raise RuntimeError(f"the exchange refused a command: {refused.reason}")
        rows = []
        for event in events:
            if isinstance(event, Traded):
                pair = (handles[event.buy_order], handles[event.sell_order])
                maker, taker = pair if event.resting == "buy" else pair[::-1]
                rows.append((maker, taker, event.price // _TICK, event.quantity))
        return np.array(rows, dtype=np.int64).reshape(-1, 4)

    return go, trades
