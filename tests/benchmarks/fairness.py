"""The ingest of an organization beside another one that sends twenty times as many at a time."""

import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.bodies import Bodies, bodies
from tests.benchmarks.organizations import create_organizations
from tests.benchmarks.processes import Load, LoadGenerator, service
from tests.benchmarks.results import LoadRow, Results, Row, rate
from tests.support.databases import Databases

GREED = 20
SLOWER_MAX = 3
SHARE_MIN = 0.8

_PREPARED = 50
_IN_FLIGHT_OF_CONNECTION = 64
_BEFORE_SECONDS = 1.0
_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class _Case:
    """How many events a request of both has, and how many requests the modest one has in flight."""

    events_each: int
    in_flight: int
    wants_half: bool = True
    """Whether it sends enough to take half of what the service stores."""


_CASES = (
    _Case(events_each=1, in_flight=8, wants_half=False),
    _Case(events_each=1, in_flight=64),
    _Case(events_each=1_000, in_flight=8),
)


@dataclass
class _Loads:
    """The loads of each round."""

    quiet: list[Load] = field(default_factory=list)
    beside: list[Load] = field(default_factory=list)
    greedy: list[Load] = field(default_factory=list)


def beside_a_greedy_one(
    databases: Databases, results: Results, *, seconds: float, rounds: int
) -> None:
    """An organization alone, and beside another with twenty times as many requests in flight."""
    for case in _CASES:
        prepared = bodies(requests=_PREPARED, events_each=case.events_each, keyed=True)
        loads = _Loads()
        with (
            tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder,
            databases.fresh("postgresql") as url,
        ):
            tokens = create_organizations(url, 2)
            with service(url) as server:
                modest = _Sender(Path(folder) / "modest", prepared, tokens[0], server.address)
                greedy = _Sender(Path(folder) / "greedy", prepared, tokens[1], server.address)
                modest.send(case.in_flight, seconds)
                for _ in range(rounds):
                    loads.quiet.append(modest.send(case.in_flight, seconds))
                    busy = greedy.start(
                        GREED * case.in_flight, _BEFORE_SECONDS + seconds + _AFTER_SECONDS
                    )
                    time.sleep(_BEFORE_SECONDS)
                    loads.beside.append(modest.send(case.in_flight, seconds))
                    loads.greedy.append(greedy.generator.finish(busy))
        _show(case, loads, results)


class _Sender:
    """Sends as one organization."""

    def __init__(self, folder: Path, prepared: Bodies, token: str, address: str) -> None:
        folder.mkdir()
        self.generator = LoadGenerator(folder, prepared)
        self._tokens = folder / "tokens"
        self._tokens.write_text(token)
        self._address = address

    def send(self, in_flight: int, seconds: float) -> Load:
        return self.generator.finish(self.start(in_flight, seconds))

    def start(self, in_flight: int, seconds: float) -> "subprocess.Popen[str]":
        return self.generator.start(
            self._address,
            in_flight=in_flight,
            seconds=seconds,
            connections=-(-in_flight // _IN_FLIGHT_OF_CONNECTION),
            tokens=self._tokens,
        )


def _show(case: _Case, loads: _Loads, results: Results) -> None:
    name = f"{case.in_flight} in flight of {case.events_each} event{'s'[: case.events_each - 1]}"
    what = f"ingest beside {GREED} times as many requests of another organization, {name}"
    results.rows.append(
        Row(
            f"p99 of {what}",
            f"{statistics.median(load.p99_ms for load in loads.beside):.1f} ms",
            f"alone: {statistics.median(load.p99_ms for load in loads.quiet):.1f} ms",
            [
                quiet.p99_ms / beside.p99_ms
                for quiet, beside in zip(loads.quiet, loads.beside, strict=True)
            ],
            1 / SLOWER_MAX,
        )
    )
    if case.wants_half:
        # Half of all, or as much as it sends when it is alone.
        shares = [
            min(quiet.events_per_second, (beside.events_per_second + greedy.events_per_second) / 2)
            for quiet, beside, greedy in zip(loads.quiet, loads.beside, loads.greedy, strict=True)
        ]
        rates = [load.events_per_second for load in loads.beside]
        results.rows.append(
            Row(
                what,
                rate(statistics.median(rates), "events"),
                f"its fair share: {rate(statistics.median(shares), 'events')}",
                [one / share for one, share in zip(rates, shares, strict=True)],
                SHARE_MIN,
            )
        )
    for which, of_which in (
        ("alone", loads.quiet),
        ("beside", loads.beside),
        ("greedy", loads.greedy),
    ):
        results.loads.append(
            LoadRow(
                f"{which}: {name}",
                statistics.median(load.events_per_second for load in of_which),
                p50_ms=statistics.median(load.p50_ms for load in of_which),
                p99_ms=statistics.median(load.p99_ms for load in of_which),
                load_cores=statistics.median(load.cpu_seconds / load.seconds for load in of_which),
            )
        )
