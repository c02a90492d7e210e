"""The SDKs of the compatible API, each called in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

INTEROP = Path(__file__).parents[1] / "interop"
_VENV = Path(sys.prefix)
NODE_MODULES = _VENV / "node" / "node_modules"


@dataclass(frozen=True)
class Sdk:
    """An SDK as it is published."""

    name: str
    family: str
    """SDKs of a family raise the same errors: `node 1`, `node 0`, `python 1` or `python 0`."""

    module: str
    """The module that a program imports."""

    version: str
    lacks: frozenset[str] = frozenset()
    """Calls, parameters and fields that came with a later version."""

    @property
    def python(self) -> str:
        """The Python of the environment that an SDK of Python is installed in."""
        return str(_VENV / f"polar-sdk-{self.version}" / "bin" / "python")

    @property
    def command(self) -> Sequence[str]:
        """The program that makes calls with it."""
        if self.family.startswith("node"):
            return ["node", str(INTEROP / "node" / "sdk.js"), self.module]
        return [self.python, str(INTEROP / "python" / "sdk.py"), self.module]


PYTHON_1 = Sdk("python 1.0.2", "python 1", "polar.v2026_10", "1.0.2")
PYTHON_0 = Sdk("python 0.32.0", "python 0", "polar_sdk", "0.32.0")
SDKS = (
    Sdk("node 1.0.1", "node 1", "@polar-sh/sdk/2026-10", "1.0.1"),
    Sdk("node 0.49.0", "node 0", "polar-sdk-049", "0.49.0"),
    Sdk("node 0.47.1", "node 0", "polar-sdk-047", "0.47.1"),
    Sdk(
        "node 0.41.5",
        "node 0",
        "polar-sdk-041",
        "0.41.5",
        frozenset({"dashboards", "depth", "event_types", "label", "metrics.export", "min_days"}),
    ),
    PYTHON_1,
    PYTHON_0,
)
OTHER_DATES = (
    Sdk("node 1.0.1 of 2026-04", "node 1", "@polar-sh/sdk/2026-04", "1.0.1"),
    Sdk("node 1.0.1 of 2027-01", "node 1", "@polar-sh/sdk/2027-01", "1.0.1"),
    Sdk("python 1.0.2 of 2026-04", "python 1", "polar.v2026_04", "1.0.2"),
    Sdk("python 1.0.2 of 2027-01", "python 1", "polar.v2027_01", "1.0.2"),
)
"""The same SDKs for other dated versions of the API, which they name in each request."""


def node_environment() -> Mapping[str, str]:
    """The environment of a program that finds the packages of Node.

    Some SDKs would take a token from the environment, if there were one.
    """
    assert NODE_MODULES.is_dir(), "the SDKs are not installed: run make test, which does it"
    env = {key: value for key, value in os.environ.items() if key != "POLAR_ACCESS_TOKEN"}
    return env | {"NODE_PATH": str(NODE_MODULES)}


@dataclass(eq=False)
class SdkError(Exception):
    """What an SDK threw or raised; fields that it does not have are None."""

    name: str
    """The name of the class."""

    message: str
    status: int | None
    body: Any
    """The body of the answer, as text or as the SDK reads it."""

    detail: Any
    """The typed faults or words, where the SDK has any."""

    retry_after: int | str | None
    """The field of that name, or the header where there is no field."""


class SdkProcess:
    """A program that makes calls with an SDK."""

    def __init__(self, sdk: Sdk) -> None:
        self.sdk = sdk
        self._process = subprocess.Popen(
            sdk.command,
            env=node_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, url: str, token: str | None, call: str, arguments: Mapping[str, Any]) -> Any:
        """The answer to a call; raises SdkError where the SDK raises an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        step = {"url": url, "token": token, "call": call, "arguments": arguments}
        self._process.stdin.write(json.dumps(step) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the program of {self.sdk.name} ended"
        outcome = json.loads(line)
        if "error" in outcome:
            error = outcome["error"]
            raise SdkError(
                error["class"],
                error["message"],
                error.get("status"),
                error.get("body"),
                error.get("detail"),
                error.get("retry_after"),
            )
        # Some calls answer nothing.
        return outcome.get("answer")

    def close(self) -> None:
        """Ends the program."""
        self._process.communicate(timeout=60)


@dataclass(frozen=True)
class SdkClient:
    """An SDK that calls a server with a token."""

    process: SdkProcess
    url: str
    token: str | None

    @property
    def sdk(self) -> Sdk:
        """The SDK."""
        return self.process.sdk

    def __call__(self, call: str, **arguments: Any) -> Any:
        """The answer to a call such as `events.list`; raises SdkError."""
        return self.process.call(self.url, self.token, call, arguments)

    def ingest(self, *events: Mapping[str, Any]) -> Any:
        """Sends events in one request."""
        return self("events.ingest", events=list(events))

    def items(self, call: str, **arguments: Any) -> list[Any]:
        """The items of one page of a list."""
        items: list[Any] = self(call, **arguments)["items"]
        return items


def instant(text: str) -> datetime:
    """The moment that a timestamp names: SDKs write it with different offsets and digits."""
    return datetime.fromisoformat(text).astimezone(UTC)
