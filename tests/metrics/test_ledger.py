"""LedgerCache in memory: what the database has, read once, whoever asks."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from cost_insights._native.ledger import Ledger, LedgerQuestion
from cost_insights.cells import CellCache
from cost_insights.customers import CustomerCache
from cost_insights.errors import QueryTooSlowError
from cost_insights.identity import Organization
from cost_insights.metrics.sources import ledger_cache as module
from cost_insights.metrics.sources.ledger_cache import LedgerCache
from cost_insights.metrics.sources.snapshot import Caches, Snapshot
from cost_insights.revenue import Recorder, Refund
from cost_insights.store import Deadline, Store
from cost_insights.store.schema import organization
from tests.support.databases import Databases
from tests.support.records import CENT, new_organization, order, state

WHOLE = LedgerQuestion(bounds_us=[0, 100], whole_bounds_us=[0, 100], by_year=False)


@pytest.fixture(scope="module")
def store(engine: str, databases: Databases) -> Iterator[Store]:
    """A store that all tests share, each as an organization of its own."""
    with databases.fresh(engine) as url, closing(Store(url)) as store:
        store.upgrade()
        yield store


def snapshot_of(store: Store, owner: Organization, *, seconds_max: float = 60) -> Snapshot:
    """A snapshot of an organization."""
    caches = Caches(CellCache(0), CustomerCache())
    deadline = Deadline(seconds_max)
    return Snapshot(store, caches, owner, deadline, transaction=True, cells_bytes_max=1 << 30)


def current(store: Store, ledgers: LedgerCache, owner: Organization) -> Ledger:
    """The ledger of an organization."""
    with snapshot_of(store, owner) as snapshot:
        return ledgers.current(snapshot)


def facts(ledger: Ledger, *names: str) -> list[int]:
    """The facts of the whole time."""
    tally = ledger.tally(WHOLE)
    return [number for name in names for number in tally.column(name)]


def test_a_ledger_follows_what_is_recorded(store: Store, acme: Organization) -> None:
    """Each question sees what was committed before; each record is added once."""
    recorder, ledgers = Recorder(store), LedgerCache(2**30)
    assert facts(current(store, ledgers, acme), "revenue", "subscriptions") == [0, 0]
    recorder.orders(acme, [order("o", net_picocents=10**15 * CENT)])
    ledger = current(store, ledgers, acme)
    assert (ledger.position, facts(ledger, "revenue")) == (1, [10**27])
    recorder.subscriptions(acme, [state("s"), state("t")])
    refund = Refund(
        refund_id="r",
        kind="refund",
        order_id="o",
        currency="usd",
        exchange_rate_e12=10**12,
        amount_picocents=900 * CENT,
        fee_picocents=1,
        created_us=9,
    )
    recorder.refunds(acme, [refund])
    recorder.subscriptions(acme, [state("t", 2, ended_us=50)])
    assert current(store, ledgers, acme) is ledger
    assert ledger.position == 5
    assert facts(ledger, "revenue", "net_revenue", "subscriptions", "churned", "mrr") == [
        10**27,
        10**27 - 900 * CENT - 1,
        2,
        1,
        2_900 * CENT,
    ]
    assert facts(current(store, LedgerCache(0), acme), "net_revenue", "orders", "churned") == [
        10**27 - 900 * CENT - 1,
        1,
        1,
    ]


def test_ledgers_are_of_one_organization(store: Store, acme: Organization) -> None:
    """A record of one organization is in no other's ledger."""
    other = new_organization(store)
    Recorder(store).orders(other, [order("o")])
    ledgers = LedgerCache(2**30)
    assert facts(current(store, ledgers, acme), "orders") == [0]
    assert facts(current(store, ledgers, other), "orders") == [1]


def test_records_are_read_in_parts(
    store: Store, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many records are read some at a time; a failure between leaves a ledger that the
    next reader completes."""
    recorder = Recorder(store)
    recorder.orders(acme, [order(f"o{i}") for i in range(7)])
    recorder.subscriptions(acme, [state(f"s{i}") for i in range(4)])
    monkeypatch.setattr(module, "_RECORDS_AT_ONCE", 3)
    ledgers = LedgerCache(2**30)
    with snapshot_of(store, acme) as snapshot:
        break_after(snapshot.connection, 4)
        with pytest.raises(RuntimeError, match="broken"):
            ledgers.current(snapshot)
    ledger = current(store, ledgers, acme)
    assert ledger.position == 11
    assert facts(ledger, "entries", "orders", "subscriptions") == [7, 7, 4]


def break_after(connection: sa.Connection, statements: int) -> None:
    """Makes a connection fail after so many statements."""
    left = itertools.count(statements, -1)

    def execute(*_: object) -> None:
        if next(left) == 0:
            raise RuntimeError("broken")

    sa.event.listen(connection, "before_cursor_execute", execute)


def test_threads_add_each_record_once(store: Store, acme: Organization) -> None:
    """Readers at the same time wait for each other, while more is recorded."""
    ledgers, recorder = LedgerCache(2**30), Recorder(store)
    start = threading.Barrier(5)

    def read(_: int) -> int:
        start.wait()
        seen = 0
        for _ in range(20):
            with snapshot_of(store, acme) as snapshot:
                stored = snapshot.connection.scalar(
                    sa.select(organization.c.records_count).where(
                        organization.c.number == acme.number
                    )
                )
                ledger = ledgers.current(snapshot)
            (seen,) = facts(ledger, "entries")
            assert seen >= (stored or 0)
        return seen

    def record(_: int) -> int:
        start.wait()
        for number in range(30):
            recorder.orders(acme, [order(f"o{number}")])
        return 0

    with ThreadPoolExecutor(5) as pool:
        works: list[Callable[[int], int]] = [read, read, read, read, record]
        for future in [pool.submit(work, number) for number, work in enumerate(works)]:
            future.result()
    assert facts(current(store, ledgers, acme), "entries", "orders") == [30, 30]


def test_ledgers_are_bounded(store: Store, acme: Organization) -> None:
    """The ledger that was asked for least recently is forgotten; the last one stays."""
    others = [new_organization(store) for _ in range(2)]
    recorder = Recorder(store)
    for owner in (acme, *others):
        recorder.orders(owner, [order("o")])
    one = current(store, LedgerCache(2**30), acme).bytes
    ledgers = LedgerCache(2 * one + one // 2)
    first, second = (current(store, ledgers, owner) for owner in (acme, others[0]))
    assert current(store, ledgers, acme) is first
    third = current(store, ledgers, others[1])
    assert current(store, ledgers, acme) is first
    assert current(store, ledgers, others[1]) is third
    assert current(store, ledgers, others[0]) is not second

    tiny = LedgerCache(0)
    last = current(store, tiny, acme)
    assert current(store, tiny, acme) is last


def test_a_deadline_ends_the_reading(store: Store, acme: Organization) -> None:
    """Records are not read for a call that is over."""
    Recorder(store).orders(acme, [order("o")])
    ledgers = LedgerCache(2**30)
    with pytest.raises(QueryTooSlowError), snapshot_of(store, acme, seconds_max=0) as snapshot:
        ledgers.current(snapshot)
    assert current(store, ledgers, acme).position == 1
