"""The seam between the gate and the physics of a feeder: what `grid.gate` needs to know, and nothing else.

`Wires` are a feeder under one market's limits; a `Point` is one slot on them, at a baseline of its own. The gate deals
in whole watt-hours per connection, in `Rows` and in names; volts and phases stay behind the seam. `grid.balanced` has
the wires of a balanced radial feeder. Another network model (three phases, meshes) writes the two protocols anew and
is handed to `FeederGate(feeder, settings, wires)`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from grid.certificate import Loading, Response

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Rows(NamedTuple):
    """R limited quantities, each the modulus of a complex number in a whole-numbered unit of its own."""

    codes: Ints
    """(R,) what the rows are, in the numbering of the wires."""
    names: list[str]
    """(R,) ``bus:ID:low``, ``bus:ID:high`` or ``branch:ID``: what a refusal is called."""
    low: Bools
    """(R,) True where the modulus is bounded from below."""
    bound: Floats
    """(R,) If all rows keep these, all limits of the feeder are kept, also those that have no row."""
    limit: Floats
    """(R,) What is beyond these breaks a limit for certain; `bound` may be a little narrower."""
    units: Floats
    """(R,) whole units per pu."""


class Quantities(NamedTuple):
    """Q limited quantities as an engineer reads them: voltages in pu, branches as loading (1 is full)."""

    names: list[str]
    """As in `Rows`."""
    low: Bools
    limit: Floats
    """(Q,) the least value where `low`, else the greatest."""


class Point(Protocol):
    """One slot at its baseline. A schedule is the change of injection since then, (C,) whole Wh, injection positive."""

    def solve(self, schedule: Ints) -> bool:
        """Find the AC state at the schedule, which `inside` and `fill` then speak of; False if there is none.

        The outcome is a function of baseline and schedule alone.
        """

    def inside(self) -> bool:
        """Whether that state keeps every limit."""

    def fill(self, rows: Rows, state: Floats, sensitivity: Floats) -> float:
        """Write that state (2, R) and its derivative per Wh of each connection (C, 2, R), both rounded to whole units.

        Returns by how much one Wh moves the voltage that it moves most [pu].
        """

    def trace(self, rows: Rows, state: Floats) -> None:
        """Write that state (2, R) alone, as `fill` does."""

    def loading(self) -> Loading | None:
        """What a certificate must know of that state, at the nodes of `Wires.response`; None where that is None."""

    def fit(self, schedule: Ints, inject: int, withdraw: int, lots: int, lot: int) -> tuple[int, str]:
        """Most lots, up to `lots`, that may move from connection `withdraw` to `inject` by AC, and what binds if fewer.

        -1 is a side without effect. Where a limit is exceeded at the schedule already, what does not make it worse
        fits. A function of baseline, schedule and question alone.
        """


class Wires(Protocol):
    """A feeder under one market's limits; C connections."""

    def point(self, baseline: Ints, reactive: Ints) -> Point:
        """A slot at this baseline, (C,) Wh and varh."""

    def rows(self, *, every: bool) -> Rows:
        """All rows, or those that no other rows imply while no limit is exceeded."""

    def response(self) -> Response | None:
        """What a certificate must know of the network and of the rows that are not implied; found once and kept.

        None: nothing is certified, and mode `certified` puts every question to the power flow.
        """

    def places(self) -> Ints:
        """(C,) number of the node at which each connection is, 0 at the source, where no injection has an effect."""

    def quantities(self) -> Quantities:
        """What `measure` gives."""

    def measure(self, active_w: Floats, reactive_var: Floats) -> Floats:
        """Every limited quantity of whole slots, (S, Q), by an independent engine; injections are of shape (S, C).

        Raises PowerFlowError if a slot has no solution.
        """
