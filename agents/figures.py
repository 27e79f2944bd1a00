"""What a data collector may ask of a model: figures of the step that has just ended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.desk import Desk
from agents.record import Record
from agents.scenario import Scenario
from market.exchange import Exchange
from market.slots import format_time
from market.units import NANO, PRICE_PER_CT_KWH

Ints = NDArray[np.int64]

MODEL_COLUMNS = (
    "slot", "delivery", "orders", "trades", "traded_kwh", "price_ct", "u_min_pu", "u_max_pu", "loading_max",
    "loss_kwh", "bills",
)  # fmt: skip
AGENT_COLUMNS = ("participant", "group", "strategy", "bill", "sold_kwh", "bought_kwh")


class Figures:
    """Read-only properties over what a `MarketModel` keeps."""

    record: Record
    exchange: Exchange
    desk: Desk
    scenario: Scenario
    first_slot: int
    steps: int
    money: Ints
    _local: Ints

    @property
    def counts(self) -> dict[str, int]:
        """Totals so far: orders sent, local trades, their energy [Wh], matches that the wires trimmed or refused."""
        trades, energy, _ = self._local.sum(axis=0).tolist()
        orders = sum(self.record.orders)
        return {"orders": orders, "trades": trades, "wh": energy, "limited": len(self.desk.limits)}

    @property
    def slot(self) -> int:
        """Number of the slot whose gate has closed."""
        return int(self.first_slot + self.steps - 1)

    @property
    def delivery(self) -> str:
        """Begin of its delivery, ISO 8601 UTC."""
        return format_time(self.exchange.clock.start(self.slot))

    @property
    def orders(self) -> int:
        """Orders and changes of orders in the step, of all open slots."""
        return self.record.orders[-1]

    @property
    def trades(self) -> int:
        """Local trades of the slot."""
        return int(self._local[self.steps - 1, 0])

    @property
    def traded_kwh(self) -> float:
        return int(self._local[self.steps - 1, 1]) / 1000

    @property
    def price_ct(self) -> float:
        """Volume-weighted price of the slot's local trades [ct/kWh]; NaN without any."""
        _, energy, money = self._local[self.steps - 1].tolist()
        return money / energy / PRICE_PER_CT_KWH if energy else float("nan")

    @property
    def u_min_pu(self) -> float:
        return float(self.record.flows[-1].u_low_pu.min())

    @property
    def u_max_pu(self) -> float:
        return float(self.record.flows[-1].u_high_pu.max())

    @property
    def loading_max(self) -> float:
        """Largest loading of a branch, 1 is full."""
        return float(self.record.flows[-1].loading.max(initial=0.0))

    @property
    def loss_kwh(self) -> float:
        return float(self.record.flows[-1].loss_w[0]) * self.scenario.slot_hours / 1000

    @property
    def bills(self) -> float:
        """What all participants have paid less what they have received so far."""
        return -int(self.money.sum()) / NANO
