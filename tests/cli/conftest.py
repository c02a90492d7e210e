"""Running the real command line."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import pytest

from cost_insights.cli import main
from tests.support.command_line import SECONDS_MAX, Command, program
from tests.support.databases import Databases
from tests.support.service import Service


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
