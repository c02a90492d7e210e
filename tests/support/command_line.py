"""Running the command line in tests."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

SECONDS_MAX = 60


class Command(Protocol):
    """Runs `cost-insights` to its end."""

    def __call__(
        self, *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The output of a command, and its exit code."""


@dataclass
class Serving:
    """A `cost-insights serve` that runs."""

    process: subprocess.Popen[str]
    greeting: str
    """The line that it printed when it was ready."""

    @property
    def address(self) -> str:
        """The address at which it listens for gRPC."""
        return self.greeting.split(" ")[2]

    @property
    def url(self) -> str:
        """The URL at which it listens for HTTP."""
        door = self.greeting.split(" · ")[1]
        assert door.startswith("HTTP on "), self.greeting
        return f"http://{door.removeprefix('HTTP on ')}"

    def stop(self) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.terminate()
        return self.process.wait(SECONDS_MAX)


class Serve(Protocol):
    """Runs `cost-insights serve` for the time of a block."""

    def __call__(
        self, *arguments: str, stderr: int | None = None
    ) -> AbstractContextManager[Serving]:
        """The service, once it is ready; its log goes to a file, if one is given."""


def program(*arguments: str) -> Sequence[str]:
    """The command line as a list of words."""
    return [sys.executable, "-m", "cost_insights.cli", *arguments]
