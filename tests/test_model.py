"""A model: whatever callers do in whatever order, a dictionary predicts every answer."""

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import hypothesis
from google.protobuf import timestamp_pb2
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from cost_insights.v1 import event_pb2
from tests.reference import costs as reference
from tests.support.databases import Databases
from tests.support.examples import examples
from tests.support.service import Caller, StartServer, metrics_on_paper, new_event

FIRST = datetime(2026, 3, 27, tzinfo=UTC)
SPAN = (date(2026, 3, 28), date(2026, 4, 2))


@dataclass(frozen=True)
class Sent:
    """An event as the model knows it."""

    key: str
    event: reference.Event

    def message(self) -> event_pb2.NewEvent:
        """The event as it is sent."""
        stamp = timestamp_pb2.Timestamp()
        stamp.FromDatetime(self.event.timestamp.replace(tzinfo=None))
        return new_event(
            name=self.event.name,
            external_customer_id=self.event.customer,
            external_id=self.key,
            timestamp=stamp,
            cost=None if self.event.cents is None else str(self.event.cents),
        )


SENT = st.builds(
    Sent,
    # Few keys, so that they meet; without a key every event is a new one.
    key=st.sampled_from(["", "", "k1", "k2", "k3", "k4", "k5"]),
    event=st.builds(
        reference.Event,
        timestamp=st.integers(0, 7 * 24 * 4).map(lambda n: FIRST + n * timedelta(minutes=15)),
        customer=st.sampled_from(["c1", "c2", "c3"]),
        name=st.sampled_from(["a", "b"]),
        cents=st.one_of(
            st.none(), st.sampled_from([Decimal("0.1"), Decimal(-1), Decimal("1e-12")])
        ),
    ),
)


@dataclass
class Stored:
    """The state of an organization in the model."""

    token: str
    events: list[reference.Event] = field(default_factory=list)
    keyed: dict[str, reference.Event] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def store(self, batch: list[Sent]) -> tuple[int, int, list[int]]:
        """(inserted, duplicates, indices of conflicts) of a batch, which is stored."""
        inserted = duplicates = 0
        conflicts = []
        for index, sent in enumerate(batch):
            first = self.keyed.get(sent.key) if sent.key else None
            if first is None:
                inserted += 1
                self.events.append(sent.event)
                self.keys.append(sent.key)
                if sent.key:
                    self.keyed[sent.key] = sent.event
            elif first == sent.event:
                duplicates += 1
            else:
                conflicts.append(index)
        return inserted, duplicates, conflicts


class Model(RuleBasedStateMachine):
    """Two organizations that store, retry, restart the service and ask."""

    def __init__(self, start_server: StartServer, databases: Databases, engine: str) -> None:
        super().__init__()
        self._exit = contextlib.ExitStack()
        self._url = self._exit.enter_context(databases.fresh(engine))
        self._start = start_server
        self._running = contextlib.ExitStack()
        self._organizations: list[Stored] = []
        self._last: dict[int, list[Sent]] = {}

    @initialize()
    def start(self) -> None:
        """The service starts on an empty database."""
        self._service = self._running.enter_context(self._start(self._url))
        for _ in range(2):
            token = self._service.caller().token
            assert token is not None
            self._organizations.append(Stored(token))

    def caller(self, place: int) -> Caller:
        """A new connection of an organization."""
        return self._service.stranger(self._organizations[place].token)

    PLACES = st.integers(0, 1)

    @rule(place=PLACES, batch=st.lists(SENT, max_size=12))
    def ingest(self, place: int, batch: list[Sent]) -> None:
        """A caller sends a batch."""
        answer = self.caller(place).ingest(*[sent.message() for sent in batch])
        inserted, duplicates, conflicts = self._organizations[place].store(batch)
        assert (answer.inserted, answer.duplicates) == (inserted, duplicates)
        assert [conflict.index for conflict in answer.conflicts] == conflicts
        self._last[place] = batch

    @precondition(lambda self: self._last)
    @rule(place=PLACES)
    def retry(self, place: int) -> None:
        """A caller who did not hear the answer sends the batch again."""
        self.ingest(place, self._last.get(place, []))

    @rule(place=PLACES, batch=st.lists(SENT, max_size=5))
    def ingest_with_a_fault(self, place: int, batch: list[Sent]) -> None:
        """A batch with a fault stores nothing, or all valid events."""
        faulty = new_event(name="")
        answer = self.caller(place).ingest(
            faulty, *[sent.message() for sent in batch], accept_valid=True
        )
        inserted, duplicates, conflicts = self._organizations[place].store(batch)
        assert (answer.inserted, answer.duplicates) == (inserted, duplicates)
        assert [conflict.index - 1 for conflict in answer.conflicts] == conflicts
        assert [fault.index for fault in answer.faults] == [0]

    @rule()
    def restart(self) -> None:
        """The service is stopped and started again."""
        self._running.close()
        self._service = self._running.enter_context(self._start(self._url))

    @rule(place=PLACES, page_size=st.sampled_from([1, 3, 1_000]))
    def list_events(self, place: int, page_size: int) -> None:
        """Every event is listed once, the latest first."""
        stored = self._organizations[place]
        found = self.caller(place).list_events(page_size=page_size)
        times = [event.timestamp.ToDatetime(UTC) for event in found]
        assert times == sorted((event.timestamp for event in stored.events), reverse=True)
        assert Counter(
            (
                event.external_id,
                event.name,
                event.external_customer_id,
                event.timestamp.ToDatetime(UTC),
                event.cost.amount if event.HasField("cost") else None,
            )
            for event in found
        ) == Counter(
            (
                key,
                event.name,
                event.customer,
                event.timestamp,
                None if event.cents is None else reference.format_amount(event.cents),
            )
            for key, event in zip(stored.keys, stored.events, strict=True)
        )

    @rule(place=PLACES)
    def list_names(self, place: int) -> None:
        """Names are counted."""
        counted = Counter(event.name for event in self._organizations[place].events)
        names = self.caller(place).list_names_page().names
        assert [(name.name, name.occurrences) for name in names] == sorted(counted.items())

    @rule(
        place=PLACES,
        zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
        interval=st.sampled_from(reference.INTERVALS),
        customers=st.lists(st.sampled_from(["c1", "c2"]), max_size=1),
        group_by=st.sampled_from(["customer", "event_name"]),
    )
    def ask(
        self, place: int, zone: str, interval: str, customers: list[str], group_by: str
    ) -> None:
        """Metrics are those on paper."""
        answer = self.caller(place).get_metrics(
            start_date=str(SPAN[0]),
            end_date=str(SPAN[1]),
            timezone=zone,
            interval=f"INTERVAL_{interval.upper()}",
            external_customer_ids=customers,
            group_by=f"GROUP_BY_{group_by.upper()}",
            groups_max=1,
        )
        wanted = reference.metrics_of(
            self._organizations[place].events,
            *SPAN,
            ZoneInfo(zone),
            interval,
            customers=customers,
            group_by=group_by,
            groups_max=1,
        )
        assert metrics_on_paper(answer) == wanted

    def teardown(self) -> None:
        """The service stops and the database goes away."""
        self._running.close()
        self._exit.close()


def test_the_model_predicts_every_answer(
    start_server: StartServer, databases: Databases, engine: str
) -> None:
    """Storing, retrying, restarting and asking in any order give what the model says."""
    run(
        lambda: Model(start_server, databases, engine),  # type: ignore[arg-type]
        settings=hypothesis.settings(max_examples=examples(0.15), stateful_step_count=15),
    )
