"""Exact amounts: text and `Decimal` in and out, and exact sums of whole columns.

An amount of money is counted in picocents, 10⁻¹² of a cent, as a Python integer; a
column of amounts is 64-bit integers. Nothing here rounds unless its name says so, and
no float is read except by `round_float`.

>>> parse_amount("0.025")
25000000000
>>> format_amount(25_000_000_000)
'0.025'
>>> sum_amounts(parse_amounts(["0.1"] * 10))
1000000000000

One event carries at most 9 000 000 cents either way, which a column of 64-bit integers
holds; a sum is a Python integer and has no limit. A column may be a list of integers, an
`array.array("q")`, a memory view, a NumPy array of `int64`, or a pyarrow array of `int64`
(polars has `to_arrow`). All but lists are read where they lie, without a copy, and the
interpreter's lock is released meanwhile: they must not change until the call returns.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from cost_insights._native import amounts as native
from cost_insights._native.faults import Fault

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "AMOUNT_CENTS_MAX",
    "MONEY_CENTS_MAX",
    "ONE_E12",
    "PICOCENTS_PER_CENT",
    "AmountError",
    "decimal_of",
    "divide_half_even",
    "format_amount",
    "format_amounts",
    "parse_amount",
    "parse_amounts",
    "parse_money",
    "round_float",
    "sum_amounts",
    "sum_by_group",
]

ONE_E12: Final = 10**12
"""One, as a number that is counted in 10⁻¹²: an exchange rate, a share, a ratio."""

PICOCENTS_PER_CENT: Final = ONE_E12

AMOUNT_CENTS_MAX: Final = native.AMOUNT_CENTS_MAX
"""The greatest amount of one event, in cents, either way."""

MONEY_CENTS_MAX: Final = native.MONEY_CENTS_MAX
"""The greatest amount of an order, a refund or a subscription, in cents, either way."""


class AmountError(ValueError):
    """A text is not an amount, or not one that an event may carry.

    `reason` is a slug such as `AMOUNT_TOO_PRECISE`, `value` the beginning of the text,
    `facts` the limits that the message names, and `index` its place in a column, or None.
    """

    def __init__(self, fault: Fault, index: int | None = None) -> None:
        super().__init__(fault.message if index is None else f"[{index}]: {fault.message}")
        self.reason = fault.reason
        self.value = fault.value
        self.facts = fault.facts
        self.index = index


def parse_amount(amount: str | int | Decimal) -> int:
    """The picocents of an amount in cents, exactly; raises AmountError.

    A text has at most 17 significant digits, of which at most 12 after the point. An
    exponent, leading and trailing zeros and surrounding blanks are allowed.
    """
    return _amount(native.parse_amount(_text(amount)))


def parse_money(amount: str | int | Decimal) -> int:
    """The picocents of an amount in cents, as `parse_amount` reads it, up to `MONEY_CENTS_MAX`."""
    return _amount(native.parse_money(_text(amount)))


def parse_amounts(amounts: Any) -> "array[int]":
    """The picocents of many amounts in cents, each read as by `parse_amount`.

    `amounts` are texts, integers and `Decimal`s, or an Arrow array of `string`, which is
    read where it lies. Raises AmountError for the first that is not an amount, and
    ValueError for an Arrow array with nulls or of another type.
    """
    picocents = array("q")
    for text, ends in _texts(amounts):
        parsed = native.parse_amounts(text, ends)
        if isinstance(parsed, list):
            raise AmountError(parsed[0], len(picocents) + parsed[0].index)
        picocents.frombytes(parsed)
    return picocents


def round_float(cents: float) -> int:
    """The picocents of a double: its shortest decimal form, rounded half-even to 12 decimals.

    So `0.1 + 0.2` means 0.3. Raises AmountError for NaN, infinities and what is out of range.
    """
    return _amount(native.round_amount(cents))


def format_amount(picocents: int) -> str:
    """The amount in cents as decimal text, without an exponent or trailing zeros.

    Raises OverflowError beyond 128 bits.
    """
    return native.format_amount(picocents)


def format_amounts(picocents: Any) -> list[str]:
    """The amounts of a column in cents as decimal texts."""
    return [native.format_amount(one) for column in _columns(picocents, "q") for one in column]


def decimal_of(picocents: int) -> Decimal:
    """The amount in cents, exactly."""
    return Decimal(native.format_amount(picocents))


def sum_amounts(amounts: Any) -> int:
    """The exact sum of a column of picocents.

    Raises ValueError for a column of another type, or with nulls, and OverflowError for
    a list with an integer beyond 64 bits, which no event carries.
    """
    return sum(native.sum_picocents(column) for column in _columns(amounts, "q"))


def sum_by_group(amounts: Any, groups: Any, group_count: int) -> list[int]:
    """The exact sum of the picocents of each group.

    `groups` are 32-bit integers: for each amount the number of its group, from 0 up to,
    not including, `group_count`. Raises ValueError where lengths, types or a group do not
    fit, and MemoryError for too many groups.
    """
    return native.sum_by_group(_column(amounts, "q"), _column(groups, "i"), group_count)


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient as a whole number, a half rounded to the even neighbour; 0 where the
    denominator is 0."""
    if denominator == 0:
        return 0
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2):
        quotient += 1
    return quotient


