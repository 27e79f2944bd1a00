"""Who somebody is: tokens into roles and participants. A token is shown once and kept as a hash only."""

from __future__ import annotations

import time
from pathlib import Path
from secrets import token_urlsafe
from typing import NamedTuple

from api.schemas import Role
from market.access import Access, Token
from market.access import Role as Granted

OPERATION = {"operator": "operator", "auditor": "auditor"}
"""Name under which tokens of roles without a participant are kept, unless another is given."""


class Principal(NamedTuple):
    """Whose token it is."""

    role: Role
    participant: str
    """Empty unless the role is participant."""
    token: str
    """Mark of the token, by which it can be revoked; never the token itself."""


OBSERVER = Principal("observer", "", "")
"""Somebody without a token: sees public channels, may do nothing."""


class Tokens:
    """The tokens of one ledger, beside it. Other processes may issue and revoke meanwhile."""

    def __init__(self, ledger: str | Path) -> None:
        """Raises LedgerError if there is no ledger."""
        self._access = Access(ledger)

    def close(self) -> None:
        self._access.close()

    def issue(self, role: Granted, name: str = "") -> str:
        """A new token for a participant or, by another role, for somebody of that name; nobody can read it here again.

        Raises LedgerError if the disk refuses.
        """
        token = f"wb_{token_urlsafe(32)}"
        self._access.issue(token, name or OPERATION[role], role, time.time_ns())
        return token

    def check(self, token: str) -> Principal | None:
        """Whose token it is; None if it is unknown or was revoked. Asks the disk each time."""
        found = self._access.check(token)
        if found is None:
            return None
        return Principal(found.role, found.participant if found.role == "participant" else "", found.mark)

    def revoke(self, name: str, mark: str | None = None) -> int:
        """Take back all tokens of somebody, or the one with this mark; returns how many. At once and for good."""
        return self._access.revoke(name, time.time_ns(), mark)

    def all(self) -> list[Token]:
        """All tokens that were ever issued, by name and time."""
        return self._access.tokens()

    def valid(self) -> set[str]:
        """Marks of the tokens that were not revoked."""
        return {token.mark for token in self._access.tokens() if token.revoked is None}
