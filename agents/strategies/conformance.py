"""What every strategy must keep to, as one call: put `check_strategy(lambda: MyStrategy())` into your own tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agents.strategies import Strategy
from agents.strategies.columns import NO_PRICE, Ints, Market, Orders, Shouts, Traders

_CALLS = 12


def check_strategy(make: Callable[[], Strategy], *, keeps_limit: bool = True, seed: int = 0) -> None:
    """Play a strategy through seeded markets; AssertionError says what it broke.

    Checked: well-formed orders on the tick grid, within the market's range and the quantity left; never past the
    limit (unless `keeps_limit` is False); same seed, same quotes; inputs untouched; no participant's quote depends
    on another's limit or quantity; works with no want, one want and slots that come and go.
    """
    first = _play(make(), seed)
    for call, (traders, market, orders) in enumerate(first):
        _check_orders(f"call {call}", traders, market, orders, keeps_limit)
    again = _play(make(), seed)
    for call, ((_, _, one), (_, _, two)) in enumerate(zip(first, again, strict=True)):
        assert _same(one, two), f"call {call}: the same seed gave other orders"
    _check_privacy(make, seed)
    for wants in (0, 1):
        for call, (traders, market, orders) in enumerate(_play(make(), seed, wants=wants)):
            _check_orders(f"{wants} wants, call {call}", traders, market, orders, keeps_limit)


def _check_orders(where: str, traders: Traders, market: Market, orders: Orders, keeps_limit: bool) -> None:
    index = np.asarray(orders.index)
    price, quantity = np.asarray(orders.price), np.asarray(orders.quantity)
    assert index.shape == price.shape == quantity.shape == (index.size,), f"{where}: columns differ in length"
    for name, column in (("index", index), ("price", price), ("quantity", quantity)):
        assert column.dtype.kind == "i" or not len(column), f"{where}: {name} must be integers, got {column.dtype}"
    assert len(np.unique(index)) == len(index), f"{where}: a want is quoted twice"
    assert ((index >= 0) & (index < len(traders))).all(), f"{where}: index out of range"
    if not len(index):
        return
    index = index.astype(np.int64)
    assert ((quantity >= 0) & (quantity <= traders.quantity[index])).all(), f"{where}: more than what is left"
    on_tick = (price - market.floor) % market.tick == 0
    assert on_tick.all(), f"{where}: price is not a whole number of ticks ({market.tick}) above the floor"
    inside = (price >= market.floor) & (price <= market.cap)
    assert inside.all(), f"{where}: price outside the market's range {market.floor} .. {market.cap}"
    if keeps_limit:
        limit, sell = traders.limit[index], traders.sell[index]
        kept = np.where(sell, price >= limit, price <= limit)
        assert kept.all(), f"{where}: a quote passes its limit: {price[~kept][0]} against {limit[~kept][0]}"


def _check_privacy(make: Callable[[], Strategy], seed: int) -> None:
    """Key 0 keeps its own limits while everybody else's change: its quotes must not."""
    one = _play(make(), seed)
    two = _play(make(), seed, others=17_000)
    for call, ((traders, _, left), (_, _, right)) in enumerate(zip(one, two, strict=True)):
        mine = np.flatnonzero(traders.key == 0)
        quoted = [_quotes_of(orders, mine) for orders in (left, right)]
        assert quoted[0] == quoted[1], f"call {call}: a quote depends on the private values of others"


def _quotes_of(orders: Orders, rows: Ints) -> list[tuple[int, int, int]]:
    columns = zip(orders.index.tolist(), orders.price.tolist(), orders.quantity.tolist(), strict=True)
    wanted = set(rows.tolist())
    return sorted(quote for quote in columns if quote[0] in wanted)


def _same(one: Orders, two: Orders) -> bool:
    pairs = ((one.index, two.index), (one.price, two.price), (one.quantity, two.quantity))
    return one.immediate == two.immediate and all(np.array_equal(a, b) for a, b in pairs)


def _play(strategy: Strategy, seed: int, *, wants: int = 24, others: int = 0) -> list[tuple[Traders, Market, Orders]]:
    """Calls with the public view of a seeded market; `others` is added to every limit but that of key 0."""
    scene = np.random.default_rng(seed)
    rng = np.random.default_rng(seed + 1)
    sell = scene.random(wants) < 0.5
    limit = np.where(sell, scene.integers(-20_000, 250_000, wants), scene.integers(60_000, 340_000, wants))
    limit[1:] += others
    played = []
    for call in range(_CALLS):
        slots = np.arange(100 + call // 4, 102 + call // 3, dtype=np.int64)
        traders = _traders(scene, slots, sell, limit, others)
        market = _market(scene, slots, call)
        before = [column.copy() for column in (traders.limit, traders.quantity, market.bid, market.shouts.price)]
        orders = strategy.quote(traders, market, rng)
        after = (traders.limit, traders.quantity, market.bid, market.shouts.price)
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), f"call {call}: input changed"
        played.append((traders, market, orders))
    return played


def _traders(scene: np.random.Generator, slots: Ints, sell: NDArray[np.bool_], limit: Ints, others: int) -> Traders:
    keys = len(limit)
    column, key = np.divmod(np.arange(keys * len(slots), dtype=np.int64), max(keys, 1))
    quantity = scene.integers(1, 5_000, len(key))
    quantity[key != 0] += others
    live = np.where(scene.random(len(key)) < 0.5, 200_070, NO_PRICE)
    traders = Traders(keys, key, column, sell[key], limit[key], quantity, live)
    for array in (key, column, traders.sell, traders.limit, quantity, live):
        array.flags.writeable = False
    return traders


def _market(scene: np.random.Generator, slots: Ints, call: int) -> Market:
    size, heard = len(slots), int(scene.integers(0, 30)) if call else 0
    bid = np.where(scene.random(size) < 0.8, scene.integers(80, 150, size) * 1000 + 70, NO_PRICE)
    ask = np.where(scene.random(size) < 0.8, scene.integers(160, 300, size) * 1000 + 70, NO_PRICE)
    shouts = Shouts(
        np.sort(scene.integers(0, size, heard)),
        scene.random(heard) < 0.5,
        scene.integers(500, 3_500, heard) * 100 + 70,
        scene.random(heard) < 0.3,
    )
    public = Market(
        number=slots, bid=bid, ask=ask, last=np.full(size, NO_PRICE),
        seconds_to_gate=np.linspace(900.0, 900.0 * size, size),
        rounds_done=np.full(size, call), rounds_left=np.full(size, _CALLS - call), shouts=shouts,
        floor=-50_030, cap=400_070, tick=100,
        retail=np.full(size, 300_070), feed_in=np.full(size, 80_070), grid_fee=0,
    )  # fmt: skip
    for array in (public.number, public.bid, public.ask, public.last, public.shouts.price, public.shouts.slot):
        array.flags.writeable = False
    return public
