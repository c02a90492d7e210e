"""Splitting lists of values, because databases limit the values of a statement."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

VALUES_MAX = 2_000
"""The greatest number of values in one statement."""


_T = TypeVar("_T")


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """The values in lists short enough for one statement."""
    remaining = iter(values)
    while chunk := list(islice(remaining, VALUES_MAX)):
        yield chunk
