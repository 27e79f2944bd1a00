"""A PostgreSQL server of our own for the tests: on loopback, in a temporary folder, stopped by its process id."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

MISSING = "no PostgreSQL server found: install Debian's `postgresql` (initdb and postgres, 15 or newer)"


def binaries() -> Path | None:
    """Folder of the newest server's programs, None where there is none."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return debian[-1].parent if debian else Path(found).resolve().parent if found else None


class Server:
    """A running server. For tests without syncing: what they kill is a process, never the machine."""

    def __init__(self, programs: Path, place: Path | None = None) -> None:
        self._programs = programs
        self._settings = "" if place else "-c fsync=off -c full_page_writes=off"
        self.folder = Path(tempfile.mkdtemp(prefix="wattbook-postgres-", dir=place))
        self._data = self.folder / "data"
        self._numbers = count(1)
        self._as: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            user = next(user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody"))
            shutil.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._run("initdb", "-A", "trust", "-U", "owner", "-E", "UTF8", "--locale=C", "-N", "-D", str(self._data))
        self.start()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} {self._settings}"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "-w", "-s", "-D", str(self._data), "-l", log, "-o", options)

    def stop(self, how: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-s", "-m", how, "-D", str(self._data))

    def close(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str = "postgres", user: str = "owner") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template1") -> str:
        """URL of a new database."""
        name = f"market{next(self._numbers)}"
        self.execute(self.url(), f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    @staticmethod
    def execute(url: str, *statements: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        environment = {**os.environ, "LC_ALL": "C", "HOME": str(self.folder)}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}{done.stdout}")


@contextmanager
def running(place: Path | None = None) -> Iterator[Server]:
    """A server that lasts as long as the context; in `place` one that syncs, to be measured. Raises LookupError."""
    programs = binaries()
    if programs is None:
        raise LookupError(MISSING)
    server = Server(programs, place)
    try:
        yield server
    finally:
        server.close()
