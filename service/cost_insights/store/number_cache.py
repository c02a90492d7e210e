"""Numbers that the process remembers: they never change, so each is looked up once."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)


class NumberCache(Generic[_K]):
    """Numbers by key, of one thread, bounded whatever callers send.

    Entries live in a young and an old half. A full young half becomes the old one
    and the old one is forgotten, unless asked for since: about what a list in the
    order of use would keep, for two dictionary look-ups.
    """

    def __init__(self, entries_max: int) -> None:
        self._half_max = entries_max // 2
        self._young: dict[_K, int] = {}
        self._old: dict[_K, int] = {}

    def known(self, keys: Iterable[_K]) -> dict[_K, int]:
        """Those of the keys that are remembered, with their numbers."""
        young, old = self._young, self._old
        numbers: dict[_K, int] = {}
        aged: dict[_K, int] = {}
        for key in keys:
            if (number := young.get(key)) is not None:
                numbers[key] = number
            elif (number := old.get(key)) is not None:
                numbers[key] = aged[key] = number
        if aged:
            self.remember(aged)
        return numbers

    def remember(self, numbers: Mapping[_K, int]) -> None:
        """Adds numbers; only what is committed may be."""
        for key, number in numbers.items():
            if len(self._young) >= self._half_max:
                self._old, self._young = self._young, {}
            self._young[key] = number
