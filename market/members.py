"""Who takes part: names, connections, and who is stopped by the kill switch."""

from __future__ import annotations

from collections.abc import Sequence

from market.events import Accepted, Event, Halted, Rejected, Resumed
from market.orders import Halt, Register, Resume
from market.rules import is_source, name_problem, reject


class Members:
    """The participants of one market, one at a connection."""

    def __init__(self, connections: Sequence[str]) -> None:
        self.connection: dict[str, int] = {}
        """Name -> number of its connection, in the order of registration."""
        self.source: dict[str, str] = {}
        """Name -> what it generates from; only of those who said so."""
        self.owner: dict[str, int] = {}
        """Name -> how many registered before."""
        self.utility = ""
        self._connections = {name: number for number, name in enumerate(connections)}
        self._taken: dict[int, str] = {}
        self._halted: set[tuple[str, str]] = set()

    def node(self, name: str) -> int:
        """Number of a participant's connection, -1 for the utility: to its orders no wire is near."""
        return -1 if name == self.utility else self.connection[name]

    def register(self, command: Register) -> Event:
        wrong = name_problem(command.participant, "participant")
        if wrong is not None:
            return wrong
        if command.participant in self.connection:
            return reject("NAME_TAKEN", f"{command.participant!r} is registered; choose another name", "participant")
        number = self._connections.get(command.connection)
        if number is None:
            return reject("UNKNOWN_CONNECTION", f"the feeder has no connection {command.connection!r}", "connection")
        if number in self._taken:
            holder = self._taken[number]
            return reject("CONNECTION_TAKEN", f"{holder!r} is at connection {command.connection!r}", "connection")
        if command.source and not is_source(command.source):
            return reject(
                "BAD_SOURCE", f"a source is written in lower-case letters, got {command.source!r:.80}", "source"
            )
        if command.source:
            self.source[command.participant] = command.source
        self.owner[command.participant] = len(self.connection)
        self.connection[command.participant] = number
        self._taken[number] = command.participant
        return Accepted()

    def halt(self, command: Halt) -> Event:
        wrong = self._scope_problem(command)
        if wrong is not None:
            return wrong
        self._halted.add((command.scope, command.participant))
        return Halted(command.scope, command.participant)

    def resume(self, command: Resume) -> Event:
        wrong = self._scope_problem(command)
        if wrong is not None:
            return wrong
        if (command.scope, command.participant) not in self._halted:
            return reject("NOT_HALTED", "no halt of this scope is in force", "scope")
        self._halted.discard((command.scope, command.participant))
        return Resumed(command.scope, command.participant)

    def state(self) -> list[object]:
        """Who takes part and who is stopped, as plain values."""
        return [[*self.connection.items()], [*self.source.items()], self.utility, sorted(self._halted)]

    def within(self, command: Halt, name: str) -> bool:
        """True if a halt's scope covers a participant."""
        if command.scope == "participant":
            return name == command.participant
        return command.scope == "market" or name != self.utility

    def refusal(self, name: str) -> Rejected | None:
        """Why a participant may not submit or amend now; None if it may."""
        if name not in self.connection:
            return self.unknown(name)
        if not self._halted:
            return None
        scopes = [("market", ""), ("participant", name)] + ([("feeder", "")] if name != self.utility else [])
        for scope, who in scopes:
            if (scope, who) in self._halted:
                return reject("HALTED", f"trading is halted for the {scope}; cancels still work", "participant")
        return None

    def unknown(self, name: str) -> Rejected:
        return reject("UNKNOWN_PARTICIPANT", f"no participant {name!r:.80} is registered", "participant")

    def _scope_problem(self, command: Halt | Resume) -> Rejected | None:
        if command.scope not in ("market", "feeder", "participant"):
            return reject("BAD_SCOPE", f"must be market, feeder or participant, got {command.scope!r}", "scope")
        if command.scope == "participant" and command.participant not in self.connection:
            return self.unknown(command.participant)
        if command.scope != "participant" and command.participant:
            return reject("BAD_SCOPE", f"the scope {command.scope} names no participant", "participant")
        return None
