"""A real PgBouncer in front of a PostgreSQL.

Run as a program it tells where PgBouncer is, or fails.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import sqlalchemy as sa

from tests.support.postgresql import START_SECONDS_MAX, as_other_user, free_port, libpq_url

MODES = ("session", "transaction")
"""The modes in which the service works."""


def program() -> str | None:
    """The path of PgBouncer, if it is installed."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/local/bin:/usr/bin")


_SETTINGS = """
[databases]
* =
[pgbouncer]
listen_addr = 127.0.0.1
listen_port =
auth_type =
auth_file =
pool_mode = {mode}
default_pool_size = {connections_max}
max_client_conn = 500
unix_socket_dir =
"""


class PgBouncer:
    """A PgBouncer that hands connections to the server of a URL, which can be killed.

    Of the settings, those that depend on the machine are replaced.
    """

    def __init__(self, folder: Path, url: str, settings: str) -> None:
        found = program()
        if found is None:
            raise RuntimeError("PgBouncer is not installed: run make test, which sets it up")
        target = sa.make_url(url)
        port = free_port()
        self.url = target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self._program = found
        self._folder = folder
        self._prefix = as_other_user(folder)
        self._process: subprocess.Popen[bytes] | None = None
        users = folder / "users.txt"
        users.write_text(f'"{target.username}" "{target.password or ""}"\n')
        for pattern, value in (
            (r"^(\*|cost_insights) =.*", f"* = host={target.host} port={target.port}"),
            ("^listen_port =.*", f"listen_port = {port}"),
            ("^auth_type =.*", "auth_type = trust"),
            ("^auth_file =.*", f"auth_file = {users}"),
        ):
            settings, count = re.subn(pattern, value, settings, flags=re.MULTILINE)
            assert count == 1, pattern
        (folder / "pgbouncer.ini").write_text(settings)

    def start(self) -> None:
        """Starts it and returns once it lets somebody in."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, self._program, self._folder / "pgbouncer.ini"],
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(libpq_url(self.url)).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    log_text = (self._folder / "log").read_text()
                    raise RuntimeError(f"PgBouncer did not start:\n{log_text}") from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """Kills it: every connection through it is cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stops it, if it runs."""
        self._end(signal.SIGTERM)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(START_SECONDS_MAX)
            self._process = None


@contextlib.contextmanager
def pgbouncer(url: str, mode: str, *, connections_max: int = 20) -> Iterator[PgBouncer]:
    """A running PgBouncer with so many connections to the database of a URL."""
    with tempfile.TemporaryDirectory(prefix="cost-insights-pgbouncer-") as name:
        settings = _SETTINGS.format(mode=mode, connections_max=connections_max)
        pooler = PgBouncer(Path(name), url, settings)
        pooler.start()
        try:
            yield pooler
        finally:
            pooler.stop()


def main() -> int:
    """Prints where PgBouncer is."""
    found = program()
    if found is not None:
        print(f"PgBouncer: {found}")
    return 0 if found is not None else 1


if __name__ == "__main__":
    sys.exit(main())
