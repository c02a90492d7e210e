"""Clocks that step while clients send: forward, back, over the end of a token, during compaction.

The service runs with libfaketime, which changes the time of the clock and leaves durations alone.
Run as a program it tells where that library is, or fails.
"""

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cost_insights import identity
from cost_insights.client import Client
from cost_insights.client.errors import CallError
from cost_insights.store import Store
from tests.support.databases import ENGINES, Databases
from tests.support.processes import ServiceProcess
from tests.support.senders import Sender, differences, sending, sums_differ
from tests.support.service import now_us
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

SENDERS: Final = 2

STEPS: Final = (3_600, -3_600, 86_400, -86_400, 40 * 86_400, -40 * 86_400, 1, -1, 0)
"""The seconds by which the clock is wrong, one after the other: hours, days, over a month."""

_TOKEN_SECONDS: Final = 1_800


def library() -> Path | None:
    """The library for programs of several threads, if it is installed."""
    places = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    places += Path("/usr/local/lib/faketime").glob("libfaketimeMT.so.1")
    return next(iter(places), None)


class Clock:
    """The clock of a service, which can be set."""

    def __init__(self, folder: Path, found: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Condition variables wait for durations.
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, seconds: int) -> None:
        """Makes it wrong by that many seconds, at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)


def check(seconds: float, watch: Watch = QUIET) -> Outcome:
    """Steps the clock on each database until the time is over."""
    found = library()
    if found is None:
        return Outcome(failures=["libfaketime is not installed"])
    outcome = Outcome()
    with (
        tempfile.TemporaryDirectory(prefix="cost-insights-clocks-") as name,
        contextlib.closing(Databases(Path(name))) as databases,
    ):
        for engine in ENGINES:
            with databases.fresh(engine) as url, tempfile.TemporaryDirectory() as folder:
                _step(seconds / len(ENGINES), url, Path(folder), found, watch, outcome)
    return outcome


def _step(  # noqa: PLR0917 - the one caller gives them in this order
    seconds: float, url: str, folder: Path, found: Path, watch: Watch, outcome: Outcome
) -> None:
    clock = Clock(folder, found)
    lasting, ending = _tokens(url)
    service = ServiceProcess(url, folder, environment=clock.environment)
    service.start()
    try:
        service.wait_until_serving()
        until = time.monotonic() + seconds
        with sending(service.address, SENDERS, token=lasting) as senders:
            for wrong_by in _steps(until):
                clock.set(wrong_by)
                outcome.count("steps of the clock")
                watch.says(f"{wrong_by:+d} s on {url.partition(':')[0]}")
                # Longer than a token is remembered.
                time.sleep(1.5)
                _check_token(service.address, ending, wrong_by, outcome)
                _check_progress(senders, wrong_by, outcome)
        records = [sender.record for sender in senders]
        outcome.failures += differences(url, records)
        outcome.failures += sums_differ(service.address, url, token=lasting)
    finally:
        service.close()


def _steps(until: float) -> Iterator[int]:
    yield from STEPS
    rng = random.Random(0)
    while time.monotonic() < until:
        yield rng.choice(STEPS)
    yield 0


def _tokens(url: str) -> tuple[str, str]:
    """A token that does not end, and one that ends soon."""
    store = Store(url)
    store.upgrade()
    with store.write() as connection:
        owner = identity.ensure_organization(connection, "default")
        _, lasting = identity.create_token(connection, owner, identity.SCOPES, expires_us=None)
        ends_us = now_us() + _TOKEN_SECONDS * 1_000_000
        _, ending = identity.create_token(connection, owner, identity.SCOPES, expires_us=ends_us)
    store.close()
    return lasting, ending


def _check_token(address: str, token: str, wrong_by: int, outcome: Outcome) -> None:
    """A token that ends in half an hour is refused while the clock is an hour ahead."""
    outcome.count("looks at a token")
    wanted = "TOKEN_EXPIRED" if wrong_by > _TOKEN_SECONDS else ""
    try:
        with Client(address, token=token, retry_seconds=20) as client:
            client.metrics(start="2026-01-01", end="2026-01-02")
        found = ""
    except CallError as error:
        found = error.reason or error.code.name
    outcome.check(
        found == wanted, f"{wrong_by:+d} s: a token was answered {found!r}, not {wanted!r}"
    )


def _check_progress(senders: Sequence[Sender], wrong_by: int, outcome: Outcome) -> None:
    """Events are acknowledged whatever the clock says."""
    before, until = _batches(senders), time.monotonic() + 30
    while _batches(senders) == before and time.monotonic() < until:
        time.sleep(0.05)
    outcome.check(_batches(senders) > before, f"{wrong_by:+d} s: nothing was acknowledged")


def _batches(senders: Sequence[Sender]) -> int:
    return sum(len(sender.record.acknowledged) for sender in senders)


if __name__ == "__main__":
    where = library()
    if where is not None:
        print(f"libfaketime: {where}")
    sys.exit(0 if where is not None else 1)
