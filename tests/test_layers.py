"""Imports run downwards only, and Rust's module is at the bottom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "service" / "cost_insights"

LAYERS = (
    {"cli"},
    {"supervisor"},
    {"server"},
    {"doors"},
    {"api"},
    {"ingest", "metrics", "events", "revenue", "customers"},
    {"identity"},
    {"store"},
)
"""From the top down: what stands in a set may import what stands in the sets below it."""

EVERYWHERE = {"amounts", "errors", "settings", "paging", "_native", "logs"}
"""What any layer may import, and what imports nothing of the layers."""

APART = {
    # The generated messages belong to the border of the service, not to its core.
    "v1": {"api", "cli", "client", "doors", "ingest"},
    # The client is for other people's programs, and works without the service.
    "client": {"cli"},
}
"""Who may import what stands in no layer."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package with its part, generated ones apart."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "v1" and parts != ("__init__.py",):
            yield Path(parts[0]).stem, path


def imports(path: Path) -> Iterator[str]:
    """The parts of the package that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root, _, rest = alias.name.partition(".")
                if root == "cost_insights":
                    yield rest.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            root, _, rest = (node.module or "").partition(".")
            if root == "cost_insights" and rest:
                yield rest.partition(".")[0]
            elif root == "cost_insights":
                yield from (alias.name for alias in node.names)


def rank(part: str) -> int:
    """How far down a part is."""
    (found,) = [place for place, layer in enumerate(LAYERS) if part in layer]
    return found


def test_every_part_has_its_layer() -> None:
    """A new part of the package must be given its place."""
    assert {part for part, _ in modules()} <= set().union(*LAYERS) | EVERYWHERE | APART.keys()


@pytest.mark.parametrize(
    ("part", "path"), [pytest.param(*one, id=str(one[1].relative_to(PACKAGE))) for one in modules()]
)
def test_imports_run_downwards(part: str, path: Path) -> None:
    """A module imports its own part, parts further down, and what everybody may import."""
    for imported in imports(path):
        if imported in EVERYWHERE | {part}:
            continue
        if imported in APART:
            assert part in APART[imported], f"{part} imports {imported}"
        else:
            in_layers = part not in EVERYWHERE | APART.keys()
            assert in_layers, f"{part} imports {imported}"
            assert rank(imported) > rank(part), f"{part} imports {imported}"


def test_the_test_sees_imports() -> None:
    """The server imports the door, which this test must notice to be worth anything."""
    assert "doors" in set(imports(PACKAGE / "server.py"))
    assert "_native" in set(imports(PACKAGE / "settings.py"))
