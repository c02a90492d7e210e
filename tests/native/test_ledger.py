"""The ledger at the border: tuples in, columns out, errors in words."""

import threading
from typing import Any

import pytest

from cost_insights._native.ledger import LEDGER_FACTS, Ledger, LedgerQuestion

ENTRY: tuple[Any, ...] = (
    *(5, 6, 1, "p", "one_time", "", "eur", 1_500_000_000_000),
    *(10**20, -7, 1, str(10**20), "-8", 1),
)
SUBSCRIPTION: tuple[Any, ...] = (
    *("s", 2, "q", "eur", 1_000, "month", 1, 0),
    *(None, None, "", None, None, None),
)
CHECKOUT: tuple[Any, ...] = ("k", -1, "q", "recurring", "succeeded", 5)
SEAT: tuple[Any, ...] = ("z", 2, "q", "one_time", 5, 12, None)
QUESTION = LedgerQuestion(bounds_us=[0, 10, 20], whole_bounds_us=[-5, 10, 30], by_year=False)


@pytest.fixture
def ledger() -> Ledger:
    """A ledger of one entry and one subscription."""
    ledger = Ledger()
    ledger.add(2, entries=[ENTRY], subscriptions=[SUBSCRIPTION])
    return ledger


def test_columns_by_group_and_slot(ledger: Ledger) -> None:
    """The numbers of a group lie together, in the order of the keys, and others last."""
    assert ledger.position == 2
    assert ledger.bytes > 0
    tally = ledger.tally(QUESTION)
    assert (tally.groups, tally.slots) == (1, 2)
    assert tally.column("revenue") == [10**20, 0]
    assert tally.column("order_net_revenue") == [-8, 0]
    assert tally.column("mrr") == [1_500, 1_500]
    tally = ledger.tally(QUESTION, by="customer", keys=[7, 1])
    assert (tally.groups, tally.slots) == (3, 2)
    assert tally.column("orders") == [0, 0, 1, 0, 0, 0]
    assert tally.column("active_subscriptions") == [0, 0, 0, 0, 1, 1]
    tally = ledger.tally(QUESTION, by="product", keys=("q",))
    assert tally.column("orders") == [0, 0, 1, 0]


def test_checkouts_and_seats() -> None:
    """States replace what was known of the same id; a checkout may have no customer."""
    ledger = Ledger()
    ledger.add(2, checkouts=[CHECKOUT, ("l", 1, "p", "", "open", None)], seats=[SEAT])
    tally = ledger.tally(QUESTION)
    assert tally.column("checkouts") == tally.column("succeeded_checkouts") == [1, 0]
    assert (tally.column("seats_total"), tally.column("seats_claimed")) == ([1, 1], [0, 1])
    tally = ledger.tally(QUESTION, by="customer", keys=[2])
    assert tally.column("checkouts") == [0, 0, 1, 0]
    assert tally.column("new_seat_customers") == [1, 0, 0, 0]
    assert ledger.rank(QUESTION, by="customer")[0] == [2]

    bytes_before = ledger.bytes
    ledger.add(3, checkouts=[(*CHECKOUT[:5], 15)], seats=[(*SEAT[:6], 25)])
    tally = ledger.tally(QUESTION)
    assert (tally.column("checkouts"), tally.column("seats_total")) == ([0, 1], [1, 0])
    assert tally.column("churned_seat_customers") == [0, 1]
    ledger.add(4, seats=[(f"{number}", *SEAT[1:]) for number in range(1_000)])
    assert ledger.bytes > bytes_before + 40_000


def test_history(ledger: Ledger) -> None:
    """Records before the first period are told apart from it."""
    later = LedgerQuestion(bounds_us=[6, 10], whole_bounds_us=[6, 10], by_year=False)
    tally = ledger.tally(later)
    assert (tally.history("revenue"), tally.history("net_revenue")) == ([10**20], [-7])
    assert (tally.column("revenue"), tally.column("orders")) == ([0], [1])


def test_rankings_name_who_is_there(ledger: Ledger) -> None:
    """Each customer or product of the span has a group of one slot."""
    customers, tally = ledger.rank(QUESTION, by="customer")
    assert (customers, tally.slots) == ([1, 2], 1)
    assert tally.column("revenue") == [10**20, 0]
    assert tally.column("mrr") == [0, 1_500]
    products, tally = ledger.rank(QUESTION, by="product")
    assert (products, tally.column("orders")) == (["p", "q"], [1, 0])


def test_filters(ledger: Ledger) -> None:
    """Only what is of one of each list counts."""

    def counts(**lists: Any) -> tuple[int, int]:
        question = LedgerQuestion(
            bounds_us=[0, 10], whole_bounds_us=[0, 10], by_year=False, **lists
        )
        tally = ledger.tally(question)
        return tally.column("orders")[0], tally.column("subscriptions")[0]

    assert counts() == (1, 1)
    assert counts(customers=[1, 5]) == (1, 0)
    assert counts(products=["q"]) == (0, 1)
    assert counts(billing_types=["one_time"]) == (1, 0)
    assert counts(billing_types=["recurring"]) == (0, 1)
    assert counts(customers=[]) == (0, 0)
    assert ledger.billed_products(["one_time", "recurring"]) == ["p", "q"]


