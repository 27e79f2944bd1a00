"""A network learns to control batteries, and is compared with rule, plan and bound on homes and years it never saw.

    pip install 'wattbook[deep]'
    python -m benchmarks.learning --tariff time-of-use --picture docs/images/learning.svg

The learner is PPO (Schulman et al. 2017) of Stable-Baselines3, as it comes: two hidden layers of 64. It decides once an
hour what a battery keeps (`agents.dispatch`), trained on made homes of the seeds 1001 and up, all in step. What is
stored counts at the lowest price while it learns (Ng, Harada and Russell 1999: that changes no best policy), and sites
weigh by their batteries. The curve is measured on the five recorded buildings of `benchmarks/battery.py`, the
comparison there and on homes of the seeds 1 and up, each for a part of the year. It was trained on none of them.

Same seed, machine and versions: same weights. Other machines may differ in the last bits, and then in everything.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.dispatch import Dispatch, Sites
from agents.dispatch_environment import allowed, observed
from agents.intervals import interval
from benchmarks import homes
from benchmarks.learning_curve import Curve, picture

try:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError(
        f"benchmarks.learning needs the package stable-baselines3 ({error}); "
        "install it with pip install 'wattbook[deep]'"
    ) from error

Floats = NDArray[np.float64]

HOLD = 4
"""Slots for which a decision stands."""
TOGETHER, EPISODE_DAYS = 32, 7
DISCOUNT = 0.99
"""Per decision: what comes four days later counts 0.4."""
SETTINGS: dict[str, Any] = {
    "n_steps": 96, "batch_size": 512, "gamma": DISCOUNT, "policy_kwargs": {"log_std_init": -0.5}, "device": "cpu",
}  # fmt: skip
HELD_OUT_DAYS = 56
"""Of each held-out home, spread over the year: plans for whole years would take many times the training."""
RATE = 1e-3
"""Of learning; falls to 0 over the training."""
POINTS = 8
"""Of the curve, beside its beginning."""


class Columns(VecEnv):
    """Many episodes of `Dispatch` in step, as the library wants them."""

    render_mode = None

    def __init__(self, sites: Sites, seed: int) -> None:
        super().__init__(TOGETHER, observed(), allowed("reserve"))
        self._play, self._rng = Dispatch(sites), np.random.default_rng(seed)
        self._cheap = sites.buy.min(axis=1)
        self._unit = sites.buy.mean(axis=1) * sites.battery.capacity_uwh / 1e7
        """A tenth of what a full battery costs."""
        self._rows = np.zeros(TOGETHER, dtype=np.int64)
        self._left = 0
        self._actions = np.zeros((TOGETHER, 1))

    def reset(self) -> Any:
        sites, rng = self._play.sites, self._rng
        self._rows = rng.integers(len(sites), size=TOGETHER)
        days = rng.integers(7, sites.slots // sites.day - EPISODE_DAYS + 1, size=TOGETHER)
        self._play.begin(self._rows, days * sites.day, rng.random(TOGETHER))
        self._left = EPISODE_DAYS * sites.day
        return self._play.observe()

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        before = self._worth()
        saved = sum(self._play.step(self._actions[:, 0]) for _ in range(HOLD))
        rewards = (saved + DISCOUNT * self._worth() - before) / self._unit[self._rows]
        self._left -= HOLD
        seen, over = self._play.observe(), self._left == 0
        told: list[dict[str, Any]] = [{} for _ in range(TOGETHER)]
        if over:
            told = [{"terminal_observation": row, "TimeLimit.truncated": True} for row in seen]
            seen = self.reset()
        return seen, rewards.astype(np.float32), np.full(TOGETHER, over), told

    def _worth(self) -> Floats:
        return np.asarray(self._play.battery.stored_wh * self._cheap[self._rows])

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * TOGETHER

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        return [getattr(self, method_name)(*method_args, **method_kwargs)] * TOGETHER

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * TOGETHER


class Watch(BaseCallback):
    """Calls `look` with the number of decisions, at the beginning and then at equal distances."""

    def __init__(self, steps: int, look: Callable[[int], None]) -> None:
        super().__init__()
        self._every, self._look, self._next = max(steps // POINTS, 1), look, 0

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._look(self.num_timesteps)
            self._next += self._every

    def _on_step(self) -> bool:
        return True


def train(sites: Sites, steps: int, seed: int, look: Callable[[int, PPO], None]) -> PPO:
    """A policy after `steps` decisions; `look` is called with what is learnt so far, at last with the whole."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = PPO("MlpPolicy", Columns(sites, seed), seed=seed, learning_rate=lambda left: RATE * left, **SETTINGS)
    model.learn(steps, callback=Watch(steps, lambda done: look(done, model)))
    look(model.num_timesteps, model)
    return model


