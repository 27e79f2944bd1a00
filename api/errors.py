"""What went wrong, for people: every foreseen mistake as lines to read and an exit code, never a traceback."""

from __future__ import annotations

import errno
import sys
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    FINDING = 1
    """A check was made and found something wrong: an audit, a replay, a grid violation."""
    INPUT = 2
    """The command, a scenario, a feeder, a profile or a ledger file is wrong."""
    ENVIRONMENT = 3
    """The machine refused: disk full, no permission, read-only."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM."""


class CommandError(Exception):
    """A foreseen end of a command: its lines and its exit code."""

    def __init__(self, code: Exit, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.code = code
        self.messages = list(messages)


_REFUSED = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder with --out",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder with --out",
    errno.EROFS: "the file system is read-only; choose another folder with --out",
    errno.EACCES: "permission denied; choose a folder you may write to, or change its permissions",
    errno.EPERM: "not permitted; choose a folder you may write to, or change its permissions",
}
_WRONG_PATH = {
    errno.ENOENT: "no such file or folder; check the path",
    errno.EISDIR: "is a folder; give a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder; check the path",
    errno.EEXIST: "is a file where a folder is needed; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
_DATABASE_REFUSED = (
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
)

_SERVER_REFUSED = ("08", "25006", "28", "42501", "53", "55P03", "57", "58", "OperationalError")
"""Beginnings of a server's SQLSTATE, and the error of one that cannot be reached."""


def explain(error: BaseException) -> CommandError | None:
    """The lines and exit code for a foreseen error; None for one that nobody foresaw, which deserves its traceback."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return CommandError(Exit.INTERRUPTED, "interrupted")
    errors = getattr(error, "errors", None)
    if isinstance(error, ValueError) and isinstance(errors, list):
        return CommandError(Exit.INPUT, *(str(line) for line in errors))
    if isinstance(error, UnicodeDecodeError):
        return CommandError(
            Exit.INPUT, f"the file is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        )
    if isinstance(error, OSError):
        return None if error.errno == errno.EPIPE else _from_os(error)
    return _from_ledger(error)


def _from_os(error: OSError) -> CommandError:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in _WRONG_PATH:
        return CommandError(Exit.INPUT, place + _WRONG_PATH[error.errno])
    return CommandError(Exit.ENVIRONMENT, place + _REFUSED.get(error.errno or 0, error.strerror or str(error)))


def _from_ledger(error: BaseException) -> CommandError | None:
    """A ledger's own error says file and fix; the code depends on whether the machine or the file is at fault."""
    module = sys.modules.get("market.ledger")
    if module is None or not isinstance(error, module.LedgerError):
        return None
    cause = error.__cause__
    origin = getattr(cause, "orig", None) or cause
    name = str(getattr(origin, "sqlite_errorname", ""))
    state = getattr(origin, "sqlstate", None) or ("" if name else type(origin).__name__)
    refused = name.startswith(_DATABASE_REFUSED) or state.startswith(_SERVER_REFUSED)
    refused = refused or (isinstance(cause, OSError) and cause.errno not in _WRONG_PATH)
    return CommandError(Exit.ENVIRONMENT if refused else Exit.INPUT, str(error))
