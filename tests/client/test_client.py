"""The client against a real service: blocking, asynchronous and in the background."""

import datetime
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from cost_insights.client import (
    AsyncClient,
    BackgroundClient,
    CallError,
    Client,
    Conflict,
    Fault,
    InvalidEventError,
    RefusedError,
    UnattributedCosts,
    UnavailableError,
)
from cost_insights.client.options import target_of
from cost_insights.v1 import event_pb2, revenue_pb2, revenue_service_pb2
from tests.support.postgresql import free_port
from tests.support.revenue import money, new_order
from tests.support.service import Service, StartServer

TODAY = datetime.datetime.now(datetime.UTC).date()
YESTERDAY = TODAY - datetime.timedelta(days=1)


def event(amount: object, **fields: Any) -> Any:
    """An event in the documented form."""
    return {
        "name": "llm.inference",
        "external_customer_id": "user_123",
        "cost": {"amount": amount, "currency": "usd"},
        **fields,
    }


def connect(service: Service) -> Client:
    """A client with a token of an organization of its own."""
    caller = service.caller()
    return Client(service.address, token=caller.token)


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 10**400])
def test_a_number_that_would_change_is_refused(service: Service, number: int) -> None:
    """A whole number that no double holds is never sent as another one."""
    with connect(service) as client, pytest.raises(ValueError, match="written as a text"):
        client.ingest([event("1", metadata={"order_ref": number})])
    with connect(service) as client:
        assert client.ingest([event("1", metadata={"order_ref": 2**53})]).inserted == 1


def test_amounts_are_exact(service: Service) -> None:
    """Text, whole numbers and decimals arrive as they are, and come back as decimals."""
    with connect(service) as client:
        answer = client.ingest([event("0.025"), event(150), event(Decimal("0.000000000001"))])
        assert (answer.inserted, answer.duplicates) == (3, 0)
        metrics = client.metrics(start=YESTERDAY, end=TODAY)
    assert metrics.totals["costs"] == Decimal("150.025000000001")
    assert metrics.totals["active_user_by_event"] == 1
    assert len(metrics.periods) == 2
    assert metrics.periods[0].start == datetime.datetime.combine(
        YESTERDAY, datetime.time.min, datetime.UTC
    )


def test_what_is_no_event_is_named(service: Service) -> None:
    """An event that fits no message is refused before anything is sent, by its place."""
    with connect(service) as client:
        with pytest.raises(InvalidEventError, match=r"events\[1\]: .*colour"):
            client.ingest([event("1"), {"colour": "blue"}])  # type: ignore[list-item]
        with pytest.raises(InvalidEventError, match=r"events\[0\]: .*no time zone"):
            client.ingest([event("1", timestamp=datetime.datetime(2026, 1, 1))])  # noqa: DTZ001
        with pytest.raises(
            InvalidEventError,
            match=r"events\[0\]: metadata.x: nan is not a "
            r"number",
        ):
            client.ingest([event("1", metadata={"x": float("nan")})])
        assert client.metrics(start=YESTERDAY, end=TODAY).totals["costs"] == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"externalCustomer": "a"},
            (
                "externalCustomer: there is no such field; the known ones are name, "
                "external_customer_id, "
                "customer_id, timestamp, external_id, parent_id, external_member_id, cost, llm, "
                "product_id, metadata"
            ),
        ),
        (
            {"cost": {"amount": 1, "curency": "usd"}},
            "cost.curency: there is no such field; the known ones are amount, currency",
        ),
        (
            {"metadata": {"id": 9007199254740993}},
            (
                "metadata.id: 9007199254740993 has more digits than a number of an event keeps; "
                "written as a text, it keeps them"
            ),
        ),
        (
            {"metadata": {"ids": {"a": [-(2**60) - 1]}}},
            (
                "metadata.ids.a[0]: -1152921504606846977 has more digits than a number of an event "
                "keeps; written as a text, it keeps them"
            ),
        ),
        (
            {"cost": {"amount": 1e9}},
            (
                "cost.amount: the amount 1000000000 is out of range; -9000000 to 9000000 cents are "
                "allowed"
            ),
        ),
        ({"cost": {"amount": True}}, "cost.amount: True is not an amount"),
    ],
)
def test_the_words_for_what_is_no_event(fields: dict[str, Any], words: str) -> None:
    """Events that the client refuses by itself are named by path, as the proto spells it."""
    with Client("nowhere.invalid") as client, pytest.raises(InvalidEventError) as refused:
        client.ingest([event("1"), event("1", **fields)])
    assert str(refused.value) == f"events[1]: {words}"


