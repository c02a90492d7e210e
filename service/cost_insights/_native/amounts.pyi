"""Amounts as text and as picocents, and exact sums of columns."""

from typing import Final

from typing_extensions import Buffer

from cost_insights._native.faults import Fault

__all__ = [
    "AMOUNT_CENTS_MAX",
    "MONEY_CENTS_MAX",
    "format_amount",
    "parse_amount",
    "parse_amounts",
    "parse_money",
    "round_amount",
    "sum_by_group",
    "sum_picocents",
]

AMOUNT_CENTS_MAX: Final[int]
"""The greatest amount of one event, in cents, either way."""

MONEY_CENTS_MAX: Final[int]
"""The greatest amount of an order, a refund or a subscription, in cents, either way."""

def parse_amount(text: str) -> int | Fault:
    """The picocents of a decimal string, exactly."""

def parse_money(text: str) -> int | Fault:
    """The picocents of a decimal string, read like by `parse_amount` but for the
    range, which is that of an order: up to `MONEY_CENTS_MAX`, so an i128."""

def parse_amounts(text: Buffer, ends: Buffer) -> bytes | list[Fault]:
    """The picocents of many decimal strings, as native i64, each read like by `parse_amount`.

    `text` holds the strings in UTF-8, one after the other, and `ends`, native u32,
    where in it each of them ends. Where strings are no amounts, the faults of the
    first 100 of them: `index` is the place of the string, `path` such as `[3]`.

    Both buffers are contiguous and must not change until the call returns. Raises
    ValueError where they do not fit.
    """

def round_amount(number: float) -> int | Fault:
    """The picocents of a double: its shortest decimal form, rounded half-even to 12 decimals."""

def format_amount(picocents: int) -> str:
    """Cents as decimal text without trailing zeros; takes any i128."""

def sum_picocents(amounts: Buffer) -> int:
    """The exact sum of a contiguous buffer of native i64, which must not change
    until the call returns. Raises ValueError where it is another buffer."""

def sum_by_group(amounts: Buffer, groups: Buffer, group_count: int) -> list[int]:
    """The exact sum of the amounts of each group.

    `amounts` are native i64 and `groups`, native i32, the number of the group of
    each of them, from 0 up to, not including, `group_count`. Both buffers are
    contiguous and must not change until the call returns. Raises ValueError where
    lengths, item types or a group do not fit, MemoryError for too many groups.
    """
