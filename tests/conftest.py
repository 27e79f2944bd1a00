"""Settings of the whole suite. Hypothesis draws the same examples in every run unless HYPOTHESIS_PROFILE=explore."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No deadline: the first call of a compiled kernel takes seconds, and a machine's speed is no property of the code.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was compared: the sum over all tests that recorded a number of commands or of damaged inputs."""
    passed = terminalreporter.getreports("passed")
    for name, what in (("commands", "commands compared with the plain exchange"), ("damaged", "damaged inputs read")):
        values = [value for report in passed for key, value in report.user_properties if key == name]
        if values:
            terminalreporter.write_line(f"{sum(map(int, values)):,} {what}".replace(",", " "))
