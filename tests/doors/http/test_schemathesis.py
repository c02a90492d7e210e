"""Thousands of random calls: no failure of the service, and no answer that is not documented."""

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.databases import Databases
from tests.support.service import Service

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@pytest.mark.slow
def test_every_answer_is_documented(
    databases: Databases,
    start_http: Callable[..., AbstractContextManager[Service]],
    tmp_path: Path,
) -> None:
    """Whatever is sent to a path of `/openapi.json`, the answer is one that it describes."""
    with databases.fresh("postgresql") as url, start_http(url) as service:
        token = service.token(service.organization())
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                *("run", f"{service.url}/openapi.json"),
                *("--checks", ",".join(CHECKS)),
                *("--phases", "coverage,fuzzing"),
                *("--max-examples", "20"),
                *("--header", f"Authorization: Bearer {token}"),
                *("--request-timeout", "60"),
                *("--suppress-health-check", "all"),
                *("--continue-on-failure", "--no-shrink"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    _, _, report = done.stdout.partition("= FAILURES =")
    assert done.returncode == 0, (report or done.stdout)[:10_000] + done.stderr
    (cases,) = re.findall(r"^  (\d+) generated", done.stdout, re.MULTILINE)
    assert int(cases) >= 2_000