def followed(sites: Sites, model: PPO) -> Floats:
    """(B,) bills [EUR] if a policy's mean action is followed over the whole time."""
    play, saved = Dispatch(sites), np.zeros(len(sites))
    for slot in range(sites.slots):
        if slot % HOLD == 0:
            action, _ = model.predict(play.observe(), deterministic=True)  # type: ignore[arg-type,unused-ignore]
        saved += play.step(action[:, 0])
    return homes.bills(sites) - saved


def learnt(sites: Sites, there: Sites, steps: int, seed: int) -> tuple[PPO, Curve]:
    """A policy, and what it saved `there` at several times of its training, printed as it comes."""
    none = homes.bills(there).sum()
    curve: Curve = []

    def look(done: int, model: PPO) -> None:
        curve.append((done, float(1 - followed(there, model).sum() / none)))
        print(f"training {seed}: {done:9,d} decisions, {curve[-1][1]:6.1%} saved", flush=True)

    started = time.process_time()
    model = train(sites, steps, seed, look)
    print(f"training {seed}: {time.process_time() - started:.0f} CPU seconds, the curve's included", flush=True)
    return model, curve


def compared(title: str, sites: Sites, bills: dict[str, Floats], policies: Sequence[Floats]) -> dict[str, Any]:
    """Print and return what each method saves; policies by their mean over the trainings, the spread beside it."""
    none, learner = homes.bills(sites), np.mean(policies, axis=0)
    least = bills["bound"]
    assert all((found >= least - 1e-6).all() for found in (*bills.values(), *policies)), "cheaper than the bound"
    days = sites.slots // sites.day
    print(f"\n{title}: {len(none)} of them, each for {days} days, {none.mean():.0f} EUR without a battery")
    print("method                         saved      EUR   the network saves more by, EUR      in")
    rows: dict[str, Any] = {}
    for name, found in {"network": learner, **bills}.items():
        saved, more = 1 - found.sum() / none.sum(), found - learner
        mean, low, high, _ = interval(more.tolist())
        rows[name] = {"saved": saved, "eur": float((none - found).mean()), "more": [mean, low, high]}
        line = f"{name:29s} {saved:6.1%} {rows[name]['eur']:8.0f}"
        if name == "network":
            each = [1 - policy.sum() / none.sum() for policy in policies]
            rows[name]["trainings"] = each
            print(f"{line}   trainings {min(each):.1%} to {max(each):.1%}")
        else:
            print(f"{line}   {mean:9.1f} [{low:7.1f}, {high:7.1f}]   {(more > 0).sum():3d} of {len(more)}", flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tariff", choices=sorted(homes.TARIFFS), default="time-of-use")
    parser.add_argument("--steps", type=int, default=500_000, help="decisions of a training")
    parser.add_argument("--trainings", type=int, default=3)
    parser.add_argument("--homes", type=int, default=24, help="made homes to train on")
    parser.add_argument("--held-out", type=int, default=20, help="made homes to compare on, at least 2")
    parser.add_argument("--days", type=int, default=366, help="length of everybody's year, at least 21")
    parser.add_argument("--picture", type=Path, help="draw the curve there, as SVG")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    chosen = parser.parse_args(arguments)
    if not 21 <= chosen.days <= 366 or chosen.held_out < 2 or min(chosen.steps, chosen.trainings, chosen.homes) < 1:
        parser.error("--days must be from 21 to 366, --held-out at least 2, all others at least 1")
    sites = homes.made(range(1001, 1001 + chosen.homes), homes.TO_TRAIN, chosen.days, chosen.tariff)
    there = homes.recorded(chosen.days, chosen.tariff)
    print(
        f"{chosen.tariff}, {chosen.days} days, {chosen.homes} homes to train on; the curve is of the recorded buildings"
    )
    trained = [learnt(sites, there, chosen.steps, seed) for seed in range(1, chosen.trainings + 1)]
    models, curves = [model for model, _ in trained], [curve for _, curve in trained]
    figures: dict[str, Any] = {"curves": curves}
    held_out = homes.made(range(1, chosen.held_out + 1), homes.HELD_OUT, chosen.days, chosen.tariff)
    held_out = homes.stretches(held_out, min(HELD_OUT_DAYS, chosen.days))
    for title, each in (("recorded buildings", there), ("held-out homes", held_out)):
        policies = [followed(each, model) for model in models]
        figures[title] = compared(title, each, homes.opponents(each), policies)
    if chosen.picture:
        lines = {name: row["saved"] for name, row in figures["recorded buildings"].items() if name != "network"}
        picture(curves, lines, chosen.picture)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
