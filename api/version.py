"""The version of what runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """Version of the installed distribution; "unknown" when the source tree runs without being installed."""
    try:
        return installed("wattbook")
    except PackageNotFoundError:
        return "unknown"
