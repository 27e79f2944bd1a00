"""Batteries told what to do: nothing of the future is seen, money is that of the study, the libraries' checks pass."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agents import MarketModel
from agents.devices.battery import Battery
from agents.dispatch import BLOCKS, CLOCK, FEATURES, PAST_DAYS, Control, Dispatch, Sites
from agents.dispatch_environment import DispatchEnv
from benchmarks import battery as study

DAYS = 10
SLOTS = DAYS * study.DAY


def recorded() -> Sites:
    """The five buildings of the battery study."""
    net = study.nets(SLOTS)
    buy, sell = (np.broadcast_to(prices, net.shape) for prices in study.prices(SLOTS, 0.05e-3))
    return Sites(net, study.batteries(), buy, sell, np.full(len(net), study.FIRST), 900)


def one(net: list[float], *, stored: float = 0.0, slot_seconds: int = 10_800) -> Sites:
    """A battery of 10 kWh and 4 kW with ways of 0.9, over slots of three hours; energy is dear from 6 to 21 o'clock."""
    values = np.array([net])
    store = Battery([10_000.0], [4_000.0], slot_seconds / 3600, efficiency=0.81, initial=stored)
    buy = np.array([0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.2])[None, np.arange(len(net)) % 8]
    return Sites(values, store, buy, np.zeros_like(buy), np.zeros(1, dtype=np.int64), slot_seconds)


def shown(play: Dispatch, name: str) -> list[float]:
    return [float(value) for value in play.observe()[:, FEATURES.index(name)]]


def test_to_keep_nothing_is_the_simple_rule_to_the_last_cent() -> None:
    sites = recorded()
    play, saved = Dispatch(sites), np.zeros(len(sites))
    for _ in range(SLOTS):
        saved += play.step(np.zeros(len(sites)))
    buy, sell = sites.buy[0], sites.sell[0]
    flows = study.realised(sites.net_wh, study.batteries(), study.greedy(sites.net_wh))
    assert saved == pytest.approx(study.bill(sites.net_wh, buy, sell) - study.bill(flows, buy, sell), abs=1e-9)
    assert (saved > 0).all()


@pytest.mark.parametrize("control", ["reserve", "power"])
def test_what_is_seen_does_not_change_with_the_future(control: Control) -> None:
    sites, rng = recorded(), np.random.default_rng(3)
    other = sites.net_wh.copy()
    now = 8 * study.DAY + 40
    other[:, now + 1 :] = rng.normal(0, 9000, other[:, now + 1 :].shape)
    assert not np.array_equal(other, sites.net_wh)
    changed = Sites(other, sites.battery, sites.buy, sites.sell, sites.first_slot, 900)
    actions = rng.random((41, 5))
    seen = []
    for each in (sites, changed):
        play = Dispatch(each, control=control)
        play.begin(np.arange(5), np.full(5, 8 * study.DAY))
        for action in actions[:40]:
            play.step(action)
        seen.append(play.observe())
        play.step(actions[40])
        seen.append(play.observe())
    assert np.array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[1], seen[3]), "what has come to pass is seen"


def test_an_observation_shows_time_store_energies_and_announced_prices() -> None:
    play = Dispatch(one([100, 200, 300, 400, 500, 600, 700, 800, -900.0, 0, 0, 0, 0, 0, 0, 0], stored=0.3))
    assert len(FEATURES) == len(CLOCK) + 4 + 4 * BLOCKS == play.observe().shape[1]
    for _ in range(8):
        play.step(np.ones(1))
    assert shown(play, "stored") == pytest.approx([1.0], abs=1e-4), "charged from the grid to what is to be kept"
    # A second day begins: midnight, 12 kWh at most a slot, and a capacity of 10 kWh.
    assert (shown(play, "day_sine"), shown(play, "day_cosine")) == ([0], [1])
    assert shown(play, "net") == pytest.approx([-900 / 12_900])
    assert shown(play, "past_0") == pytest.approx([200 / 10_200])
    assert shown(play, "past_7") == pytest.approx([-900 / 10_900])
    assert shown(play, "buy") == shown(play, "buy_0") == [0.5]
    assert [shown(play, f"buy_{block}")[0] for block in range(BLOCKS)] == [0.5, 0.5, 1, 1, 1, 1, 1, 0.5]
    assert shown(play, "sell") == [0]


def test_a_reserve_is_bought_and_not_given_away() -> None:
    play = Dispatch(one([1800.0, 1800, 1800, 1800]))
    # 5 kWh stored need 5.556 bought; they and the load cost 0.2 each Wh.
    assert play.step(np.array([0.5])) == pytest.approx([-0.2 * 5556], abs=0.3)
    assert play.step(np.array([0.5])) == pytest.approx([0.0], abs=0.3)
    assert play.step(np.array([0.0])) == pytest.approx([0.4 * 1800])
    # 3 kWh are left, 2.5 to be kept: half of one may go.
    assert play.step(np.array([0.25])) == pytest.approx([0.4 * 500 * 0.9], abs=0.5)


