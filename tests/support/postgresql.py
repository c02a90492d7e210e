"""A real PostgreSQL for the tests: a cluster of its own in a temporary folder.

Run as a program it tells where the server's programs are, or fails.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg

from tests.support.process_trees import children_of, kill_all

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


def as_other_user(folder: Path) -> Sequence[str]:
    """The prefix of a command: PostgreSQL refuses to run as root."""
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
    """A port of 127.0.0.1 that nothing listens on just now.

    It lies below those that the kernel gives to connections: while a server is
    down, a client that keeps trying may otherwise be given the server's own port
    and connect to itself, and the server cannot come back.
    """
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port


class Cluster:
    """A PostgreSQL of its own in a folder, which can be started, stopped and crashed.

    One that is already there is taken as it is. Without `fsync` it is faster, and
    nothing is lost as long as the machine itself goes on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        found = programs()
        if found is None:
            raise RuntimeError("PostgreSQL is not installed: run make test, which sets it up")
        self._folder = folder
        self._fsync = fsync
        self._environment = {**os.environ, **(environment or {})}
        self._prefix = as_other_user(folder)
        self._postgres = found / "postgres"
        self._log_path = folder / "log"
        self._server: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"
        if (folder / "data").exists():
            return
        subprocess.run(
            [
                *self._prefix,
                found / "initdb",
                f"--pgdata={folder / 'data'}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Starts the server and returns once it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self._folder),
            "fsync": "on" if self._fsync else "off",
            "max_connections": "200",
            "shared_buffers": "128MB",
        }
        with self._log_path.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *self._prefix,
                    self._postgres,
                    "-D",
                    self._folder / "data",
                    *(f"--{option}={value}" for option, value in options.items()),
                ],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _wait_until_ready(self._server, self.url, self._log_path)

    def stop(self) -> None:
        """Stops the server; open connections are cut."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Ends the server at once, without a checkpoint: it must recover when it starts."""
        self._end(signal.SIGQUIT)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._server is not None and self._server.poll() is None

    @property
    def process_ids(self) -> list[int]:
        """The processes of the server, the one that starts the others first."""
        assert self._server is not None
        return [self._server.pid, *children_of(self._server.pid)]

    def kill(self) -> None:
        """Kills all of its processes at once, as an operator or the kernel may."""
        server = self._server
        assert server is not None
        kill_all(self.process_ids)
        server.wait(START_SECONDS_MAX)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """For the time of the block the server takes connections and answers nothing."""
        assert self._server is not None
        # The first process stops first: it would start no other in the meantime.
        os.kill(self._server.pid, signal.SIGSTOP)
        stopped = self.process_ids
        for pid in stopped[1:]:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def _end(self, signum: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(signum)
            self._server.wait(timeout=START_SECONDS_MAX)
            self._server = None


@contextlib.contextmanager
def folder_for_cluster() -> Iterator[Path]:
    """A temporary folder that a server of another user may enter; pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="cost-insights-postgresql-") as name:
        yield Path(name)


@contextlib.contextmanager
def cluster(kept: Path | None = None, *, fsync: bool = True) -> Iterator[str]:
    """A running PostgreSQL; gives the URL of its database `postgres`.

    It goes away with the block, unless there is a folder to keep it in.
    """
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    with folder_for_cluster() if kept is None else contextlib.nullcontext(kept) as folder:
        server = Cluster(folder, fsync=fsync)
        try:
            server.start()
            yield server.url
        finally:
            server.stop()


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
