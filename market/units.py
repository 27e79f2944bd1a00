"""Whole units of energy, price and money, and the only rounding in the market.

| quantity | unit                     | note                                          |
|----------|--------------------------|-----------------------------------------------|
| energy   | Wh                       | of an order or a trade in one slot            |
| price    | milli-currency per MWh   | 21.35 ct/kWh = 213 500; may be negative       |
| money    | nano-currency            | price x energy, exact                         |
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import NewType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Wh = NewType("Wh", int)
Price = NewType("Price", int)
Money = NewType("Money", int)

PRICE_PER_CT_KWH = 10_000
NANO = 10**9
MAX_EXACT = 2**53 - 1
"""Largest integer that the canonical JSON of the journal can carry (RFC 8785)."""

_PRICE_UNITS = {
    "ct/kwh": Decimal(10_000),
    "eur/kwh": Decimal(1_000_000),
    "eur/mwh": Decimal(1_000),
    "ct/mwh": Decimal(10),
}
_ENERGY_UNITS = {"wh": Decimal(1), "kwh": Decimal(1_000), "mwh": Decimal(1_000_000)}
_QUANTITY = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z/]+)\s*\Z")


def price(text: str) -> Price:
    """Price [milli-currency/MWh] from text with its unit, such as ``"21.35 ct/kWh"``.

    Raises ValueError if the text has no known unit or is finer than one milli-currency per MWh.
    """
    return Price(_whole(text, _PRICE_UNITS, "21.35 ct/kWh"))


def energy(text: str) -> Wh:
    """Energy [Wh] from text with its unit, such as ``"2.5 kWh"``. Raises ValueError."""
    return Wh(_whole(text, _ENERGY_UNITS, "2.5 kWh"))


def ct_per_kwh(value: int | float) -> float:
    """Price [ct/kWh] for people from a price in market units."""
    return value / PRICE_PER_CT_KWH


def cost(price: int, quantity: int) -> Money:
    """Money [nano-currency] of `quantity` Wh at `price` milli-currency/MWh: exact."""
    return Money(price * quantity)


def whole_wh(energy_wh: ArrayLike) -> NDArray[np.int64]:
    """Nearest whole Wh of each element, ties to even, as int64 of the same shape.

    Raises ValueError if an element is not finite or does not fit.
    """
    values = np.asarray(energy_wh, dtype=np.float64)
    if not np.isfinite(values).all() or (np.abs(values) > MAX_EXACT).any():
        raise ValueError("energy must be finite and at most 2**53 - 1 Wh")
    return np.rint(values).astype(np.int64)


def _whole(text: str, scales: dict[str, Decimal], example: str) -> int:
    match = _QUANTITY.match(text)
    if match is None or match[2].lower() not in scales:
        raise ValueError(f"{text!r} is not a number with a unit; write it like {example!r}")
    try:
        value = Decimal(match[1]) * scales[match[2].lower()]
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number; write it like {example!r}") from error
    if value != value.to_integral_value():
        raise ValueError(f"{text!r} is finer than the smallest unit of the market")
    if abs(value) > MAX_EXACT:
        raise ValueError(f"{text!r} is larger than the market can carry")
    return int(value)
