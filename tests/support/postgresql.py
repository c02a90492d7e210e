"""A real PostgreSQL for the tests: a cluster of its own in a temporary folder.

Run as a program it tells where the server's programs are, or fails.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg

START_SECONDS_MAX = 60


def programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`, the newest version first."""
    places: list[Path] = []
    if config := shutil.which("pg_config"):
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        places.append(Path(asked.stdout.strip()))
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    places += sorted(versions, key=lambda place: place.parent.name.zfill(4), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    return None


def _as_other_user(folder: Path) -> Sequence[str]:
    """What to put before a command: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return ()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            # The server stops with the tests, however they end.
            return (
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
                "--pdeathsig=SIGINT",
            )
    raise RuntimeError("there is neither a user postgres nor a user nobody to run PostgreSQL as")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """A running PostgreSQL; gives the URL of its database `postgres`."""
    found = programs()
    if found is None:
        raise RuntimeError("PostgreSQL is not installed: run make test, which sets it up")
    # Not pytest's own temporary folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="cost-insights-postgresql-") as name:
        folder = Path(name)
        data = folder / "data"
        prefix = _as_other_user(folder)
        subprocess.run(
            [
                *prefix,
                found / "initdb",
                f"--pgdata={data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        port = free_port()
        log_path = folder / "log"
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "on",
            "max_connections": "200",
            "shared_buffers": "128MB",
        }
        with log_path.open("wb") as log:
            server = subprocess.Popen(
                [
                    *prefix,
                    found / "postgres",
                    "-D",
                    data,
                    *(f"--{option}={value}" for option, value in options.items()),
                ],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        try:
            _wait_until_ready(server, url, log_path)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: open connections are cut
            server.wait(timeout=START_SECONDS_MAX)


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(libpq_url(url)).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{log_path.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def libpq_url(url: str) -> str:
    """The URL as PostgreSQL's own library reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def main() -> int:
    """Prints where the server's programs are."""
    found = programs()
    if found is not None:
        print(f"PostgreSQL: {found}")
    return 0 if found is not None else 1


if __name__ == "__main__":
    sys.exit(main())
