"""The live market as its doors see it: the engine, who is connected, and what a connection may do."""

from __future__ import annotations

import asyncio
from pathlib import Path

from api.auth import OBSERVER, Access, Principal
from api.gateway import Allowance, Request, commands, permit, storable
from api.runtime import Engine, StoppedError
from api.schemas import Basket, Limits, Submit
from api.stream import CLOSE_GOING, CLOSE_TOKEN, Session
from market.orders import Command, MassCancel

HEARTBEAT = 5.0
"""Seconds without anything else to say after which a connection hears a heartbeat."""
GRACE = 10.0
"""Seconds without a connection after which a participant's orders are cancelled, where it asked for that."""
AUTH = 10.0
"""Seconds within which a connection must say who it is."""


class Server:
    """One market with its connections. `ledger` is where its history can be read."""

    def __init__(
        self,
        engine: Engine,
        access: Access,
        ledger: str | Path,
        *,
        limits: Limits | None = None,
        heartbeat: float = HEARTBEAT,
        grace: float = GRACE,
        auth_seconds: float = AUTH,
    ) -> None:
        self.engine, self.access, self.ledger = engine, access, ledger
        self.limits = limits or Limits()
        self.heartbeat, self.grace, self.auth_seconds = heartbeat, grace, auth_seconds
        self.sessions: dict[Session, None] = {}
        self._taken: set[str] = set()
        self._allowances: dict[str, Allowance] = {}
        self._pending: dict[str, asyncio.Task[None]] = {}

    @property
    def market(self) -> str:
        """Name of the market."""
        return self.engine.model.scenario.name

    def principal(self, token: str) -> Principal | None:
        """Whose token it is; without one, an observer."""
        return self.access.check(token) if token else OBSERVER

    def takes_over(self, participant: str) -> None:
        """A client quotes for this participant from now on: the scenario's strategy for it falls silent."""
        if participant not in self._taken:
            self._taken.add(participant)
            if participant in self.engine.model.population.ids:
                self.engine.withdraw(participant)

    def accept(self, principal: Principal, request: Request, allowance: Allowance) -> list[Command]:
        """The commands of a request. Raises RefusedError if role or limits forbid it, or no journal could carry it."""
        permit(principal, request)
        found = commands(request, principal.participant)
        allowance.request(request, len(found))
        for command in found:
            storable(command)
        if isinstance(request, Submit | Basket):
            self.takes_over(principal.participant)
        return found

    def allowance(self, principal: Principal) -> Allowance:
        """That of a client without a connection of its own; one for all requests under the same token."""
        return self._allowances.setdefault(principal.token, Allowance(self.limits))

    def joined(self, session: Session) -> None:
        """A connection has said who it is; cancelling its orders is off again."""
        self.sessions[session] = None
        assert session.principal is not None
        pending = self._pending.pop(session.principal.participant, None)
        if pending is not None:
            pending.cancel()

    def left(self, session: Session) -> None:
        """A connection is gone; unless the participant comes back in time, its orders are cancelled."""
        self.sessions.pop(session, None)
        principal = session.principal
        if principal is None or not session.cancel_on_disconnect or principal.participant not in self._taken:
            return
        name = principal.participant
        if not any(other.principal and other.principal.participant == name for other in self.sessions):
            self._pending[name] = asyncio.create_task(self._cancel_later(name))

    def revoke(self, token: str) -> None:
        """Close every connection that a token opened; `token` is its name, not the token itself."""
        for session in list(self.sessions):
            if session.principal is not None and session.principal.token == token:
                session.close(CLOSE_TOKEN, "BAD_TOKEN: the token was revoked")

    def close(self) -> None:
        """Say goodbye to everybody."""
        for session in list(self.sessions):
            session.close(CLOSE_GOING, "STOPPED: the market is going down; what was answered is kept")

    async def _cancel_later(self, name: str) -> None:
        await asyncio.sleep(self.grace)
        self._pending.pop(name, None)
        try:
            await self.engine.submit([MassCancel(name)])
        except StoppedError:
            return  # a market that has ended holds no orders
