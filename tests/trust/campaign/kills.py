"""SIGKILL of the service, of its workers and of the database, while clients send."""

import contextlib
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.postgresql import Cluster, folder_for_cluster
from tests.support.processes import ServiceProcess
from tests.support.senders import differences, sending, sums_differ
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

SENDERS: Final = 4
ROUND_SECONDS_MAX: Final = 300
"""The time after which clients stop and everything is compared; more events would take long."""

_SHARE_OF_SQLITE: Final = 0.4


def check(seconds: float, watch: Watch = QUIET, *, seed: int | None = None) -> Outcome:
    """Kills whatever there is, at random moments, until the time is over; afterwards each event
    that was acknowledged must be stored once, and the sums must be those of the events."""
    rng = random.Random(seed if seed is not None else random.SystemRandom().randrange(1 << 32))
    outcome = Outcome()
    for share, part in ((_SHARE_OF_SQLITE, on_sqlite), (1 - _SHARE_OF_SQLITE, on_postgresql)):
        left = seconds * share
        while left > 0:
            part(min(left, ROUND_SECONDS_MAX), rng, watch, outcome)
            left -= ROUND_SECONDS_MAX
    return outcome


def on_sqlite(seconds: float, rng: random.Random, watch: Watch, outcome: Outcome) -> None:
    """Kills a service on SQLite."""
    with tempfile.TemporaryDirectory(prefix="cost-insights-kills-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'costs.db'}"
        service = ServiceProcess(url, folder)

        def kill() -> None:
            service.kill()
            outcome.count("kills of the service")
            service.start()
            # Now and then it is killed again before it serves.
            if rng.random() < 0.7:
                service.wait_until_serving()

        _kill_for(seconds, [kill], service=service, url=url, rng=rng, watch=watch, outcome=outcome)


def on_postgresql(seconds: float, rng: random.Random, watch: Watch, outcome: Outcome) -> None:
    """Kills a service of two workers, one of the workers, one process of PostgreSQL or all."""
    with folder_for_cluster() as folder, tempfile.TemporaryDirectory() as logs:
        cluster = Cluster(folder)
        cluster.start()
        service = ServiceProcess(cluster.url, Path(logs), "--workers", "2")

        def kill_service() -> None:
            service.kill()
            outcome.count("kills of the service")
            service.start()
            service.wait_until_serving()

        def kill_worker() -> None:
            if workers := service.worker_ids:
                os.kill(rng.choice(workers), signal.SIGKILL)
                outcome.count("kills of a worker")
            time.sleep(rng.uniform(0, 0.5))

        def kill_backend() -> None:
            # PostgreSQL ends all others then, and recovers; without the one that recovers it ends.
            with contextlib.suppress(AssertionError, IndexError, OSError):
                os.kill(rng.choice(cluster.process_ids[1:]), signal.SIGKILL)
                outcome.count("kills of a process of PostgreSQL")
            time.sleep(rng.uniform(0, 0.5))

        def kill_database() -> None:
            if cluster.is_running:
                cluster.kill()
                outcome.count("kills of PostgreSQL")
            time.sleep(rng.uniform(0, 0.5))

        def revive() -> None:
            while not is_over.wait(0.1):
                # It may be killed while it starts, too.
                with contextlib.suppress(RuntimeError):
                    if not cluster.is_running:
                        cluster.start()

        is_over = threading.Event()
        reviver = threading.Thread(target=revive)
        reviver.start()
        # Those from which there is a long way back come less often.
        kills = [
            *(kill_worker, kill_backend, kill_service, kill_worker),
            *(kill_backend, kill_worker, kill_database, kill_backend),
        ]

        try:
            _kill_for(
                seconds,
                kills,
                service=service,
                url=cluster.url,
                rng=rng,
                watch=watch,
                outcome=outcome,
            )
        finally:
            is_over.set()
            reviver.join()
            cluster.stop()


def _kill_for(
    seconds: float,
    kills: list[Callable[[], None]],
    *,
    service: ServiceProcess,
    url: str,
    rng: random.Random,
    watch: Watch,
    outcome: Outcome,
) -> None:
    service.start()
    try:
        service.wait_until_serving()
        until = time.monotonic() + seconds
        with sending(service.address, SENDERS) as senders:
            number = 0
            while number < len(kills) or time.monotonic() < until:
                time.sleep(rng.uniform(0, 0.3))
                kills[number % len(kills)]()
                number += 1
                total = sum(times for what, times in outcome.counts.items() if "kill" in what)
                watch.says(f"{total} kills, {url.partition(':')[0]}")
            service.wait_until_serving()
        records = [sender.record for sender in senders]
        outcome.count(
            "events acknowledged",
            sum(len(one.external_ids) for record in records for one in record.acknowledged),
        )
        outcome.failures += differences(url, records)
        outcome.failures += sums_differ(service.address, url)
    finally:
        service.close()
