"""Running the real command line."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from cost_insights.cli import main
from tests.support.databases import Databases
from tests.support.service import Service

SECONDS_MAX = 60


class Command(Protocol):
    """Runs `cost-insights` to its end."""

    def __call__(
        self, *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What it printed and its exit code."""


@dataclass
class Serving:
    """A `cost-insights serve` that runs."""

    process: subprocess.Popen[str]
    greeting: str
    """The line that it printed when it was ready."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.greeting.split(" ")[2]

    def stop(self) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.terminate()
        return self.process.wait(SECONDS_MAX)


class Serve(Protocol):
    """Runs `cost-insights serve` for the time of a block."""

    def __call__(self, *arguments: str) -> AbstractContextManager[Serving]:
        """The service, once it is ready."""


@pytest.fixture
def clean_env(tmp_path: Path) -> dict[str, str]:
    """An environment in which no setting is set and the data folder is empty."""
    env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
    return env | {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
        "COLUMNS": "80",
        "NO_COLOR": "1",
    }


@pytest.fixture
def command(clean_env: dict[str, str]) -> Command:
    """The command line."""

    def run(
        *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            program(*arguments),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            env=clean_env | dict(env or {}),
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


@pytest.fixture
def quick(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean_env: dict[str, str]
) -> Command:
    """The command line without a process of its own, for what needs none."""

    def run(
        *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        assert not stdin, "standard input is that of the tests"
        with monkeypatch.context() as patch:
            for name in os.environ:
                if name not in clean_env:
                    patch.delenv(name)
            for name, value in (clean_env | dict(env or {})).items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["cost-insights", *arguments])
            code = main()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return run


@pytest.fixture
def sqlite_server(
    databases: Databases, start_server: Callable[..., AbstractContextManager[Service]]
) -> Iterator[Service]:
    """A server on an embedded database, for what no database matters to."""
    with databases.fresh("sqlite") as url, start_server(url) as service:
        yield service


@pytest.fixture
def serve(clean_env: dict[str, str]) -> Serve:
    """Runs the service in a process of its own."""

    @contextmanager
    def run(*arguments: str) -> Iterator[Serving]:
        with subprocess.Popen(
            program("serve", *arguments), env=clean_env, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                greeting = process.stdout.readline()
                assert greeting, "the service did not start"
                yield Serving(process, greeting.rstrip("\n"))
            finally:
                process.kill()

    return run


def program(*arguments: str) -> Sequence[str]:
    """The command line as a list of words."""
    return [sys.executable, "-m", "cost_insights.cli", *arguments]
