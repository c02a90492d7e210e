"""Events that arrive as JSON: the documented requests, hostile ones, and the other doors beside."""

import datetime
import gzip
import json
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx
import hypothesis
import pytest
import sqlalchemy as sa
from google.protobuf import json_format
from hypothesis import strategies as st

from cost_insights import identity
from cost_insights.store.schema import event
from cost_insights.v1 import event_service_pb2
from tests.support.examples import examples
from tests.support.service import Caller, Service, StartServer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

INGEST = "/v1/events/ingest"
CONNECT = "/cost_insights.v1.EventService/IngestEvents"
JSON = {"content-type": "application/json"}
COST = {"amount": 0.025, "currency": "usd"}

DOCUMENTED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llm.inference": ("0.025", {"_cost": COST}),
    "video.processing": (
        "45.5",
        {
            "_cost": {"amount": 45.5, "currency": "usd"},
            "duration_seconds": 120,
            "resolution": "1080p",
        },
    ),
    "email.sent": (
        "0.0001",
        {"_cost": {"amount": 0.0001, "currency": "usd"}, "provider": "sendgrid", "recipients": 1},
    ),
    "llm.completion": (
        "0.000125",
        {
            "_cost": {"amount": 0.000125, "currency": "usd"},
            "model": "gpt-4-turbo",
            "tokens": 1000,
            "feature": "chatbot",
        },
    ),
}


def new(**fields: Any) -> dict[str, Any]:
    """An event with a cost; what is not given is something valid."""
    fields.setdefault("name", "llm.inference")
    if "customer_id" not in fields:
        fields.setdefault("external_customer_id", "user_123")
    fields.setdefault("metadata", {"_cost": COST})
    return fields


def send(client: httpx.Client, *events: Mapping[str, Any]) -> httpx.Response:
    """Sends events to the compatible endpoint."""
    return client.post(INGEST, json={"events": events})


def stored(client: httpx.Client, **request: Any) -> list[dict[str, Any]]:
    """The events of the caller, the latest first, as the Connect protocol lists them."""
    answer = client.post("/cost_insights.v1.EventService/ListEvents", json=request)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json().get("events", [])
    return found


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_requests(client: httpx.Client, name: str) -> None:
    """Each documented request works as it stands, and its amount comes back exactly."""
    amount, metadata = DOCUMENTED[name]
    answer = send(client, {"name": name, "external_customer_id": "user_123", "metadata": metadata})
    assert (answer.status_code, answer.json()) == (200, {"inserted": 1, "duplicates": 0})
    assert answer.headers["content-type"] == "application/json"
    (listed,) = stored(client)
    event = client.get(f"/v1/events/{listed['id']}").json()
    assert event["name"] == name
    assert event["external_customer_id"] == "user_123"
    assert event["metadata"] == {**metadata, "_cost": {"amount": amount, "currency": "usd"}}


def test_a_priced_llm_call(client: httpx.Client) -> None:
    """A price computed with doubles is rounded to what it means, and `_llm` comes back."""
    amount = 1 / 1000 * 3 + 7 / 1000 * 6
    assert repr(amount) == "0.045000000000000005"
    llm = {
        "vendor": "openai",
        "model": "gpt-4",
        "input_tokens": 1,
        "output_tokens": 7,
        "total_tokens": 8,
    }
    metadata = {"_cost": {"amount": amount, "currency": "usd"}, "_llm": llm}
    answer = send(client, new(name="gpt4.completion", customer_id="cus_abc123", metadata=metadata))
    assert answer.json() == {"inserted": 1, "duplicates": 0}
    (listed,) = stored(client)
    event = client.get(f"/v1/events/{listed['id']}").json()
    assert event["external_customer_id"] == "cus_abc123"
    assert uuid.UUID(event["customer_id"])
    assert event["metadata"]["_cost"] == {"amount": "0.045", "currency": "usd"}
    assert event["metadata"]["_llm"] == llm


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("150", "150"),
        ("1e-7", "0.0000001"),
        ("-0", "0"),
        ("-5", "-5"),
        ("99999.999999999999", "99999.999999999999"),
        ("0.30000000000000004", "0.3"),
        ("0.036000000000000004", "0.036"),
        ("12345.123456789012", "12345.123456789012"),
        ("0." + "1" * 400, "0.111111111111"),
        ("0.0000000000005", "0"),
        ("0.0000000000015", "0.000000000002"),
        ('"0.025"', "0.025"),
        ('" 1 "', "1"),
        ('"1e-12"', "0.000000000001"),
    ],
)
def test_amounts_keep_their_digits(client: httpx.Client, written: str, amount: str) -> None:
    """No amount passes through a double: a number keeps its digits, up to twelve decimals."""
    body = (
        '{"events":[{"name":"a","external_customer_id":"c",'
        f'"metadata":{{"_cost":{{"amount":{written},"currency":"USD"}}}}}}]}}'
    )
    answer = client.post(INGEST, content=body, headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {"inserted": 1, "duplicates": 0})
    (listed,) = stored(client)
    assert listed["cost"] == {"amount": amount, "currency": "usd"}


