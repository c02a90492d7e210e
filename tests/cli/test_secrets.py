"""What other users of the machine can see: not the password of the database, and no data."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command_line import Command, program
from tests.support.service import Service

PASSWORD = "correct-horse-battery"


def test_what_ingest_leaves_behind_is_private(
    quick: Command, sqlite_server: Service, tmp_path: Path
) -> None:
    """Refused lines, which hold data of customers, are for nobody else to read."""
    events = tmp_path / "events.ndjson"
    events.write_text('{"name": "a"}\n')
    faults = tmp_path / "faults.ndjson"
    umask = os.umask(0)
    try:
        quick("ingest", str(events), "--faults", str(faults), "--address", sqlite_server.address)
    finally:
        os.umask(umask)
    assert faults.read_text()
    assert faults.stat().st_mode & 0o777 == 0o600


@contextmanager
def waiting(env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A service that waits for a database which is not there."""
    with subprocess.Popen(
        program("serve", *arguments),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ci:{PASSWORD}@127.0.0.1:1/costs",
        f"postgresql://127.0.0.1:1/costs?user=ci&password={PASSWORD}",
    ],
)
@pytest.mark.parametrize("glued", [True, False])
def test_passwords_are_not_listed(clean_env: dict[str, str], url: str, glued: bool) -> None:
    """`ps` does not show the password of a database, nor does what the service prints."""
    flags = (f"--database-url={url}",) if glued else ("--database-url", url)
    with waiting(clean_env, *flags) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("waiting up to 30 seconds for the database postgresql+psycopg://")
        listed = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert "***" in listed
        assert PASSWORD not in listed + line


@pytest.mark.parametrize("command", [("serve",), ("db", "check"), ("token", "list")])
def test_a_malformed_url_is_not_repeated(
    clean_env: dict[str, str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The message about the URL of a database never repeats the URL."""
    file = tmp_path / "url"
    file.write_text(f"nonsense:{PASSWORD}\n")
    both = {"COST_INSIGHTS_DATABASE_URL": f"postgresql://{PASSWORD}@h/d"}
    in_file = {"COST_INSIGHTS_DATABASE_URL_FILE": str(file)}
    for env in (in_file, both | in_file):
        done = subprocess.run(
            program(*command), env=clean_env | env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "COST_INSIGHTS_DATABASE_URL" in done.stderr
        assert done.stderr.count("\n") == 1
        assert PASSWORD not in done.stderr
