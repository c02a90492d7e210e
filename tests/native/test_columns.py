"""Many amounts at once: texts read and sums by group, as one by one."""

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_insights._native.amounts import parse_amount, parse_amounts, sum_by_group
from cost_insights._native.faults import Fault

I64 = st.integers(-(2**63), 2**63 - 1)

PLAIN = st.decimals(-100_000, 100_000, places=12).map(lambda number: f"{number:f}")
SHORT = st.from_regex(r"-?[0-9]{1,7}(\.[0-9]{0,13})?", fullmatch=True)
ANY = st.one_of(st.text("-+0123456789.eE x", max_size=12), st.text(max_size=4))


def parse(texts: Sequence[str]) -> list[int] | list[Fault]:
    """Reads the texts at once."""
    encoded = [text.encode() for text in texts]
    ends = array("I")
    for one in encoded:
        ends.append((ends[-1] if ends else 0) + len(one))
    read = parse_amounts(b"".join(encoded), ends)
    return read if isinstance(read, list) else array("q", read).tolist()


@given(st.one_of(st.lists(PLAIN), st.lists(st.one_of(PLAIN, SHORT)), st.lists(ANY)))
@example([])
@example(["", "", "1"])
@example(["0.000000000001"] * 50)
@example(["-99999.999999999999", "100000", "9000000.01", "1e-13"])
def test_columns_like_single_texts(texts: list[str]) -> None:
    """Each text of a column is read, or refused, as it is alone."""
    single = [parse_amount(text) for text in texts]
    faults = [(place, one) for place, one in enumerate(single) if isinstance(one, Fault)]
    found = parse(texts)
    if not faults:
        assert found == single
        return
    assert [
        (one.index, one.path, one.reason, one.value, one.message, one.facts)
        for one in found
        if isinstance(one, Fault)
    ] == [
        (place, f"[{place}]", one.reason, one.value, one.message, one.facts)
        for place, one in faults[:100]
    ]
    assert len(found) == min(len(faults), 100)


def test_faults_are_bounded() -> None:
    """The first hundred of many malformed texts are reported, wherever they stand."""
    found = parse(["1", "x"] * 150)
    assert [one.index for one in found if isinstance(one, Fault)] == list(range(1, 200, 2))


def test_text_that_is_not_utf8() -> None:
    """Bytes that are no text are a fault of the amount that has them."""
    (fault,) = parse_amounts(b"1\xff2", array("I", [1, 2, 3]))
    assert isinstance(fault, Fault)
    assert (fault.index, fault.path, fault.reason) == (1, "[1]", "TEXT_MALFORMED")


@pytest.mark.parametrize(
    ("text", "ends", "message"),
    [
        (b"12", array("I", [2, 1]), "text 1 must end neither before it starts"),
        (b"12", array("I", [3]), "text 0 must end neither before it starts nor behind all text"),
        (b"12", array("I", [1]), "1 bytes stand behind the last text"),
        (b"12", array("I"), "2 bytes stand behind the last text"),
        (b"12", array("i", [2]), "ends must be a contiguous buffer of native u32"),
        (b"12", array("Q", [2]), "ends must be a contiguous buffer of native u32"),
        (array("q", [1]), array("I", [8]), "text must be a contiguous buffer of native u8"),
        (memoryview(b"1234")[::2], array("I", [2]), "text must be a contiguous buffer"),
    ],
)
def test_texts_that_do_not_fit(text: object, ends: object, message: str) -> None:
    """Ends that do not fit the text, and other buffers, are mistakes of the caller."""
    with pytest.raises(ValueError, match=message):
        parse_amounts(text, ends)  # type: ignore[arg-type]


@given(st.lists(st.tuples(I64, st.integers(0, 6)), max_size=200))
@example([(2**63 - 1, 0)] * 3 + [(-(2**63), 1)] * 3)
@example([(2**63 - 1, 0), (-(2**63), 0)] * 20)
def test_groups_like_one_by_one(pairs: list[tuple[int, int]]) -> None:
    """The sum of a group is exact, however wide; a group of nothing sums to zero."""
    found = sum_by_group(
        array("q", [amount for amount, _ in pairs]), array("i", [group for _, group in pairs]), 7
    )
    assert found == [sum(amount for amount, of in pairs if of == group) for group in range(7)]


def test_no_groups() -> None:
    """An empty column has no groups."""
    assert sum_by_group(array("q"), array("i"), 0) == []


@pytest.mark.parametrize(
    ("groups", "group_count", "message"),
    [
        ([0, 3], 3, "there is a group 3; numbers from 0 up to, not including, 3 are allowed"),
        ([0, -1], 3, "there is a group -1;"),
        ([0, 0], 0, "there is a group 0;"),
        ([0], 1, "there are 2 amounts and 1 groups; there must be one group for each amount"),
    ],
)
def test_groups_that_do_not_fit(groups: list[int], group_count: int, message: str) -> None:
    """A group out of range, or not one for each amount, is a mistake of the caller."""
    with pytest.raises(ValueError, match=message):
        sum_by_group(array("q", [1, 2]), array("i", groups), group_count)


def test_groups_of_other_types() -> None:
    """Only 64-bit amounts and 32-bit groups are taken."""
    with pytest.raises(ValueError, match="groups must be a contiguous buffer of native i32"):
        sum_by_group(array("q", [1]), array("q", [0]), 1)
    with pytest.raises(ValueError, match="amounts must be a contiguous buffer of native i64"):
        sum_by_group(array("i", [1]), array("i", [0]), 1)


def test_more_groups_than_memory() -> None:
    """A count of groups that no memory holds is refused, and does not end the process."""
    with pytest.raises(MemoryError, match="there is no memory for the sums"):
        sum_by_group(array("q"), array("i"), 2**60)
