"""Figures per participant, per group and per origin of energy, as tables; docs/metrics.md has each with its source.

They follow from what is in a ledger: trades, meters, and meters of generation. `agents.told` reads them from one, a run
has the same of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.indicators import concentration, dispersion, factor, fairness, lerner
from agents.metrics import UTILITY, Accounts, Physics, Trades, share
from agents.population import SOURCES
from agents.record import Record
from market.units import NANO, PRICE_PER_CT_KWH

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Books(NamedTuple):
    """The delivered slots of a market: P participants, T slots, M trades. Energy in Wh, money in nano-currency."""

    names: list[str]
    groups: list[str]
    sources: list[str]
    """(P,) origin of what each generates itself, empty without."""
    traded: Trades
    origins: list[str]
    """(M,) origin of the energy of each trade, empty where none is stated."""
    account: Accounts
    load: Ints
    """(P,) consumption, own generation that served it included."""
    generation: Ints
    """(P,)"""
    metered: Ints
    """(P, T) at the connection, injection positive."""
    lost: Ints
    """(P,) what each paid for of what the wires lost."""
    slot_hours: float
    retail: Ints
    feed_in: Ints
    """(T,) each: the utility's prices [milli-currency/MWh]."""
    factors: Mapping[str, float]
    """g CO2 eq per kWh by origin, `grid` among them."""


def of_run(record: Record, traded: Trades, account: Accounts, physical: Physics) -> Books:
    """The books of a run."""
    people = record.population
    return Books(
        people.ids, people.groups, [SOURCES[source] for source in people.source.tolist()], traded,
        [deal.event.source for deal in record.desk.trades], account, physical.load.sum(axis=1),
        physical.generation.sum(axis=1), record.metered, record.losses.sum(axis=1), record.scenario.slot_hours,
        record.desk.retail, record.desk.feed_in, record.scenario.emissions.model_dump(),
    )  # fmt: skip


def participants(books: Books) -> pd.DataFrame:
    """A row per participant: energy [kWh], peaks [kW], money [currency], prices [ct/kWh], shares, emissions [kg]."""
    account, traded = books.account, books.traded
    people, tariff = len(books.names), at_tariff(books)
    sold, bought = account.sold_local, account.bought_local
    worth = np.where(traded.local, traded.price * traded.quantity, 0)
    cost = np.where(traded.local, (traded.price + traded.fee) * traded.quantity, 0)
    kilowatts = books.metered / books.slot_hours / 1000
    return pd.DataFrame(
        {
            "participant": books.names,
            "group": books.groups,
            "load_kwh": books.load / 1000,
            "generation_kwh": books.generation / 1000,
            "sold_local_kwh": sold / 1000,
            "bought_local_kwh": bought / 1000,
            "sold_utility_kwh": account.sold_utility / 1000,
            "bought_utility_kwh": account.bought_utility / 1000,
            "self_sufficiency": _shares(books.load - account.bought_utility, books.load),
            "self_consumption": _shares(books.generation - account.sold_utility, books.generation),
            "import_kw": np.maximum(-kilowatts, 0).max(axis=1, initial=0.0),
            "export_kw": np.maximum(kilowatts, 0).max(axis=1, initial=0.0),
            "received_ct": _shares(_sums(traded.seller, worth, people), sold) / PRICE_PER_CT_KWH,
            "paid_ct": _shares(_sums(traded.buyer, cost, people), bought) / PRICE_PER_CT_KWH,
            "share_of_sales": _shares(sold, np.full(people, sold.sum())),
            "fees": account.fees / NANO,
            "losses_kwh": books.lost / 1000,
            "losses": account.losses / NANO,
            "bill": -account.money / NANO,
            "bill_at_tariff": -tariff / NANO,
            "saved_at_tariff": (account.money - tariff) / NANO,
            "co2_kg": emissions(books),
        }
    )


def at_tariff(books: Books) -> Ints:
    """(P,) what the utility would have paid for what was metered, less what it would have charged [nano-currency]."""
    metered = books.metered
    sold, bought = np.maximum(metered, 0), np.maximum(-metered, 0)
    return np.asarray(sold @ books.feed_in - bought @ books.retail, dtype=np.int64)


