"""Programs of users against the types of the installed package, under `mypy --strict`."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cost_insights.client

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))

WRONG = """\
import asyncio
from cost_insights.client import AsyncClient, BackgroundClient, Client, NewOrder
client = Client()
client.ingest([{"name": "a", "external_customer": "b"}])  # typeddict-unknown-key list-item
client.ingest([{"name": 7}])  # list-item typeddict-item
client.metrics(start="2026-01-01")  # call-arg
client.metrics(start="2026-01-01", end="2026-01-31", interval="decade")  # arg-type
client.list_orders(active=True)  # call-arg
client.metrics(start="a", end="b").totals["costs"].upper()  # union-attr
order: NewOrder = {"order_id": "1"}  # typeddict-item
count: str = client.record_orders([order]).inserted  # assignment
for part in AsyncClient().export(start="a", end="b"):  # attr-defined
    print(part)
BackgroundClient(client).send(7)  # arg-type
"""
"""A program with a mistake on each line that ends in a comment, which names the errors of mypy."""


@pytest.mark.slow
def test_programs_of_users(tmp_path: Path) -> None:
    """Programs that use every public name are accepted, and each mistake of another one is told."""
    (tmp_path / "wrong.py").write_text(WRONG)
    for program in PROGRAMS:
        (tmp_path / program.name).write_text(program.read_text())
    # Without settings, and where the sources of the package are not.
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found: dict[tuple[str, int], set[str]] = {}
    for file, line, code in re.findall(
        r"^(.+?):(\d+): error: .*\[(.+)\]$", done.stdout, re.MULTILINE
    ):
        found.setdefault((file, int(line)), set()).add(code)
    expected = {
        ("wrong.py", number): set(line.partition("  # ")[2].split())
        for number, line in enumerate(WRONG.splitlines(), 1)
        if "  # " in line
    }
    assert found.keys() == expected.keys(), done.stdout + done.stderr
    assert [key for key in expected if not found[key] <= expected[key]] == [], done.stdout


def test_programs_use_every_name() -> None:
    """The programs import all that the package offers."""
    imported = {
        alias.name
        for program in PROGRAMS
        for node in ast.walk(ast.parse(program.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "cost_insights.client"
        for alias in node.names
    }
    assert sorted(imported) == sorted(cost_insights.client.__all__)
