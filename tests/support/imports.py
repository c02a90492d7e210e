"""The imports of a module, read from its text."""

import ast
from functools import cache
from pathlib import Path


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The full names of the modules, or of what is in them, that a module imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)
