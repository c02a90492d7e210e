"""Batches become segments: by one process at a time, few of them, and damage is noticed."""

import logging
import random
import re
import signal
import time
import uuid
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from cost_insights import cells, identity
from cost_insights._native.cells import CachedCells, Compaction, Cover, Sources, tally_cells
from cost_insights.cells import CellCache, CellReader, Kind, Needed, pending_batches
from cost_insights.cells.compaction import prepare_compaction, write_compaction
from cost_insights.cells.rows import OvertakenError, Packed
from cost_insights.client import Client
from cost_insights.errors import StoreUnavailableError
from cost_insights.jobs import COMPACTION
from cost_insights.store import Store
from cost_insights.store.schema import batch, segment
from tests.support.cells import add_batches, packed_cells
from tests.support.databases import Databases
from tests.support.postgresql import libpq_url
from tests.support.processes import ServiceProcess
from tests.support.service import Service, lately, new_event, now_us, refused

WAIT_SECONDS_MAX = 30


@pytest.fixture
def organization(store: Store) -> int:
    """The number of an organization."""
    with store.write() as connection:
        return identity.create_organization(connection, "acme").number


def ids(store: Store, table: sa.Table) -> set[uuid.UUID]:
    """The rows that there are."""
    with store.read() as connection:
        return set(connection.scalars(sa.select(table.c.id)))


