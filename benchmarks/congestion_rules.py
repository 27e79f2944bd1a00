"""The rules that `benchmarks.congestion` sets against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents import laboratory
from agents.laboratory_file import Laboratory
from agents.scenario import Scenario
from agents.scenario_units import write_price


@dataclass(frozen=True)
class Rule:
    """How capacity is given away."""

    title: str
    start: float = 1.0
    """Of the spread clock: parts of 300 in the laboratory, of retail less feed_in in a scenario; 0: no clock."""
    zero_at: float = 0.7
    power: int = 1
    closing: bool = False
    """A call auction of what is left ends each period."""

    @property
    def in_scenario(self) -> bool:
        """Whether a scenario can have it."""
        return not self.closing

    def fields(self, scenario: Scenario) -> dict[str, Any]:
        """Changes of a scenario."""
        start = round(self.start * scenario.tariffs.largest_gap)
        clock = "market.spread_clock"
        return {f"{clock}.start": write_price(start), f"{clock}.zero_at": self.zero_at, f"{clock}.power": self.power}

    def on(self, lab: Laboratory) -> Laboratory:
        """A laboratory without clock, with the rule."""
        clock = {"start": round(300 * self.start), "zero_at": self.zero_at, "power": self.power} if self.start else None
        return lab.changed(closing=self.closing, spread_clock=clock)


RULES: Mapping[str, Rule] = {
    "first_come": Rule("first come, first served", start=0),
    "clock": Rule("a spread clock that falls to zero at 70 % of the time, in a straight line"),
    "low": Rule("the same, from two thirds as high", start=2 / 3),
    "half": Rule("the same, from half as high", start=0.5),
    "early": Rule("the clock, to zero at 40 % of the time", zero_at=0.4),
    "late": Rule("the clock, to zero at the end", zero_at=1.0),
    "square": Rule("by the square of the time left, to zero at 85 %", zero_at=0.85, power=2),
    "cube": Rule("by its third power, to zero at the end", zero_at=1.0, power=3),
    "closing": Rule("first come, and a closing auction of what is left", start=0, closing=True),
    "clock_closing": Rule("the clock, and a closing auction", closing=True),
    "late_closing": Rule("the clock, to zero at the end, and a closing auction", zero_at=1.0, closing=True),
    "call": Rule("a closing auction alone", start=2.0, zero_at=100.0, closing=True),
}


def run_rule(lab: Laboratory, rule: Rule, jobs: int) -> laboratory.LaboratoryResults:
    """A laboratory under a rule."""
    return laboratory.run(rule.on(lab), workers=jobs)
