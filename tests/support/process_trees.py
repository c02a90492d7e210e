"""Processes and those that they have started."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path


def children_of(process_id: int) -> list[int]:
    """The ids of the processes that a process has started."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in children.read_text().split()]


def kill_all(process_ids: Sequence[int]) -> None:
    """Kills processes, some of which may have ended, and waits until none of them is left."""
    for process_id in process_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    for process_id in process_ids[1:]:
        while Path(f"/proc/{process_id}").exists():
            time.sleep(0.005)
