"""The market as an environment for reinforcement learning, over the same engine that runs and serves it (extra `rl`).

`MarketEnv` is a PettingZoo parallel environment: chosen participants, or all, are learners, the rest quote by the
scenario's strategies. `TraderEnv` is a Gymnasium environment of one learner. One episode is one run of the scenario,
one step one round (or one slot), and the seed of an episode is that of the run: `reset(seed=7)` plays the very day of
``wattbook run --seed 7``.

An action is a price for each open slot, the one whose gate comes first in front, as a level between 0 and 1: 0 the
lowest price of the range, 1 the highest. All that the learner has to trade in the slot is quoted at it, even at a loss.

The reward [ct] of participant i for a step is booked from the trades of that step, p, q and f being price, energy and
fee of a trade:

    r = Σ sold (p − v) q + Σ bought (v − p − f) q − Σ closed max(0, best outside) q_offered

where v is the value or cost of the flexible energy, for firm energy the price at which the utility settles it. The last
sum, over flexible wants whose gate has closed, is what they would have gained at the utility. So an episode's rewards
sum to the participant's `benefit` (docs/simulate.md) where the wires would have carried the utility's trades.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agents.model import MarketModel
from agents.population import Population
from agents.scenario import Scenario
from agents.strategies import NO_PRICE
from agents.strategies.columns import Market, Orders, Traders, quote_all
from agents.wants import KINDS, UTILITY, Group

try:
    import gymnasium
    from gymnasium import spaces
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise ImportError(
        f"agents.environment needs the packages gymnasium and pettingzoo ({error}); "
        "install them with pip install 'wattbook[rl]'"
    ) from error

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

ENERGIES = ("buy_firm", "buy_flexible", "sell_firm", "sell_flexible")
FEATURES = (*ENERGIES, "limit_firm", "limit_flexible", "live", "bid", "ask", "last", "time_left")
"""What is observed of each open slot, in this order. Energies as e / (e + 1 kWh); prices as the level that would quote
them, cut off at 0 and 1, and −1 where there is none; time as a share of the trading time, −1 where no slot is open."""
CLOCK = ("sine", "cosine")
"""What stands before them: the time of day at which the first open slot is delivered, on a circle."""
NANO_PER_CT = 10**7
Prices = Literal["tariff", "market"]
Decide = Literal["round", "slot"]


class MarketEnv(ParallelEnv[str, Floats, Any]):
    """A market in which several participants learn.

    `scenario` and further keywords are those of `agents.MarketModel`. `learners` are names of participants or groups;
    by default everybody learns. With `levels` an action is one of so many evenly spaced levels per slot
    (MultiDiscrete), without it any of them (Box). `prices` spans the levels over what the utility leaves, from feed-in
    to retail less the typical fee, or over the whole range of the market. `decide` asks for an action in every
    round, or once a slot. Observations have the shape (2 + 11 S,), S being how many slots are open at most: `CLOCK`,
    then `FEATURES` of each. Raises what MarketModel raises, and ValueError for choices that do not exist.
    """

    metadata = {"name": "wattbook_market_v0", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012
    render_mode = None

    def __init__(
        self,
        scenario: Scenario | str | Path = "village",
        *,
        learners: Sequence[str] | None = None,
        levels: int | None = None,
        prices: Prices = "tariff",
        decide: Decide = "round",
        **changes: Any,
    ) -> None:
        problems = []
        if levels is not None and levels < 2:
            problems.append(f"levels: need at least 2, got {levels}")
        if prices not in ("tariff", "market"):
            problems.append(f"prices: must be 'tariff' or 'market', got {prices!r}")
        if decide not in ("round", "slot"):
            problems.append(f"decide: must be 'round' or 'slot', got {decide!r}")
        if problems:
            raise ValueError("\n".join(problems))
        self._model = MarketModel(scenario, **changes)
        self._scenario = self._model.scenario
        self._prices, self._decide, self._levels = prices, decide, levels
        people = self._model.population
        self._members = _members(people, learners)
        self.possible_agents = [people.ids[row] for row in self._members.tolist()]
        self.agents: list[str] = []
        rules = self._scenario.market
        self._window = -(-(rules.opens_before - rules.gate_closure) // rules.slot)
        low = np.concatenate([[-1.0, -1.0], np.tile([0.0] * 4 + [-1.0] * 7, self._window)]).astype(np.float32)
        self._observed = {name: spaces.Box(low, np.ones_like(low)) for name in self.possible_agents}
        self._allowed = {name: self._action_space() for name in self.possible_agents}
        self._seeds = np.random.default_rng(self._scenario.seed)
        self._played = False
        self._moments: Iterator[int] = iter(())
        self._seats = _Seats(len(self._members), self._window, prices)
        self._step = self._booked = self._closed = 0

    @property
    def model(self) -> MarketModel:
        """The run of this episode: after its end `model.results()` has its tables."""
        return self._model

    def observation_space(self, agent: str) -> spaces.Box:
        return self._observed[agent]

    def action_space(self, agent: str) -> spaces.Box | spaces.MultiDiscrete:
        return self._allowed[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, dict[str, Any]]]:
        """Begin the run of `seed`. Without one the first episode has the scenario's, later ones follow from it."""
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
        elif self._played:
            seed = int(self._seeds.integers(2**31))
        else:
            seed = self._model.record.seed
        people = self._model.population if seed == self._model.record.seed else None
        self._model = model = MarketModel(self._scenario, seed=seed, population=people)
        self._played = True
        self._seats = _Seats(len(self._members), self._window, self._prices)
        # It draws nothing, but a group has a generator.
        model.desk.hand_over(Group("learner", self._seats, self._members, np.random.default_rng(seed)))
        self._moments = model.play()
        self._step, self._booked, self._closed = -1, 0, model.first_slot
        self.agents = list(self.possible_agents) if self._go_on() else []
        return self._observe(), {name: {} for name in self.possible_agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Floats], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play until the next decision. Raises ValueError with every action that is missing or not allowed."""
        if not self.agents:
            raise RuntimeError("no episode is under way; call reset() first")
        self._seats.levels[:] = self._checked(actions)
        running = self._go_on()
        rewards = self._rewards(self._model.desk.open.start if running else self._model.first_slot + self._model.slots)
        names = self.possible_agents
        over = dict.fromkeys(names, not running)
        if not running:
            self.agents = []
        money = {name: float(value) for name, value in zip(names, rewards, strict=True)}
        return self._observe(), money, over, dict.fromkeys(names, False), {name: {} for name in names}

    def render(self) -> None:
        """There is no picture; `wattbook run` writes reports."""

    def close(self) -> None:
        """Nothing is held open."""

    def _action_space(self) -> spaces.Box | spaces.MultiDiscrete:
        if self._levels is None:
            return spaces.Box(0.0, 1.0, (self._window,), np.float32)
        return spaces.MultiDiscrete([self._levels] * self._window)

    def _checked(self, actions: Mapping[str, Any]) -> NDArray[np.float64]:
        """(A, S) levels in [0, 1]."""
        found = [f"action of {name}: there is no such learner" for name in actions if name not in self._allowed]
        rows = np.zeros((len(self.possible_agents), self._window))
        most = 1.0 if self._levels is None else self._levels - 1
        for row, name in enumerate(self.possible_agents):
            if name not in actions:
                found.append(f"action of {name}: is missing")
                continue
            given = np.asarray(actions[name])
            whole = self._levels is None or given.dtype.kind in "iu"
            # A comparison with NaN is false.
            good = given.dtype.kind in "iuf" and given.shape == (self._window,) and whole
            if not good or not ((given >= 0) & (given <= most)).all():
                kind = "numbers" if self._levels is None else "whole numbers"
                found.append(f"action of {name}: need {self._window} {kind} from 0 to {most:g}, got {actions[name]!r}")
                continue
            rows[row] = given / most
        if found:
            raise ValueError("\n".join(found))
        return rows

    def _go_on(self) -> bool:
        """Play until learners may decide again; False if the run has ended instead."""
        model = self._model
        for moment in self._moments:
            model.drain()
            # A step's last moments are the gate closure and, at the end, the deliveries: nobody quotes in them.
            if moment >= model.exchange.clock.gate(model.first_slot + model.steps - 1):
                continue
            if self._decide == "slot" and model.steps == self._step:
                continue
            self._step = model.steps
            model.visit(moment, [])
            return True
        return False

    def _rewards(self, end: int) -> NDArray[np.float64]:
        """(A,) [ct] of all that happened since the last call; slots before `end` have closed."""
        model, desk = self._model, self._model.desk
        column = desk.slot - model.first_slot
        outside = np.where(desk.sell, desk.feed_in[column], desk.retail[column])
        worth = np.where(desk.flexible, desk.value, outside)
        money = np.zeros(len(model.population), dtype=np.int64)
        for _, buy, sell, trade in desk.trades[self._booked :]:
            if buy != UTILITY:
                money[desk.member[buy]] += (int(worth[buy]) - trade.price - trade.fee) * trade.quantity
            if sell != UTILITY:
                money[desk.member[sell]] += (trade.price - int(worth[sell])) * trade.quantity
        self._booked = len(desk.trades)
        gain = np.maximum(np.where(desk.sell, outside - desk.value, desk.value - outside), 0) * desk.flexible
        for slot in range(self._closed, end):
            rows = desk.rows(slot)
            np.subtract.at(money, desk.member[rows], gain[rows] * desk.offered[rows])
        self._closed = max(self._closed, end)
        return money[self._members] / NANO_PER_CT

    def _observe(self) -> dict[str, Floats]:
        """Every learner's own wants and what anybody may know."""
        model, window, count = self._model, self._window, len(self._members)
        desk, public = model.desk, model.look()
        low, span = _range(public, self._prices)
        seen = np.full((count, window, len(FEATURES)), -1.0)
        seen[:, :, :KINDS] = 0.0
        slots = len(public.number)
        begin, end = (desk.rows(slot) for slot in (public.number[0], public.number[-1])) if slots else (None, None)
        if begin is not None and end is not None:
            rows = np.arange(begin.start, end.stop)
            place = np.full(len(model.population), -1)
            place[self._members] = np.arange(count)
            rows = rows[(place[desk.member[rows]] >= 0) & (desk.left[rows] > 0) & (desk.battery[rows] < 0)]
            who, column, flexible = place[desk.member[rows]], desk.slot[rows] - public.number[0], desk.flexible[rows]
            seen[who, column, desk.kind[rows]] = desk.left[rows] / (desk.left[rows] + 1000)
            seen[who, column, KINDS + flexible] = _level(desk.limit[rows], low[column], span[column])
            lives = desk.live[rows] != NO_PRICE
            who, column, rows = who[lives], column[lives], rows[lives]
            seen[who, column, KINDS + 2] = _level(desk.live[rows], low[column], span[column])
        for number, prices in enumerate((public.bid, public.ask, public.last), KINDS + 3):
            seen[:, :slots, number] = np.where(prices == NO_PRICE, -1.0, _level(prices, low, span))
        rules = self._scenario.market
        seen[:, :slots, -1] = np.clip(public.seconds_to_gate / (rules.opens_before - rules.gate_closure), 0.0, 1.0)
        first = int(public.number[0]) if slots else desk.open.start
        angle = 2 * np.pi * (first * rules.slot % 86_400) / 86_400
        clock = np.tile([np.sin(angle), np.cos(angle)], (count, 1))
        table = np.concatenate([clock, seen.reshape(count, -1)], axis=1).astype(np.float32)
        return dict(zip(self.possible_agents, table, strict=True))


