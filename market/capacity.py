"""The question that a match asks of the wires: how much of this fits?

Capacity is data to the market. The gate keeps, per slot, *capacity rows*: a complex state, a complex sensitivity
of that state to each connection's energy, and a lower and an upper bound on its modulus. What a row measures (a
voltage, a current) is the gate's business. The matching kernel tests the rows itself; where they do not decide, it
asks the gate.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray


class Verdict(NamedTuple):
    """How much of the wanted energy [Wh] is carried, and the limit that binds if not all of it is."""

    admitted: int
    constraint: str


class Proof(msgspec.Struct):
    """What rows with a certificate can prove. Everything is written by the gate and read by the kernel.

    `CapacityRows.lower` and `upper` are then the inner bounds: what is within them by the slope's margin is carried.
    What is outside of the outer ones by that margin is not. What is neither is put to `Gate.check`, which leaves the
    state exact.
    """

    outer_lower: NDArray[np.float64]
    """(R,)"""
    outer_upper: NDArray[np.float64]
    """(R,)"""
    slope: NDArray[np.float64]
    """(R,) most that a row errs by per Wh moved, by both sides, since its state was exact."""
    moved: int = 0
    """Wh that have moved, by both sides, since the tangent; beyond `refresh_after` the rows prove nothing."""
    drift: int = 0
    """Wh that have moved, by both sides, since the state was exact. After `Gate.check` both numbers lack the match that
    it has admitted, and so does the state."""
    tangents: int = 0
    """How often the tangent was made."""
    decided: int = 0
    """Questions that the rows have decided so far; written by the book before it asks the gate."""


class CapacityRows(msgspec.Struct):
    """Linear capacity of one slot with R rows and C connections; the kernel updates `state` and `schedule`.

    States and sensitivities are integer-valued float64, so that sums are exact and independent of their order.
    """

    schedule: NDArray[np.int64]
    """(C,) accepted change of injection since the baseline [Wh], injection positive."""
    state: NDArray[np.float64]
    """(2, R) real parts, imaginary parts, at the schedule."""
    sensitivity: NDArray[np.float64]
    """(C, 2, R) change of the state per Wh injected at the connection."""
    lower: NDArray[np.float64]
    """(R,) least modulus, negative where there is none."""
    upper: NDArray[np.float64]
    """(R,) largest modulus."""
    names: list[str]
    """(R,) what a refusal by this row is called."""
    decides: bool
    """True: the rows' answer is final. False: every change of the schedule is put to `Gate.check`, unless a `proof`
    decides it."""
    refresh_after: int
    """Energy moved [Wh] since the last tangent after which the kernel asks for `Gate.refresh`; 0: never. A single match
    of more energy is put to `Gate.check`, so that the rows never reach farther than that from their tangent."""
    withdrawal: NDArray[np.float64] | None = None
    """(C, 2, R) change of the state per Wh less withdrawn, where it differs from `sensitivity`: a row may be about
    sellers alone, or about buyers."""
    gross: NDArray[np.int64] | None = None
    """(4, C) flexible Wh sold and bought at each connection, kept like the schedule; and the envelope, Wh that each may
    sell and buy whatever others do within theirs: with a `proof` no row is asked while all are inside. None: the gate
    needs none of it."""
    proof: Proof | None = None


class Gate(Protocol):
    """What the exchange needs to know about the wires. Connections are numbered as in the feeder; -1 is none."""

    def connections(self) -> list[str]:
        """Names of the connections, in the order of all arrays."""

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows | None:
        """Start a slot, or restart it at a new baseline keeping its schedule [Wh, varh]. None: nothing is limited."""

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        """Largest multiple of `lot` up to `wanted` Wh by which the injection at connection `inject` may rise while
        that at `withdraw` falls. The caller will apply exactly the admitted quantity to the schedule.
        """

    def refresh(self, slot: int) -> None:
        """Renew state and sensitivities in place at the present schedule."""

    def close(self, slot: int) -> None:
        """The slot's gate has closed; its schedule is final and its memory may go."""


@runtime_checkable
class Losing(Protocol):
    """A gate that can also tell what the wires lose."""

    def losses(self, injection: NDArray[np.int64], reactive: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
        """Energy that a slot loses [Wh] with what its meters counted (C,) [Wh, varh], and each connection's marginal
        weight (C,). Raises ValueError if there is no such state.
        """


class OpenGate:
    """A gate that refuses nothing: every connection exists, no wire is ever full."""

    def __init__(self, connections: list[str]) -> None:
        self._connections = list(connections)

    def connections(self) -> list[str]:
        return self._connections

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows | None:
        return None

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        return Verdict(wanted, "")

    def refresh(self, slot: int) -> None:
        pass

    def close(self, slot: int) -> None:
        pass
