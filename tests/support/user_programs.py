"""Programs of users of the Python client, and what `mypy --strict` says of them."""

import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = sorted((Path(__file__).parents[1] / "client" / "programs").glob("*.py"))
"""Programs that use every public name, without a mistake."""

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


def check_types(python: Path, folder: Path) -> None:
    """Checks that the types of the package that an interpreter imports accept the programs, and
    that each mistake of the wrong one is told.

    The folder is empty, and so holds neither settings nor the sources of the package.
    """
    (folder / "wrong.py").write_text(WRONG)
    for program in PROGRAMS:
        (folder / program.name).write_text(program.read_text())
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", ""]
    command = [*mypy, "--python-executable", str(python), "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    errors = re.compile(r"^(.+?):(\d+): error: .*\[(.+)\]$", re.MULTILINE)
    found: dict[tuple[str, int], set[str]] = {}
    for file, line, code in errors.findall(done.stdout):
        found.setdefault((file, int(line)), set()).add(code)
    expected = {
        ("wrong.py", number): set(line.partition("  # ")[2].split())
        for number, line in enumerate(WRONG.splitlines(), 1)
        if "  # " in line
    }
    assert found.keys() == expected.keys(), done.stdout + done.stderr
    assert [key for key in expected if not found[key] <= expected[key]] == [], done.stdout
