"""Participants and the model they trade in: ``from agents import MarketModel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.model import MarketModel
    from agents.results import Results

__all__ = ["MarketModel", "Results"]


def __getattr__(name: str) -> Any:
    """The model on demand: a client that needs a strategy alone should not load the whole simulation."""
    if name == "MarketModel":
        from agents.model import MarketModel

        return MarketModel
    if name == "Results":
        from agents.results import Results

        return Results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