def test_sums_are_exact(client: httpx.Client) -> None:
    """Ten times 0.1 is 1, in the answer of the metrics too."""
    metadata = {"_cost": {"amount": 0.1, "currency": "usd"}}
    today = time.strftime("%Y-%m-%d", time.gmtime())
    send(client, *(new(metadata=metadata) for _ in range(10)))
    params = {"start_date": today, "end_date": today, "interval": "day", "metrics": "costs"}
    answer = client.get("/v1/metrics/", params=params)
    assert answer.json()["totals"] == {"costs": 1}
    send(client, new(metadata={"_cost": {"amount": "1e-12", "currency": "usd"}}))
    assert '"totals":{"costs":1.000000000001}' in client.get("/v1/metrics/", params=params).text


def test_duplicates_and_conflicts(client: httpx.Client) -> None:
    """An external id counts once; another event with it is a duplicate too, and is named."""
    event = new(external_id="e1", timestamp="2026-11-23T10:00:00Z")
    assert send(client, event, event).json() == {"inserted": 1, "duplicates": 1}
    assert send(client, event).json() == {"inserted": 0, "duplicates": 1}
    (listed,) = stored(client)
    answer = send(client, {**event, "name": "other"}, new())
    assert answer.json() == {
        "inserted": 1,
        "duplicates": 1,
        "conflicts": [{"index": 0, "external_id": "e1", "event_id": listed["id"]}],
    }


def test_no_events(client: httpx.Client) -> None:
    """No events are nothing to store."""
    assert send(client).json() == {"inserted": 0, "duplicates": 0}


def test_every_fault_is_named(client: httpx.Client) -> None:
    """One malformed event refuses all of them, and every fault has its place."""
    answer = send(
        client,
        new(),
        {"name": 5, "metadata": {"_cost": {"amount": "much", "currency": "eur"}}},
        new(timestamp="2026-11-23", metadata={"nested": {"a": 1}, "none": None}),
    )
    assert answer.status_code == 422
    found = answer.json()
    assert found["error"] == "RequestValidationError"
    assert [one["loc"] for one in found["detail"]] == [
        ["body", "events", 1, "name"],
        ["body", "events", 1, "external_customer_id"],
        ["body", "events", 1, "metadata", "_cost", "amount"],
        ["body", "events", 1, "metadata", "_cost", "currency"],
        ["body", "events", 2, "timestamp"],
        ["body", "events", 2, "metadata", "nested"],
        ["body", "events", 2, "metadata", "none"],
    ]
    assert all(one["msg"] and one["type"] for one in found["detail"])
    assert stored(client) == []