def emissions(books: Books) -> Floats:
    """(P,) kg CO2 eq of what each consumed, by contracts: own generation that was not sold, energy bought from
    neighbours by the origin of the trade, and the utility's energy with what the wires lost by the factor of the grid.

    After the market-based method of the Greenhouse Gas Protocol's Scope 2 Guidance (2015): whoever buys energy buys
    what it emitted, whoever sells it is rid of that.
    """
    account, traded, people = books.account, books.traded, len(books.names)
    own = np.array([factor(source, books.factors) if source else 0.0 for source in books.sources])
    kept = books.generation - account.sold_local - account.sold_utility
    each = np.array([factor(origin, books.factors) for origin in books.origins])
    grams = own * kept
    weight = np.where(traded.local, traded.quantity * each, 0.0) if len(each) else np.zeros(0)
    inside = traded.buyer != UTILITY
    grams = grams + np.bincount(traded.buyer[inside], weight[inside], people)
    grams = grams + books.factors["grid"] * (account.bought_utility + books.lost)
    return np.asarray(grams / 1e6)


def groups(table: pd.DataFrame, saving: str, benefit: str) -> dict[str, dict[str, Any]]:
    """Per group of a table of participants: members, the sums of energy, money and emissions, shares, and how evenly
    what the columns `saving` and `benefit` say fell on its members.
    """
    summed = [str(name) for name in table if str(name) in SUMMED]
    found: dict[str, dict[str, Any]] = {}
    for name, rows in table.groupby("group", sort=False):
        sums = {column: float(rows[column].sum()) for column in summed}
        load, generation = sums["load_kwh"], sums["generation_kwh"]
        ours = rows[[saving, benefit]].to_numpy() * NANO
        gained, saved = np.rint(ours[:, 1]).astype(np.int64), np.rint(ours[:, 0]).astype(np.int64)
        found[str(name)] = {
            "participants": len(rows),
            **sums,
            "self_sufficiency": share(load - sums["bought_utility_kwh"], load),
            "self_consumption": share(generation - sums["sold_utility_kwh"], generation),
            "g_per_kwh": share(1000 * sums["co2_kg"], load),
            **fairness(gained, saved),
            "profit_dispersion": dispersion(gained),
        }
    return found


SUMMED = (
    "load_kwh", "generation_kwh", "sold_local_kwh", "bought_local_kwh", "sold_utility_kwh", "bought_utility_kwh",
    "share_of_sales", "fees", "losses_kwh", "losses", "bill", "bill_without", "saving", "benefit", "bill_at_tariff",
    "saved_at_tariff", "co2_kg", "co2_without_kg", "shed_kwh", "lost_load", "load_without_kwh",
    "bought_utility_without_kwh",
)  # fmt: skip
"""Columns of participants whose sums mean something."""


def origins(books: Books, generated: Mapping[str, int]) -> pd.DataFrame:
    """A row per origin of energy: generated (as given, Wh), sold locally, its share of sales and mean price, how many
    sell it and how concentrated they are, Lerner's index of its sales, and what its generation emitted.
    """
    traded, origin = books.traded, np.array(books.origins, dtype=np.str_)
    total = int(traded.quantity[traded.local].sum())
    rows = []
    for name in sorted({*generated, *origin[traded.local].tolist()} - {""}):
        here = traded.local & (origin == name)
        energy, money = int(traded.quantity[here].sum()), int((traded.price * traded.quantity)[here].sum())
        sellers = _sums(traded.seller, np.where(here, traded.quantity, 0), len(books.names))
        mean, made = share(money, energy), generated.get(name, 0)
        rows.append(
            {
                "source": name,
                "generation_kwh": made / 1000,
                "sold_local_kwh": energy / 1000,
                "share_of_sales": share(energy, total),
                "price_ct": None if mean is None else mean / PRICE_PER_CT_KWH,
                "sellers": int(np.count_nonzero(sellers)),
                "hhi_sellers": concentration(sellers),
                "lerner": lerner(Trades(*(column[here] for column in traded))),
                "co2_kg": made * factor(name, books.factors) / 1e6,
            }
        )
    return pd.DataFrame(rows)


def _shares(parts: Ints, wholes: Ints) -> Floats:
    """Quotients, NaN where there is no whole."""
    quotient: Floats = np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes != 0)
    return quotient


def _sums(rows: Ints, amounts: Ints, people: int) -> Ints:
    total = np.zeros(people + 1, dtype=np.int64)
    np.add.at(total, rows, amounts)
    return total[:people]
