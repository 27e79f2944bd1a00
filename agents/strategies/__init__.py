"""How participants quote: one file a strategy, on columns; the registry of names.

A strategy is a class with ``quote(traders, market, rng) -> Orders`` (see `agents.strategies.columns`). In a scenario
it is called by its name here or as ``package.module:Class``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ValidationError

from agents.strategies.aa import Aa
from agents.strategies.columns import NO_PRICE, Market, Orders, Shouts, Traders
from agents.strategies.exp3 import Exp3
from agents.strategies.gd import Gd
from agents.strategies.q_learning import QLearning
from agents.strategies.roth_erev import RothErev
from agents.strategies.shaver import Shaver
from agents.strategies.truthful import Truthful
from agents.strategies.utility_only import UtilityOnly
from agents.strategies.zi_c import ZiC
from agents.strategies.zi_u import ZiU
from agents.strategies.zip import Zip

__all__ = [
    "NO_PRICE",
    "STRATEGIES",
    "Market",
    "Orders",
    "Shouts",
    "Strategy",
    "StrategyError",
    "Traders",
    "check",
    "create",
]


class Strategy(Protocol):
    """Quotes for all participants that use it. May keep state between calls; gets all randomness from `rng`.

    A class may say more of itself, which lets a laboratory save time: `keeps_limit = True`, its quotes never pass a
    limit; `remembers = False`, they depend on the book as it is and on nothing heard; `blind = True`, not even on that.
    """

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        """New quotes for any of the wants in `traders`, seeing only the public `market`."""


STRATEGIES: dict[str, type[Any]] = {
    "aa": Aa,
    "exp3": Exp3,
    "gd": Gd,
    "q_learning": QLearning,
    "roth_erev": RothErev,
    "shaver": Shaver,
    "truthful": Truthful,
    "utility_only": UtilityOnly,
    "zi_c": ZiC,
    "zi_u": ZiU,
    "zip": Zip,
}


class StrategyError(ValueError):
    """A strategy that cannot be made; `errors` has every reason, each with its path."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def create(name: str, parameters: Mapping[str, Any] | None = None) -> Strategy:
    """A new strategy by its registered name or ``package.module:Class``. Raises StrategyError with all reasons.

    A class with a nested pydantic model `Parameters` is called with one checked instance of it, any other class
    with the parameters as keywords.
    """
    kind = _find(name)
    given = dict(parameters or {})
    model = _model(kind)
    try:
        made = kind(**given) if model is None else kind(model.model_validate(given))
    except ValidationError as error:
        raise StrategyError([_line(name, model, item) for item in error.errors()]) from error
    except TypeError as error:
        raise StrategyError([f"parameters of {name}: {error}; got {sorted(given)}"]) from error
    if not callable(getattr(made, "quote", None)):
        raise StrategyError([f"{name}: has no method quote(traders, market, rng)"])
    strategy: Strategy = made
    return strategy


def check(name: str, parameters: Mapping[str, Any] | None = None) -> list[str]:
    """Every reason why `create` would refuse; empty if it would not."""
    try:
        create(name, parameters)
    except StrategyError as error:
        return error.errors
    return []


def _find(name: str) -> type[Any]:
    if name in STRATEGIES:
        return STRATEGIES[name]
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        known = ", ".join(STRATEGIES)
        raise StrategyError([f"unknown strategy {name!r}; use one of {known}, or 'package.module:Class'"])
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise StrategyError(
            [f"strategy {name!r}: cannot import {module_name!r}: {error}; is its folder in PYTHONPATH?"]
        ) from error
    except AttributeError as error:
        raise StrategyError([f"strategy {name!r}: module {module_name!r} has no {class_name!r}"]) from error
    if not isinstance(found, type):
        raise StrategyError([f"strategy {name!r}: {class_name!r} is not a class"])
    return found


def _model(kind: type[Any]) -> type[BaseModel] | None:
    model = getattr(kind, "Parameters", None)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _line(name: str, model: type[BaseModel] | None, item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"]) or "parameters"
    if item["type"] == "extra_forbidden" and model is not None:
        known = ", ".join(model.model_fields) or "none"
        return f"{path}: {name} has no such parameter; it has: {known}"
    return f"{path}: {item['msg']}, got {item['input']!r}"
