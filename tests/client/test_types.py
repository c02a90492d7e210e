"""Programs of users against the types of the client, under `mypy --strict`."""

import ast
import sys
from pathlib import Path

import pytest

import cost_insights.client
from tests.support.user_programs import PROGRAMS, check_types


@pytest.mark.slow
def test_programs_of_users(tmp_path: Path) -> None:
    """Programs that use every public name are accepted, and each mistake of another one is told;
    tests/packaging asks the same of the wheel."""
    check_types(Path(sys.executable), tmp_path)


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
