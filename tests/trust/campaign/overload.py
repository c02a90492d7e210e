"""Ten times as much as may wait: refusals say why, memory is bounded, and nothing is lost."""

import contextlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cost_insights.client import Client
from cost_insights.store import Store
from tests.support.databases import ENGINES, Databases
from tests.support.processes import ServiceProcess
from tests.support.senders import Sender, differences, sending, sums_differ
from tests.support.service import writes_blocked
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

MEGABYTE: Final = 1024 * 1024
SENDERS: Final = 64
BATCH_EVENTS: Final = 200
WAITING_EVENTS_MAX: Final = SENDERS * BATCH_EVENTS // 10
IN_FLIGHT_BYTES_MAX: Final = 64 * MEGABYTE
CACHE_BYTES_MAX: Final = 32 * MEGABYTE
_MEMORY_FACTOR: Final = 1.25
_RECOVERED_CALLS: Final = 20
_PILE_UP_SECONDS_MAX: Final = 10
_SAMPLE_SECONDS: Final = 0.1

_LIMITS: Final = {
    "COST_INSIGHTS_WAITING_EVENTS_MAX": str(WAITING_EVENTS_MAX),
    "COST_INSIGHTS_IN_FLIGHT_BYTES_MAX": str(IN_FLIGHT_BYTES_MAX),
    "COST_INSIGHTS_CACHE_BYTES_MAX": str(CACHE_BYTES_MAX),
}


def check(seconds: float, watch: Watch = QUIET) -> Outcome:
    """Sends ten times as many events at a time as may wait, on each database."""
    outcome = Outcome()
    with (
        tempfile.TemporaryDirectory(prefix="cost-insights-overload-") as name,
        contextlib.closing(Databases(Path(name))) as databases,
    ):
        for engine in ENGINES:
            with databases.fresh(engine) as url, tempfile.TemporaryDirectory() as folder:
                _overload(seconds / len(ENGINES), url, Path(folder), watch, outcome)
    return outcome


def _overload(seconds: float, url: str, folder: Path, watch: Watch, outcome: Outcome) -> None:
    service = ServiceProcess(url, folder, environment=_LIMITS)
    service.start()
    try:
        service.wait_until_serving()
        idle = peak = _memory(service.process_id)
        until = time.monotonic() + seconds
        with sending(service.address, SENDERS, batch_events=BATCH_EVENTS) as senders:
            _pile_up(url, senders)
            while time.monotonic() < until:
                time.sleep(_SAMPLE_SECONDS)
                peak = max(peak, _memory(service.process_id))
                left = until - time.monotonic()
                watch.says(f"overload of {url.partition(':')[0]}, {left:.0f} s to go")
        records = [sender.record for sender in senders]
        refusals: Counter[str] = sum((record.refusals for record in records), start=Counter())
        for refusal, times in sorted(refusals.items()):
            outcome.count(f"refusals with {refusal}", times)
            outcome.check(" " in refusal, f"{times} refusals with {refusal} name no reason")
        outcome.check(refusals.total() > 0, f"{url}: there was no overload")
        acknowledged = sum(
            len(one.external_ids) for record in records for one in record.acknowledged
        )
        outcome.count("events acknowledged", acknowledged)
        allowed = _MEMORY_FACTOR * (idle + IN_FLIGHT_BYTES_MAX + CACHE_BYTES_MAX)
        outcome.count(
            f"MiB at most on {url.partition('+')[0].partition(':')[0]}", round(peak / MEGABYTE)
        )
        outcome.check(
            peak <= allowed,
            f"{url}: {peak / MEGABYTE:.0f} MiB of memory, {allowed / MEGABYTE:.0f} are allowed",
        )
        _check_recovery(service.address, url, outcome)
        # The events of these calls are in no record.
        outcome.failures += [
            found
            for found in differences(url, records)
            if found != f"{_RECOVERED_CALLS} events are stored that nobody sent so"
        ]
        outcome.failures += sums_differ(service.address, url)
    finally:
        service.close()


def _pile_up(url: str, senders: Sequence[Sender]) -> None:
    """Blocks the database until somebody is refused: a fast one might keep up with the senders."""
    store = Store(url, connections_max=4)
    until = time.monotonic() + _PILE_UP_SECONDS_MAX
    try:
        with writes_blocked(store):
            while time.monotonic() < until:
                if any(sender.record.refusals for sender in senders):
                    return
                time.sleep(0.05)
    finally:
        store.close()


def _check_recovery(address: str, url: str, outcome: Outcome) -> None:
    """Each of some calls is taken at once when the overload is over."""
    with Client(address, timeout_seconds=10, retry_seconds=0) as client:
        for number in range(_RECOVERED_CALLS):
            try:
                client.ingest(
                    [
                        {
                            "name": "afterwards",
                            "external_customer_id": "user_1",
                            "external_id": f"afterwards-{number}",
                        }
                    ]
                )
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                outcome.failures.append(f"{url}: refused after the overload: {error}")
                return


def _memory(process_id: int) -> int:
    """The bytes that the process holds; those of the file of SQLite, which it maps, are the
    system's, which takes them back when it needs them."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return 1024 * sum(map(int, re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status, re.MULTILINE)))
