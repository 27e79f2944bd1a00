"""Market designs that a comparison offers: what each changes in a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from agents.scenario import Market, Scenario, ScenarioError
from agents.scenario_units import write_price

NONE = "none"
"""The day without a local market, which everything is set against."""


class Design(NamedTuple):
    """A way to hold the market."""

    title: str
    changes: Mapping[str, Any]
    """Fields of the scenario."""
    strategy: str | None = None
    """What everybody then uses; None: what the scenario says."""
    clock: bool = False
    """With the scenario's spread clock, or if it has none with one that starts at retail less feed_in."""
    third: str = ""
    """Which auctions come after a third of the trading time: `opening` or `every`."""
    closing: bool = False
    """With a closing auction, for which a spread clock goes on at the gate: it would come to zero at 1.5."""

    def fields(self, scenario: Scenario) -> dict[str, Any]:
        """The fields of `scenario` to change: its auctions and, without `clock`, its spread clock are not kept."""
        market, tariffs = scenario.market, scenario.tariffs
        auctions: dict[str, Any] = {"closing": True} if self.closing else {}
        if self.third:
            auctions[self.third] = f"{-(-(market.opens_before - market.gate_closure) // 3)} s"
        clock: dict[str, Any] = {}
        if self.clock:
            start = market.spread_clock.start or tariffs.largest_gap
            zero_at = 1.5 if self.closing else min(market.spread_clock.zero_at, 1.0)
            clock = {"start": write_price(start), "zero_at": zero_at, "power": market.spread_clock.power}
        return {"market.auctions": auctions, "market.spread_clock": clock, **self.changes}


TARIFFS = "tariffs"
_CDA = {"market.design": "cda"}
DESIGNS: Mapping[str, Design] = {
    "cda": Design("continuous double auction", _CDA),
    "clock": Design("continuous double auction with a spread clock", _CDA, clock=True),
    "call": Design("uniform-price call auction at gate closure", {"market.design": "call"}),
    "pay_as_bid": Design("call auction at gate closure, each pair at its own price", {"market.design": "pay_as_bid"}),
    "mmr": Design("mid-market rate at gate closure", {"market.design": "mmr"}),
    "sdr": Design("price by supply-demand ratio at gate closure", {"market.design": "sdr"}),
    NONE: Design("no local market: everybody trades with the utility", _CDA, "utility_only"),
    "cda+opening": Design("continuous double auction after a call auction", _CDA, third="opening"),
    "cda+closing": Design("continuous double auction, and a call auction of what is left", _CDA, closing=True),
    "clock+closing": Design("a slower spread clock, and a call auction of the rest", _CDA, clock=True, closing=True),
    "periodic": Design("a call auction after each third of the trading time", {"market.design": "call"}, third="every"),
}
PLAIN = tuple(DESIGNS)[:7]
"""Those that are compared if nobody says which."""


def problems(designs: Sequence[str], offer: Mapping[str, Design] = DESIGNS) -> list[str]:
    """What is wrong with a choice among the designs of an offer; empty if they can be compared."""
    known = ", ".join(offer)
    if not designs:
        return [f"designs: give at least one of {known}"]
    found = [f"designs: there is no {name!r}, only {known}" for name in designs if name not in offer]
    found += [f"designs: {name!r} is given twice" for name in dict.fromkeys(designs) if designs.count(name) > 1]
    later = [name for name in designs if name in offer and not _offered(offer[name])]
    if later:
        can = ", ".join(name for name in offer if _offered(offer[name]))
        found.append(f"designs: this version's exchange cannot hold {', '.join(later)}; it can hold {can}")
    return found


def as_it_is(scenario: Scenario) -> Design:
    """The scenario's own design, auctions and spread clock."""
    market = scenario.model_dump(mode="json")["market"]
    kept = {f"market.{name}": market[name] for name in ("design", "auctions", "spread_clock")}
    return Design(scenario.title or scenario.name, kept)


def none_of(scenario: Scenario) -> Design:
    """The day without a local market; on an island, whose market must be an auction, everybody for themselves in it."""
    none = DESIGNS[NONE]
    return as_it_is(scenario)._replace(strategy=none.strategy) if scenario.islanded else none


def tariff_designs(scenario: Scenario, others: Sequence[Scenario]) -> dict[str, Design]:
    """The scenario as it is, and with the tariffs of others, by their names. Raises ScenarioError if two are alike."""
    names = [one.name for one in (scenario, *others)]
    if len(set(names)) < len(names) or NONE in names:
        raise ScenarioError([f"tariffs: every scenario needs a name of its own, not {NONE}; got {', '.join(names)}"])
    kept = as_it_is(scenario).changes
    own = {scenario.name: Design(f"tariffs of {scenario.name}", kept)}
    return own | {
        other.name: Design(f"tariffs of {other.name}", {**kept, TARIFFS: other.model_dump(mode="json")[TARIFFS]})
        for other in others
    }


def _offered(design: Design) -> bool:
    """Whether a scenario can ask for the design."""
    name = design.changes.get("market.design")
    if name is None or name == "cda":
        return True
    field = Market.model_fields.get("design")
    return field is not None and name in get_args(field.annotation)
