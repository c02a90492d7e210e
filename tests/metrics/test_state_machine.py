"""Any order of ingest, retries, compactions, crashes and restarts: answers are those on paper.

Events go in and questions come out over a real socket; compaction is called on a
store of its own, so that the machine chooses its moments and where it breaks.
"""

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import hypothesis
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cost_insights import cells
from cost_insights.cells.compaction import prepare_compaction, write_compaction
from cost_insights.cells.rows import OvertakenError
from cost_insights.errors import StoreUnavailableError
from cost_insights.settings import Settings
from cost_insights.store import Store
from cost_insights.store.schema import batch, segment
from cost_insights.v1 import event_pb2, event_service_pb2
from tests.reference import costs as reference
from tests.support.cost_questions import (
    AMOUNTS,
    CUSTOMERS,
    DATE_MAX,
    DATE_MIN,
    LLMS,
    NAMES,
    PRODUCTS,
    TOKENS,
    CostQuestion,
    cents_of,
    check,
    cost_questions,
)
from tests.support.examples import examples
from tests.support.facts import sent
from tests.support.postgresql import libpq_url
from tests.support.service import Caller, LoopThread, Service

ORGANIZATIONS = st.integers(0, 1)
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
TEN_YEARS = timedelta(days=3_652)

MOMENTS = st.one_of(
    # Few days, so that events meet in cells, and any time in ten years.
    st.integers(0, 4 * 96 * 60).map(lambda n: NOW - timedelta(seconds=15 * n)),
    st.timedeltas(timedelta(0), TEN_YEARS).map(lambda ago: NOW - ago),
    # Around the first instants of years, months and days, to the microsecond.
    st.tuples(
        st.sampled_from([(2026, 1, 1), (2025, 11, 1), (2024, 3, 1), (2020, 12, 31), (1973, 1, 1)]),
        st.sampled_from([-1, 0, 1]),
        st.integers(-5, 5),
    ).map(
        lambda at: (
            reference.midnight(date(*at[0])) + timedelta(microseconds=at[1], minutes=15 * at[2])
        )
    ),
    st.sampled_from(
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            datetime(1970, 1, 1, 0, 44, 29, tzinfo=UTC),
        ]
    ),
)

EVENTS = st.lists(
    st.tuples(
        st.builds(
            lambda moment, customer, name, amount, llm, product, tokens: reference.Event(
                moment,
                customer,
                name,
                cents_of(amount),
                llm[0],
                llm[1],
                product,
                tokens if llm[0] else reference.Tokens(),
            ),
            MOMENTS,
            st.sampled_from(CUSTOMERS),
            st.sampled_from(NAMES),
            AMOUNTS,
            st.sampled_from(LLMS),
            st.sampled_from(PRODUCTS),
            TOKENS,
        ),
        st.none() | st.integers(0, 30),
    ),
    min_size=1,
    max_size=12,
)
"""(event, number of its external id)"""

EARLIEST = DATE_MIN + timedelta(days=30)

CROWD_EVENTS_MAX = 400
"""The twin looks at each event for each period."""


class CrashError(Exception):
    """Ends a compaction between two statements, as a killed process would."""


