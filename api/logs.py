"""Logs as lines of JSON on standard error: what happened, when, to which connection. Never a token."""

from __future__ import annotations

import logging
import sys

import msgspec

from market.slots import format_time

LOG = logging.getLogger("wattbook")
"""Where the live market logs; `extra={"told": {...}}` gives fields."""


class Lines(logging.Formatter):
    """A record as one line: time, level, event, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": format_time(int(record.created * 1e9)), "level": record.levelname.lower()}
        told |= {"event": record.getMessage(), **getattr(record, "told", {})}
        if record.exc_info is not None:
            told["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told).decode()


def begin(level: str = "info") -> None:
    """Write to standard error from now on, the server's own warnings too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for logger in (LOG, logging.getLogger("uvicorn.error")):
        logger.handlers = [handler]
        logger.propagate = False
    LOG.setLevel(level.upper())
