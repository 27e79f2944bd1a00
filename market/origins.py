"""Guarantees of origin of one slot: issued for what was metered, moved with the trades, cancelled once.

A trade of energy with a source moves as many units of that source from seller to buyer. When the slot is settled:

- who sold more units of a source than it bought gets units *issued*: as many as it is short of, but no more than were
  metered of its own generation from that source;
- what it still lacks was never generated. It is *returned* to it by those who hold units of that source, in
  proportion to what they hold (largest remainders), so that nobody keeps a unit behind which no meter stands;
- who holds units and consumed energy has them *cancelled*, up to what its meter counted, source by source in
  alphabetical order. Units that nobody consumed stay where they are; no other slot uses them.

The utility has no meter in this market. What it sells, it brings along: its units are issued as it sells them, and
counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from market.settlement import loss_shares

Line = tuple[str, str, int, int, int]
"""participant, source, issued, cancelled, returned [Wh]; `returned` is negative for who gives units back."""

ISSUED = "origin issued"
"""Account that gives the units which are issued; no participant's name has a space."""
CANCELLED = "origin cancelled"
"""Account that receives the units which are cancelled."""


def generation(name: str, metered: Mapping[str, int], generated: Mapping[str, int]) -> int:
    """What counts as a participant's own generation [Wh]: injected, and no more than its meter of generation saw."""
    injected = max(metered.get(name, 0), 0)
    return min(injected, generated[name]) if name in generated else injected


def lines(
    held: Mapping[tuple[str, str], int], metered: Mapping[str, int], generated: Mapping[str, int],
    sources: Mapping[str, str], utility: str,
) -> list[Line]:  # fmt: skip
    """What becomes of a slot's units, by source and name, without lines of zeros.

    `held` are units bought less sold by (source, participant), `metered` what meters read, `generated` what meters of
    generation read, `sources` what each participant is registered for. A silent meter is none: nothing is issued or
    cancelled for it.
    """
    left = {name: max(-reading, 0) for name, reading in metered.items()}
    found: list[Line] = []
    by_source: dict[str, dict[str, int]] = {}
    for (source, name), amount in sorted(held.items()):
        if amount:
            by_source.setdefault(source, {})[name] = amount
    for source, units in by_source.items():
        issued: dict[str, int] = {}
        holders: dict[str, int] = {}
        for name, amount in units.items():
            if amount > 0:
                holders[name] = amount
            elif name == utility:
                issued[name] = -amount
            else:
                own = generation(name, metered, generated) if sources.get(name) == source else 0
                issued[name] = min(-amount, own)
        given = dict(loss_shares(sum(-units[name] - count for name, count in issued.items()), holders))
        for name, amount in units.items():
            if amount > 0:
                back, room = given.get(name, 0), left.get(name, 0)
                cancelled = min(amount - back, room)
                left[name] = room - cancelled
                line = 0, cancelled, -back
            else:
                line = issued[name], 0, -amount - issued[name]
            if any(line):
                found.append((name, source, *line))
    return found


def differences(before: Iterable[Line], now: Iterable[Line]) -> list[Line]:
    """What has to be issued, cancelled and returned to come from one state to the other; none of zeros."""
    old = {line[:2]: line[2:] for line in before}
    new = {line[:2]: line[2:] for line in now}
    changes = []
    for key in sorted(old.keys() | new.keys(), key=lambda key: (key[1], key[0])):
        was, is_now = old.get(key, (0, 0, 0)), new.get(key, (0, 0, 0))
        if was != is_now:
            changes.append((*key, is_now[0] - was[0], is_now[1] - was[1], is_now[2] - was[2]))
    return changes
