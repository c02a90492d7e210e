"""Disks that are full now and then while clients send: on SQLite, and on all of PostgreSQL."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.support.disks import fill, small_disk
from tests.support.postgresql import Cluster
from tests.support.processes import ServiceProcess
from tests.support.senders import Sender, differences, sending, sums_differ
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

SENDERS: Final = 3
SQLITE_MEGABYTES: Final = 192
POSTGRESQL_MEGABYTES: Final = 512

_FULL_SECONDS_MAX: Final = 20
_USED_SHARE_MAX: Final = 0.6
"""The share of a disk beyond which the events themselves would fill it soon."""


def check(seconds: float, watch: Watch = QUIET) -> Outcome:
    """Fills the disk and makes room again, until the time is over; afterwards each event that was
    acknowledged must be stored once."""
    if os.geteuid() != 0:
        return Outcome(failures=["only root can mount the small disks"])
    outcome = Outcome()
    _on_sqlite(seconds / 2, watch, outcome)
    _on_postgresql(seconds / 2, watch, outcome)
    return outcome


def _on_sqlite(seconds: float, watch: Watch, outcome: Outcome) -> None:
    with small_disk(SQLITE_MEGABYTES) as disk, tempfile.TemporaryDirectory() as logs:
        url = f"sqlite:///{disk / 'costs.db'}"
        service = ServiceProcess(url, Path(logs))
        _fill_for(seconds, disk, service, url, watch, outcome)


def _on_postgresql(seconds: float, watch: Watch, outcome: Outcome) -> None:
    with small_disk(POSTGRESQL_MEGABYTES) as disk, tempfile.TemporaryDirectory() as logs:
        cluster = Cluster(disk)
        cluster.start()

        def recover() -> None:
            # Without room for its write-ahead log it recovers, and ends if it cannot.
            if not cluster.is_running:
                cluster.start()
                outcome.count("starts of PostgreSQL after it ended")

        service = ServiceProcess(cluster.url, Path(logs))
        try:
            _fill_for(seconds, disk, service, cluster.url, watch, outcome, recover)
        finally:
            cluster.stop()


def _fill_for(  # noqa: PLR0917 - both callers give them in this order
    seconds: float,
    disk: Path,
    service: ServiceProcess,
    url: str,
    watch: Watch,
    outcome: Outcome,
    recover: Callable[[], None] = lambda: None,
) -> None:
    service.start()
    try:
        service.wait_until_serving()
        until = time.monotonic() + seconds
        with sending(service.address, SENDERS, batch_events=5, text_chars=500) as senders:
            is_first = True
            while is_first or (time.monotonic() < until and _used(disk) < _USED_SHARE_MAX):
                is_first = False
                _wait_for(senders, _acknowledged, seconds_max=60)
                filler = fill(disk)
                watch.says(f"the disk of {url.partition(':')[0]} is full")
                _wait_for(senders, _refused, seconds_max=_FULL_SECONDS_MAX)
                filler.unlink()
                outcome.count("times that a disk was full")
                time.sleep(1)
                recover()
        records = [sender.record for sender in senders]
        refusals = sum((record.refusals for record in records), start=type(records[0].refusals)())
        for reason, times in sorted(refusals.items()):
            outcome.count(f"refusals with {reason}", times)
        outcome.check(refusals.total() > 0, f"{url}: a full disk was not noticed")
        outcome.count("events acknowledged", _acknowledged(senders))
        outcome.failures += differences(url, records)
        outcome.failures += sums_differ(service.address, url)
    finally:
        service.close()


def _used(disk: Path) -> float:
    usage = shutil.disk_usage(disk)
    return usage.used / usage.total


def _acknowledged(senders: Sequence[Sender]) -> int:
    return sum(len(one.external_ids) for s in senders for one in list(s.record.acknowledged))


def _refused(senders: Sequence[Sender]) -> int:
    return sum(sender.record.refusals.total() for sender in senders)


def _wait_for(
    senders: Sequence[Sender], count: Callable[[Sequence[Sender]], int], *, seconds_max: float
) -> None:
    """Waits until a number has grown, and a little longer."""
    before, until = count(senders), time.monotonic() + seconds_max
    while count(senders) < before + 10 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