class TraderEnv(gymnasium.Env[Any, Any]):
    """A market in which one participant learns and all others quote by the scenario's strategies.

    `trader` is its name; all else is as in `MarketEnv`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, scenario: Scenario | str | Path = "village", *, trader: str, **options: Any) -> None:
        self._market = MarketEnv(scenario, learners=[trader], **options)
        if len(self._market.possible_agents) != 1:
            raise ValueError(f"trader: {trader!r} is a group of several; name one: {self._market.possible_agents[0]}")
        (self._name,) = self._market.possible_agents
        self.observation_space = self._market.observation_space(self._name)
        self.action_space = self._market.action_space(self._name)

    @property
    def model(self) -> MarketModel:
        """The run of this episode."""
        return self._market.model

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode, see `MarketEnv.reset`."""
        super().reset(seed=seed)
        seen, told = self._market.reset(seed, options)
        return seen[self._name], told[self._name]

    def step(self, action: Any) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Play until the next decision, see `MarketEnv.step`."""
        name = self._name
        seen, reward, over, cut, told = self._market.step({name: action})
        return seen[name], reward[name], over[name], cut[name], told[name]


class _Seats:
    """The strategy of those who learn: it quotes what they were told to."""

    def __init__(self, learners: int, window: int, prices: Prices) -> None:
        self.levels = np.zeros((learners, window))
        self._prices = prices

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        low, span = _range(market, self._prices)
        wish = low[traders.slot] + self.levels[traders.key // KINDS, traders.slot] * span[traders.slot]
        steps = np.rint((wish - market.floor) / market.tick).astype(np.int64)
        price = market.floor + np.clip(steps, 0, (market.cap - market.floor) // market.tick) * market.tick
        return quote_all(traders, price, np.ones(len(traders), dtype=np.bool_))


def _range(market: Market, prices: Prices) -> tuple[Ints, Ints]:
    """(S,) lowest price of the levels in each open slot, and how far they reach, at least a tick."""
    low, high = market.feed_in, market.retail - market.grid_fee
    if prices == "market":
        low, high = np.full_like(low, market.floor), np.full_like(high, market.cap)
    return low, np.maximum(high - low, market.tick)


def _level(price: Ints, low: Ints, span: Ints) -> NDArray[np.float64]:
    level: NDArray[np.float64] = np.clip((price - low) / span, 0.0, 1.0)
    return level


def _members(people: Population, learners: Sequence[str] | None) -> Ints:
    """Rows of the named participants and groups, rising. Raises ValueError with every name that is neither."""
    if learners is None:
        return np.arange(len(people))
    unknown = [name for name in learners if name not in people.ids and name not in people.groups]
    if unknown or not learners:
        known = ", ".join(dict.fromkeys(people.groups))
        raise ValueError(
            "\n".join(f"learners: there is no participant or group {name!r}; groups: {known}" for name in unknown)
            or "learners: give at least one name of a participant or group, or None for all"
        )
    wanted = set(learners)
    rows = [row for row, name in enumerate(people.ids) if name in wanted or people.groups[row] in wanted]
    return np.array(rows, dtype=np.int64)
