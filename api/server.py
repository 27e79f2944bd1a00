"""The live market as its doors see it: the engine, who is connected, and what a connection may do."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from pathlib import Path

from api.auth import OBSERVER, Principal, Tokens
from api.gateway import Allowance, RefusedError, Request, commands, permit, storable
from api.logs import LOG
from api.runtime import Engine, StoppedError
from api.schemas import Amend, Basket, Limits, Submit
from api.stream import CLOSE_GOING, CLOSE_TOKEN, Session
from market.events import Entry
from market.orders import Command, MassCancel

HEARTBEAT = 5.0
"""Seconds without anything else to say after which a connection hears a heartbeat."""
GRACE = 10.0
"""Seconds without a connection after which a participant's orders are cancelled, where it asked for that."""
SWEEP = 1.0
"""Seconds after which a token that another process has revoked is noticed at the latest."""
FAREWELL = 2.0
"""Seconds that a client has to read the last words."""
AUTH = 10.0
"""Seconds within which a connection must say who it is."""


class Server:
    """One market with its connections. `ledger` is where its history can be read."""

    def __init__(
        self,
        engine: Engine,
        tokens: Tokens,
        ledger: str | Path,
        *,
        limits: Limits | None = None,
        heartbeat: float = HEARTBEAT,
        grace: float = GRACE,
        auth_seconds: float = AUTH,
    ) -> None:
        self.engine, self.tokens, self.ledger = engine, tokens, ledger
        self.limits = limits or Limits()
        self.heartbeat, self.grace, self.auth_seconds = heartbeat, grace, auth_seconds
        self.sessions: dict[Session, None] = {}
        self.metrics = engine.metrics
        self._allowances: dict[str, Allowance] = {}
        self._pending: dict[str, asyncio.Task[None]] = {}

    @property
    def market(self) -> str:
        """Name of the market."""
        return self.engine.model.scenario.name

    def principal(self, token: str) -> Principal | None:
        """Whose token it is; without one, an observer."""
        return self.tokens.check(token) if token else OBSERVER

    def permitted(self, principal: Principal, request: Request, allowance: Allowance) -> tuple[list[Command], str]:
        """The commands of a request, and the participant for whom the client quotes from now on, if it does.

        Who quotes speaks for its participant: the scenario's strategy for it falls silent. Raises RefusedError if role
        or limits forbid the request, or no journal could carry it.
        """
        permit(principal, request)
        found = commands(request, principal.participant)
        allowance.request(request, len(found))
        if isinstance(request, Basket):  # its legs are a model of the market, with numbers of any size
            storable(found[0])
        name = principal.participant
        quotes = isinstance(request, (Submit, Amend, Basket)) and self.engine.model.quotes_for(name)
        return found, name if quotes else ""

    async def submit(self, principal: Principal, request: Request, allowance: Allowance) -> Sequence[Entry]:
        """Have the engine carry out a request. Raises RefusedError like `permitted`, StoppedError like the engine."""
        found, quotes_for = self.permitted(principal, request, allowance)
        return await self.engine.submit(found, quotes_for) if found else []

    def admitted(self, token: str) -> Principal:
        """Whose token it is, if it may have one more connection. Raises RefusedError."""
        principal = self.principal(token)
        if principal is None:
            raise RefusedError("BAD_TOKEN", "the token is unknown or was revoked", "token")
        most = self.limits.connections_per_token
        mine = sum(1 for other in self.sessions if other.principal and other.principal.token == principal.token)
        if principal.token and mine >= most:
            raise RefusedError("RATE_LIMITED", f"a token has at most {most} connections; close some", "token")
        return principal

    def allowance(self, principal: Principal) -> Allowance:
        """That of a client without a connection of its own; one for all requests under the same token."""
        return self._allowances.setdefault(principal.token, Allowance(self.limits))

    def joined(self, session: Session) -> None:
        """A connection has said who it is; cancelling its orders is off again."""
        who = session.principal
        LOG.info(
            "joined", extra={"told": {"session": session.name, "role": who and who.role, "token": who and who.token}}
        )
        self.sessions[session] = None
        assert session.principal is not None
        pending = self._pending.pop(session.principal.participant, None)
        if pending is not None:
            pending.cancel()

    def left(self, session: Session) -> None:
        """A connection is gone; unless the participant comes back in time, its orders are cancelled."""
        self.sessions.pop(session, None)
        principal = session.principal
        if principal is None or not session.cancel_on_disconnect:
            return
        name = principal.participant
        if self.engine.model.quotes_for(name):
            return  # what is in the books is the scenario's
        if not any(other.principal and other.principal.participant == name for other in self.sessions):
            self._pending[name] = asyncio.create_task(self._cancel_later(name))

    def sweep(self, valid: Container[str]) -> None:
        """Close every connection whose token is not valid any more."""
        for session in list(self.sessions):
            if session.principal is not None and session.principal.token and session.principal.token not in valid:
                session.close(CLOSE_TOKEN, "BAD_TOKEN: the token was revoked")

    async def watch(self) -> None:
        """Notice what other processes revoke, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP)
            if self.sessions:
                self.sweep(await asyncio.to_thread(self.tokens.valid))

    async def farewell(self) -> None:
        """Carry out what has begun, answer it, and say goodbye to everybody; waits until they have heard it."""
        self.engine.stop()
        await self.engine.done.wait()
        for pending in self._pending.values():
            pending.cancel()
        self.close()
        end = asyncio.get_running_loop().time() + FAREWELL
        while self.sessions and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

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
