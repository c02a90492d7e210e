"""Looking at what is not counted as it happens: sizes, queues, the process and the event loop."""

import asyncio
import os
import resource
import time
from collections.abc import Callable
from typing import Final

from cost_insights.memory import resident_bytes
from cost_insights.telemetry.measurements import ProcessMeasurements

_LOOK_SECONDS: Final = 0.5

_FILES_LOOKS: Final = 10
"""The number of looks between two counts of open files, which take a while where there are many."""


class Sampler:
    """Looks twice a second, in the event loop that it measures."""

    def __init__(self, process: ProcessMeasurements, look: Callable[[], object]) -> None:
        """`look` sets the gauges of everything but the process."""
        self._process = process
        self._look = look
        self._looks = 0
        self._cpu_seconds = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begins to look."""
        process = self._process
        process.processes.set(1)
        process.started.set(time.time() - time.process_time())
        process.open_files_max.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        for build in process.build.values():
            build.set(1)
        self._loop = asyncio.get_running_loop()
        self.look()
        self._wait(self._loop)

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._process.processes.set(0)

    def look(self) -> None:
        """Looks once."""
        process = self._process
        cpu_seconds = time.process_time()
        process.cpu_seconds.add(cpu_seconds - self._cpu_seconds)
        self._cpu_seconds = cpu_seconds
        process.resident_bytes.set(resident_bytes())
        if self._looks % _FILES_LOOKS == 0:
            process.open_files.set(_open_files())
        self._looks += 1
        self._look()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _LOOK_SECONDS
        self._timer = loop.call_at(self._due, self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.loop_lag_seconds.observe(max(0.0, loop.time() - self._due))
        self.look()
        self._wait(loop)


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are all that is needed)
    except OSError:
        return 0
