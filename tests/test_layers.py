"""Imports run downwards only: from one layer to those below it, and never in a circle."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.imports import imports

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "service" / "cost_insights"
PAGE = (ROOT / "docs" / "architecture.md").read_text()

LAYERS = (
    {"cli"},
    {"supervisor"},
    {"server"},
    {"app"},
    {"doors", "files"},
    {"api"},
    {"metrics"},
    {"events", "revenue"},
    {"cells", "customers"},
    {"identity", "jobs"},
    {"store"},
)
"""The layers from the top down: a set may import the sets below it."""

EVERYWHERE = {
    "_native",
    "addresses",
    "amounts",
    "clock",
    "errors",
    "fair_queue",
    "logs",
    "memory",
    "paging",
    "settings",
    "telemetry",
}
"""The modules that any layer may import, and that import nothing of the layers."""

CLIENT = {"client"}
"""For other people's programs: it works without the service."""

GENERATED = {"v1"}

IMPORTS_CLIENT = {"cli", "files"}

THIRD_PARTY: Mapping[str, set[str]] = {
    "grpc": {"doors", "client", "cli", "files"},
    "google": {"api", "doors", "client", "cli", "files"},
    "sqlalchemy": {
        "cells",
        "cli",
        "customers",
        "events",
        "identity",
        "metrics",
        "revenue",
        "store",
    },
    "connectrpc": {"doors"},
    "langchain_core": {"client"},
    "litellm": {"client"},
    "pandas": {"client"},
    "polars": {"client"},
    "pyarrow": {"client"},
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"telemetry"},
    "protobuf": {"doors"},
    "psycopg": {"store"},
    "starlette": {"doors"},
    "uvicorn": {"doors"},
    "sqlite3": {"store"},
    "alembic": {"store"},
    "typer": {"cli"},
    "rich": {"cli"},
    "plotext": {"cli"},
    "pydantic": {"cli", "files", "settings"},
    "cost_insights._native.amounts": {"amounts"},
    "cost_insights.v1": {"api", "doors", "client", "cli", "files"},
}
"""The parts that import a package, each of them and no other."""


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to."""
    return Path(path.relative_to(PACKAGE).parts[0]).stem


def modules() -> Iterator[Path]:
    """Every module of the package, generated ones apart."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if part_of(path) not in GENERATED and path != PACKAGE / "__init__.py":
            yield path


def parts(path: Path) -> Iterator[str]:
    """The parts of the package that a module imports."""
    for name in imports(path):
        root, _, rest = name.partition(".")
        if root == "cost_insights":
            yield rest.partition(".")[0]


def rank(part: str) -> int:
    """The rank of a part, from the top."""
    (found,) = [place for place, layer in enumerate(LAYERS) if part in layer]
    return found


def test_every_part_has_its_layer() -> None:
    """The layers name every part of the package, and no part that is not there."""
    known = set().union(*LAYERS) | EVERYWHERE | CLIENT
    assert {part_of(path) for path in modules()} | {"_native"} == known


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in modules()]
)
def test_imports_run_downwards(path: Path) -> None:
    """A module imports its own part, parts further down, and what everybody may import."""
    part = part_of(path)
    for imported in parts(path):
        if imported in EVERYWHERE | GENERATED | {part}:
            continue
        if imported in CLIENT:
            assert part in IMPORTS_CLIENT, f"{part} imports {imported}"
        else:
            in_layers = part not in EVERYWHERE | CLIENT
            assert in_layers, f"{part} imports {imported}"
            assert rank(imported) > rank(part), f"{part} imports {imported}"


@pytest.mark.parametrize("package", THIRD_PARTY)
def test_who_imports_a_package(package: str) -> None:
    """A package is imported by the parts that are named for it, and by no other."""
    found = {
        part_of(path)
        for path in modules()
        if any(f"{name}.".startswith(f"{package}.") for name in imports(path))
    }
    assert found == THIRD_PARTY[package]


def test_there_is_no_circle() -> None:
    """No module imports itself by way of others."""
    names = {
        "cost_insights." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in modules()
    }
    names |= {
        name.removesuffix(".__init__"): path
        for name, path in names.items()
        if name.endswith(".__init__")
    }

    def module_of(name: str) -> str | None:
        return next((one for one in (name, name.rpartition(".")[0]) if one in names), None)

    edges = {
        name: {found for one in imports(path) if (found := module_of(one)) not in {None, name}}
        for name, path in names.items()
    }
    finished: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " imports ".join((*way[way.index(name) :], name))
        if name not in finished:
            for other in sorted(edges[name] - {None}):
                assert other is not None
                visit(other, (*way, name))
            finished.add(name)

    for name in sorted(names):
        visit(name, ())


def test_the_document_draws_these_layers() -> None:
    """`docs/architecture.md` shows every part in the order of the layers."""
    drawn = PAGE.partition("```text\n")[2].partition("```")[0]
    shown = [
        {word.rstrip("/").removesuffix(".py") for word in line.split("  ")[0].split()}
        for line in drawn.splitlines()
    ]
    assert [parts for parts in shown if parts] == list(LAYERS)
    everywhere = PAGE.partition("Below all of them:")[2].partition("\n\n")[0]
    assert [part for part in EVERYWHERE | CLIENT if f"`{part}" not in everywhere] == []


def test_the_document_names_modules_that_exist() -> None:
    """Every file and folder that `docs/architecture.md` names is there."""
    names = set(re.findall(r"`([a-z_/]+(?:\.py|\.proto|\.md|/))`", PAGE))
    assert len(names) > 30
    roots = (PACKAGE, ROOT, ROOT / "native" / "src", ROOT / "proto" / "cost_insights" / "v1")
    folders = [*roots, *(PACKAGE / layer for layer in ("metrics/sources", "store"))]
    missing = [
        name for name in sorted(names) if not any((folder / name).exists() for folder in folders)
    ]
    assert missing == []


def test_a_class_name_stands_for_one_idea() -> None:
    """No two modules of the service have a public class of one name; the client has its own."""
    found: dict[str, list[str]] = {}
    for path in modules():
        if part_of(path) not in CLIENT:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_the_test_sees_imports() -> None:
    """The server imports the door, which this test must notice to be worth anything."""
    assert "doors" in set(parts(PACKAGE / "server.py"))
    assert "_native" in set(parts(PACKAGE / "settings.py"))