def test_every_fact_has_a_column(ledger: Ledger) -> None:
    """The names are those of the columns; what was not asked for is refused."""
    tally = ledger.tally(QUESTION)
    assert {len(tally.column(fact)) for fact in LEDGER_FACTS} == {2}
    question = LedgerQuestion(
        bounds_us=[0, 10], whole_bounds_us=[0, 10], by_year=True, facts=["mrr"], history=False
    )
    tally = ledger.tally(question)
    assert tally.column("mrr") == [1_500]
    with pytest.raises(ValueError, match=r'^the fact "orders" was not asked for$'):
        tally.column("orders")
    with pytest.raises(ValueError, match=r'^the fact "revenue" was not asked for$'):
        tally.history("revenue")
    with pytest.raises(ValueError, match=r'^there is no fact "arr"$'):
        tally.column("arr")


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({0: 2**63}, OverflowError, ""),
        ({0: 2**62}, ValueError, "the time 4611686018427387904 is not of the years 1 to 9999"),
        ({2: 2**31}, OverflowError, ""),
        ({2: -2}, ValueError, "there is no customer -2; -1 or more is allowed"),
        ({8: 2**127}, OverflowError, ""),
        ({8: str(2**127)}, ValueError, f'"{2**127}" is not an integer of up to 127 bits'),
        ({8: "1.5"}, ValueError, '"1.5" is not an integer of up to 127 bits'),
        ({10: 2}, ValueError, "an entry of 2 orders; -1, 0 and 1 are allowed"),
        ({10: 2**64}, OverflowError, ""),
        ({3: None}, TypeError, ""),
    ],
)
def test_nothing_of_what_has_a_fault(
    ledger: Ledger, changed: dict[int, object], error: type[Exception], words: str
) -> None:
    """A record without a meaning is refused, with all that came along."""
    entry = tuple(changed.get(place, item) for place, item in enumerate(ENTRY))
    with pytest.raises(error) as caught:
        ledger.add(4, entries=[ENTRY, entry])  # type: ignore[list-item]
    assert not words or str(caught.value) == words
    assert (ledger.position, ledger.tally(QUESTION).column("orders")) == (2, [1, 0])


def test_records_have_a_length(ledger: Ledger) -> None:
    """Tuples that are too short or too long are refused."""
    with pytest.raises(ValueError, match=r"^a record of 13 items; there must be 14\b"):
        ledger.add(4, entries=[ENTRY[:-1]])
    with pytest.raises(ValueError, match=r"^a record of 15 items; there must be 14\b"):
        ledger.add(4, subscriptions=[(*SUBSCRIPTION, 1)])
    with pytest.raises(ValueError, match=r"^a record of 5 items; there must be 6\b"):
        ledger.add(4, checkouts=[CHECKOUT[:-1]])
    with pytest.raises(ValueError, match=r"^a record of 8 items; there must be 7\b"):
        ledger.add(4, seats=[(*SEAT, 1)])


def test_groups_have_keys(ledger: Ledger) -> None:
    """Keys without groups, groups by something else, and keys that come twice are refused."""
    with pytest.raises(ValueError, match=r"^there are keys, but no groups$"):
        ledger.tally(QUESTION, keys=[1])
    words = r'^there are no groups by "month"; customer and product are allowed$'
    with pytest.raises(ValueError, match=words):
        ledger.tally(QUESTION, by="month")
    with pytest.raises(ValueError, match=words):
        ledger.rank(QUESTION, by="month")
    with pytest.raises(ValueError, match=r"^the key 1 comes twice$"):
        ledger.tally(QUESTION, by="customer", keys=[1, 1])


def test_a_sum_too_great(ledger: Ledger) -> None:
    """A sum that does not fit is an error, never a wrong number."""
    huge = (*ENTRY[:8], 2**127 - 1, *ENTRY[9:])
    ledger.add(3, entries=[huge])
    with pytest.raises(OverflowError, match=r"^a sum of the ledger has more than 127 bits$"):
        ledger.tally(QUESTION)


def test_threads_ask_while_another_adds() -> None:
    """An answer holds whole additions: their entries come in pairs."""
    ledger = Ledger()
    wrong: list[int] = []

    def ask() -> None:
        while ledger.position < 200:
            (entries, _) = ledger.tally(QUESTION).column("entries")
            if entries % 2:
                wrong.append(entries)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for position in range(1, 201):
        ledger.add(position, entries=[ENTRY, ENTRY])
    for thread in threads:
        thread.join()
    assert wrong == []