def _amount(parsed: int | Fault) -> int:
    if isinstance(parsed, Fault):
        raise AmountError(parsed)
    return parsed


def _text(amount: str | int | Decimal) -> str:
    # A boolean is an integer to Python, and certainly a mistake here.
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise TypeError(
            f"an amount is a str, an int or a Decimal, not {type(amount).__name__}; "
            "round_float reads a float"
        )
    return str(amount)


_TEXT_BYTES_MAX: Final = 1 << 20
"""About how much text is read at a time, so that its ends fit into 32 bits."""


def _texts(amounts: Any) -> "Iterator[tuple[Buffer, Buffer]]":
    """The texts of a column one after the other, in UTF-8, and where each of them ends."""
    if (chunks := _arrow_chunks(amounts)) is not None:
        for chunk in chunks:
            yield _arrow_texts(chunk)
        return
    if isinstance(amounts, str) or not isinstance(amounts, Iterable):
        raise TypeError(f"amounts are a column of texts, not {type(amounts).__name__}")
    ends = array("I")
    text = bytearray()
    for amount in amounts:
        # What cannot be encoded is not an amount; `?` makes it a fault of its place.
        text += _text(amount).encode(errors="replace")
        ends.append(len(text))
        if len(text) >= _TEXT_BYTES_MAX:
            yield text, ends
            ends = array("I")
            text = bytearray()
    yield text, ends


Code = Literal["q", "i"]
"""A type code of `array`."""


def _columns(numbers: Any, code: Code) -> Iterator[Any]:
    """The column as buffers of native integers."""
    if (chunks := _arrow_chunks(numbers)) is not None:
        yield from (_arrow_numbers(chunk, code) for chunk in chunks)
    elif isinstance(numbers, Sequence) and not isinstance(
        numbers, array | memoryview | bytes | bytearray | str
    ):
        yield array(code, numbers)
    else:
        yield numbers


def _column(numbers: Any, code: Code) -> Any:
    """The column as one buffer; the chunks of an Arrow column are copied into one."""
    columns = list(_columns(numbers, code))
    if len(columns) == 1:
        return columns[0]
    joined = array(code)
    for column in columns:
        joined.frombytes(memoryview(column).cast("B"))
    return joined


# Arrow arrays are recognized by what they offer, so that pyarrow need not be installed.


def _arrow_chunks(column: Any) -> list[Any] | None:
    """The arrays that an Arrow column consists of; None for anything else."""
    if hasattr(column, "iterchunks"):
        return list(column.iterchunks())
    return [column] if hasattr(column, "buffers") and hasattr(column, "null_count") else None


_ARROW_TYPES: Final[dict[Code, str]] = {"q": "int64", "i": "int32"}


def _arrow_numbers(column: Any, code: Code) -> "memoryview[int]":
    _check_arrow(column, _ARROW_TYPES[code])
    _, numbers = column.buffers()
    view: memoryview[int] = memoryview(numbers or b"").cast("B").cast(code)
    return view[column.offset : column.offset + len(column)]


def _arrow_texts(column: Any) -> "tuple[Buffer, Buffer]":
    _check_arrow(column, "string")
    _, offsets, text = column.buffers()
    bounds = memoryview(offsets or bytes(4)).cast("B").cast("I")
    bounds = bounds[column.offset : column.offset + len(column) + 1]
    first, last = (bounds[0], bounds[-1]) if len(bounds) else (0, 0)
    # The ends of a slice count from its own beginning.
    ends: Buffer = bounds[1:] if first == 0 else array("I", (end - first for end in bounds[1:]))
    return memoryview(text or b"").cast("B")[first:last], ends


def _check_arrow(column: Any, wanted: str) -> None:
    if str(column.type) != wanted:
        raise ValueError(f"the column has the Arrow type {column.type}; {wanted} is allowed")
    if column.null_count:
        raise ValueError(
            f"the column has {column.null_count} nulls, which are not amounts; drop them first"
        )
