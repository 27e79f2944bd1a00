"""Who may connect to a live market: participants, and the tokens by which they are known.

Of a token only the SHA-256 is stored. Tokens are long and random, so their hashes cannot be guessed back, and they
need no salt. Both tables may change, unlike the ledger's, and belong to the owner of the database alone.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, get_args

import sqlalchemy as sa

from market import schema
from market.database import database_of
from market.ledger import LedgerError

Role = Literal["participant", "operator", "auditor"]
SHORTEST = 32
"""Fewest characters of a token; `secrets.token_urlsafe` makes 43 of 32 random bytes."""

_metadata = sa.MetaData()
_participant = sa.Table(
    "participant",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created", sa.BigInteger, nullable=False),
)
_token = sa.Table(
    "token",
    _metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("participant", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger),
)


class Token(NamedTuple):
    """What is known of a token but the token itself. Times in ns since 1970, UTC."""

    participant: str
    role: Role
    created: int
    revoked: int | None
    mark: str
    """The first eight hexadecimal digits of its hash, to speak of it."""


class Access:
    """Participants and tokens beside a ledger. Use it as a context manager, or call `close`.

    It may be open while a writer or readers have the ledger. Every change is on the disk when it returns.
    """

    def __init__(self, target: str | Path) -> None:
        """Those of an existing ledger. Raises LedgerError if it is none, or may not be written."""
        self._database = database_of(target)
        schema.check(self._database)
        self._engine = self._database.connect("own")

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def issue(self, token: str, participant: str, role: Role, now: int) -> None:
        """Let whoever shows `token` act as `participant`, who is made known if new.

        Raises LedgerError if the token is too short to be secret, was issued before, or the role is unknown.
        """
        if len(token) < SHORTEST:
            raise LedgerError(f"a token needs at least {SHORTEST} characters, drawn at random; got {len(token)}")
        if role not in get_args(Role):
            raise LedgerError(f"a role is one of {', '.join(get_args(Role))}, got {role!r}")
        row = {"digest": _digest(token), "participant": participant, "role": role, "created": now, "revoked": None}
        known = sa.select(_participant.c.name).where(_participant.c.name == participant)
        with self._database.explained(), self._engine.execution_options(writes=True).begin() as connection:
            if connection.scalar(sa.select(_token.c.created).where(_token.c.digest == row["digest"])) is not None:
                raise LedgerError("this token was issued before; draw a new one")
            if connection.scalar(known) is None:
                connection.execute(sa.insert(_participant).values(name=participant, created=now))
            connection.execute(sa.insert(_token).values(row))

    def check(self, token: str) -> Token | None:
        """Who shows this token; None if nobody was given it, or it was revoked. Asks the database each time."""
        wanted = sa.select(_token).where(_token.c.digest == _digest(token), _token.c.revoked.is_(None))
        found = self._read(wanted)
        return found[0] if found else None

    def revoke(self, participant: str, now: int, mark: str | None = None) -> int:
        """Take back all tokens of a participant, or the one with this mark; returns how many. At once and for good."""
        valid = sa.update(_token).where(_token.c.participant == participant, _token.c.revoked.is_(None))
        with self._database.explained(), self._engine.execution_options(writes=True).begin() as connection:
            rows = connection.execute(sa.select(_token.c.digest).where(_token.c.participant == participant))
            chosen = [digest for (digest,) in rows if mark is None or digest.hex()[:8] == mark]
            return connection.execute(valid.where(_token.c.digest.in_(chosen)).values(revoked=now)).rowcount

    def tokens(self) -> list[Token]:
        """All tokens that were ever issued, by participant and time."""
        return self._read(sa.select(_token).order_by(_token.c.participant, _token.c.created, _token.c.digest))

    def participants(self) -> list[str]:
        """Everybody who was ever given a token, alphabetically."""
        with self._database.explained(), self._engine.connect() as connection:
            return sorted(connection.scalars(sa.select(_participant.c.name)))

    def _read(self, statement: sa.Select[Any]) -> list[Token]:
        with self._database.explained(), self._engine.connect() as connection:
            rows = connection.execute(statement).all()
            return [Token(name, role, at, until, digest.hex()[:8]) for digest, name, role, at, until in rows]


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
