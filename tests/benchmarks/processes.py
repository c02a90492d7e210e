"""The processes of a measurement: servers, and the load generator that calls them."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.bodies import Bodies
from tests.benchmarks.results import check_equal

LOAD = Path(sys.executable).parent / "cost-insights-load"
"""Built from `load/` by `make bench`."""

STOP_SECONDS_MAX = 60

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """A process of this machine, seen from outside."""

    pid: int

    def cpu_seconds(self) -> float:
        """The time that all its threads have computed so far, in the kernel too."""
        # What follows the name, which may hold blanks and parentheses itself.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """The memory that it holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@dataclass(frozen=True)
class ServerProcess(Process):
    """A server."""

    address: str
    """The address for gRPC; of a server without it, for HTTP."""

    http_address: str = ""


def service(
    database_url: str, *, log_level: str = "warning", **settings: str
) -> contextlib.AbstractContextManager[ServerProcess]:
    """The service as its command starts it, on free ports; settings by their names."""
    settings.setdefault("admin_address", "127.0.0.1:0")
    program = Path(sys.executable).parent / "cost-insights"
    return _server(
        [
            str(program),
            "serve",
            "--grpc-address=127.0.0.1:0",
            "--http-address=127.0.0.1:0",
            f"--database-url={database_url}",
            f"--log-level={log_level}",
        ],
        {f"COST_INSIGHTS_{name.upper()}": value for name, value in settings.items()},
    )


def empty_http_server() -> contextlib.AbstractContextManager[ServerProcess]:
    """An HTTP server that does nothing with what it is sent, of the same kind as the service's."""
    return _server([sys.executable, "-m", "tests.benchmarks.empty_http_server"])


def empty_server(loop: str = "uvloop") -> contextlib.AbstractContextManager[ServerProcess]:
    """A server that does nothing with what it is sent, on the event loop of that name."""
    return _server([sys.executable, "-m", "tests.benchmarks.empty_server", loop])


@contextlib.contextmanager
def _server(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(variables or {})}
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.findall(r"(?:gRPC|HTTP) on (\S+)", line)
        if not found:
            raise RuntimeError(f"{command[0]} does not say where it listens, but {line!r}")
        yield ServerProcess(process.pid, found[0], found[-1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS_MAX)
        process.stdout.close()


@dataclass(frozen=True)
class Load:
    """The report of the load generator; see `load/main.go`."""

    requests: int
    inserted: int
    events: int
    cost_picocents: int
    sent_bytes: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def events_per_second(self) -> float:
        """The number of events that were acknowledged per second."""
        return self.events / self.seconds


class LoadGenerator:
    """Sends the same bodies again and again, with new keys each time, from the first one on."""

    def __init__(self, folder: Path, bodies: Bodies, *, first_key: int = 0) -> None:
        self._bodies = bodies
        self._path = folder / "bodies"
        self.next_key = first_key
        """The first key that was not sent yet."""

        bodies.write(self._path)

    def send(
        self,
        address: str,
        *,
        in_flight: int,
        seconds: float = 0,
        requests: int = 0,
        connections: int = 1,
        path: str | None = None,
        tokens: Path | None = None,
    ) -> Load:
        """Sends for a time, or that many requests; raises RuntimeError if one fails."""
        process = self.start(
            address,
            in_flight=in_flight,
            seconds=seconds,
            requests=requests,
            connections=connections,
            path=path,
            tokens=tokens,
        )
        return self.finish(process)

    def start(
        self,
        address: str,
        *,
        in_flight: int,
        seconds: float = 0,
        requests: int = 0,
        connections: int = 1,
        requests_per_second: float = 0,
        path: str | None = None,
        tokens: Path | None = None,
    ) -> "subprocess.Popen[str]":
        """Begins to send, as fast as it can unless a rate is given; only one may run at a time.

        With a path, the requests are sent as JSON over HTTP/1.1, on a connection each. With a file
        of access tokens, one a line, each request over gRPC carries the next of them.
        """
        return subprocess.Popen(
            [
                LOAD,
                f"-address={address}",
                f"-bodies={self._path}",
                f"-in-flight={in_flight}",
                f"-seconds={seconds}",
                f"-requests={requests}",
                f"-connections={connections if path is None else in_flight}",
                *(() if path is None else ("-http1", f"-method={path}")),
                *(() if tokens is None else (f"-tokens={tokens}",)),
                f"-rate={requests_per_second}",
                f"-first-key={self.next_key}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: "subprocess.Popen[str]") -> Load:
        """Waits for its end."""
        output, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the load generator failed with code {process.returncode}")
        report = json.loads(output)
        if report["failures"]:
            raise RuntimeError(f"a request failed: {report['first_failure']}")
        self.next_key += report["keys"]
        requests: int = report["requests"]
        check_equal("requests per body", sum(report["per_body"]), requests)
        costs = zip(self._bodies.costs_picocents, report["per_body"], strict=True)
        return Load(
            requests=requests,
            inserted=report["inserted"],
            events=requests * self._bodies.events_each,
            cost_picocents=sum(cost * count for cost, count in costs),
            sent_bytes=report["sent_bytes"],
            seconds=report["elapsed_us"] / 1e6,
            cpu_seconds=report["cpu_us"] / 1e6,
            p50_ms=report["p50_us"] / 1e3,
            p99_ms=report["p99_us"] / 1e3,
        )
