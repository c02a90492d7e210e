"""Cells on their way into segments and answers: what does not fit is refused in words."""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights._native.cells import (
    SEGMENT_KINDS,
    CachedCells,
    Compaction,
    Cover,
    Sources,
    list_cells,
    rank_cells,
    tally_cells,
    tally_tokens,
)
from cost_insights.cells import Kind
from tests.reference.costs import Tokens
from tests.support.cells import packed_cells, packed_tokens

DAY = 86_400
DAY_US = DAY * 1_000_000
DAMAGED = "stored cells are damaged"
BATCH = packed_cells([(0, 1, 0, "1"), (10, 2, 1, "2"), (40 * DAY, 1, 1, "4")])
SERIES = array("i", [0, 1])
COVER = Cover([0, DAY_US, 50 * DAY_US])


def test_kinds_are_those_of_the_native_table() -> None:
    """Python and Rust give every kind of segments the same name and number."""
    assert [(kind.name, kind.number) for kind in SEGMENT_KINDS] == [
        (kind.name, kind.value) for kind in Kind
    ]
    assert [kind.layout.name for kind in Kind] == [kind.name for kind in Kind]


def segments_of(*batches: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """The segments that batches become where there are none yet."""
    compaction = Compaction(batches)
    assert compaction.plan([]) == []
    return compaction.merge([])


SEGMENTS = segments_of(BATCH)


def of(*kinds: int) -> Sources:
    """The segments of these kinds."""
    return sources_of(segments=[(one[0], one[4]) for one in SEGMENTS if one[0] in kinds])


def sources_of(
    *, segments: Sequence[tuple[int, bytes]] = (), batches: Sequence[bytes] = ()
) -> Sources:
    """Packed segments and batches, as if they were just read."""
    return Sources(
        segments=[(kind, CachedCells(packed)) for kind, packed in segments],
        batches=[CachedCells(packed) for packed in batches],
    )


def tally(sources: Sources, **changes: Any) -> Any:
    """The sums of the sources in two groups, one for each series."""
    options: dict[str, Any] = {"series_groups": SERIES, "groups": 2, "customers_wanted": True}
    return tally_cells(COVER, sources, **options | changes)


def rank(sources: Sources, **changes: Any) -> Any:
    """The groups of the sources by cost, one for each series."""
    options: dict[str, Any] = {
        "series_groups": SERIES,
        "groups": 2,
        "by_customer": False,
        "count": 5,
    }
    return rank_cells(COVER, sources, **options | changes)


@pytest.mark.parametrize(
    "sources",
    [sources_of(batches=[BATCH]), of(1, 2, 3, 4, 5), of(7)],
    ids=["batch", "everyone's segments", "customers' segments"],
)
def test_batches_and_segments_say_the_same(sources: Sources) -> None:
    """Cells add up alike, pending or compacted, everyone's or each customer's."""
    found = tally(sources)
    cent = 10**12
    assert found.slots == 3
    assert found.events == [0, 1, 0, 0, 1, 1]
    assert found.costs == [0, cent, 0, 0, 2 * cent, 4 * cent]
    assert found.customers == [0, 1, 0, 0, 1, 1]
    assert found.customers_of_groups == [1, 2]
    assert found.customers_of_slots == [0, 2, 1]
    assert found.customers_in_all == 2
    assert rank(sources) == (2, [(1, 6 * cent), (0, cent)])


def test_tokens_of_batches_and_segments() -> None:
    """Tokens add up alike, pending or compacted, everyone's or each customer's, by measure."""
    tokens = packed_tokens(
        [
            (0, 1, 0, Tokens(10, 5, 15)),
            (10, 2, 1, Tokens(100, 7, 110, cached=30)),
            (40 * DAY, 1, 1, Tokens(2**53, 0, 0)),
        ]
    )
    compaction = Compaction([], [tokens])
    compaction.plan([])
    segments = [(kind, CachedCells(packed)) for kind, _, _, _, packed in compaction.merge([])]
    everyone = [one for one in segments if one[0] == Kind.TOKEN_DAYS]
    customers = [one for one in segments if one[0] == Kind.CUSTOMER_TOKEN_QUARTERS]
    assert len(segments) == len(everyone) + len(customers) + 2  # those of two days
    for sources in (
        Sources(segments=[], batches=[CachedCells(BATCH, tokens)]),
        Sources(segments=everyone, batches=[]),
        Sources(segments=customers, batches=[]),
    ):
        assert tally_tokens(COVER, sources, series_groups=SERIES, groups=2) == [
            [0, 10, 0, 0, 100, 2**53],
            [0, 0, 0, 0, 30, 0],
            [0, 5, 0, 0, 7, 0],
            [0, 0, 0, 0, 3, 0],
        ]
        # They are in no sum of costs.
        assert tally_cells(
            COVER, sources, series_groups=SERIES, groups=2, customers_wanted=False
        ).events in ([0, 1, 0, 0, 1, 1], [0] * 6)
        with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
            tally_tokens(COVER, sources, series_groups=array("i", [0]), groups=1)
    of_customers = Sources(segments=customers, batches=[])
    chosen = tally_tokens(
        COVER, of_customers, series_groups=SERIES, groups=2, customer_groups=[(1, 1)]
    )
    assert chosen[0] == [0, 0, 0, 0, 10, 2**53]


@pytest.mark.parametrize("sources", [sources_of(batches=[BATCH]), of(7)])
def test_cells_are_listed(sources: Sources) -> None:
    """Each customer, period and series is listed once, of those customers and series that count."""
    cent = 10**12
    options: dict[str, Any] = {"series_groups": array("i", [0, 0]), "customer_first": 0}
    rows = [(1, 1, 0, 1, cent), (1, 2, 1, 1, 4 * cent), (2, 1, 1, 1, 2 * cent)]
    assert list_cells(COVER, sources, **options, customer_last=2) == rows
    assert list_cells(COVER, sources, **options, customer_last=1) == rows[:2]
    assert list_cells(COVER, sources, **options, customer_last=2, customers=[2]) == rows[2:]
    options["series_groups"] = array("i", [-1, 0])
    assert list_cells(COVER, sources, **options, customer_last=2) == rows[1:]
    with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
        list_cells(COVER, sources, **options | {"series_groups": array("i")}, customer_last=2)


@pytest.mark.parametrize("bounds", [[], [1, 0], [0, 2**62], [-(2**62), 0]])
def test_bounds_that_make_no_periods(bounds: Sequence[int]) -> None:
    """No bound, descending ones and those beyond all time are refused."""
    with pytest.raises(ValueError, match=r"^there must be bounds, which ascend, within the years"):
        Cover(bounds)


def test_bounds_that_are_no_times() -> None:
    """Integers of more than 64 bits, and what is none, are refused."""
    with pytest.raises(OverflowError):
        Cover([2**64])
    with pytest.raises(TypeError):
        Cover([0.5])  # type: ignore[list-item]


@pytest.mark.parametrize("kind", [0, 14, -1])
def test_kinds_that_there_are_not(kind: int) -> None:
    """A segment of no kind is refused, as a source and as stored."""
    words = f"^there is no segment of kind {kind}$"
    with pytest.raises(ValueError, match=words):
        sources_of(segments=[(kind, BATCH)])
    with pytest.raises(ValueError, match=words):
        Compaction([BATCH]).plan([(kind, 0, 0, 1, 10)])


@pytest.mark.parametrize(
    "series_groups",
    [array("q", [0, 1]), array("I", [0, 1]), b"\0" * 8, memoryview(array("i", [0, 0, 1, 0]))[::2]],
    ids=["64 bits", "unsigned", "bytes", "strided"],
)
def test_tables_of_other_types(series_groups: object) -> None:
    """Only a contiguous buffer of 32-bit integers is a table of groups."""
    words = "^series_groups must be a contiguous buffer of native i32$"
    with pytest.raises(ValueError, match=words):
        tally(of(1), series_groups=series_groups)
    with pytest.raises(ValueError, match=words):
        rank(of(1), series_groups=series_groups)


def test_series_without_a_group() -> None:
    """A table that ends before the series of a cell is refused, whatever holds the cell."""
    for sources in (of(2), of(5), of(7), sources_of(batches=[BATCH])):
        with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
            tally(sources, series_groups=array("i", [0]))
    with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
        rank(of(2), series_groups=array("i"))


@pytest.mark.parametrize(
    "changes",
    [
        {"series_groups": array("i", [0, 2])},
        {"groups": 1},
        {"groups": 0},
        {"customer_groups": [(1, 0), (2, 2)]},
    ],
)
def test_groups_out_of_range(changes: dict[str, Any]) -> None:
    """A group that there is not is a mistake of the caller."""
    count = changes.get("groups", 2)
    with pytest.raises(
        ValueError, match=rf"; numbers from 0 up to, not including, {count} are allowed$"
    ):
        tally(of(7), **changes)


def test_negative_groups_do_not_count() -> None:
    """Series of no group are left out; customers of none stay in that of their series."""
    assert tally(of(7), series_groups=array("i", [-1, 1])).events == [0, 0, 0, 0, 1, 1]
    assert tally(of(7), customer_groups=[(2, -1)]).events == [0, 0, 0, 0, 1, 0]
    assert tally(of(7), customer_groups=[]).events == [0] * 6
    assert tally(of(7), customer_groups=[], groups=0).events == []


def test_more_groups_than_memory() -> None:
    """A count of groups that no memory holds is refused, and does not end the process."""
    for groups in (2**40, 2**62):
        with pytest.raises(MemoryError, match=f"^there is no memory for the sums of {groups}"):
            tally(of(7), groups=groups)


@pytest.mark.parametrize("kind", list(Kind))
def test_contents_of_another_kind(kind: int) -> None:
    """Cells that are said to be of another kind are damage, or are nowhere: never a panic."""
    for _, _, _, _, packed in SEGMENTS:
        sources = sources_of(segments=[(kind, packed)])
        for work in (tally, rank):
            with suppress(ValueError):
                work(sources)


@given(st.sampled_from([BATCH, *(one[4] for one in SEGMENTS)]), st.data())
def test_changed_bytes_are_damage(packed: bytes, data: st.DataObject) -> None:
    """Bytes that are cut, added or changed are noticed by whatever reads them."""
    place = data.draw(st.integers(0, len(packed) - 1))
    other = data.draw(
        st.sampled_from(
            [
                packed[:place],
                packed + b"\0",
                packed[:place]
                + bytes([packed[place] ^ data.draw(st.integers(1, 255))])
                + packed[place + 1 :],
            ]
        )
    )
    kinds = [one[0] for one in SEGMENTS if one[4] == packed]
    works: list[Callable[[], object]] = [
        partial(tally, sources_of(segments=[(kind, other)])) for kind in kinds
    ]
    if packed == BATCH:
        pending = sources_of(batches=[other])
        works = [partial(tally, pending), partial(rank, pending), partial(Compaction, [other])]
    for work in works:
        with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
            work()


def test_merges_of_damage() -> None:
    """A stored segment that is damaged, and contents that were not planned, merge into nothing."""
    compaction = Compaction([BATCH])
    stored = [(kind, span, first, last, len(p)) for kind, span, first, last, p in SEGMENTS]
    places = compaction.plan(stored)
    contents = [SEGMENTS[place][4] for place in places]
    assert len(compaction.merge(contents)) == len(SEGMENTS)
    for place in range(len(contents)):
        with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
            compaction.merge([*contents[:place], b"", *contents[place + 1 :]])
    for other in (contents[:-1], [*contents, BATCH]):
        with pytest.raises(ValueError, match=f"^{DAMAGED}$"):
            compaction.merge(other)


def test_customers_of_stored_segments() -> None:
    """Ranges may be whatever is stored: what is new is merged with one of them only."""
    (cells,) = (one for one in segments_of(BATCH) if one[:2] == (7, 0))
    compaction = Compaction([BATCH])
    stored = [
        (7, 0, 0, 2**31 - 1, 2**63),
        (7, 0, 1, 1, len(cells[4])),
        (7, 0, 5, 0, 0),
        (7, 0, 2**32 - 1, 2**32 - 1, 2**63),
    ]
    places = compaction.plan(stored)
    merged = [one for one in compaction.merge([cells[4]] * len(places)) if one[:2] == (7, 0)]
    sources = sources_of(segments=[(one[0], one[4]) for one in merged])
    assert sum(tally(sources).events) == 2 * (1 + len(places))