def test_floats_are_rounded_as_the_service_rounds(service: Service) -> None:
    """A float counts the same in `cost` and in `metadata._cost`; whole numbers keep their digits
    up to 2⁵³."""
    amounts = [0.1 + 0.2, 1e-7, 2.5e-13, 0.1, -3.0]
    with connect(service) as client:
        for amount in amounts:
            client.ingest([event(amount, external_customer_id="field")])
            cost = {"_cost": {"amount": amount, "currency": "usd"}}
            client.ingest([{"name": "a", "external_customer_id": "metadata", "metadata": cost}])
        client.ingest([event(0, metadata={"id": 2**53, "low": -(2**53)})])
        answer = client.metrics(start=YESTERDAY, end=TODAY, group_by="customer")
    costs = {group.value: group.totals["costs"] for group in answer.groups}
    assert costs["field"] == costs["metadata"] == Decimal("-2.5999999")


def test_days_are_dates_or_texts(service: Service) -> None:
    """A day is a date or its ISO text; a datetime is no day, and a wrong text the service's."""
    with connect(service) as client:
        client.ingest([event("1")])
        answer = client.metrics(start=YESTERDAY.isoformat(), end=TODAY.isoformat())
        assert answer == client.metrics(start=YESTERDAY, end=TODAY)
        rows = "".join(client.export(start=YESTERDAY.isoformat(), end=TODAY, metrics=["costs"]))
        assert len(rows.splitlines()) == 3
        now = datetime.datetime.now(datetime.UTC)
        with pytest.raises(TypeError, match=r"start: .* is neither a date nor"):
            client.metrics(start=now, end=TODAY)
        with pytest.raises(RefusedError) as refused:
            client.metrics(start=YESTERDAY, end="2026-02-30")
    assert refused.value.reason == "DATE_INVALID"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:8", "127.0.0.1:8"),
        ("127.0.0.1", "127.0.0.1:50051"),
        ("costs.example", "costs.example:50051"),
        ("costs.example:443", "costs.example:443"),
        ("::1", "[::1]:50051"),
        ("[::1]", "[::1]:50051"),
        ("[::1]:8", "[::1]:8"),
        ("dns:///costs.example:8", "dns:///costs.example:8"),
        ("unix:/run/costs.sock", "unix:/run/costs.sock"),
    ],
)
def test_an_address_without_a_port(address: str, target: str) -> None:
    """The port is 50051 unless one is named; other kinds of targets stay as they are."""
    assert target_of(address) == target


def test_a_refusal_says_why(service: Service) -> None:
    """A refused call raises the service's reason, facts and every fault."""
    with connect(service) as client, pytest.raises(RefusedError) as refused:
        client.ingest([event("1e-13"), event("1", name="")])
    assert refused.value.reason == "AMOUNT_TOO_PRECISE"
    assert refused.value.facts["digits_max"] == "17"
    assert [path for path, _ in refused.value.violations] == [
        "events[0].cost.amount",
        "events[1].name",
    ]


def test_valid_events_are_stored_where_asked(service: Service) -> None:
    """With `accept_valid` the faults come back and the rest is stored."""
    with connect(service) as client:
        answer = client.ingest([event("1"), event("NaN")], accept_valid=True)
    assert answer.inserted == 1
    assert [(fault.index, fault.reason) for fault in answer.faults] == [(1, "AMOUNT_MALFORMED")]
    assert (answer.refused, answer.faults_total) == (1, 1)


