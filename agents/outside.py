"""Kinds from outside the tree: ``package.module:Name`` in a scenario."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def imported(name: str, what: str, known: Mapping[str, Any]) -> Any:
    """The class or function of that name; `known` are the names that need no import. Raises ValueError."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"unknown {what} {name!r}; use one of {', '.join(known)}, or 'package.module:Name'")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import {name!r}: {error}; is its folder in PYTHONPATH?") from error
    if not callable(found):
        raise ValueError(f"{name!r} is not a class or function")
    return found
