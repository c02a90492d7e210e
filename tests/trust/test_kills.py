"""Kills of everything that runs: nothing acknowledged is lost, and nothing counts twice."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.postgresql import Cluster, folder_for_cluster
from tests.support.processes import ServiceProcess
from tests.support.waiting import wait_until
from tests.trust.campaign import kills


@pytest.mark.slow
def test_everything_is_killed() -> None:
    """SIGKILL of the service, of workers and of the database loses and doubles nothing."""
    outcome = kills.check(1)
    assert outcome.failures == []
    assert {what for what in outcome.counts if what.startswith("kills")} == {
        "kills of PostgreSQL",
        "kills of a process of PostgreSQL",
        "kills of a worker",
        "kills of the service",
    }


@pytest.mark.slow
def test_a_worker_starts_without_a_database(tmp_path: Path) -> None:
    """A worker that is started anew while the database is away says so in one line, and serves
    once it is back."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        cluster.start()
        service = ServiceProcess(cluster.url, tmp_path, "--workers", "2")
        log = tmp_path / "service.log"
        try:
            with closing(service):
                service.start()
                # Said once both workers serve: without the database, one would end at its start.
                wait_until(lambda: "gRPC on " in log.read_text())
                cluster.stop()
                worker, _ = service.worker_ids
                os.kill(worker, signal.SIGKILL)
                until = time.monotonic() + 120
                while "cannot serve the database: the database does not" not in log.read_text():
                    assert time.monotonic() < until
                    time.sleep(0.2)
                cluster.start()
                service.wait_until_serving()
            assert "Traceback" not in log.read_text()
        finally:
            cluster.stop()
