"""Dynamic operating envelopes: what every connection may inject and draw in a slot, whatever the others do in theirs.

An envelope gives each connection an interval [low, high] of injection around its baseline. Proven is the whole box: for
every choice of injections inside of all intervals, in any mixture of directions, an AC state exists and keeps every
limit. Corners are not tried one by one, of which there are 2^C; the box is bounded at once.

With v = w + Z conj(s / v) the equation of the feeder, v̄ its state at the middle of the box, h the half widths, m the
largest |s| and V = |v̄| (sums over the buses k that have connections),

    |v_j - v̄_j| <= r_j  for all s in the box,  where  r_j = Σ_k |Z_jk| h_k / V_k + ε_j,
                                                       ε_j = Σ_k |Z_jk| m_k r_k / (V_k (V_k - r_k)).

If some r satisfies this with >= instead of =, the map takes the discs of radius r into themselves and has a fixed point
there (Brouwer); if it also contracts, that is the only one. Then v_j = v̄_j + Σ_k Z_jk conj((s_k - s̄_k) / v̄_k) + e_j,
|e_j| <= ε_j: the middle term is linear and its extremes over a box are sums of moduli. Currents and powers of branches
follow with their own transfer factors in the place of Z. Reactive power stays at its baseline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grid import network, tree
from grid.feeder import Feeder
from grid.limits import Limits
from grid.tariffs import levels
from market.orders import MarketSettings

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = NDArray[np.intp]

ROUNDS = 100
FINE = 256
"""An interval is widened until a further part of it, 1 / FINE, would not be proven any more."""
MOST_WH = 2**40
KEPT = 0.95
"""Of the widest box whose intervals grow alike, before each direction grows alone."""


class Envelope(NamedTuple):
    """One slot. Energy in Wh, injection positive, baseline included."""

    low: Ints
    """(C,) least injection of each connection: its import limit, negative."""
    high: Ints
    """(C,) largest injection: its export limit."""
    proven: bool
    """False: not even the baseline is proven safe, and the intervals hold nothing else."""
    binding: tuple[str, str]
    """The limits at which import and export of all ended, ``bus:ID:low`` and the like."""


class Bound(NamedTuple):
    """What is known of a box."""

    fits: bool
    worst: str
    """The limit that is nearest, or exceeded most; ``diverged`` if no state is proven."""


class EnvelopeModel:
    """Envelopes of one balanced radial feeder under the limits of a market."""

    def __init__(self, feeder: Feeder, settings: MarketSettings) -> None:
        """Raises ValueError if the feeder has single-phase connections, which this proof does not cover."""
        single = [
            name for name, phase in zip(feeder.connection_ids, feeder.connection_phase, strict=True) if phase != "abc"
        ]
        if single:
            raise ValueError(f"envelopes are proven for balanced feeders; {single[0]!r} is connected to one phase")
        self._network = net = network.build(feeder)
        self._limits = Limits.of(net, settings)
        self._bounds = np.sqrt(self._limits.squares())
        self._per_wh = 3600 / settings.slot_seconds / network.BASE_VA
        self._used = np.unique(net.connection[net.connection > 0])
        self._column = np.searchsorted(self._used, net.connection)
        self._wired = net.connection > 0
        self._group = levels(net)[1][net.connection]
        self._z = _impedance(net, self._used)
        self._near, self._far = _currents(net, self._z)
        self._z_size, self._near_size, self._far_size = np.abs(self._z), np.abs(self._near), np.abs(self._far)

    def bound(self, low: ArrayLike, high: ArrayLike, reactive: ArrayLike) -> Bound:
        """Whether every choice of injections between `low` and `high` (C,) [Wh] at `reactive` (C,) [varh] is safe."""
        least, most, varh = (self._by_bus(values) for values in (low, high, reactive))
        if (least > most).any():
            raise ValueError("low must be at most high at every connection")
        middle, half = (least + most) / 2, (most - least) / 2
        size = np.hypot(np.maximum(np.abs(least), np.abs(most)), varh)
        state = self._state(middle, varh)
        moved = None if state is None else self._radius(np.abs(state[self._used]), half, size)
        if state is None or moved is None:
            return Bound(False, "diverged")
        excess = self._excess(state, half, moved)
        code = int(np.argmax(excess))
        return Bound(bool(excess.flat[code] <= 1.0), self._limits.name(code))

    def envelope(self, baseline: ArrayLike, reactive: ArrayLike, weights: ArrayLike | None = None) -> Envelope:
        """Intervals around the baseline (C,) [Wh], widened in proportion to `weights` (C,), equal ones if not given.

        They begin between the baseline and zero if that is proven, so that anybody may switch off what flows anyway;
        else at the baseline. All grow together in both directions, then each direction alone, then those of each
        outgoing feeder alone.
        """
        self._by_bus(baseline)
        base = np.asarray(baseline, dtype=np.int64)
        share = np.asarray(np.ones(len(base)) if weights is None else weights, dtype=np.float64)
        if share.shape != base.shape or not np.isfinite(share).all() or (share < 0).any():
            raise ValueError(f"weights must be {len(base)} finite numbers >= 0, one per connection")
        share = np.where(self._wired, share, 0.0)
        if not self.bound(base, base, reactive).fits:
            return Envelope(base.copy(), base.copy(), False, ("", ""))
        first, last = np.where(share > 0, [np.minimum(base, 0), np.maximum(base, 0)], base)
        if not self.bound(first, last, reactive).fits:
            first = last = base
        binding = ["", ""]
        low, high, _ = self._grow(first, last, share, share, reactive)
        # A wider box is known less exactly everywhere: what one direction gives up lets the other go much further.
        low, high = first + ((low - first) * KEPT).astype(np.int64), last + ((high - last) * KEPT).astype(np.int64)
        low, high, binding[0] = self._grow(low, high, share, 0 * share, reactive)
        low, high, binding[1] = self._grow(low, high, 0 * share, share, reactive)
        for group in np.unique(self._group[self._wired]):
            own = np.where(self._group == group, share, 0.0)
            low, high, _ = self._grow(low, high, 0 * own, own, reactive)
            low, high, _ = self._grow(low, high, own, 0 * own, reactive)
        return Envelope(low, high, True, (binding[0], binding[1]))

    def _grow(self, low: Ints, high: Ints, down: Floats, up: Floats, reactive: ArrayLike) -> tuple[Ints, Ints, str]:
        """The widest proven box by lowering `low` along `down` and raising `high` along `up`, and what ends it."""

        def box(step: int) -> tuple[Ints, Ints]:
            return low - np.floor(down * step).astype(np.int64), high + np.floor(up * step).astype(np.int64)

        if not (down.any() or up.any()):
            return low, high, ""
        good, bad, worst = 0, 1, ""
        while bad < MOST_WH and (found := self.bound(*box(bad), reactive)).fits:
            good, bad = bad, 2 * bad
        worst = found.worst
        while bad - good > max(1, good // FINE):
            middle = (good + bad) // 2
            found = self.bound(*box(middle), reactive)
            if found.fits:
                good = middle
            else:
                bad, worst = middle, found.worst
        return *box(good), worst

    def _by_bus(self, values: ArrayLike) -> Floats:
        """Sums of connections per used bus (K,) [pu]; what is at the source loads no wire."""
        given = np.asarray(values, dtype=np.float64)
        if given.shape != self._wired.shape or not np.isfinite(given).all():
            raise ValueError(f"need {len(self._wired)} finite numbers, one per connection, got shape {given.shape}")
        sums = np.bincount(self._column[self._wired], given[self._wired], len(self._used))
        return np.asarray(sums * self._per_wh, dtype=np.float64)

    def _state(self, active: Floats, reactive: Floats) -> Complexes | None:
        """(N,) AC state in tree order, None if there is none."""
        net = self._network
        load = np.zeros(len(net.bus), dtype=np.complex128)
        load[self._used] = active - 1j * reactive
        state = net.flat()
        return state if tree.solve(net.tree, net.net, load, state, np.zeros_like(state)) > 0 else None

    def _radius(self, modulus: Floats, half: Floats, size: Floats) -> Floats | None:
        """(K,) bound of |s (1/v - 1/v̄)| at the used buses over the whole box; None if no disc is proven."""
        z = self._z_size[self._used]
        first = z @ (half / modulus)
        radius = first
        for _ in range(ROUNDS):
            if (radius >= 0.5 * modulus).any():
                return None
            wider = first + z @ (size * radius / (modulus * (modulus - radius)))
            settled = (wider <= radius * (1 + 1e-10) + 1e-13).all()
            radius = wider
            if settled:
                break
        # From below the iteration only comes near its end: prove a disc that is a little wider.
        radius = radius * (1 + 1e-8) + 1e-11
        error = size * radius / (modulus * (modulus - radius))
        contracts = (z @ (size / (modulus - radius) ** 2)).max(initial=0.0) < 1
        return error if contracts and (first + z @ error <= radius).all() else None

    def _excess(self, state: Complexes, half: Floats, error: Floats) -> Floats:
        """(KINDS, N) every limited value's bound over its limit: 1 is full."""
        net = self._network
        parent = np.maximum(net.parent, 0)
        turn = np.exp(-1j * np.angle(state))[:, np.newaxis]
        drive = turn / state[self._used].conjugate()
        real, imaginary = _spread(self._z * drive, half)
        beyond = self._z_size @ error
        high = np.hypot(np.abs(state) + real, imaginary) + beyond
        low = np.abs(state) - real - beyond
        ends = []
        near, far = _currents(net, state[:, np.newaxis])
        for middle, transfer, sizes, at in (
            (near, self._near, self._near_size, parent), (far, self._far, self._far_size, np.arange(len(state))),
        ):  # fmt: skip
            center = (middle * turn)[:, 0]
            real, imaginary = _spread(transfer * drive, half)
            current = np.hypot(np.abs(center.real) + real, np.abs(center.imag) + imaginary) + sizes @ error
            ends.append(np.where(net.tree[1] == 1, current * high[at], current))
        excess = np.zeros((tree.KINDS, len(state)))
        with np.errstate(divide="ignore"):
            excess[tree.LOW] = np.where(low > 0, self._bounds[tree.LOW] / low, np.inf)
        excess[tree.HIGH] = high / self._bounds[tree.HIGH]
        excess[tree.NEAR], excess[tree.FAR] = ends[0] / self._bounds[tree.NEAR], ends[1] / self._bounds[tree.FAR]
        excess[:, 0] = 0.0  # the source's own voltage is given
        return excess


