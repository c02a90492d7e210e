"""Runs a job in a thread of its own, on the process that holds the job's lease."""

import logging
import threading
from typing import Protocol

from cost_insights.errors import FAILURES, StoreUnavailableError
from cost_insights.jobs.leases import Claim, Lease
from cost_insights.store import Store

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_FAILED_SECONDS = 1.0


class Job(Protocol):
    """Background work that is repeated."""

    name: str
    """The name in the log, such as `compaction`."""

    lease: Lease

    def begin(self) -> None:
        """Called when this process has got the lease."""

    def end(self) -> None:
        """Called when it has given the lease back, or lost it."""

    def look(self, stopping: threading.Event) -> None:
        """Looks once for work and does it; ends early once `stopping` is set."""


class Runner:
    """The thread of a job. Between two looks it gives way to a process that waits for the lease."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store = store
        self._job = job
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=job.name, daemon=True)

    def start(self) -> None:
        """Starts looking for work."""
        self._thread.start()

    def stop(self) -> None:
        """Returns once the job has finished its current work."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                with self._job.lease.claim(self._store) as claim:
                    try:
                        self._run_while(claim)
                    finally:
                        self._job.end()
            except StoreUnavailableError:
                pass  # logged by the store; the job goes on later
            except FAILURES:  # logged; the thread must go on
                _log.exception("%s failed and is tried again", self._job.name)
                self._stopping.wait(_FAILED_SECONDS)

    def _run_while(self, claim: Claim) -> None:
        was_mine = False
        while not self._stopping.wait(_LOOK_SECONDS):
            is_new, was_mine = not was_mine, claim.is_mine()
            if not was_mine:
                continue
            if claim.is_awaited():
                return
            if is_new:
                self._job.begin()
            self._job.look(self._stopping)