def test_the_callers_external_ids_are_kept(service: Service) -> None:
    """An external id of the caller's own decides what is a duplicate and what a conflict."""
    with connect(service) as client:
        client.ingest([event("1", external_id="a")])
        answer = client.ingest([event("1", external_id="a"), event("2", external_id="a")])
    assert (answer.inserted, answer.duplicates) == (0, 1)
    assert [conflict.external_id for conflict in answer.conflicts] == ["a"]


def test_messages_are_not_changed(service: Service) -> None:
    """An event given as a message stays as the caller made it."""
    message = event_pb2.NewEvent(name="a", external_customer_id="b")
    with connect(service) as client:
        client.ingest([message])
    assert message == event_pb2.NewEvent(name="a", external_customer_id="b")


def test_metrics_take_every_question(service: Service) -> None:
    """Interval, zone, filters and slugs reach the service."""
    with connect(service) as client:
        client.ingest([event("1", name="a"), event("2", name="b", external_customer_id="other")])
        answer = client.metrics(
            start=YESTERDAY,
            # Where it is a day later already.
            end=TODAY + datetime.timedelta(days=1),
            interval="hour",
            timezone="Asia/Kathmandu",
            external_customer_ids=["user_123"],
            event_names=["a", "b"],
            metrics=["costs"],
        )
        with pytest.raises(ValueError, match="interval: 'decade' is none of hour, day, week"):
            client.metrics(start=YESTERDAY, end=TODAY, interval="decade")  # type: ignore[arg-type]
    assert answer.totals == {"costs": Decimal(1)}
    assert len(answer.periods) == 72
    assert answer.periods[0].start.utcoffset() == datetime.timedelta(hours=5, minutes=45)


def test_metrics_in_groups(service: Service) -> None:
    """Groups come with decimals; the filters and the number of groups reach the service."""
    llm = {"vendor": "openai", "model": "o3"}
    with connect(service) as client:
        client.ingest(
            [
                event("0.1", name="a", llm=llm),
                event("0.2", name="a", llm=llm),
                event("0.5", name="b", external_customer_id="other"),
                event("7", name="c", llm={"vendor": "mistral", "model": "large"}),
            ]
        )
        answer = client.metrics(
            start=TODAY,
            end=TODAY + datetime.timedelta(days=1),
            llm_vendors=["openai", ""],
            llm_models=["o3", ""],
            metrics=["costs", "active_user_by_event"],
            group_by="event_name",
            groups_max=1,
        )
        with pytest.raises(ValueError, match="group_by: 'planet' is none of event_name"):
            client.metrics(start=TODAY, end=TODAY, group_by="planet")  # type: ignore[arg-type]
        assert client.metrics(start=TODAY, end=TODAY).groups == ()
    first, others = answer.groups
    assert (first.value, first.customer_id, first.others, first.members) == ("b", "", False, 1)
    assert first.totals == {"costs": Decimal("0.5"), "active_user_by_event": 1}
    assert (others.value, others.others, others.members) == ("", True, 1)
    assert others.totals == {"costs": Decimal("0.3"), "active_user_by_event": 1}
    assert [period.start for period in others.periods] == [
        period.start for period in answer.periods
    ]
    assert sum(period.values["costs"] for period in others.periods) == Decimal("0.3")


def record_order(service: Service, token: str | None, order_id: str, **fields: Any) -> None:
    """Stores an order of today."""
    now = timestamp_pb2.Timestamp()
    now.GetCurrentTime()
    caller = service.stranger(token)
    caller.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(
            orders=[new_order(order_id, created_time=now, **fields)]
        ),
        metadata=caller.metadata,
    )


