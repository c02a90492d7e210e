"""Modules that are loaded when something of them is first used, for a start that is short."""

import importlib
from typing import Any


class Later:
    """Stands for a module until then; for types the module itself is imported in its place."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
