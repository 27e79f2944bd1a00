"""Forecasts: what they say of simple series, and that none of the honest ones sees the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.forecast import FORECASTERS, Forecaster, NoisyTruth, Persistence, SameWeekday, Smoothing, bands

DAY = 8


def series(seed: int, days: int, rows: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(rows, days * DAY)) + 10 * np.sin(np.arange(days * DAY) * 2 * np.pi / DAY))


@pytest.mark.parametrize("name", FORECASTERS)
@given(seed=st.integers(0, 1000), known=st.integers(0, 20 * DAY), ahead=st.integers(0, 3 * DAY))
def test_the_future_may_be_scrambled_and_no_forecast_changes(name: str, seed: int, known: int, ahead: int) -> None:
    whole = series(seed, 24)
    scrambled = whole.copy()
    np.random.default_rng(seed + 1).shuffle(scrambled[:, known:].T)
    told = [FORECASTERS[name](DAY).ahead(values[:, :known], ahead) for values in (whole, scrambled)]
    assert told[0].shape == (3, ahead)
    assert np.isfinite(told[0]).all()
    assert np.array_equal(told[0], told[1])


@pytest.mark.parametrize("name", FORECASTERS)
def test_a_day_that_repeats_is_foretold_exactly(name: str) -> None:
    day = np.array([[1.0, 5, 2, 8, 0, 0, 3, 4]])
    past = np.tile(day, 15)
    assert FORECASTERS[name](DAY).ahead(past, 2 * DAY) == pytest.approx(np.tile(day, 2))


def test_the_same_weekday_knows_the_week() -> None:
    week = np.arange(7 * DAY, dtype=float)[None]
    assert SameWeekday(DAY).ahead(np.tile(week, 5), 7 * DAY) == pytest.approx(week)
    assert Persistence(DAY, 7).ahead(np.tile(week, 5)[:, 3:], 5) == pytest.approx(week[:, :5])


def test_smoothing_carries_a_shift_on_and_lets_it_fade() -> None:
    past = np.zeros((1, 10 * DAY))
    past[0, -4:] = 6.0
    found = Smoothing(DAY, alpha=0.0, half_life=2.0).ahead(past, 6)
    assert found[0, 0] == pytest.approx(6 * 0.5**0.5)
    assert found[0, 5] == pytest.approx(6 * 0.5**3)


def test_smoothing_learns_the_same_in_one_step_or_in_many() -> None:
    whole = series(3, 9)
    many, one = Smoothing(DAY), Smoothing(DAY)
    for known in range(whole.shape[1]):
        many.ahead(whole[:, :known], 4)
    assert np.array_equal(many.ahead(whole, 12), one.ahead(whole, 12))


def test_the_noisy_truth_is_off_by_the_error_that_was_set() -> None:
    truth = series(5, 400)
    told: Forecaster = NoisyTruth(truth, 0.0, np.random.default_rng(0))
    assert np.array_equal(told.ahead(truth[:, :100], 50), truth[:, 100:150])
    rough = NoisyTruth(truth, 0.3, np.random.default_rng(0))
    off = rough.ahead(truth[:, :0], truth.shape[1]) - truth
    assert off.std(axis=1) == pytest.approx(0.3 * np.abs(truth).mean(axis=1), rel=0.15)


def test_bands_hold_the_share_that_they_promise() -> None:
    rng = np.random.default_rng(1)
    inside, slots, shares = [], DAY, np.array([0.1, 0.9])
    for _ in range(60):
        whole = rng.normal(size=(4, 16 * DAY))
        low, high = bands(Persistence(DAY), whole[:, : 15 * DAY], slots, shares)
        actual = whole[:, 15 * DAY :]
        assert (low <= high).all()
        inside.append(((actual >= low) & (actual <= high)).mean())
    assert 0.7 < np.mean(inside) < 0.9
