"""Deep learning over the environment of batteries; needs the extra `deep`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from agents.devices.battery import Battery
from agents.dispatch import Dispatch, Sites
from agents.dispatch_environment import DispatchEnv


@pytest.fixture(scope="module")
def deep() -> ModuleType:
    """`benchmarks.learning`; its libraries may warn when they are imported."""
    pytest.importorskip("stable_baselines3", reason="needs pip install 'wattbook[deep]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from benchmarks import learning
    return learning


def shop(days: int = 21) -> Sites:
    """Two shops without sun that need 500 Wh in each dear slot; by the rule their batteries stay empty."""
    slots = days * 96
    dear = (np.arange(slots) % 96 >= 48)[None]
    net = np.where(dear, 500.0, 0.0).repeat(2, axis=0)
    store = Battery([8_000.0, 16_000.0], [4_000.0, 8_000.0], 0.25, efficiency=0.9, initial=0.0)
    buy = np.where(dear, 0.5e-3, 0.2e-3).repeat(2, axis=0)
    return Sites(net, store, buy, np.zeros_like(buy), np.full(2, 16_801 * 96), 900)


def weights(model: Any) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.policy.state_dict().values())


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.learning", raising=False)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ImportError, match=r"wattbook\[deep\]"):
        import benchmarks.learning  # noqa: F401


# It would have actions from -1 to 1; here 0 is the rule, with which a new network begins.
@pytest.mark.filterwarnings("ignore:We recommend you to use a symmetric")
def test_the_librarys_own_check_passes(deep: ModuleType) -> None:
    from stable_baselines3.common.env_checker import check_env

    check_env(DispatchEnv(shop(), days=1))


def test_the_same_seed_gives_the_same_weights(deep: ModuleType) -> None:
    seen: list[int] = []
    one, two, other = (deep.train(shop(), 6144, seed, lambda done, _: seen.append(done)) for seed in (3, 3, 4))
    assert weights(one) == weights(two)
    assert weights(one) != weights(other)
    assert seen[:3] == [0, 3072, 6144]


def test_it_learns_to_buy_at_night_what_the_rule_does_not(deep: ModuleType) -> None:
    sites = shop()
    rule, saved = Dispatch(sites), np.zeros(2)
    for _ in range(sites.slots):
        saved += rule.step(np.zeros(2))
    assert saved.tolist() == [0, 0]
    model = deep.train(sites, 60_000, 1, lambda *_: None)
    none, bills = deep.homes.bills(sites), deep.followed(sites, model)
    most = none - deep.homes.study.bound(sites.net_wh, sites.battery, sites.buy[0], sites.sell[0])
    assert (none - bills > 0.7 * most).all()


def test_the_command_prints_curve_and_comparison(
    deep: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--steps", "3072", "--trainings", "1", "--homes", "1", "--held-out", "2", "--days", "21"]
    deep.main([*small, "--picture", str(tmp_path / "c.svg"), "--json", str(tmp_path / "c.json")])
    out = capsys.readouterr().out
    for line in (
        "training 1:",
        "3,072 decisions",
        "recorded buildings: 5",
        "held-out homes: 2",
        "plan, last four days",
    ):
        assert line in out
    assert (tmp_path / "c.svg").stat().st_size > 1000
    assert '"held-out homes"' in (tmp_path / "c.json").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        deep.main(["--days", "7"])
