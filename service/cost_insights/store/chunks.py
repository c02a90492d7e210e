"""Lists of values short enough for one statement."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

VALUES_MAX = 2_000
"""How many values one statement compares with: databases limit it."""


_T = TypeVar("_T")


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """The values in lists short enough for one statement."""
    remaining = iter(values)
    while chunk := list(islice(remaining, VALUES_MAX)):
        yield chunk