def test_valid_events_are_stored_on_request(client: httpx.Client) -> None:
    """With `accept_valid` the faults of the others come back in the answer."""
    answer = client.post(INGEST, json={"events": [new(), {"name": ""}], "accept_valid": True})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["inserted"], found["refused"], found["faults_total"]) == (1, 1, 2)
    assert [one["path"] for one in found["faults"]] == [
        "events[1].name",
        "events[1].external_customer_id",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"events":{}}',
        b'{"events":[null]}',
        b'{"events":[]} x',
        b'{"events":[],}',
        b'{"events":[{"name":NaN}]}',
        b'{"events":[{"name":"\xff"}]}',
        b'{"events":' + b"[" * 10_000,
        b"[" * 1_000_000,
        b'{"events":[{"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}]}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bodies_that_are_no_request(client: httpx.Client, body: bytes) -> None:
    """Whatever is sent as a body is answered by 422 with a place and words, never by a failure."""
    answer = client.post(INGEST, content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"
    assert answer.json()["detail"][0]["msg"]


def test_a_lone_surrogate_is_a_fault(client: httpx.Client) -> None:
    """Half of a pair of surrogates is no text."""
    body = b'{"events":[{"name":"\\ud800","external_customer_id":"c"}]}'
    answer = client.post(INGEST, content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:3] == ["body", "events", 0]


def test_a_byte_order_mark_is_skipped(client: httpx.Client) -> None:
    """A body may begin with a byte order mark, as files of some editors do."""
    body = b"\xef\xbb\xbf" + json.dumps({"events": [new()]}).encode()
    answer = client.post(INGEST, content=body, headers=JSON)
    assert answer.json() == {"inserted": 1, "duplicates": 0}


def test_a_body_that_is_too_large(start_http: StartServer, database_url: str) -> None:
    """A body over the limit is 413, whether its length is announced or not."""
    with (
        start_http(database_url, request_bytes_max=10_000) as service,
        httpx.Client(base_url=service.url) as client,
    ):
        body = json.dumps({"events": [new(metadata={"a": "x" * 1_900}) for _ in range(10)]})
        answer = client.post(INGEST, content=body, headers=JSON)
        assert answer.status_code == 413
        assert answer.json() == {
            "error": "PayloadTooLarge",
            "detail": f"the request holds {len(body)} bytes; at most 10000 are allowed",
        }
        parts = (body[at : at + 1_000].encode() for at in range(0, len(body), 1_000))
        assert client.post(INGEST, content=parts, headers=JSON).status_code == 413
        assert send(client, new()).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_bodies(client: httpx.Client, encoding: str) -> None:
    """A body may be compressed; its content is limited, not only what was sent."""
    compress: Callable[[bytes], bytes] = gzip.compress if encoding == "gzip" else zstd.compress
    headers = {**JSON, "content-encoding": encoding}
    body = json.dumps({"events": [new()]}).encode()
    answer = client.post(INGEST, content=compress(body), headers=headers)
    assert answer.json() == {"inserted": 1, "duplicates": 0}
    bomb = compress(b"[" + b" " * (64 * 1024 * 1024) + b"]")
    assert len(bomb) < 100_000
    answer = client.post(INGEST, content=bomb, headers=headers)
    assert answer.status_code == 413
    assert "more than 16777216 bytes" in answer.json()["detail"]
    for broken in (compress(body)[:-4], b"nonsense", compress(body) + b"rest"):
        answer = client.post(INGEST, content=broken, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"the body is not valid {encoding}: ")


def test_other_types_and_encodings(client: httpx.Client) -> None:
    """Another content-type or encoding is 415 with what is allowed."""
    answer = client.post(INGEST, content=b"a=1", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert answer.json() == {
        "error": "UnsupportedMediaType",
        "detail": "the content-type 'text/plain' is not supported; send application/json",
    }
    answer = client.post(INGEST, content=b"{}", headers={**JSON, "content-encoding": "br"})
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, zstd"


def test_a_slow_body(start_http: StartServer, database_url: str) -> None:
    """A body that does not end in time is 408, and meanwhile others are answered."""
    with start_http(database_url, http_body_seconds=1) as service:
        host, port = service.server.http_address.split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(
                f"POST {INGEST} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
                "content-length: 1000\r\n\r\n{".encode()
            )
            with httpx.Client(base_url=service.url) as client:
                started = time.monotonic()
                assert send(client, new()).json()["inserted"] == 1
                assert time.monotonic() - started < 0.9
            answer = connection.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"the request did not arrive in time" in answer


def test_half_a_body(web: Service) -> None:
    """A client that leaves in the middle of a body stores nothing and harms nobody."""
    host, port = web.server.http_address.split(":")
    token = web.token(web.organization())
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            f"POST {INGEST} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\n{{".encode()
        )
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=web.url, headers=headers) as client:
        assert stored(client) == []


def test_system_events(web: Service) -> None:
    """System events are recorded as revenue, as over gRPC; numbers may be times."""
    owner = web.organization()
    headers = {"authorization": f"Bearer {web.token(owner)}"}
    order = {
        "name": "balance.order",
        "external_customer_id": "c",
        "customer_id": None,
        "timestamp": 1_795_435_200,
        "metadata": {"order_id": "o1", "amount": 2_900, "currency": "usd", "fee": 100},
    }
    with httpx.Client(base_url=web.url, headers=headers) as client:
        answer = send(client, order, order)
        assert (answer.status_code, answer.json()) == (200, {"inserted": 1, "duplicates": 1})
        params = {"start_date": "2026-11-23", "end_date": "2026-11-23", "interval": "day"}
        totals = client.get("/v1/metrics/", params=params).json()["totals"]
        assert (totals["revenue"], totals["net_revenue"]) == (2_900, 2_800)
        for wrong in ({"timestamp": "2026-11-23T10:00:00"}, {"external_customer_id": 5}):
            answer = send(client, {**order, **wrong})
            assert answer.status_code == 422, answer.text
        events_only = web.token(owner, frozenset({"events:write"}))
        headers = {"authorization": f"Bearer {events_only}"}
        assert client.post(INGEST, json={"events": [order]}, headers=headers).status_code == 403


