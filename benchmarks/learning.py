"""A policy network learns to price one plant's energy, and is compared with a rule and a plan on days it never saw.

The learner is the biogas plant of the village on a summer evening; all others quote as the scenario says. The policy is
a network of two hidden layers, the same for every open slot, whose output is the mean of a normal distribution over the
logit of the price level. It is trained by policy gradient (Williams 1992, "REINFORCE") with the mean return of a batch
at the same step as baseline, and Adam (Kingma and Ba 2015). It is written out in numpy: the libraries of deep learning
would bring gigabytes for a network of a few hundred weights.

    python -m benchmarks.learning [--episodes 400] [--held-out 20]

Seeds: training draws its own, the curve is measured on seeds 1001 to 1005, the comparison is made on seeds 1 to 20.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import MarketModel
from agents.environment import CLOCK, FEATURES, TraderEnv
from agents.intervals import interval
from agents.scenario import Scenario
from scenarios import load

Floats = NDArray[np.float64]

TRADER, GROUP = "biogas-001", "biogas"
WIDTH, BATCH, RATE = 16, 8, 0.02
CURVE = range(1001, 1006)


def evening() -> Scenario:
    """A summer evening in the village: eight slots in which the sun goes down."""
    changes = {"time.start": "2016-06-08T17:00Z", "time.days": None, "time.slots": 8, "grid.gate": "linear"}
    return load("village").changed(**changes, **{"output.compare": ["no_local_trading"]})


class Policy:
    """Two hidden layers of tanh, applied to every slot; weights, and Adam's two moments of their gradients."""

    def __init__(self, rng: np.random.Generator) -> None:
        sizes = (len(CLOCK) + len(FEATURES), WIDTH, WIDTH, 1)
        self.weights: list[Floats] = []
        for before, after in pairwise(sizes):
            self.weights += [rng.normal(0, before**-0.5, (before, after)), np.zeros(after)]
        self.weights.append(np.array([-0.5]))  # logarithm of the standard deviation
        self._first = [np.zeros_like(weight) for weight in self.weights]
        self._second = [np.zeros_like(weight) for weight in self.weights]
        self._updates = 0

    def mean(self, inputs: Floats) -> tuple[Floats, list[Floats]]:
        """(n,) mean logit for inputs (n, features), and what `gradient` needs."""
        layers = [inputs]
        for at in (0, 2):
            layers.append(np.tanh(layers[-1] @ self.weights[at] + self.weights[at + 1]))
        return (layers[-1] @ self.weights[4] + self.weights[5])[:, 0], layers

    def gradient(self, inputs: Floats, drawn: Floats, advantage: Floats) -> list[Floats]:
        """Of Σ advantage × log π(drawn | inputs), for every weight."""
        mean, layers = self.mean(inputs)
        deviation = float(np.exp(self.weights[6][0]))
        score = (drawn - mean) / deviation
        flow = (advantage * score / deviation)[:, None]
        found: list[Floats] = [np.array([float(advantage @ (score**2 - 1))])]
        for at in (4, 2, 0):
            found += [flow.sum(axis=0), layers[at // 2].T @ flow]
            flow = (flow @ self.weights[at].T) * (1 - layers[at // 2] ** 2)
        return found[::-1]

    def climb(self, gradient: list[Floats]) -> None:
        """One step of Adam upwards."""
        self._updates += 1
        for weight, first, second, slope in zip(self.weights, self._first, self._second, gradient, strict=True):
            first += 0.1 * (slope - first)
            second += 0.001 * (slope**2 - second)
            size = np.sqrt(second / (1 - 0.999**self._updates)) + 1e-8
            weight += RATE * first / (1 - 0.9**self._updates) / size
        self.weights[6] = np.clip(self.weights[6], -2.5, 0.5)


def slots_of(seen: NDArray[Any]) -> Floats:
    """An observation as one row of inputs per slot."""
    rows = seen[len(CLOCK) :].reshape(-1, len(FEATURES)).astype(np.float64)
    return np.concatenate([np.tile(seen[: len(CLOCK)], (len(rows), 1)), rows], axis=1)


def episode(
    env: TraderEnv, policy: Policy, seed: int, rng: np.random.Generator | None
) -> tuple[list[Floats], list[Floats], list[float]]:
    """Inputs, logits drawn (means, without `rng`) and rewards [ct] of every step."""
    inputs, drawn, rewards = [], [], []
    seen, _ = env.reset(seed=seed)
    over = False
    while not over:
        rows = slots_of(seen)
        logit, _ = policy.mean(rows)
        if rng is not None:
            logit = logit + np.exp(policy.weights[6][0]) * rng.standard_normal(len(logit))
        seen, reward, over, _, _ = env.step(1 / (1 + np.exp(-logit)))
        inputs.append(rows)
        drawn.append(logit)
        rewards.append(reward)
    return inputs, drawn, rewards


def improve(env: TraderEnv, policy: Policy, rng: np.random.Generator) -> float:
    """A batch of episodes of one day and one step of the weights; their mean return [ct].

    Days differ by far more than prices do. Within one day what is left of the difference is the policy's own.
    """
    seed = int(rng.integers(10_000, 2**31))
    batch = [episode(env, policy, seed, rng) for _ in range(BATCH)]
    togo = np.array([np.cumsum(rewards[::-1])[::-1] for _, _, rewards in batch])
    advantage = togo - togo.mean(axis=0)
    advantage /= togo.std() + 1e-8
    inputs = np.concatenate([rows for steps, _, _ in batch for rows in steps])
    drawn = np.concatenate([logit for _, steps, _ in batch for logit in steps])
    window = len(batch[0][1][0])
    # A want that is not there is quoted for in vain: it has nothing to teach.
    wanted = inputs[:, len(CLOCK) : len(CLOCK) + 4].any(axis=1)
    weight = np.repeat(advantage.ravel(), window) * wanted / max(int(wanted.sum()), 1)
    policy.climb(policy.gradient(inputs, drawn, weight))
    return float(togo[:, 0].mean())


def earned(day: Scenario, strategy: str, seed: int) -> float:
    """Benefit [ct] of the plant when it uses a strategy of the shipped ones."""
    groups = [group | {"strategy": strategy} if group["group"] == GROUP else group for group in _groups(day)]
    results = MarketModel(day.changed(participants=groups), seed=seed).run()
    people = results.participants.set_index("participant")["benefit"].to_dict()
    return 100 * float(people[TRADER])


def _groups(day: Scenario) -> list[dict[str, Any]]:
    return [dict(group) for group in day.model_dump(mode="json", exclude_none=True)["participants"]]


def train(day: Scenario, episodes: int) -> tuple[TraderEnv, Policy]:
    """Learn, and print the curve."""
    rng = np.random.default_rng(1)
    env, policy = TraderEnv(day, trader=TRADER), Policy(rng)
    print("episodes  return while learning [ct]  return on seeds 1001 to 1005 [ct]")
    heard: list[float] = []
    for number in range(max(episodes // BATCH, 1) + 1):
        if number % 10 == 0 or number == episodes // BATCH:
            shown = np.mean([sum(episode(env, policy, seed, None)[2]) for seed in CURVE])
            print(f"{number * BATCH:8d}  {np.mean(heard) if heard else float('nan'):26.1f}  {shown:33.1f}", flush=True)
            heard = []
        heard.append(improve(env, policy, rng))
    return env, policy


def compare(day: Scenario, env: TraderEnv, policy: Policy, seeds: Sequence[int]) -> None:
    """The table over days that nobody has seen."""
    learnt = np.array([sum(episode(env, policy, seed, None)[2]) for seed in seeds])
    print(f"\nbenefit of {TRADER} on {len(seeds)} held-out seeds [ct], 95 % confidence")
    print("quotes by                       mean   policy more by")
    print(f"policy network             {learnt.mean():9.1f}")
    for title, name in (("rule: its cost", "truthful"), ("rule: best less a tick", "shaver"), ("plan: gd", "gd")):
        other = np.array([earned(day, name, seed) for seed in seeds])
        mean, low, high, _ = interval((learnt - other).tolist())
        print(f"{title:26s} {other.mean():9.1f}   {mean:6.1f}  [{low:.1f}, {high:.1f}]", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--held-out", type=int, default=20)
    chosen = parser.parse_args()
    day = evening()
    env, policy = train(day, chosen.episodes)
    compare(day, env, policy, range(1, chosen.held_out + 1))


if __name__ == "__main__":
    main()
