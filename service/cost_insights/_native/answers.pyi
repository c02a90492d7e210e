"""Answers as messages of protobuf."""

from collections.abc import Sequence

__all__ = [
    "encode_periods",
]

def encode_periods(
    field: int, starts: Sequence[str], columns: Sequence[tuple[int, bool, Sequence[int]]]
) -> bytes:
    """Messages of a repeated field, encoded: one for each start, which is in field 1, with
    the number of each column at that place.

    A column is (field, whether its numbers are picocents, numbers): picocents, each an
    i128, become decimal text like by `format_amount`, others an `int64`. Raises ValueError
    where a column has not as many numbers as there are starts, OverflowError where a
    number does not fit.
    """