NAMES = st.sampled_from(["llm.inference", "Größe", "日本語", 'q"uote\\', "a\nb"])
AMOUNTS = st.one_of(
    st.integers(1 - 10**17, 10**17 - 1).map(lambda picocents: Decimal(picocents).scaleb(-12)),
    st.floats(-1_000, 1_000, allow_nan=False).map(lambda f: round(f, 9)),
    st.integers(-9_000_000, 9_000_000),
)
VALUES = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9
    ),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
KEYS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9
)
EVENTS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "external_customer_id": st.sampled_from(["a", "b", "ü"]),
        "timestamp": st.datetimes(
            datetime.datetime.fromisoformat("2026-01-01"),
            datetime.datetime.fromisoformat("2026-11-01"),
        ).map(lambda moment: moment.isoformat() + "Z"),
    },
    optional={
        "external_id": st.sampled_from(["e1", "e2", "e3", "e4", "e5", "e6"]),
        "parent_id": st.sampled_from(["p1", "p2"]),
        "product_id": st.sampled_from(["pro", "7"]),
        "cost": st.fixed_dictionaries(
            {"amount": AMOUNTS.map(str), "currency": st.sampled_from(["usd", "USD"])}
        ),
        "metadata": st.dictionaries(KEYS.filter(lambda key: not key.startswith("_")), VALUES),
    },
)


def rows(service: Service, name: str) -> list[tuple[Any, ...]]:
    """What the database holds of the events of an organization, without ids, which depend on it."""
    columns = [
        event.c.timestamp_us,
        event.c.cost_picocents,
        event.c.external_id,
        event.c.content_digest,
        event.c.metadata,
    ]
    with service.store.read() as connection:
        owner = identity.find_organization(connection, name)
        assert owner is not None
        found = connection.execute(
            sa.select(*columns).where(event.c.organization_number == owner.number)
        ).all()
    return sorted(
        (
            row.timestamp_us,
            row.content_digest,
            str(row.cost_picocents),
            str(row.external_id),
            str(row.metadata),
        )
        for row in found
    )


@hypothesis.given(st.lists(EVENTS, max_size=6))
@hypothesis.settings(
    max_examples=examples(0.3),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_all_doors_store_the_same(web: Service, events: list[dict[str, Any]]) -> None:
    """The same events over gRPC, Connect and the compatible API give the same rows and sums."""
    request = json_format.ParseDict({"events": events}, event_service_pb2.IngestEventsRequest())
    by_grpc, by_connect, by_rest = (web.caller() for _ in range(3))
    counted = by_grpc.ingest_request(request)
    body = json.dumps({"events": events}).encode()
    answers = {}
    for caller, path in ((by_connect, CONNECT), (by_rest, INGEST)):
        headers = {**JSON, "authorization": f"Bearer {caller.token}"}
        answer = httpx.post(f"{web.url}{path}", content=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        answers[path] = answer.json()
    assert answers[CONNECT].get("inserted", 0) == counted.inserted
    assert answers[CONNECT].get("duplicates", 0) == counted.duplicates
    assert answers[INGEST]["inserted"] == counted.inserted
    assert answers[INGEST]["duplicates"] == counted.duplicates + len(counted.conflicts)
    expected = rows(web, by_grpc.organization)
    assert rows(web, by_connect.organization) == expected
    assert rows(web, by_rest.organization) == expected
    assert len({costs(web, caller) for caller in (by_grpc, by_connect, by_rest)}) == 1


def costs(service: Service, caller: Caller) -> tuple[str, str]:
    """The costs of a year by gRPC; those of the compatible API must be written alike."""
    span = {"start_date": "2026-01-01", "end_date": "2026-11-02"}
    found = caller.get_metrics(**span, metrics=["costs", "cumulative_costs"]).totals
    answer = httpx.get(
        f"{service.url}/v1/metrics/",
        params={**span, "interval": "day", "metrics": ["costs", "cumulative_costs"]},
        headers={"authorization": f"Bearer {caller.token}"},
        timeout=60,
    )
    totals = f'"totals":{{"costs":{found.costs},"cumulative_costs":{found.cumulative_costs}}}'
    assert totals in answer.text
    return found.costs, found.cumulative_costs
