"""What an auditor fetches from a live market: its export, into a file that is checked like any other."""

from __future__ import annotations

import http.client
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from urllib.parse import urlsplit

import msgspec

from api.errors import CommandError, Exit

TOKEN = "WATTBOOK_TOKEN"  # noqa: S105 (the name of a variable)
"""Environment variable with a token of the role auditor."""
SECONDS = 60.0


def is_address(target: str) -> bool:
    """Whether a target is a server's address rather than a ledger."""
    return target.startswith(("http://", "https://"))


@contextmanager
def fetched(address: str) -> Iterator[str]:
    """A file with the export of the market at an address, until the block ends. Raises CommandError."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.ndjson.gz"
        try:
            _fetch(address, file)
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(Exit.ENVIRONMENT, f"{address}: cannot be reached: {error}") from error
        yield str(file)


def _fetch(address: str, file: Path) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        line: http.client.HTTPConnection = http.client.HTTPSConnection(parts.netloc, timeout=SECONDS, context=context)
    else:
        line = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        token = os.environ.get(TOKEN, "")
        line.request("GET", f"{parts.path.rstrip('/')}/v1/export", headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        if answer.status != 200:
            raise CommandError(
                Exit.INPUT, f"{address}: {_reason(answer.read(10_000))}; {TOKEN} holds an auditor's token"
            )
        with file.open("wb") as target:
            copyfileobj(answer, target)
    finally:
        line.close()


def _reason(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["reason"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "is no live market"