def test_power_is_a_share_of_what_the_battery_can() -> None:
    play = Dispatch(one([0.0, 0, 3600, 3600]), control="power")
    assert play.step(np.array([-1 / 3])) == pytest.approx([-0.2 * 4000])
    assert play.step(np.array([0.0])) == pytest.approx([0.0])
    assert play.step(np.array([1.0])) == pytest.approx([0.4 * 3240], abs=0.5)


def test_rewards_sum_to_what_the_battery_saves() -> None:
    sites = recorded()
    env = DispatchEnv(sites, days=2)
    _, told = env.reset(seed=4)
    row, begin = told["site"], told["day"] * study.DAY
    window, over, total, slots = slice(begin, begin + 2 * study.DAY), False, 0.0, 0
    battery = sites.battery.some(np.array([row]))
    battery.stored_uwh[:] = env._dispatch.battery.stored_uwh
    while not over:
        _, reward, ended, over, _ = env.step(np.zeros(1, np.float32))
        total, slots = total + reward, slots + 1
        assert not ended
    assert slots == 2 * study.DAY
    net, buy, sell = sites.net_wh[row : row + 1, window], sites.buy[row, window], sites.sell[row, window]
    flows = study.realised(net, battery, study.greedy(net))
    assert total == pytest.approx(100 * (study.bill(net, buy, sell) - study.bill(flows, buy, sell))[0], abs=1e-7)


@pytest.mark.parametrize("control", ["reserve", "power"])
def test_gymnasiums_own_check_passes(control: Control) -> None:
    check_env(DispatchEnv(recorded(), days=1, control=control), skip_render_check=True)


def test_the_same_seed_gives_the_same_episodes_and_others_differ() -> None:
    heard = []
    for seed in (5, 5, 6):
        env = DispatchEnv(recorded(), days=1)
        own = []
        for number in range(3):
            seen, told = env.reset(seed=seed if number == 0 else None)
            own.append((told["site"], told["day"], seen.tobytes(), env.step(np.full(1, 0.5, np.float32))[1]))
        heard.append(own)
    assert heard[0] == heard[1]
    assert heard[0] != heard[2]


def test_each_site_may_begin_at_a_slot_of_its_own_and_knows_the_days_before() -> None:
    sites, first = recorded(), np.array([8 * study.DAY, 9 * study.DAY])
    both, alone = Dispatch(sites), Dispatch(sites)
    both.begin(np.array([3, 1]), first)
    alone.begin(np.array([1]), first[1:])
    assert np.array_equal(both.observe()[1], alone.observe()[0])
    assert np.abs(both.observe()[:, FEATURES.index("past_4")]).min() > 0
    assert PAST_DAYS == 7
    assert both.net_wh.tolist() == [sites.net_wh[3, first[0]], sites.net_wh[1, first[1]]]


def test_a_stretch_is_seen_as_it_was_in_the_whole() -> None:
    sites, first = recorded(), np.array([0, 96, 200, 300, 96])
    short, whole = Dispatch(sites.cut(first, 96)), Dispatch(sites)
    whole.begin(np.arange(5), first)
    for _ in range(3):
        assert np.array_equal(short.observe(), whole.observe())
        assert np.array_equal(short.step(np.full(5, 0.2)), whole.step(np.full(5, 0.2)))


def test_the_batteries_of_a_scenario_can_be_played() -> None:
    people = MarketModel("village", time__slots=96, output__compare=[]).population
    sites = Sites.of(people, 0.32e-3, 0.0)
    assert len(sites) == len(people.battery) > 3
    assert set(sites.first_slot.tolist()) == {people.first_slot}
    assert (sites.battery.stored_uwh == 0).all()
    both = Sites.stack([sites, sites])
    assert len(both) == 2 * len(sites)
    play, saved = Dispatch(both), np.zeros(len(both))
    for _ in range(sites.slots):
        saved += play.step(np.zeros(len(both)))
    assert (saved[: len(sites)] == saved[len(sites) :]).all()
    assert saved.sum() > 0


def test_what_does_not_fit_is_told_all_at_once() -> None:
    sites = recorded()
    with pytest.raises(ValueError, match=r"battery: need one for each of the 4(.|\n)*buy(.|\n)*slot_seconds"):
        Sites(sites.net_wh[1:], sites.battery, sites.buy, sites.sell[1:], sites.first_slot[1:], 901)
    with pytest.raises(ValueError, match="going round would pay"):
        Sites(sites.net_wh, sites.battery, sites.sell, sites.buy, sites.first_slot, 900)
    with pytest.raises(ValueError, match="days: must be from 1 to 10"):
        DispatchEnv(sites, days=11)
    with pytest.raises(ValueError, match="reserve, power"):
        Dispatch(sites, control="all")  # type: ignore[arg-type]
    env = DispatchEnv(sites, days=1)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(1, np.float32))
    env.reset(seed=1)
    for wrong in (np.full(1, 1.5), np.full(1, np.nan), np.zeros(2)):
        with pytest.raises(ValueError, match="from 0 to 1"):
            env.step(wrong)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agents.dispatch_environment")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"wattbook\[rl\]"):
        import agents.dispatch_environment  # noqa: F401
