"""Which connection of the feeder each participant gets: listed ones first, then the choosiest groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agents.families import in_family
from agents.scenario_text import hint, show
from agents.seeds import generator
from grid.feeder import Feeder

if TYPE_CHECKING:
    from agents.scenario_groups import Group


def allocate(
    groups: Sequence[Group | None], feeder: Feeder, seed: np.random.SeedSequence
) -> tuple[list[list[int]], list[str]]:
    """Positions in `feeder.connection_ids` for the members of each group, and every reason why some have none.

    Connections at the source bus are the utility's. Groups that list their connections are served first, then the
    others, those with fewer matching connections first; each draws from its own random stream. Entries of `groups`
    that are None (they could not be read) get none.
    """
    chosen: list[list[int]] = [[] for _ in groups]
    errors: list[str] = []
    free = {i for i, bus in enumerate(feeder.connection_bus) if bus != feeder.source_bus}
    for at, group in enumerate(groups):
        if group is not None and group.connect.ids is not None:
            chosen[at] = _listed(group.connect.ids, feeder, free, f"participants[{at}].connect", errors)
    matching = {at: _matching(group, feeder) for at, group in enumerate(groups) if group and group.connect.ids is None}
    for at in sorted(matching, key=lambda at: (len(matching[at]), at)):
        group = groups[at]
        assert group is not None
        candidates = [i for i in matching[at] if i in free]
        rule = f"match {{profile: {', '.join(group.connect.profile)}}}" if group.connect.profile else "are free"
        if group.size > len(candidates):
            wanted = f"{group.size} wanted, but only {len(candidates)} connections of the feeder are left that {rule}"
            errors.append(f"participants[{at}].count: {wanted}; lower it or change connect")
            continue
        order = generator(seed, "group", group.group, "connections").permutation(len(candidates))[: group.size]
        chosen[at] = sorted(candidates[i] for i in order)
        free.difference_update(chosen[at])
    return chosen, errors


def _matching(group: Group, feeder: Feeder) -> list[int]:
    usable = (i for i, bus in enumerate(feeder.connection_bus) if bus != feeder.source_bus)
    names = group.connect.profile
    if names is None:
        return list(usable)
    return [i for i in usable if any(in_family(feeder.connection_profile[i], name) for name in names)]


def _listed(ids: Sequence[str], feeder: Feeder, free: set[int], path: str, errors: list[str]) -> list[int]:
    position = {name: i for i, name in enumerate(feeder.connection_ids)}
    found = []
    for k, name in enumerate(ids):
        i = position.get(name)
        if i is None:
            errors.append(f"{path}[{k}]: the feeder has no connection {show(name)}; {hint(name, position)}")
        elif feeder.connection_bus[i] == feeder.source_bus:
            errors.append(f"{path}[{k}]: {name!r} is at the source bus, where the utility is; choose another")
        elif i not in free:
            errors.append(f"{path}[{k}]: {name!r} is taken already; a connection has one participant")
        else:
            free.remove(i)
            found.append(i)
    return found
