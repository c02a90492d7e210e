"""The supervisor of workers: what it sees of their ends."""

import multiprocessing
import socket
import threading
import time
from typing import Any, cast

from cost_insights import supervisor

_processes = multiprocessing.get_context("spawn")


class Worker:
    """A worker whose process ends right after the supervisor has looked at it."""

    def __init__(self) -> None:
        self.started = 0.0
        self.has_served = True
        self.serving = None
        self.is_anew = threading.Event()
        self.process = self
        self.name = "worker 1"
        self._process = _processes.Process(target=time.sleep, args=(60,))
        self._process.start()
        self.sentinel = self._process.sentinel

    @property
    def exitcode(self) -> int | None:
        """The exit code as it is before the process ends."""
        exitcode = self._process.exitcode
        self._process.kill()
        self._process.join()
        return exitcode

    def close(self) -> None:
        """Nothing is left to be released."""

    def start(self) -> None:
        """Tells that it was to be started anew."""
        self.is_anew.set()


def test_a_worker_that_ends_at_any_moment_is_started_anew() -> None:
    """Also one that ends after the supervisor has looked and before it waits."""
    worker = Worker()
    stop, stopping = socket.socketpair()
    with stop, stopping:
        watching = threading.Thread(
            target=supervisor._watch,
            args=(cast("Any", [worker]), stop, lambda: None),
            daemon=True,
        )
        watching.start()
        assert worker.is_anew.wait(10)
        stopping.send(b"\0")
        watching.join()
