"""The pages with worked examples: each block of code runs, and gives the answer shown after it."""

import doctest
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import Databases
from tests.support.documents import ROOT, blocks
from tests.support.service import Service

DOCS = ROOT / "docs"
GUIDES = [
    ROOT / "README.md",
    ROOT / "service/README.md",
    DOCS / "start.md",
    DOCS / "python.md",
    *sorted((DOCS / "guides").glob("*.md")),
]
COMMANDS = {"sh": ["sh", "-e", "-c"], "python": [sys.executable, "-c"]}
FRAMEWORKS = ("from langchain", "import litellm")
"""The imports of programs that run in the environment of the packages of LLM vendors."""

NOT_RUN = ("make demo", "make serve", "pip install")
"""How blocks begin that start a service, which the test has started itself."""


def exact(document: str) -> Any:
    """JSON with every digit of its numbers."""
    return json.loads(document, parse_float=Decimal)


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_guide(
    page: Path,
    databases: Databases,
    start_server: Callable[..., AbstractContextManager[Service]],
    tmp_path: Path,
) -> None:
    """Its commands and programs, one after the other, beside a service that holds nothing yet."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with (
        databases.fresh("sqlite") as url,
        start_server(url, http_address="127.0.0.1:0") as service,
    ):
        env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
        env |= {
            "COST_INSIGHTS_GRPC_ADDRESS": service.address,
            "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{env['PATH']}",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PYTHONPATH": str(ROOT / "service"),
        }
        printed = None
        runs = [block for block in blocks(page) if not block.text.startswith(NOT_RUN)]
        for language, text in runs:
            if language in COMMANDS:
                block = text.replace("127.0.0.1:50051", service.address)
                block = block.replace("127.0.0.1:8080", service.server.http_address)
                command = [*COMMANDS[language], block]
                if language == "python" and block.startswith(FRAMEWORKS):
                    command[0] = str(Path(sys.prefix) / "llm-sdks" / "bin" / "python")
                done = subprocess.run(
                    command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
                printed = done.stdout
            else:
                assert language in {"json", "text"}
                # An answer belongs to the block before it, and to no other.
                assert printed is not None
                read = exact if language == "json" else str.strip
                assert read(text) == read(printed)
                printed = None


def test_the_examples_of_precision() -> None:
    """Python prints what the page about precision shows, of floats and of exact amounts."""
    examples = "\n".join(text for language, text in blocks(DOCS / "precision.md"))
    assert {language for language, _ in blocks(DOCS / "precision.md")} == {"pycon"}
    test = doctest.DocTestParser().get_doctest(examples, {}, "precision.md", None, 0)
    assert doctest.DocTestRunner().run(test) == (0, len(test.examples))
