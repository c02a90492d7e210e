"""Running the real command line."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cost_insights.cli import main
from tests.support.command_line import SECONDS_MAX, Command, Serve, Serving, program
from tests.support.databases import Databases
from tests.support.service import Service


@pytest.fixture
def clean_env(tmp_path: Path) -> dict[str, str]:
    """An environment without settings, but for a free port, and with an empty data folder."""
    env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
    return env | {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
        "COLUMNS": "80",
        "NO_COLOR": "1",
        # Several tests may serve at once.
        "COST_INSIGHTS_HTTP_ADDRESS": "127.0.0.1:0",
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
