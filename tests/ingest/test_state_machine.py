"""Any sequence of sending, sending again, asking and restarting agrees with a dictionary."""

import datetime
import itertools
from decimal import Decimal
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from cost_insights.v1 import event_pb2, event_service_pb2
from tests.support.databases import Databases
from tests.support.examples import examples
from tests.support.service import LoopThread, Service, new_event

AMOUNTS = st.decimals(min_value=-100, max_value=9_000, places=12) | st.sampled_from(
    [Decimal("0.1"), Decimal("0.000000000001"), Decimal("99999.999999999999"), Decimal(0)]
)
CUSTOMERS = st.sampled_from(["user_1", "user_2", "کاربر", "cus_abc"])
NAMES = st.sampled_from(["llm.inference", "email.sent", "видео"])
DAY = st.integers(0, 30).map(lambda n: datetime.datetime(2026, 1, 1 + n, 12, tzinfo=datetime.UTC))

numbers = itertools.count()


def same(one: event_pb2.NewEvent, other: event_pb2.NewEvent) -> bool:
    """Whether two events say the same."""
    return one == other


class Ingest(RuleBasedStateMachine):
    """One organization of a service, and a dictionary that predicts it."""

    databases: Databases
    loop: LoopThread
    engine: str

    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.database = self.databases.fresh(self.engine)
        self.url = self.database.__enter__()
        self.service: Service | None = None
        self.keyed: dict[str, event_pb2.NewEvent] = {}
        self.unkeyed: list[event_pb2.NewEvent] = []
        self.streamed: dict[tuple[str, int], list[event_pb2.NewEvent]] = {}

    @initialize()
    def start(self) -> None:
        from cost_insights.settings import Settings

        settings = Settings(database_url=self.url, grpc_address="127.0.0.1:0", http_address="")
        self.service = Service(self.loop, settings)
        self.caller = self.service.stranger()

    @rule()
    def restart(self) -> None:
        """The service forgets what it remembers; the database does not."""
        assert self.service is not None
        self.service.close()
        self.start()

    @rule(
        target=sent,
        events=st.lists(
            st.tuples(NAMES, CUSTOMERS, st.none() | AMOUNTS, st.none() | st.integers(0, 8), DAY),
            min_size=1,
            max_size=6,
        ),
    )
    def ingest(self, events: list[tuple[Any, ...]]) -> Any:
        """A new request, with keys that may be taken."""
        request = event_service_pb2.IngestEventsRequest()
        for name, customer, amount, key, day in events:
            fields: dict[str, Any] = {"name": name, "external_customer_id": customer}
            if amount is not None:
                fields["cost"] = format(amount, "f")
            one = new_event(**fields)
            one.timestamp.FromDatetime(day)
            if key is not None:
                one.external_id = f"key {key}"
            request.events.append(one)
        self.send(request)
        return multiple(request)

    @rule(request=sent)
    def send_again(self, request: event_service_pb2.IngestEventsRequest) -> None:
        """A retry: what has a key is not stored again."""
        self.send(request)

    def send(self, request: event_service_pb2.IngestEventsRequest) -> None:
        inserted = duplicates = 0
        conflicts = []
        for index, one in enumerate(request.events):
            if not one.external_id:
                self.unkeyed.append(one)
                inserted += 1
            elif one.external_id not in self.keyed:
                self.keyed[one.external_id] = one
                inserted += 1
            elif same(self.keyed[one.external_id], one):
                duplicates += 1
            else:
                conflicts.append((index, one.external_id))
        answer = self.caller.ingest_request(request)
        assert (answer.inserted, answer.duplicates) == (inserted, duplicates)
        assert [(one.index, one.external_id) for one in answer.conflicts] == conflicts

    @rule(stream=st.sampled_from("ab"), sequence=st.integers(1, 5), count=st.integers(1, 4))
    def stream(self, stream: str, sequence: int, count: int) -> None:
        """A batch of a stream, perhaps one that was sent before."""
        events = [new_event(cost=f"0.{sequence}{n}") for n in range(count)]
        known = self.streamed.setdefault((stream, sequence), [])
        fresh = events[len(known) :]
        (answer,) = self.caller.events.StreamEvents(
            iter(
                [
                    event_service_pb2.StreamEventsRequest(
                        stream_id=stream,
                        sequence=sequence,
                        batch=event_service_pb2.IngestEventsRequest(events=events),
                    )
                ]
            ),
            timeout=30,
        )
        assert (answer.batch.inserted, answer.batch.duplicates) == (
            len(fresh),
            count - len(fresh),
        )
        known += fresh

    @invariant()
    def adds_up(self) -> None:
        """Costs, customers and events are those of the dictionary."""
        if self.service is None:
            return
        streamed = [one for batch in self.streamed.values() for one in batch]
        events = [*self.keyed.values(), *self.unkeyed, *streamed]
        tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
        totals = self.caller.get_metrics(
            start_date="2023-01-01", end_date=str(tomorrow), interval="INTERVAL_YEAR"
        ).totals
        assert Decimal(totals.costs) == sum(
            (Decimal(one.cost.amount) for one in events if one.HasField("cost")), Decimal(0)
        )
        assert totals.active_user_by_event == len({one.external_customer_id for one in events})
        names = self.caller.list_names_page().names
        assert sum(name.occurrences for name in names) == len(events)

    def teardown(self) -> None:
        if self.service is not None:
            self.service.close()
        self.database.__exit__(None, None, None)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_any_sequence(databases: Databases, loop_thread: LoopThread, engine: str) -> None:
    """Ingest, retry, streams and restarts in any order store each event once."""
    machine = type(
        "Machine", (Ingest,), {"databases": databases, "loop": loop_thread, "engine": engine}
    )
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(max_examples=examples(0.15), stateful_step_count=15),
    )
