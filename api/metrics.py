"""Figures of a running market in the text format of Prometheus. No participant is named."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.server import Server

KIND = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """What the engine and the doors count."""

    def __init__(self) -> None:
        self.commands = 0
        """Of clients, carried out and durable."""
        self.refusals: Counter[str] = Counter()
        """By code, of gateways and exchange."""
        self.commits = 0
        self.commit_seconds = 0.0
        self.lag = 0.0
        """How far the market's clock was behind at the last moment of its neighbours [s]."""
        self._commits = [0] * len(BUCKETS)

    def committed(self, seconds: float) -> None:
        """Count a commit."""
        self.commits += 1
        self.commit_seconds += seconds
        for place, most in enumerate(BUCKETS):
            self._commits[place] += seconds <= most

    def text(self, server: Server) -> str:
        """All of it, with what can be seen of the server now."""
        engine, waiting = server.engine, [session.waiting for session in server.sessions]
        roles = Counter(session.principal.role for session in server.sessions if session.principal is not None)
        lines = [
            *_plain("wattbook_commands_total", "counter", "Commands of clients that are durable.", self.commands),
            *_plain("wattbook_journal_entries", "gauge", "Entries of the journal.", engine.hub.projection.seq),
            *_plain("wattbook_requests_waiting", "gauge", "Requests that wait for the engine.", engine.waiting),
            *_plain("wattbook_engine_lag_seconds", "gauge", "Lag of the market's clock.", self.lag),
            *_plain("wattbook_running", "gauge", "1 while the market runs.", int(not engine.ended)),
            *_plain("wattbook_outbox_messages", "gauge", "Messages that wait for clients.", sum(waiting)),
            *_plain("wattbook_outbox_messages_max", "gauge", "Most that wait for one.", max(waiting, default=0)),
            *_head("wattbook_sessions", "gauge", "Connections by role."),
            *(f'wattbook_sessions{{role="{role}"}} {count}' for role, count in sorted(roles.items())),
            *_head("wattbook_refusals_total", "counter", "Refusals by code."),
            *(f'wattbook_refusals_total{{code="{code}"}} {count}' for code, count in sorted(self.refusals.items())),
            *_head("wattbook_commit_seconds", "histogram", "Duration of commits to the ledger."),
            *(
                f'wattbook_commit_seconds_bucket{{le="{most:g}"}} {count}'
                for most, count in zip(BUCKETS, self._commits, strict=True)
            ),
            f'wattbook_commit_seconds_bucket{{le="+Inf"}} {self.commits}',
            f"wattbook_commit_seconds_sum {self.commit_seconds:.6f}",
            f"wattbook_commit_seconds_count {self.commits}",
        ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, help_: str) -> list[str]:
    return [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]


def _plain(name: str, kind: str, help_: str, value: float) -> list[str]:
    return [*_head(name, kind, help_), f"{name} {value}"]
