"""Batteries under model predictive control: the plan against closed forms, and the bill against rule and bound."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from agents import MarketModel
from agents.devices.battery import Battery
from agents.devices.mpc import Controller, Horizon, Planner
from agents.forecast import NoisyTruth, Persistence
from benchmarks import battery as study
from scenarios import load

HOUR = 1.0


STORE = Battery([10_000.0], [4_000.0], HOUR, efficiency=0.81, initial=0.0)


def test_a_battery_buys_cheap_and_serves_the_dear_hour() -> None:
    made = Planner(1, 3)
    net = np.array([[0.0, 0.0, 1800.0]])
    first = made.plan(STORE, net[None], np.array([0.1, 0.3, 0.5]), np.zeros(3), np.full(3, HOUR), HOUR, 0.0)
    # 1 800 Wh out of a store with a way of 0.9 each: 2 000 Wh stored, 2 222 Wh bought.
    assert first == pytest.approx([-1800 / 0.81])


def test_it_does_not_buy_where_the_losses_cost_more_than_the_difference() -> None:
    made = Planner(1, 2)
    first = made.plan(
        STORE, np.array([[[0.0, 1800.0]]]), np.array([0.41, 0.5]), np.zeros(2), np.full(2, HOUR), HOUR, 0.0
    )
    assert first == pytest.approx([0.0])
    first = made.plan(
        STORE, np.array([[[0.0, 1800.0]]]), np.array([0.40, 0.5]), np.zeros(2), np.full(2, HOUR), HOUR, 0.0
    )
    assert first == pytest.approx([-1800 / 0.81])


def test_it_keeps_to_power_and_capacity() -> None:
    made = Planner(1, 4)
    first = made.plan(
        STORE, np.full((1, 1, 4), 9e6), np.array([0.0, 1.0, 1.0, 1.0]), np.zeros(4), np.full(4, HOUR), HOUR, 0.0
    )
    assert first == pytest.approx([-4000.0])


def test_prices_that_pay_for_going_round_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sell\[1\]"):
        Planner(1, 2).plan(
            STORE, np.zeros((1, 2)), np.array([0.3, 0.1]), np.array([0.2, 0.2]), np.full(2, HOUR), HOUR, 0.0
        )


def test_the_horizon_sums_up_to_its_slots() -> None:
    horizon = Horizon(0.25, (0.25, 0.5, 0.6))
    assert horizon.slots == 6
    assert horizon.sums(np.arange(6.0)).tolist() == [0, 3, 12]
    assert horizon.means(np.arange(6.0)).tolist() == [0, 1.5, 4]


def test_batteries_that_share_a_program_plan_as_if_alone() -> None:
    rng = np.random.default_rng(2)
    count, steps = 23, 12
    sizes, power = rng.uniform(2e3, 2e4, count), rng.uniform(1e3, 9e3, count)
    net, buy = rng.normal(0, 2000, (count, steps)), rng.uniform(0.2, 0.4, steps)
    hours = np.full(steps, HOUR)
    together = Battery(sizes, power, HOUR, efficiency=0.9)
    found = Planner(count, steps).plan(together, net[None], buy, np.full(steps, 0.08), hours, HOUR, 0.1)
    for row in range(count):
        alone = Battery(sizes[row : row + 1], power[row : row + 1], HOUR, efficiency=0.9)
        mine = Planner(1, steps).plan(alone, net[None, row : row + 1], buy, np.full(steps, 0.08), hours, HOUR, 0.1)
        assert found[row] == pytest.approx(mine[0], abs=1.0)


def test_past_decisions_do_not_change_with_the_future() -> None:
    rng = np.random.default_rng(4)
    net = rng.normal(0, 800, (2, 60))
    other = net.copy()
    other[:, 40:] = rng.normal(0, 5000, (2, 20))

    def decisions(values: np.ndarray) -> list[list[int]]:
        battery = Battery([8e3, 5e3], [3e3, 3e3], 0.25, efficiency=0.9)
        made = Controller(2, Persistence(16), 0.25, lengths_hours=(0.25,) * 8 + (1.0,) * 4)
        buy = np.tile([0.2, 0.4], 200)
        told = []
        for slot in range(40):
            request = made.decide(battery, values[:, slot], buy[slot : slot + made.slots], np.full(made.slots, 0.05))
            battery.step(request)
            told.append(request.tolist())
        return told

    assert decisions(net) == decisions(other)


def test_predictive_control_lies_between_the_rule_and_the_bound_and_truth_comes_close_to_the_bound() -> None:
    slots = 10 * study.DAY
    net = study.nets(slots)
    buy, sell = study.prices(slots, 0.0)
    truth = study._Shifted(NoisyTruth(net[:, 1:], 0.0, np.random.default_rng(0)))
    methods = {
        "greedy": study.greedy(net),
        "mpc": study.predictive(net, buy, sell, Persistence(study.DAY)),
        "truth": study.predictive(net, buy, sell, truth, guarded=False),
    }
    bills = {
        name: study.bill(study.realised(net, study.batteries(), decide), buy, sell) for name, decide in methods.items()
    }
    least, none = study.bound(net, study.batteries(), buy, sell), study.bill(net, buy, sell)
    assert (least <= bills["truth"] + 1e-6).all()
    assert (bills["truth"] <= bills["greedy"]).all()
    assert least.sum() < bills["truth"].sum() < bills["greedy"].sum() < none.sum()
    # A guarded plan may lose little against the rule while it learns which of both to follow.
    assert bills["truth"].sum() < bills["mpc"].sum() < bills["greedy"].sum() * 1.01
    assert none.sum() - bills["truth"].sum() > 0.95 * (none.sum() - least.sum())


def test_a_scenario_may_have_its_batteries_controlled_by_plan() -> None:
    village = load("village").changed(**{"output.compare": []})
    groups = yaml.safe_load(village.to_yaml())["participants"]
    for group in groups:
        if "battery" in group:
            group["battery"]["rule"] = "mpc"
    plan = MarketModel(village.changed(participants=groups)).population
    assert np.abs(plan.battery_wh).sum() > 0
    assert (plan.battery.stored_uwh >= 0).all()
    assert (plan.battery.stored_uwh <= plan.battery.capacity_uwh).all()
