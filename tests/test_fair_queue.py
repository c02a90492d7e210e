"""The fair queue: the order in which owners get their turn."""

from cost_insights.fair_queue import FairQueue


def test_owners_take_turns() -> None:
    """An owner with one item does not wait for all of one with many."""
    queue: FairQueue[str] = FairQueue()
    for number in range(5):
        queue.put(1, f"greedy {number}")
    queue.put(2, "other")
    assert [queue.pop() for _ in range(3)] == ["greedy 0", "other", "greedy 1"]


def test_shares_are_of_costs() -> None:
    """Of two owners each gets half of the cost, whatever single items cost."""
    queue: FairQueue[int] = FairQueue()
    for _ in range(10):
        queue.put(1, 1, cost=100)
    for _ in range(1_000):
        queue.put(2, 2, cost=1)
    taken = [queue.pop() for _ in range(400)]
    assert 2 <= taken.count(1) <= 5


def test_an_owner_that_may_not_waits() -> None:
    """An owner that may not have its turn keeps its place, and others pass it."""
    queue: FairQueue[str] = FairQueue()
    queue.put(1, "first")
    queue.put(2, "second")
    assert queue.pop(lambda owner: owner != 1) == "second"
    assert queue.pop(lambda owner: owner != 1) is None
    assert queue.pop() == "first"
    assert not queue


def test_removed_items_are_gone() -> None:
    """What is removed costs nothing and is never taken."""
    queue: FairQueue[str] = FairQueue()
    queue.put(1, "a", cost=5)
    queue.put(1, "b", cost=7)
    queue.put(2, "c")
    queue.remove(1, "a")
    assert (queue.cost_of(1), queue.count_of(1), queue.owners) == (7, 1, 2)
    queue.remove(2, "c")
    queue.remove(2, "c")
    assert queue.pop() == "b"
    assert queue.pop() is None