class Metrics(RuleBasedStateMachine):
    """Two new organizations of a database, and all their events in lists."""

    url: str
    loop: LoopThread

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[int, list[reference.Event]] = defaultdict(list)
        self.keyed: dict[int, dict[str, event_pb2.NewEvent]] = defaultdict(dict)
        self.tokens: list[str] = []
        self.callers: list[Caller] = []
        self.service: Service | None = None

    @initialize()
    def begin(self) -> None:
        self.start(cache_bytes_max=1 << 28)
        assert self.service is not None
        organizations = [self.service.organization() for _ in range(2)]
        self.numbers = [one.number for one in organizations]
        self.tokens = [self.service.token(one) for one in organizations]
        self.callers = [self.service.stranger(token) for token in self.tokens]

    def start(self, *, cache_bytes_max: int) -> None:
        self.service = Service(
            self.loop,
            Settings(
                database_url=self.url,
                grpc_address="127.0.0.1:0",
                http_address="",
                compact=False,
                cache_bytes_max=cache_bytes_max,
            ),
        )
        self.callers = [self.service.stranger(token) for token in self.tokens]

    @property
    def store(self) -> Store:
        assert self.service is not None
        return self.service.server.app.store

    @rule(cache_bytes_max=st.sampled_from([0, 2_000, 1 << 28]))
    def restart(self, cache_bytes_max: int) -> None:
        """The service forgets what it remembers, and may remember less from now on."""
        assert self.service is not None
        self.service.close()
        self.start(cache_bytes_max=cache_bytes_max)

    @rule(target=requests, organization=ORGANIZATIONS, events=EVENTS)
    def ingest(self, organization: int, events: Sequence[tuple[Any, ...]]) -> Any:
        """A new request, with external ids that may be taken."""
        request = event_service_pb2.IngestEventsRequest()
        for event, key in events:
            one = sent(event)
            if key is not None:
                one.external_id = f"key {key}"
            request.events.append(one)
        return self.send(organization, request, [event for event, _ in events])

    @rule(request=requests)
    def send_again(self, request: Any) -> None:
        """A retry: what has an external id is not stored again."""
        self.send(*request)

    @precondition(lambda self: sum(map(len, self.events.values())) < CROWD_EVENTS_MAX)
    @rule(
        target=requests,
        organization=ORGANIZATIONS,
        moment=MOMENTS,
        customers=st.integers(60, 200),
        step_seconds=st.sampled_from([0, 7, 3_600]),
        cents=st.sampled_from([Decimal("0.1"), Decimal(-9_000_000), Decimal("1e-12")]),
    )
    def ingest_crowd(
        self, organization: int, moment: datetime, customers: int, step_seconds: int, cents: Decimal
    ) -> Any:
        """Many customers in a short time, or spread over days."""
        events = [
            reference.Event(
                min(moment + timedelta(seconds=step_seconds * number), NOW),
                f"crowd {number:03}",
                NAMES[number % 2],
                cents,
                *LLMS[number % 3],
            )
            for number in range(customers)
        ]
        request = event_service_pb2.IngestEventsRequest(events=map(sent, events))
        for number, one in enumerate(request.events):
            one.external_id = f"{moment} {customers} {step_seconds} {cents} {number}"
        return self.send(organization, request, events)

    def send(
        self,
        organization: int,
        request: event_service_pb2.IngestEventsRequest,
        events: Sequence[reference.Event],
    ) -> Any:
        answer = self.callers[organization].ingest_request(request)
        keyed = self.keyed[organization]
        inserted = 0
        for one, event in zip(request.events, events, strict=True):
            if not one.external_id or one.external_id not in keyed:
                self.events[organization].append(event)
                inserted += 1
            if one.external_id:
                keyed.setdefault(one.external_id, one)
        assert answer.inserted == inserted
        return organization, request, events

    @rule(organization=ORGANIZATIONS)
    def compact(self, organization: int) -> None:
        """All that is pending."""
        cells.compact(self.store, [self.numbers[organization]])
        assert self.rows(self.numbers[organization])[0] == set()

    @rule(organization=ORGANIZATIONS, severs=st.booleans())
    def compact_and_crash_everywhere(self, organization: int, severs: bool) -> None:
        """A compaction that ends before each of its statements in turn, the commit
        included, changes nothing; the one that does not, everything."""
        number = self.numbers[organization]
        before = self.rows(number)
        for statement in range(1_000):
            if not self.compact_until(number, statement, severs=severs):
                break
            assert self.rows(number) == before
        else:
            raise AssertionError("a compaction takes more than a thousand statements")
        assert self.rows(number)[0] == set()

    def compact_until(self, organization_number: int, statement: int, *, severs: bool) -> bool:
        """Whether a compaction by a process of its own met that statement, and crashed."""
        store = Store(self.url, connections_max=1)
        seen = 0

        def before(connection: sa.Connection, *_: object) -> None:
            nonlocal seen
            seen += 1
            if seen > statement:
                if severs and self.store.dialect.shared_by_processes:
                    self.sever(connection)
                else:
                    raise CrashError

        sa.event.listen(store._engine, "before_cursor_execute", before)
        sa.event.listen(store._engine, "commit", before)
        try:
            cells.compact(store, [organization_number])
        except (CrashError, StoreUnavailableError):
            return True
        finally:
            store.close()
        return False

    def sever(self, connection: sa.Connection) -> None:
        """The server closes the connection, as one that stops does."""
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with psycopg.connect(libpq_url(self.url), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (driver.info.backend_pid,))

    @rule(organization=ORGANIZATIONS, events=EVENTS, first_wins=st.booleans())
    def compact_the_same_twice(
        self, organization: int, events: Sequence[tuple[Any, ...]], first_wins: bool
    ) -> None:
        """If two processes compact the same batches the second changes nothing, even if it has seen
        more batches."""
        number = self.numbers[organization]
        other = Store(self.url, connections_max=1)
        with contextlib.closing(other):
            with self.store.read() as connection:
                first = prepare_compaction(connection, [number])
            self.ingest(organization, events)
            with other.read() as connection:
                second = prepare_compaction(connection, [number])
            if first is None or second is None:
                return
            winner, loser = (first, second) if first_wins else (second, first)
            with self.store.write() as connection:
                write_compaction(connection, winner)
            after = self.rows(number)
            with pytest.raises(OvertakenError), other.write() as connection:
                write_compaction(connection, loser)
            assert self.rows(number) == after

    @rule(organization=ORGANIZATIONS)
    def compact_twice_at_once(self, organization: int) -> None:
        """Two processes that compact without knowing of each other."""
        number = self.numbers[organization]
        other = Store(self.url, connections_max=3)
        with contextlib.closing(other), ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda store: cells.compact(store, [number]), (self.store, other)))
        assert self.rows(number)[0] == set()

    def rows(self, organization_number: int) -> tuple[set[Any], set[Any]]:
        """The ids of the batches and the segments of an organization."""
        with self.store.read() as connection:
            batches, segments = (
                connection.scalars(
                    sa.select(table.c.id).where(table.c.organization_number == organization_number)
                )
                for table in (batch, segment)
            )
            return set(batches), set(segments)

    @rule(organization=ORGANIZATIONS, compacts=st.booleans(), data=st.data())
    def ask(self, organization: int, compacts: bool, data: st.DataObject) -> None:
        """Any questions, mostly near events."""
        if compacts:
            self.compact(organization)
        events = self.events[organization]
        days = {max(event.timestamp.date(), EARLIEST) for event in events}
        near = [day - timedelta(days=ago) for day in sorted(days) for ago in (0, 1, 30)]
        first_dates = st.sampled_from(near) if near else st.just(DATE_MIN)
        for _ in range(4):
            question = data.draw(cost_questions(first_dates | st.just(date(9_988, 12, 30))))
            check(self.callers[organization], events, question)

    @invariant()
    def adds_up(self) -> None:
        """Each organization knows its own costs, all of history included."""
        for organization, caller in enumerate(self.callers):
            check(caller, self.events[organization], LATELY)

    def teardown(self) -> None:
        if self.service is not None:
            self.service.close()


LATELY = CostQuestion(
    first=DATE_MAX - timedelta(days=2),
    last=DATE_MAX + timedelta(days=1),
    zone="Asia/Kathmandu",
    interval=reference.DAY,
    customers=(),
    names=(),
    vendors=(),
    models=(),
    group_by="customer",
    groups_max=2,
)


def test_any_sequence(database_url: str, loop_thread: LoopThread) -> None:
    """Answers are right after anything was sent, sent again, compacted, broken and restarted, in
    any order."""
    machine = type("Machine", (Metrics,), {"url": database_url, "loop": loop_thread})
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(max_examples=examples(0.1), stateful_step_count=25),
    )