def test_metrics_of_products(service: Service) -> None:
    """Products, billing types and the order of groups reach the service; what has no product
    is told apart."""
    token = service.caller().token
    with Client(service.address, token=token) as client:
        client.ingest([event("1", product_id="pro"), event("2", product_id="free"), event("5")])
        record_order(service, token, "1", product_id="pro", net_amount=money("100"))
        record_order(
            service,
            token,
            "2",
            product_id="free",
            net_amount=money("10"),
            billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
        )
        asked: dict[str, Any] = {"start": YESTERDAY, "end": TODAY + datetime.timedelta(days=1)}
        answer = client.metrics(
            **asked,
            product_ids=["pro", "free"],
            metrics=["costs", "revenue"],
            group_by="product",
            order_by="revenue asc",
        )
        assert [(group.value, group.totals) for group in answer.groups] == [
            ("free", {"costs": 2, "revenue": 10}),
            ("pro", {"costs": 1, "revenue": 100}),
        ]
        assert answer.unattributed == UnattributedCosts(Decimal(5), Decimal("0.625"))
        one_time = client.metrics(**asked, billing_types=["one_time"])
        assert (one_time.totals["revenue"], one_time.totals["costs"]) == (100, 1)
        assert client.metrics(**asked).unattributed is None
        with pytest.raises(ValueError, match="billing_types: 'yearly' is none of one_time"):
            client.metrics(**asked, billing_types=["yearly"])  # type: ignore[list-item]


CSV = "Timestamp,Costs\r\n2026-11-01T00:00:00+00:00,1.5\r\n"
GROUPED = (
    '{"timestamp": "2026-11-01T00:00:00+00:00", "group": "b", "others": false, "costs": "1"}\n'
    '{"timestamp": "2026-11-01T00:00:00+00:00", "group": "", "others": true, "costs": "0.5"}\n'
)
NOVEMBER: dict[str, Any] = {
    "start": datetime.date(2026, 11, 1),
    "end": datetime.date(2026, 11, 1),
}
NOON = "2026-11-01T12:00:00Z"


def test_exports(service: Service) -> None:
    """Rows come as text in each format; what is refused says why."""
    with connect(service) as client:
        client.ingest(
            [event("0.5", name="a", timestamp=NOON), event("1", name="b", timestamp=NOON)]
        )
        assert "".join(client.export(**NOVEMBER, metrics=["costs"])) == CSV
        grouped = client.export(
            **NOVEMBER,
            export_format="json_lines",
            interval="day",
            metrics=["costs"],
            group_by="event_name",
            groups_max=1,
        )
        assert "".join(grouped) == GROUPED
        of_names = client.export(**NOVEMBER, totals=True, metrics=["costs"], group_by="event_name")
        assert "".join(of_names) == "Group,Others,Costs\r\nb,false,1\r\na,false,0.5\r\n"
        focus = "".join(client.export(**NOVEMBER, export_format="focus")).splitlines()
        assert [line.partition(",")[0] for line in focus] == ["BilledCost", "0.005", "0.01"]
        with pytest.raises(RefusedError) as refused:
            list(client.export(**NOVEMBER, export_format="focus", interval="day"))
        assert refused.value.reason == "FIELDS_CONFLICT"
        with pytest.raises(ValueError, match="export_format: 'xml' is none of csv, json_lines"):
            list(client.export(**NOVEMBER, export_format="xml"))  # type: ignore[arg-type]
        # Nothing is left open where only the first part is taken.
        parts = client.export(**NOVEMBER)
        next(parts)
        parts.close()


async def test_asynchronous_exports(service: Service) -> None:
    """The client for coroutines exports rows in the same way."""
    caller = service.caller()
    async with AsyncClient(service.address, token=caller.token) as client:
        await client.ingest(
            [event("0.5", name="a", timestamp=NOON), event("1", name="b", timestamp=NOON)]
        )
        parts = [part async for part in client.export(**NOVEMBER, metrics=["costs"])]
        assert "".join(parts) == CSV
        with pytest.raises(RefusedError) as refused:
            [part async for part in client.export(**NOVEMBER, metrics=["cost"])]
        assert refused.value.reason == "VALUE_UNKNOWN"
        first = client.export(**NOVEMBER)
        await anext(first)
        await first.aclose()


