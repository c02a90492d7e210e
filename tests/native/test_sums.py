"""Sums: exact in any order and number."""

from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_insights._native.amounts import sum_picocents

I64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(I64, max_size=300))
@example([2**63 - 1] * 300)
@example([-(2**63)] * 300)
@example([2**63 - 1, -(2**63)] * 100)
@example([1, -1] * 50)
@example([2**32 - 1] * 5 + [-(2**32)] * 7)
def test_sum_like_python(amounts: list[int]) -> None:
    """A sum of 64-bit integers equals Python's, which has no limits."""
    assert sum_picocents(array("q", amounts)) == sum(amounts)


def test_sum_of_many() -> None:
    """A sum far beyond 64 bits is exact, also over more values than any block holds."""
    amounts = array("q", [2**63 - 1]) * 1_000_003
    assert sum_picocents(amounts) == (2**63 - 1) * 1_000_003


def test_sum_reads_slices() -> None:
    """A part of a buffer is summed where it lies."""
    amounts = memoryview(array("q", range(100)))
    assert sum_picocents(amounts[7:50]) == sum(range(7, 50))


@pytest.mark.parametrize(
    "buffer",
    [
        array("d", [1.0]),
        array("i", [1]),
        array("Q", [1]),
        b"12345678",
        memoryview(array("q", range(9)))[::2],
    ],
    ids=["doubles", "32 bits", "unsigned", "bytes", "strided"],
)
def test_sum_refuses_other_buffers(buffer: object) -> None:
    """Only a contiguous buffer of signed 64-bit integers is taken."""
    with pytest.raises((ValueError, BufferError)):
        sum_picocents(buffer)  # type: ignore[arg-type]
