"""Strategies: what each must do, and what all must keep to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from agents.strategies import NO_PRICE, STRATEGIES, Market, Orders, Shouts, StrategyError, Traders, check, create
from agents.strategies.columns import quote_all, round_to_trade, tick_limits
from agents.strategies.conformance import check_strategy
from agents.strategies.zip import Zip

FLOOR, CAP, TICK = -50_000, 400_000, 100


def shouts(*rows: tuple[bool, int, bool]) -> Shouts:
    """Rows of (ask?, price, accepted?), all in the first slot."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return Shouts(
        np.zeros(len(rows), dtype=np.int64),
        np.array(columns[0], dtype=np.bool_),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.bool_),
    )


def market(heard: Shouts | None = None, number: int = 7, fee: int = 0) -> Market:
    one = np.array([NO_PRICE])
    return Market(
        number=np.array([number]), bid=one, ask=one, last=one, seconds_to_gate=np.array([900.0]),
        rounds_done=np.array([0]), rounds_left=np.array([5]), shouts=heard or shouts(),
        floor=FLOOR, cap=CAP, tick=TICK, retail=np.array([300_000]), feed_in=np.array([80_000]), grid_fee=fee,
    )  # fmt: skip


def traders(sell: list[bool], limit: list[int], quantity: int = 1000, keys: list[int] | None = None) -> Traders:
    count = len(sell)
    key = np.arange(count) if keys is None else np.array(keys, dtype=np.int64)
    return Traders(
        int(key.max(initial=-1)) + 1 if keys is None else max(keys) + 1, key, np.zeros(count, dtype=np.int64),
        np.array(sell, dtype=np.bool_), np.array(limit, dtype=np.int64),
        np.full(count, quantity), np.full(count, NO_PRICE),
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_registered_strategy_conforms(name: str) -> None:
    check_strategy(lambda: create(name), keeps_limit=name != "zi_u")


def test_zi_c_with_the_tariff_range_conforms() -> None:
    check_strategy(lambda: create("zi_c", {"range": "tariff"}))


@dataclass
class Nosy:
    """Bids what the best-informed seller would accept: the kit must notice."""

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        limits, exists = tick_limits(traders, market)
        lowest = limits[exists].min(initial=market.cap)
        return quote_all(traders, np.where(traders.sell, limits, np.minimum(limits, lowest)), exists)


class Greedy:
    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        return quote_all(traders, np.full(len(traders), market.floor), np.ones(len(traders), dtype=np.bool_))


class Moody:
    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        limits, exists = tick_limits(traders, market)
        return quote_all(traders, limits, exists & (np.random.default_rng().random(len(limits)) < 0.5))


@pytest.mark.parametrize(
    ("kind", "complaint"), [(Nosy, "private values"), (Greedy, "passes its limit"), (Moody, "same seed")]
)
def test_the_conformance_kit_catches(kind: type[Nosy], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_strategy(kind)


def test_zi_u_draws_from_the_whole_range_whatever_the_limit() -> None:
    crowd = traders([True] * 20_000, [100_000] * 20_000)
    price = create("zi_u").quote(crowd, market(), np.random.default_rng(0)).price
    assert price.min() < FLOOR + 100 * TICK
    assert price.max() > CAP - 100 * TICK
    assert abs(price.mean() - (FLOOR + CAP) / 2) < 0.01 * (CAP - FLOOR)


def test_zi_c_is_uniform_between_limit_and_the_end_of_the_range() -> None:
    crowd = traders([True] * 20_000 + [False] * 20_000, [100_000] * 40_000)
    price = create("zi_c").quote(crowd, market(), np.random.default_rng(0)).price
    asks, bids = price[:20_000], price[20_000:]
    assert (asks.min(), bids.max()) == (100_000, 100_000)
    assert abs(asks.mean() - 250_000) < 2_500
    assert abs(bids.mean() - 25_000) < 1_500


def test_zi_c_reaches_both_ends_of_a_small_range_and_no_more() -> None:
    crowd = traders([True] * 2_000, [CAP - 2 * TICK] * 2_000)
    price = create("zi_c").quote(crowd, market(), np.random.default_rng(0)).price
    assert set(price.tolist()) == {CAP - 2 * TICK, CAP - TICK, CAP}


def test_truthful_rounds_to_the_tick_without_a_loss() -> None:
    orders = create("truthful").quote(traders([True, False], [100_040, 100_040]), market(), np.random.default_rng(0))
    assert orders.price.tolist() == [100_100, 100_000]


def test_wishes_are_rounded_towards_the_trade_but_never_past_the_limit() -> None:
    wants = traders([True, False, True, False], [90_000, 110_000, 100_050, 99_950])
    limits, _ = tick_limits(wants, market())
    price = round_to_trade(np.array([100_060.0, 100_040.0, 100_060.0, 99_940.0]), limits, wants, market())
    assert price.tolist() == [100_000, 100_100, 100_100, 99_900]


def test_a_want_without_a_possible_price_stays_silent() -> None:
    wants = traders([True, False, True], [CAP + 1, FLOOR - 1, CAP])
    for name in ("truthful", "zi_c", "zip"):
        assert create(name).quote(wants, market(), np.random.default_rng(0)).index.tolist() == [2]


def test_utility_only_takes_what_gains_and_never_rests() -> None:
    wants = traders([True, True, False, False], [80_000, 80_001, 300_000, 299_999])
    orders = create("utility_only").quote(wants, market(), np.random.default_rng(0))
    assert orders.immediate
    assert list(zip(orders.index.tolist(), orders.price.tolist(), strict=True)) == [(0, 80_000), (2, 300_000)]


def test_utility_only_pays_no_fee_to_the_wires() -> None:
    wants = traders([False, False], [280_000, 279_999])
    orders = create("utility_only").quote(wants, market(fee=20_000), np.random.default_rng(0))
    assert orders.index.tolist() == [0]


def quoted(strategy: Zip, crowd: Traders, *rows: tuple[bool, int, bool], number: int = 7) -> list[int]:
    orders = strategy.quote(crowd, market(shouts(*rows), number), np.random.default_rng(1))
    return [int(price) for price in orders.price]


FIXED = Zip.Parameters(
    learning_rate=(0.5, 0.5), momentum=(0.0, 0.0), margin=(0.2, 0.2), target_ratio=0.0, target_ticks=0.0
)


def test_zip_starts_with_its_margin() -> None:
    assert quoted(Zip(FIXED), traders([True, False], [100_000, 250_000])) == [120_000, 200_000]


@pytest.mark.parametrize(
    ("shout", "expected"),
    [
        # ask, price, accepted -> seller at 120 000 (limit 100 000), buyer at 200 000 (limit 250 000), rate one half
        ((True, 160_000, True), [140_000, 180_000]),  # both could have had more
        ((True, 110_000, True), [120_000, 155_000]),  # an ask was taken below: the buyer may wait, the seller may not
        ((False, 110_000, True), [115_000, 155_000]),  # a bid was taken below: the seller is too dear
        ((True, 240_000, True), [180_000, 220_000]),  # an ask was taken above: the buyer is too mean
        ((True, 110_000, False), [115_000, 200_000]),  # undercut
        ((True, 130_000, False), [120_000, 200_000]),  # somebody dearer went unsold: nothing to learn
        ((False, 220_000, False), [120_000, 210_000]),  # outbid
        ((False, 90_000, False), [120_000, 200_000]),
    ],
)
def test_zip_moves_half_way_to_the_shout_where_the_paper_says_so(
    shout: tuple[bool, int, bool], expected: list[int]
) -> None:
    strategy, crowd = Zip(FIXED), traders([True, False], [100_000, 250_000])
    quoted(strategy, crowd)
    assert quoted(strategy, crowd, shout) == expected


def test_zip_hears_shouts_one_after_the_other() -> None:
    strategy, crowd = Zip(FIXED), traders([True], [100_000])
    quoted(strategy, crowd)
    assert quoted(strategy, crowd, (True, 160_000, True), (True, 120_000, False)) == [130_000]


def test_zip_of_many_shouts_hears_so_many_evenly_spread() -> None:
    crowd = traders([True], [100_000])
    prices = [120_000 + 1_000 * n for n in range(10)]
    few, all_ = (Zip(FIXED.model_copy(update={"attention": attention})) for attention in (5, 10))
    for strategy in (few, all_):
        quoted(strategy, crowd)
    every = quoted(all_, crowd, *((True, price, True) for price in prices[::2]))
    assert quoted(few, crowd, *((True, price, True) for price in prices)) == every


def test_zip_momentum_carries_the_last_step_on() -> None:
    strategy = Zip(FIXED.model_copy(update={"momentum": (0.1, 0.1)}))
    crowd = traders([True], [100_000])
    quoted(strategy, crowd)
    first = 120_000 + 0.9 * 0.5 * 40_000
    second = first + 0.1 * 18_000 + 0.9 * 0.5 * (160_000 - first)
    assert quoted(strategy, crowd, (True, 160_000, True)) == [first]
    assert quoted(strategy, crowd, (True, 160_000, True)) == [second // TICK * TICK]


def test_zip_who_has_left_the_market_only_learns_to_want_more() -> None:
    strategy, both = Zip(FIXED), traders([True, True], [100_000, 100_000])
    quoted(strategy, both)
    stays = traders([True], [100_000], keys=[1])
    quoted(strategy, Traders(2, stays.key, stays.slot, stays.sell, stays.limit, stays.quantity, stays.live),
           (True, 110_000, False), (True, 160_000, True))  # fmt: skip
    assert quoted(strategy, both) == [140_000, 137_500]


def test_zip_takes_its_margins_into_the_next_slot() -> None:
    strategy, crowd = Zip(FIXED), traders([True], [100_000])
    quoted(strategy, crowd)
    quoted(strategy, crowd, (True, 160_000, True))
    assert quoted(strategy, traders([True], [50_000]), number=8) == [70_000]


def test_zip_copes_with_limits_of_zero_and_below() -> None:
    strategy, crowd = Zip(FIXED), traders([True, True], [0, -20_000])
    assert quoted(strategy, crowd) == [1_500, -16_000]
    assert quoted(strategy, crowd, (True, -10_000, False)) == [0, -16_000]


def test_zip_finds_the_equilibrium_of_a_small_market() -> None:
    """Costs 50 .. 150, values 250 .. 150: any price near 150 clears; trading days repeat as in the paper."""
    rng = np.random.default_rng(5)
    sell = np.repeat([True, False], 11)
    limit = np.concatenate([np.arange(50_000, 160_000, 10_000), np.arange(250_000, 140_000, -10_000)])
    strategy, heard, prices = Zip(), shouts(), []
    for day in range(30):
        left = np.ones(22, dtype=np.bool_)
        for _ in range(10):
            rows = np.flatnonzero(left)
            zero = np.zeros(len(rows), dtype=np.int64)
            wants = Traders(22, rows, zero, sell[rows], limit[rows], zero + 1, zero + NO_PRICE)
            orders = strategy.quote(wants, market(heard, day), rng)
            best: dict[bool, tuple[int, int]] = {}
            said: list[tuple[bool, int, bool]] = []
            for at in rng.permutation(len(rows)).tolist():
                trader, price, asks = int(rows[at]), int(orders.price[at]), bool(sell[rows[at]])
                other = best.get(not asks)
                if other is not None and (price <= other[0] if asks else price >= other[0]):
                    said.append((asks, other[0], True))
                    left[[trader, other[1]]] = False
                    del best[not asks]
                    if day >= 20:
                        prices.append(other[0])
                    continue
                said.append((asks, price, False))
                if asks not in best or (price < best[asks][0] if asks else price > best[asks][0]):
                    best[asks] = (price, trader)
            heard = shouts(*said)
    assert abs(float(np.mean(prices)) - 150_000) < 10_000
    assert float(np.std(prices)) < 20_000


def test_the_registry_takes_classes_from_outside() -> None:
    made = create(f"{__name__}:Greedy")
    assert type(made).__name__ == "Greedy"


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("zap", {}, "unknown strategy 'zap'; use one of .*truthful"),
        ("nowhere:Thing", {}, "cannot import 'nowhere'"),
        ("agents.strategies:Thing", {}, "has no 'Thing'"),
        ("agents.strategies:create", {}, "is not a class"),
        ("agents.strategies:StrategyError", {"errors": []}, "has no method quote"),
        ("zi_c", {"range": "wide"}, "range: Input should be 'market' or 'tariff', got 'wide'"),
        ("zip", {"speed": 2}, "speed: zip has no such parameter; it has: learning_rate"),
        ("zip", {"margin": [0.5, 0.1]}, "margin: .*0 <= low <= high <= 1"),
        (f"{__name__}:Greedy", {"speed": 2}, "parameters of .*Greedy"),
    ],
)
def test_the_registry_says_what_is_wrong(name: str, parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(StrategyError, match=complaint):
        create(name, parameters)
    assert check(name, parameters)


def test_the_registry_reports_all_errors_at_once() -> None:
    assert len(check("zip", {"speed": 2, "margin": [0.5, 0.1], "target_ticks": -1})) == 3