def test_an_export_waits_for_a_service_that_comes_back(
    start_server: StartServer, database_url: str
) -> None:
    """An export that fails before its first part is tried again."""
    address = f"127.0.0.1:{free_port()}"
    with Client(address, retry_seconds=60) as client:
        got: list[str] = []
        thread = threading.Thread(
            target=lambda: got.extend(client.export(**NOVEMBER, metrics=["costs"]))
        )
        thread.start()
        thread.join(0.5)
        assert not got
        with start_server(database_url, grpc_address=address):
            thread.join(60)
            assert got == [CSV.replace("1.5", "0")]


async def test_the_asynchronous_client_does_the_same(service: Service) -> None:
    """Coroutines store and ask like the blocking client."""
    caller = service.caller()
    async with AsyncClient(service.address, token=caller.token) as client:
        assert (await client.ingest([event("0.1") for _ in range(10)])).inserted == 10
        answer = await client.metrics(
            start=YESTERDAY, end=TODAY, llm_vendors=[""], llm_models=[""], group_by="customer"
        )
        with pytest.raises(RefusedError):
            await client.ingest([event("")])
    assert answer.totals["costs"] == 1
    assert [(group.value, group.totals["costs"]) for group in answer.groups] == [("user_123", 1)]


def test_a_call_waits_for_a_service_that_comes_back(
    start_server: StartServer, database_url: str
) -> None:
    """A call made while the service is away succeeds once it is there."""
    address = f"127.0.0.1:{free_port()}"
    with Client(address, retry_seconds=60) as client:
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.append(client.ingest([event("1")]).inserted))
        thread.start()
        thread.join(0.5)
        assert not got
        with start_server(database_url, grpc_address=address):
            thread.join(60)
            assert got == [1]


def test_a_service_that_stays_away_is_reported() -> None:
    """After the time for retries the caller is told that the service does not answer."""
    with (
        Client(f"127.0.0.1:{free_port()}", retry_seconds=0.5) as client,
        pytest.raises(UnavailableError),
    ):
        client.ingest([event("1")])


def test_the_background_client_stores_all_it_took(service: Service) -> None:
    """After a flush everything sent is stored, from several threads too."""
    caller = service.caller()
    with BackgroundClient(Client(service.address, token=caller.token)) as background:

        def send() -> None:
            for _ in range(500):
                background.send(event("0.1"))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        background.flush()
        with Client(service.address, token=caller.token) as client:
            totals = client.metrics(start=YESTERDAY, end=TODAY).totals
        assert totals["costs"] == 200
        background.send(event("0.5"))
    with Client(service.address, token=caller.token) as client:
        assert client.metrics(start=YESTERDAY, end=TODAY).totals["costs"] == Decimal("200.5")


def test_the_background_client_tells_what_was_refused(service: Service) -> None:
    """A refused event is handed over with its reason and does not hold up the others."""
    caller = service.caller()
    refused: list[tuple[str, Fault | Conflict | CallError]] = []
    with (
        Client(service.address, token=caller.token) as client,
        BackgroundClient(
            client, on_refused=lambda one, why: refused.append((one.name, why))
        ) as background,
    ):
        background.send(event("1", name="good"))
        background.send(event("1e-13", name="bad"))
        background.send(event("2", name="good"))
    ((name, why),) = refused
    assert name == "bad"
    assert isinstance(why, Fault)
    assert why.reason == "AMOUNT_TOO_PRECISE"
    with Client(service.address, token=caller.token) as client:
        assert client.metrics(start=YESTERDAY, end=TODAY).totals["costs"] == 3


def test_the_background_client_tells_of_every_refused_event(service: Service) -> None:
    """Each refused event is told once, however many they are and whatever is wrong with them."""
    told: list[str] = []
    with (
        connect(service) as client,
        BackgroundClient(client, on_refused=lambda one, _: told.append(one.external_id)) as sender,
    ):
        for place in range(3_000):
            bad = {"external_id": str(place), "name": "", "external_customer_id": ""}
            sender.send(event("x", **bad) if place % 3 else event("1"))
    assert sorted(told, key=int) == [str(place) for place in range(3_000) if place % 3]


