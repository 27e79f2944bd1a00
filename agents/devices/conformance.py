"""What every device must keep to, as one call: put `check_device(MyDevice)` into your own tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.devices.battery import MICRO, Battery
from agents.devices.fleet import Fleet, Site
from agents.steps import Steps
from agents.weather import Place, Weather

SOURCES = ("", "solar", "wind", "hydro", "biomass", "storage", "grid", "fuel")
_STEP = 900
_STEPS = 96


class Recorded:
    """Made-up profiles of one day, one or two of every family, for checks without files."""

    names: Sequence[str] = (
        *("H0-A", "H0-B", "G1-A", "G2-A", "L1-A", "BL-H", "Air_Parallel_1", "Soil_Parallel_1", "HLS_A_3.7"),
        *("PV1", "PV2", "WP1", "Hydro1", "BM1"),
    )

    def _steps(self, name: str) -> NDArray[np.float64]:
        rng = np.random.default_rng(self.names.index(name))
        return rng.uniform(0, 0.8, _STEPS) * (rng.random(_STEPS) < 0.8)

    def values(self, name: str, first_slot: int, slots: int, slot_seconds: int) -> NDArray[np.float64]:
        times = (first_slot * slot_seconds + np.arange(slots * slot_seconds // 300) * 300) // _STEP % _STEPS
        return np.asarray(self._steps(name)[times].reshape(slots, -1).mean(axis=1))

    def full_load_hours(self, name: str) -> float:
        return float(self._steps(name).mean()) * 8760

    def peak(self, name: str) -> float:
        return float(self._steps(name).max())

    def recorded_kw(self, name: str) -> float | None:
        return None


def made_up_site(count: int = 5, slot_seconds: int = _STEP, seed: int = 0) -> Site:
    """A site of one day with made-up profiles, for tests."""
    names = tuple(("H0-A", "", "elsewhere")[i % 3] for i in range(count))
    steps = Steps(100 * 86_400 // slot_seconds, 86_400 // slot_seconds, slot_seconds)
    weather = Weather(Place(), steps, np.random.SeedSequence(seed))
    return Site(Recorded(), steps.first_slot, steps.slots, slot_seconds, names, np.random.SeedSequence(seed), weather)


def check_device(make: Callable[[Site], Fleet]) -> None:
    """Make fleets of a device at made-up sites; AssertionError says what it broke.

    Checked: whole energy of the right shape, never negative, never above the power limit; same seed, same series;
    a slot of an hour holds the energy of its quarters; fleets of no and of one device work.
    """
    for count in (0, 1, 5):
        site = made_up_site(count)
        fleet = make(site)
        where = f"fleet of {count}"
        assert fleet.label, f"{where}: has no label"
        assert fleet.source in SOURCES, f"{where}: unknown source {fleet.source!r}"
        for name, column in (("energy_wh", fleet.energy_wh), ("reactive_varh", fleet.reactive_varh)):
            assert column.dtype == np.int64, f"{where}: {name} must be whole, got {column.dtype}"
            assert column.shape == (count, site.slots), f"{where}: {name} has the shape {column.shape}"
        assert (fleet.energy_wh >= 0).all(), f"{where}: negative energy"
        assert np.shape(fleet.power_w) == (count,), f"{where}: power_w has the shape {np.shape(fleet.power_w)}"
        limit = np.asarray(fleet.power_w)[:, None] * site.slot_hours + 0.5
        assert (fleet.energy_wh <= limit).all(), f"{where}: energy above the power limit"
        again = make(made_up_site(count))
        assert np.array_equal(fleet.energy_wh, again.energy_wh), f"{where}: the same seed gave another series"
    quarters = make(made_up_site(5)).energy_wh.reshape(5, -1, 4).sum(axis=2)
    hours = make(made_up_site(5, 3600)).energy_wh
    assert (np.abs(quarters - hours) <= 3).all(), "an hour's energy is not that of its quarters"


def check_battery(make: Callable[[], Battery], *, slots: int = 200, seed: int = 0) -> None:
    """Run batteries through random requests; AssertionError says what they broke.

    Checked: what is realised lies between nothing and the request and within the power; the store stays within its
    capacity; in − out − lost is exactly what the store gained, and the loss never shrinks; same requests, same answers.
    """
    rng = np.random.default_rng(seed)
    battery, twin = make(), make()
    start = battery.stored_uwh.copy()
    moved, lost = np.zeros_like(start), battery.lost_uwh.copy()
    for t in range(slots):
        reach = 2 * np.maximum(battery.limit_wh, 1)
        request = rng.integers(-reach, reach, endpoint=True)
        realised = battery.step(request)
        assert np.array_equal(realised, twin.step(request)), f"slot {t}: the same request gave another answer"
        assert ((realised * request >= 0) & (np.abs(realised) <= np.abs(request))).all(), (
            f"slot {t}: beyond the request"
        )
        assert (np.abs(realised) <= battery.limit_wh).all(), f"slot {t}: beyond the power limit"
        inside = (battery.stored_uwh >= 0) & (battery.stored_uwh <= battery.capacity_uwh)
        assert inside.all(), f"slot {t}: the store left its capacity"
        assert (battery.lost_uwh >= lost).all(), f"slot {t}: energy was created"
        moved, lost = moved + realised * MICRO, battery.lost_uwh.copy()
        assert np.array_equal(battery.stored_uwh, start - moved - lost), f"slot {t}: the balance does not close"
