"""What the documents say of SDKs: their programs work, and their versions are those that run."""

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
README = (ROOT / "README.md").read_text()
DOCUMENTED_URL = "http://127.0.0.1:8080"


def documented(language: str, word: str, web: Service) -> str:
    """The program of the README in that language which has that word, with another base URL."""
    programs = [block.partition("```")[0] for block in README.split(f"```{language}\n")[1:]]
    (program,) = [one for one in programs if word in one]
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
    """The README's lines of TypeScript, which hold no types, as a module of Node."""
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    program = tmp_path / "program.mjs"
    program.write_text(documented("ts", "createPolar", web))
    check_that_it_ingests(["node", str(program)], web.caller())


def test_the_program_in_python(web: Service) -> None:
    """The README's lines of Python, once there is a `token`."""
    token = "import os\ntoken = os.environ['TOKEN']\n"
    program = token + documented("py", "polar.v2026_10", web)
    check_that_it_ingests([PYTHON_1.python, "-c", program], web.caller())


def test_the_documented_versions() -> None:
    """The versions that docs/compatibility.md names are those that are installed and run."""
    text = (ROOT / "docs" / "compatibility.md").read_text()
    *others, last = (sdk.version for sdk in SDKS if sdk.family.startswith("node"))
    assert f"`@polar-sh/sdk` {', '.join(others)} and {last}," in text
    one, other = (sdk.version for sdk in SDKS if sdk.family.startswith("python"))
    assert f"`polar-sdk` {one} and {other}\n" in text
    for sdk in SDKS:
        if sdk.family.startswith("node"):
            assert installed(sdk.module.removesuffix("/2026-10")) == sdk.version
    assert f"`@polar-sh/ingestion` {installed('@polar-sh/ingestion')}" in text


def installed(package: str) -> str:
    """The version of a package of Node that is installed."""
    version: str = json.loads((NODE_MODULES / package / "package.json").read_text())["version"]
    return version
