"""The page about compatibility: its programs work, and its versions of SDKs are those that run."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.sdks import NODE_MODULES, PYTHON_1, SDKS
from tests.support.service import Caller, Service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
DOCUMENTED_URL = "http://127.0.0.1:8080"


def documented(language: str, web: Service) -> str:
    """The program of the page in that language, with another base URL."""
    (program,) = [block.partition("```")[0] for block in PAGE.split(f"```{language}\n")[1:]]
    assert DOCUMENTED_URL in program
    return program.replace(DOCUMENTED_URL, web.url)


def check_that_it_ingests(command: Sequence[str], caller: Caller) -> None:
    """Runs a program that sends the one documented event."""
    env = {**os.environ, "TOKEN": caller.token or ""}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    (event,) = caller.list_events()
    assert (event.name, event.external_customer_id) == ("llm.inference", "user_123")
    assert (event.cost.amount, event.cost.currency) == ("0.025", "usd")


def test_the_program_in_typescript(web: Service, tmp_path: Path) -> None:
    """The lines of TypeScript, which hold no types, as a module of Node."""
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    program = tmp_path / "program.mjs"
    program.write_text(documented("ts", web))
    check_that_it_ingests(["node", str(program)], web.caller())


def test_the_program_in_python(web: Service) -> None:
    """The lines of Python, once there is a `token`."""
    token = "import os\ntoken = os.environ['TOKEN']\n"
    program = token + documented("py", web)
    check_that_it_ingests([PYTHON_1.python, "-c", program], web.caller())


def test_the_documented_versions() -> None:
    """The versions that the page names are those that are installed and run."""
    *others, last = (sdk.version for sdk in SDKS if sdk.family.startswith("node"))
    assert f"`@polar-sh/sdk` {', '.join(others)} and {last}," in PAGE
    one, other = (sdk.version for sdk in SDKS if sdk.family.startswith("python"))
    assert f"`polar-sdk` {one} and {other}\n" in PAGE
    for sdk in SDKS:
        if sdk.family.startswith("node"):
            assert installed(sdk.module.removesuffix("/2026-10")) == sdk.version
    assert f"`@polar-sh/ingestion` {installed('@polar-sh/ingestion')}" in PAGE


def installed(package: str) -> str:
    """The version of a package of Node that is installed."""
    version: str = json.loads((NODE_MODULES / package / "package.json").read_text())["version"]
    return version
