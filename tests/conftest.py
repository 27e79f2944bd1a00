"""Settings of the whole suite. Hypothesis draws the same examples in every run unless HYPOTHESIS_PROFILE=explore."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: the first call of a compiled kernel takes seconds, and a machine's speed is no property of the code.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