def until(condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_kinds_are_those_of_native() -> None:
    """Native knows the kinds of the table and no others."""

    def is_known(number: int) -> bool:
        try:
            Sources(segments=[(number, CachedCells(b""))], batches=[])
        except ValueError:
            return False
        return True

    assert {number for number in range(-20, 40) if is_known(number)} == set(Kind)


def test_spans_of_one_event() -> None:
    """An event is in one segment of each kind, of the day, month, year or time it is in."""
    noon = 1_795_435_200  # 2026-11-23 12:00
    compaction = Compaction([packed_cells([(noon, 7, 3, "1")])])
    day, month, year = noon // 86_400, 56 * 12 + 10, 2026
    assert {Kind(kind): span for kind, span in compaction.spans} == {
        Kind.QUARTERS: day,
        Kind.DAYS: month,
        Kind.YEARS: 0,
        Kind.QUARTER_CUSTOMERS: day,
        Kind.DAY_CUSTOMERS: month,
        Kind.DAY_EVERYONE: month,
        Kind.CUSTOMER_QUARTERS: month,
        Kind.CUSTOMER_MONTHS: year,
        Kind.CUSTOMER_YEARS: 0,
        Kind.HOUR_EVERYONE: day,
    }


def test_what_is_pending(store: Store, organization: int) -> None:
    """Batches are pending, by organization, until they are compacted."""
    assert pending_batches(store) == []
    assert cells.compact(store, [organization]) is None
    before = now_us()
    packed = packed_cells([(0, 1, 0, "1")])
    add_batches(store, organization, packed, packed)
    (waiting,) = pending_batches(store)
    assert waiting[:3] == (organization, 2, 2 * len(packed))
    assert before <= waiting.oldest_us <= now_us()
    assert cells.compact(store, [organization]) == 2 * len(packed)
    assert pending_batches(store) == []
    assert cells.compact(store, [organization]) is None


def test_who_comes_second_changes_nothing(store: Store, organization: int) -> None:
    """A compaction of batches that another has compacted meanwhile is overtaken."""
    add_batches(store, organization, packed_cells([(0, 1, 0, "1")]))
    with store.read() as connection:
        first = prepare_compaction(connection, [organization])
    add_batches(store, organization, packed_cells([(0, 1, 0, "1")]))
    with store.read() as connection:
        second = prepare_compaction(connection, [organization])
    assert first is not None
    assert second is not None
    with store.write() as connection:
        write_compaction(connection, first)
    before = ids(store, batch), ids(store, segment)
    with pytest.raises(OvertakenError), store.write() as connection:
        write_compaction(connection, second)
    assert (ids(store, batch), ids(store, segment)) == before


@pytest.mark.slow
def test_a_span_has_few_segments(store: Store, organization: int) -> None:
    """Small segments are merged, however many compactions there were."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown if the test fails
    rng = random.Random(seed)
    for _ in range(60):
        events = [
            (rng.randrange(40 * 86_400), rng.randrange(300), rng.randrange(3), "0.1")
            for _ in range(rng.choice([1, 10, 100, 1_000]))
        ]
        add_batches(store, organization, packed_cells(events))
        assert cells.compact(store, [organization])
    with store.read() as connection:
        rows = connection.execute(
            sa.select(
                segment.c.kind, segment.c.span, segment.c.customer_first, segment.c.customer_last
            )
        )
        counts = Counter(map(tuple, rows))
    assert {kind for kind, *_ in counts} == {kind for kind in Kind if not kind.layout.is_of_tokens}
    assert max(counts.values()) <= 8


def test_segments_of_some_customers(store: Store, organization: int) -> None:
    """A question reads only those of the split segments that hold its customers."""
    events = [
        (n * 37 % 2_900 * 900, n * n % 701, n % 3, f"{n % 701}.{n:06}") for n in range(30_000)
    ]
    add_batches(store, organization, packed_cells(events))
    assert cells.compact(store, [organization])
    needed = [Needed(Kind.CUSTOMER_QUARTERS, 0, 0)]
    reader = CellReader(store, CellCache(0))
    with store.read() as connection:
        ranges = connection.execute(
            sa.select(segment.c.customer_first, segment.c.customer_last).where(
                segment.c.kind == Kind.CUSTOMER_QUARTERS
            )
        ).all()
        assert len(ranges) > 2
        for first, last in ranges:
            for asked in ([first], [min(last, 2**31 - 1)], [first, first + 1], [0, last]):
                found = reader.segments(connection, organization, needed, customers=asked)
                held = [one for one in ranges if any(one[0] <= n <= one[1] for n in asked)]
                assert len(found) == len(held)
                tally = tally_cells(
                    Cover([0, 31 * 86_400_000_000]),
                    Sources(segments=found, batches=[]),
                    series_groups=array("i", [0, 0, 0]),
                    groups=1,
                    customer_groups=[(number, 0) for number in asked],
                    customers_wanted=False,
                )
                theirs = [cents for _, customer, _, cents in events if customer in asked]
                assert tally.costs[1] == sum(int(Decimal(cents).scaleb(12)) for cents in theirs)


def test_one_statement_reads_what_is_remembered(store: Store, organization: int) -> None:
    """The database is asked for contents only once; for what there is, once a question."""
    pending = packed_cells([(0, 1, 0, "1")])
    add_batches(store, organization, packed_cells([(40 * 86_400, 2, 1, "2")]))
    assert cells.compact(store, [organization])
    add_batches(store, organization, pending)
    statements: list[str] = []

    def before(*arguments: Any) -> None:
        statements.append(arguments[2])

    sa.event.listen(store._engine, "before_cursor_execute", before)
    needed = [Needed(Kind.DAYS, 0, 1), Needed(Kind.YEARS, 0, 0)]
    reader = CellReader(store, CellCache(1 << 20))
    for expected in (3, 1):
        statements.clear()
        with store.read() as connection:
            found = reader.cells(connection, organization, needed)
        selects = [one for one in statements if one.startswith("SELECT")]
        assert len(selects) == expected
        assert [one.bytes for one in found.batches] == [CachedCells(pending).bytes]
        assert sorted(kind for kind, _ in found.segments) == [Kind.DAYS, Kind.YEARS]
        assert found.series_count == 0  # none was numbered


# Who compacts


def end_lock_holder(url: str) -> None:
    """Makes the server close the connection that holds the lock."""
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN pg_database AS d "
            "ON d.oid = database WHERE locktype = 'advisory' AND granted "
            "AND datname = current_database()"
        )
        assert ended.fetchall() == [(True,)]


def test_one_compacts_at_a_time(databases: Databases) -> None:
    """One of two processes compacts; the other does once the first has lost its connection."""
    with (
        databases.fresh("postgresql") as url,
        closing(Store(url)) as one,
        closing(Store(url)) as other,
        COMPACTION.claim(one) as ones,
        COMPACTION.claim(other) as others,
    ):
        assert ones.is_mine()
        assert not others.is_mine()
        assert ones.is_mine()
        end_lock_holder(url)
        assert others.is_mine()
        with COMPACTION.claim(one) as again:
            assert not again.is_mine()
        assert others.is_mine()
        with pytest.raises(sa.exc.OperationalError):
            ones.is_mine()


def test_a_lost_lock_is_told(databases: Databases, caplog: pytest.LogCaptureFixture) -> None:
    """A process that compacts on a connection that is gone learns that the database does not
    answer, and nobody tries to use that connection again."""

    def lose_it(store: Store, url: str) -> None:
        with COMPACTION.claim(store) as claim:
            assert claim.is_mine()
            end_lock_holder(url)
            claim.is_mine()

    with databases.fresh("postgresql") as url, closing(Store(url)) as store:
        with pytest.raises(StoreUnavailableError):
            lose_it(store, url)
        with COMPACTION.claim(store) as claim:
            assert claim.is_mine()
    assert "Exception during reset" not in caplog.text


def test_the_lock_ends_with_its_block(store: Store, database_url: str) -> None:
    """A process that stops compacting leaves it to the next."""
    with closing(Store(database_url)) as other:
        with COMPACTION.claim(store) as mine:
            assert mine.is_mine()
        with COMPACTION.claim(other) as others:
            assert others.is_mine()


@pytest.mark.slow
def test_the_process_that_compacts_is_killed(databases: Databases, tmp_path: Path) -> None:
    """The other process takes over, and nothing is lost."""
    with databases.fresh("postgresql") as url, closing(Store(url)) as store:
        first = ServiceProcess(url, tmp_path)
        first.start()
        first.wait_until_serving()
        with Client(first.address) as client:
            client.ingest([{"name": "a", "external_customer_id": "c"}])
        until(lambda: ids(store, segment) != set() and pending_batches(store) == [])
        second = ServiceProcess(url, tmp_path)
        second.start()
        second.wait_until_serving()
        try:
            first.end(signal.SIGKILL)
            with Client(second.address) as client:
                client.ingest([{"name": "a", "external_customer_id": "c"}])
            until(lambda: pending_batches(store) == [])
        finally:
            first.close()
            second.close()


# Damage


@pytest.fixture
def forgetful(
    start_server: Callable[..., AbstractContextManager[Service]], database_url: str
) -> Iterator[Service]:
    """A server that remembers nothing and compacts only when it is told to."""
    with start_server(database_url, compact=False, cache_bytes_max=0) as service:
        yield service


def damage(service: Service, table: sa.Table, one: uuid.UUID, packed: bytes) -> None:
    """Writes other bytes in the place of packed cells."""
    column = batch.c.cells if table is batch else segment.c.packed
    with service.store.write() as connection:
        connection.execute(sa.update(table).where(table.c.id == one).values({column: packed}))


@pytest.mark.parametrize("table", [batch, segment], ids=["batch", "segment"])
def test_damage_is_never_a_wrong_number(
    forgetful: Service, table: sa.Table, caplog: pytest.LogCaptureFixture
) -> None:
    """A change of any byte makes the answer an error, and ingest goes on."""
    caller, bystander = forgetful.caller(), forgetful.caller()
    for one in (caller, bystander):
        one.ingest(*(new_event(cost="0.1", external_customer_id=f"c{n}") for n in range(100)))
    if table is segment:
        for waiting in pending_batches(forgetful.store):
            cells.compact(forgetful.store, [waiting.organization_number])
    with forgetful.store.read() as connection:
        owner = identity.find_organization(connection, caller.organization)
        assert owner is not None
        column = batch.c.cells if table is batch else segment.c.packed
        rows = connection.execute(
            sa.select(table.c.id, column).where(
                table.c.organization_number == owner.number,
                # Those that the question below reads: of days, and of who was active on them.
                sa.true() if table is batch else segment.c.kind.in_([2, 6]),
            )
        ).all()
    assert rows
    events = 100
    for one, packed in rows:
        for place in (0, 1, len(packed) // 2, len(packed) - 1):
            other = bytearray(packed)
            other[place] ^= 1 << random.randrange(8)
            damage(forgetful, table, one, bytes(other))
            with refused("INTERNAL") as answer, caplog.at_level(logging.ERROR):
                caller.get_metrics(**lately())
            incident = answer.refusal.facts["incident"]
            assert answer.refusal.message == (
                f"the service failed; its log says why under incident {incident}"
            )
            assert re.search(f"incident {incident} in", caplog.text)
            assert "ValueError: stored cells are damaged" in caplog.text
            assert caller.ingest(new_event(cost="0.1")).inserted == 1
            events += 1
            assert bystander.get_metrics(**lately()).totals.costs == "10"
        damage(forgetful, table, one, packed)
    assert caller.get_metrics(**lately()).totals.costs == f"{events / 10:g}"


def test_others_are_compacted_beside_damage(
    server: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """A segment that cannot be compacted is logged and keeps no other organization waiting."""
    unlucky, lucky = server.organization("unlucky"), server.organization("lucky")
    add_batches(server.store, unlucky.number, b"no cells")
    until(lambda: f"batches of organization {unlucky.number} are not compacted" in caplog.text)
    add_batches(server.store, lucky.number, packed_cells([(0, 1, 0, "1")]))
    until(
        lambda: (
            [one.organization_number for one in pending_batches(server.store)] == [unlucky.number]
        )
    )
    assert caplog.text.count("are not compacted") == 1


# What is remembered


def test_the_cache_is_bounded() -> None:
    """The cache never holds more than its bytes, and evicts the least recently used entry first."""
    cache = CellCache(10_000)
    contents = {uuid.uuid4().bytes: bytes(n) for n in range(1, 1_000)}
    favourite, *others = contents
    cached = cache.remember({favourite: Packed(contents[favourite])})
    for one in others:
        cache.remember({one: Packed(contents[one])})
        assert bytes_of(cache.known(contents)) <= 10_000
        assert cache.known([favourite]) == cached
    assert others[-1] in cache.known(contents)


def bytes_of(known: Mapping[bytes, CachedCells]) -> int:
    """The bytes that entries of the cache count for."""
    return sum(cached.bytes + 200 for cached in known.values())


def test_what_is_found_out_counts() -> None:
    """Marks and days that a question leaves behind drive out what nobody asked for."""
    compaction = Compaction([packed_cells([(n * 900, n % 40, 0, "1") for n in range(2_000)])])
    assert compaction.plan([]) == []
    (packed,) = (one[4] for one in compaction.merge([]) if one[0] == Kind.CUSTOMER_QUARTERS)
    one, other = uuid.uuid4().bytes, uuid.uuid4().bytes
    cache = CellCache(2 * (CachedCells(packed).bytes + 200))
    cached = cache.remember({one: Packed(packed), other: Packed(packed)})
    assert cache.known([one, other]) == cached
    assert cached[one].bytes == CachedCells(packed).bytes
    for _ in range(2):  # what is asked for once is not worth it
        tally_cells(
            Cover([0, 31 * 86_400_000_000]),
            Sources(segments=[(Kind.CUSTOMER_QUARTERS, cached[one])], batches=[]),
            series_groups=array("i", [0]),
            groups=1,
            customer_groups=[(3, 0)],
            customers_wanted=False,
        )
    assert cached[one].bytes > CachedCells(packed).bytes
    assert cache.known([one]) == {one: cached[one]}
    assert cache.known([other]) == {}


def test_what_does_not_fit_is_not_remembered() -> None:
    """A content larger than the cache leaves it empty; no bytes at all keep nothing."""
    one, other = uuid.uuid4().bytes, uuid.uuid4().bytes
    cache = CellCache(1_000)
    empty = CachedCells(b"").bytes
    cache.remember({one: Packed(bytes(801 - empty))})
    assert cache.known([one]) == {}
    cached = cache.remember({other: Packed(bytes(800 - empty))})
    assert cache.known([one, other]) == cached
    nothing = CellCache(0)
    nothing.remember({one: Packed(b"")})
    assert nothing.known([one]) == {}


def test_the_cache_is_shared_by_threads() -> None:
    """Any id has its own content and every byte is counted, whatever threads do at once."""
    cache = CellCache(30_000)
    contents = {uuid.uuid4().bytes: bytes(n) for n in range(200)}
    sizes = {one: CachedCells(packed).bytes for one, packed in contents.items()}

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(2_000):
            some = rng.sample(list(contents), 5)
            cache.remember({one: Packed(contents[one]) for one in some})
            for one, cached in cache.known(rng.sample(list(contents), 5)).items():
                assert cached.bytes == sizes[one]
            cache.forget(some[:3])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    cache.forget(contents)
    assert cache.known(contents) == {}
    # Bytes that are still counted would leave no room for this, bytes counted too
    # few would leave room for more.
    whole, one_more = uuid.uuid4().bytes, uuid.uuid4().bytes
    cache.remember({whole: Packed(bytes(30_000 - 200 - CachedCells(b"").bytes))})
    assert cache.known([whole])
    cached = cache.remember({one_more: Packed(b"")})
    assert cache.known([whole, one_more]) == cached


def test_a_service_remembers_no_more_than_it_may(
    start_server: Callable[..., AbstractContextManager[Service]], database_url: str
) -> None:
    """Many batches and segments that are written and read stay within the bound."""
    bound = 20_000
    with start_server(database_url, compact=False, cache_bytes_max=bound) as service:
        caller = service.caller()
        store = service.server.app.store
        rows: set[uuid.UUID] = set()
        for number in range(60):
            caller.ingest(
                *(new_event(cost="1", external_customer_id=f"c{number} {n}") for n in range(40))
            )
            if number % 20 == 10:
                (waiting,) = pending_batches(store)
                cells.compact(store, [waiting.organization_number])
            rows |= ids(store, batch) | ids(store, segment)
            assert caller.get_metrics(**lately()).totals.costs == str(40 * (number + 1))
            known = service.server.app.caches.cells.known(one.bytes for one in rows)
            assert known
            assert bytes_of(known) <= bound
