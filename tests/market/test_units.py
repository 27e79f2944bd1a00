"""Units at the edge: exact, with their unit, or refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import units


@pytest.mark.parametrize(
    ("text", "price"),
    [("21.35 ct/kWh", 213_500), ("0.3 EUR/kWh", 300_000), ("-5 EUR/MWh", -5_000), ("1ct/kwh", 10_000)],
)
def test_prices_are_read_with_their_unit(text: str, price: int) -> None:
    assert units.price(text) == price


@pytest.mark.parametrize("text", ["21.35", "ct/kWh", "1e3 ct/kWh", "nan ct/kWh", "0.00001 ct/kWh", "1 ct/h", "9e99 Wh"])
def test_prices_without_a_unit_or_too_fine_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unit"):
        units.price(text)


def test_energy_is_read_in_whole_watt_hours() -> None:
    assert units.energy("2.5 kWh") == 2_500
    with pytest.raises(ValueError, match="finer"):
        units.energy("0.5 Wh")
    with pytest.raises(ValueError, match="larger"):
        units.energy("99999999999999 MWh")


@given(ct=st.integers(-10_000, 10_000), wh=st.integers(0, 10**9))
def test_price_times_energy_is_exact_nano_money(ct: int, wh: int) -> None:
    in_currency = Fraction(ct, 100) * Fraction(wh, 1000)
    assert units.cost(ct * units.PRICE_PER_CT_KWH, wh) == in_currency * units.NANO


def test_rounding_is_to_the_nearest_whole_watt_hour_and_refuses_what_is_no_energy() -> None:
    assert units.whole_wh([0.4, 0.6, -1.5, 2.5]).tolist() == [0, 1, -2, 2]
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(ValueError, match="finite"):
            units.whole_wh([bad])
