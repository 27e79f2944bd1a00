"""Randomness by name: one seed gives everything, and what one part draws never changes what another draws."""

from __future__ import annotations

import hashlib

import numpy as np


def child(seed: np.random.SeedSequence, *names: str) -> np.random.SeedSequence:
    """The child of `seed` that these names have for ever, whatever other children there are.

    `SeedSequence.spawn` numbers children in the order of the calls, so a new group in the middle of a scenario would
    give all later ones other numbers; here the spawn key comes from the names.
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.SeedSequence(entropy=seed.entropy, spawn_key=(*seed.spawn_key, *words))


def generator(seed: np.random.SeedSequence, *names: str) -> np.random.Generator:
    """A new generator of the child of `seed` with these names."""
    return np.random.default_rng(child(seed, *names))