def test_the_callers_client_stays_open(service: Service) -> None:
    """Closing the background client leaves alone what the caller made."""
    with connect(service) as client:
        with BackgroundClient(client) as background:
            background.send(event("1"))
        assert client.metrics(start=YESTERDAY, end=TODAY).totals["costs"] == 1


def test_a_client_that_was_closed_too_early_is_told_of(service: Service) -> None:
    """Events sent over a closed client are refused, and nothing waits for them for ever."""
    told: list[Fault | Conflict | CallError] = []
    client = connect(service)
    background = BackgroundClient(client, on_refused=lambda _, why: told.append(why))
    client.close()
    background.send(event("1"))
    background.flush()
    background.close()
    assert [str(why) for why in told] == [
        "UNKNOWN: ValueError: Cannot invoke RPC on closed channel!"
    ]


def test_closing_gives_up_on_a_service_that_is_away() -> None:
    """One batch waits for the service, not each of many; a time for closing bounds even that."""
    told: list[Fault | Conflict | CallError] = []
    with Client(f"127.0.0.1:{free_port()}", retry_seconds=0.5) as client:
        background = BackgroundClient(
            client, batch_events_max=10, on_refused=lambda _, why: told.append(why)
        )
        for _ in range(1_000):
            background.send(event("1"))
        began = time.monotonic()
        background.close()
        assert time.monotonic() - began < 20
    assert len(told) == 1_000
    assert {type(why) for why in told} == {UnavailableError}
    told.clear()
    with Client(f"127.0.0.1:{free_port()}", retry_seconds=600) as client:
        background = BackgroundClient(client, on_refused=lambda _, why: told.append(why))
        background.send(event("1"))
        background.close(timeout_seconds=0.5)
    assert [str(why) for why in told] == [
        "DEADLINE_EXCEEDED: the event was sent, but not stored within 0.5 seconds of closing"
    ]


def test_retries_are_logged_with_their_cause(caplog: pytest.LogCaptureFixture) -> None:
    """The client's own logger says why a call is tried again."""
    address = f"127.0.0.1:{free_port()}"
    with Client(address, retry_seconds=1) as client, pytest.raises(UnavailableError):
        client.ingest([event("1")])
    # Services of other tests in the process may say meanwhile what they only counted before.
    of_client = [one for one in caplog.records if one.name.startswith("cost_insights.client")]
    (first, *_) = of_client
    assert first.getMessage().startswith("try 1 failed, the next one follows in ")
    assert "UNAVAILABLE: " in first.getMessage()
    assert {record.name for record in of_client} == {first.name}


def test_a_failing_callback_does_not_end_the_background_client(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of the caller's function is logged and the thread goes on."""
    caller = service.caller()

    def fail(one: object, why: object) -> None:
        raise RuntimeError("callback")

    with BackgroundClient(
        Client(service.address, token=caller.token), on_refused=fail
    ) as background:
        background.send(event("NaN"))
        background.flush()
        background.send(event("1"))
    assert "on_refused failed" in caplog.text
    with Client(service.address, token=caller.token) as client:
        assert client.metrics(start=YESTERDAY, end=TODAY).totals["costs"] == 1


def test_nothing_is_sent_after_closing(service: Service) -> None:
    """A closed client refuses events instead of losing them."""
    background = BackgroundClient(connect(service))
    background.close()
    background.close()
    with pytest.raises(RuntimeError, match="closed"):
        background.send(event("1"))


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"start": "2026-11-01"}, "the argument end is missing"),
        (
            {"start": "2026-11-01", "end": "2026-11-01", "event_name": "a"},
            "there is no argument event_name; known are start, end, interval",
        ),
    ],
)
def test_arguments_of_a_question(question: dict[str, Any], message: str) -> None:
    """An argument that is missing or unknown is named, before anything is sent."""
    with Client("127.0.0.1:1") as client, pytest.raises(TypeError, match=message):
        client.metrics(**question)
