"""The whole exchange against the plain one: every command, every kind of event, every refusal, by the million."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from market.orders import MarketSettings
from tests.market.rig import EVERYTHING, GATES, Rig
from tests.market.traffic import MARKET, Traffic, replace

SPREAD = replace(MARKET, spread_start=1_500, spread_zero_ppm=600_000)
CALL = replace(MARKET, design="call", settlement=None)
MARKETS = {"plain": MARKET, "spread_clock": SPREAD}
MILLION = 1_000_000


def run(gate: str, seed: int, count: int, market: MarketSettings = MARKET, *, singly: bool = True, **kind: bool) -> Rig:
    """Send `count` seeded commands in batches of 1 to 300; a failure names the command."""
    traffic = Traffic(seed, replace(market, gate="linear" if gate == "mixed" else gate), **kind)
    rig = Rig(gate, singly=singly)
    rig.send(traffic.opening())
    while len(rig.entries) < count:
        rig.send(traffic.take(min(traffic.dice.between(1, 300), count - len(rig.entries))))
    return rig


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("market", MARKETS)
def test_every_command_gives_the_events_of_the_plain_exchange(
    gate: str, market: str, record_property: Callable[[str, object], None]
) -> None:
    rig = run(gate, 1, 2_500, MARKETS[market])
    rig.replay()
    record_property("commands", len(rig.entries))


def test_the_traffic_reaches_every_kind_of_event_and_every_refusal(
    record_property: Callable[[str, object], None],
) -> None:
    runs = [
        run("linear", 2, 6_000, SPREAD, singly=False),
        run("off", 3, 3_000, wild=True),  # values that no journal carries: these are not replayed
        run("off", 4, 1_000, CALL, steady=True),  # in an auction everything rests
    ]
    seen: Counter[str] = sum((rig.seen for rig in runs), Counter())
    assert EVERYTHING - set(seen) == set()
    assert seen["Traded"] > 500
    assert seen["Limited"] > 500
    record_property("commands", sum(len(rig.entries) for rig in runs))


@pytest.mark.slow  # an eighth of a million commands: about 20 seconds
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("market", MARKETS)
def test_a_million_commands_give_the_events_of_the_plain_exchange(
    gate: str, market: str, record_property: Callable[[str, object], None]
) -> None:
    rig = run(gate, 100, MILLION // len(GATES) // len(MARKETS), MARKETS[market], singly=False)
    rig.replay()
    assert EVERYTHING - set(rig.seen) <= {"BAD_SIDE", "NOT_IN_AUCTION", *(["Limited"] if gate == "off" else [])}
    record_property("commands", len(rig.entries))


@pytest.mark.slow  # one by one and with values that no journal carries: about 40 seconds
@pytest.mark.parametrize("gate", GATES)
def test_wild_and_single_commands_give_the_events_of_the_plain_exchange(
    gate: str, record_property: Callable[[str, object], None]
) -> None:
    rigs = [run(gate, 200, 15_000, SPREAD), run(gate, 201, 15_000, wild=True)]
    rigs[0].replay()
    record_property("commands", sum(len(rig.entries) for rig in rigs))