def _spread(values: Complexes, half: Floats) -> tuple[Floats, Floats]:
    """Largest real and imaginary part of the sums over a box of these half widths."""
    return np.abs(values.real) @ half, np.abs(values.imag) @ half


def _impedance(net: network.Network, used: Places) -> Complexes:
    """(N, K) voltages per unit of current injected at the used positions; the source's voltage is kept."""
    multiplier, inverse = net.net[0], net.net[1]
    current = np.zeros((len(net.bus), len(used)), dtype=np.complex128)
    current[used, np.arange(len(used))] = 1.0
    for j in range(len(net.bus) - 1, 0, -1):
        if net.parent[j] > 0:
            current[net.parent[j]] += multiplier[j] * current[j]
    voltage = np.zeros_like(current)
    for j in range(1, len(net.bus)):
        voltage[j] = inverse[j] * current[j] + multiplier[j] * voltage[net.parent[j]]
    return voltage


def _currents(net: network.Network, voltage: Complexes) -> tuple[Complexes, Complexes]:
    """Currents (N, K) into the branch of every position at the parent's end and at its own, of voltages (N, K)."""
    parent = np.maximum(net.parent, 0)
    y, shunt = net.net[2][:, np.newaxis], net.net[3][:, np.newaxis]
    tap_near, tap_far = net.net[4].real[:, np.newaxis], net.net[4].imag[:, np.newaxis]
    near, far = tap_near * voltage[parent], tap_far * voltage
    series = y * (near - far)
    return tap_near * (series + shunt * near), tap_far * (shunt * far - series)
