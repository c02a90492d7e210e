"""Tests share code by `tests/support` and `tests/reference`, and their README knows each folder."""

import re
from pathlib import Path

import hypothesis
import pytest

from tests.support.imports import imports

TESTS = Path(__file__).parent


def modules(folder: Path) -> list[Path]:
    """Every module below a folder of tests."""
    return sorted(folder.rglob("*.py"))


def each_module(folder: Path) -> pytest.MarkDecorator:
    """Runs a test once for each module below a folder of tests."""
    paths = modules(folder)
    ids = [str(path.relative_to(TESTS)) for path in paths]
    return pytest.mark.parametrize("path", paths, ids=ids)


@each_module(TESTS)
def test_what_tests_share_is_in_support_or_reference(path: Path) -> None:
    """A module imports support, reference and what is shared of its own folder: benchmarks import
    other benchmarks, and tests of attacks the campaign."""
    allowed = {"support", "reference"}
    names = [name.split(".") for name in imports(path)]
    imported = [rest for root, *rest in names if root == "tests"]
    if path.is_relative_to(TESTS / "benchmarks"):
        allowed |= {"benchmarks"}
    if path.is_relative_to(TESTS / "trust"):
        imported = [rest for rest in imported if rest[:2] != ["trust", "campaign"]]
    assert {rest[0] for rest in imported} <= allowed


@each_module(TESTS / "reference")
def test_a_slow_twin_is_independent(path: Path) -> None:
    """A slow twin imports other twins and generated messages, and nothing else of the product."""
    for name in imports(path):
        root, *rest = name.split(".")
        if root in {"cost_insights", "tests"}:
            assert rest[0] == {"cost_insights": "v1", "tests": "reference"}[root], name


def test_the_readme_lists_every_folder() -> None:
    """The README says of each folder what it is about, and names none that is not there."""
    listed = re.findall(r"^\| `(\w+)/` \|", (TESTS / "README.md").read_text(), re.MULTILINE)
    folders = [path.name for path in TESTS.iterdir() if path.is_dir()]
    assert listed == sorted(name for name in folders if name[0].isalpha())


def test_the_readme_lists_every_profile() -> None:
    """The README says how many examples each profile of Hypothesis has."""
    text = (TESTS / "README.md").read_text()
    for name in ("fast", "ci", "thorough"):
        profile = hypothesis.settings.get_profile(name)
        assert f"`{name}` {profile.max_examples:,}" in text


def test_the_test_sees_imports() -> None:
    """The test must notice each form of import to be worth anything."""
    assert "tests.support.databases.Databases" in set(imports(TESTS / "conftest.py"))
    assert "tests.support.service.running" in set(imports(TESTS / "conftest.py"))
    assert "cost_insights._native.events.Limits" in set(
        imports(TESTS / "support" / "submissions.py")
    )
