"""Rust modules use one another in one direction, as `lib.rs` says, and never in a circle."""

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "native" / "src"

LAYERS = (
    {"blank", "fixed", "ids", "json", "json_reader", "time", "wire"},
    {"amount"},
    {"events"},
    {"commit"},
    {"cells"},
    {"ledger"},
    {"answers"},
    {"python"},
)
"""The layers from the bottom up: a set may use the sets before it."""

# `use error::AmountError` in `amount/mod.rs` starts with a module of that folder.
_PATH = re.compile(
    r"\b(crate::|super::|self::|use (?!crate|super|self))(\{[^;]*\}|[\w:]+(?:::\{[^;]*\})?)"
)
_TREE = re.compile(r"[{},]|[^{},\s]+(?:\s+as\s+\w+)?")


def module_of(path: Path) -> tuple[str, ...]:
    """The module that a file holds, such as `("events", "batch")`."""
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return parts[:-1] if parts[-1] == "mod" else parts


MODULES = {module_of(path): path for path in SOURCES.rglob("*.rs") if path.name != "lib.rs"}


def paths(tree: str) -> list[str]:
    """Every path of a tree of uses: of `a::{b, c::d}` it is a::b and a::c::d."""
    found: list[str] = []
    prefixes = [""]
    last = ""
    for token in _TREE.findall(tree):
        if token == "{":
            prefixes.append(prefixes[-1] + last)
            last = ""
        elif token in {"}", ","}:
            if last:
                found.append(prefixes[-1] + last)
            last = ""
            if token == "}":
                prefixes.pop()
        else:
            last = token.split(" as ")[0]
    return [*found, last] if last else found


def uses(module: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The modules that a module uses, tests inside it left out."""
    text = MODULES[module].read_text().partition("#[cfg(test)]")[0]
    text = re.sub(r"//.*", "", text)
    found: set[tuple[str, ...]] = set()
    starts: dict[str, tuple[str, ...]] = {
        "crate": (),
        "super": module[:-1],
        "self": module,
        "use": module,
    }
    for root, tree in _PATH.findall(text):
        for path in paths(tree):
            names = [*starts[root.rstrip(": ")], *path.split("::")]
            while names and tuple(names) not in MODULES:
                names.pop()
            if names and tuple(names) != module:
                found.add(tuple(names))
    return found


def rank(module: tuple[str, ...]) -> int:
    """The rank of a module's folder, from the bottom."""
    (found,) = [place for place, layer in enumerate(LAYERS) if module[0] in layer]
    return found


def test_every_folder_has_its_layer() -> None:
    """The layers name every folder and every file beside them, and none that is not there."""
    assert set().union(*LAYERS) == {module[0] for module in MODULES}


def test_lib_lists_the_layers() -> None:
    """`lib.rs` lists the same folders in the same order."""
    lines = (SOURCES / "lib.rs").read_text().partition("A folder may use")[2].partition("\npub ")[0]
    listed = [set(re.findall(r"`(\w+)`", layer)) for layer in lines.partition(":\n")[2].split(";")]
    assert listed == list(LAYERS)


def test_folders_use_those_below_them() -> None:
    """A module uses its own folder and folders further down."""
    upwards = [
        (module, used)
        for module in MODULES
        for used in uses(module)
        if used[0] != module[0] and rank(used) >= rank(module)
    ]
    assert upwards == []


def test_there_is_no_circle() -> None:
    """No module uses itself by way of others."""
    left = {module: uses(module) for module in MODULES}
    while free := {module for module, used in left.items() if not used & left.keys()}:
        for module in free:
            del left[module]
    assert left == {}


def test_the_test_sees_uses() -> None:
    """The test must notice each form of use to be worth anything."""
    assert paths("a::{self, b, c::{d, e}}") == ["a::self", "a::b", "a::c::d", "a::c::e"]
    assert ("amount",) in uses(("events", "check", "cost"))
    assert ("events", "fault") in uses(("events", "check"))
    assert ("amount", "error") in uses(("amount",))
    assert ("commit", "batches") in uses(("commit", "pg_copy"))
