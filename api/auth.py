"""Who somebody is: tokens into roles and participants. A token is shown once and kept as a hash only."""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe
from typing import NamedTuple, Protocol

from api.schemas import Role


class Principal(NamedTuple):
    """Whose token it is."""

    role: Role
    participant: str
    """Empty unless the role is participant."""
    token: str
    """Name of the token in the store, by which it can be revoked; never the token itself."""


OBSERVER = Principal("observer", "", "")
"""Somebody without a token: sees public channels, may do nothing."""


class Access(Protocol):
    """Where tokens are kept."""

    def check(self, token: str) -> Principal | None:
        """Whose token it is; None if it is unknown or was revoked."""


class Tokens:
    """Tokens of one running server, gone with it; the demo token of `wattbook serve` is one."""

    def __init__(self) -> None:
        self._known: dict[bytes, Principal] = {}

    def issue(self, role: Role, participant: str = "") -> str:
        """A new token, which nobody can read from here again."""
        token = f"wb_{token_urlsafe(32)}"
        self._known[_digest(token)] = Principal(role, participant, _digest(token).hex()[:12])
        return token

    def check(self, token: str) -> Principal | None:
        return self._known.get(_digest(token))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
