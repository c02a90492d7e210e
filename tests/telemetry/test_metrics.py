"""The measurements for Prometheus: they count what happens, and no caller can add to them."""

import contextlib
import os
import signal
import socket
import uuid
from array import array
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc import code_pb2

from cost_insights.addresses import AddressError
from cost_insights.app import define_measurements
from cost_insights.metrics import GroupBy
from cost_insights.telemetry import Instruments, NoInstruments, Rows, rows_size
from cost_insights.telemetry.measurements import CODES, QuestionMeasurements
from cost_insights.telemetry.telemetry import row_length
from cost_insights.v1 import event_service_pb2
from tests.support.command_line import Serve
from tests.support.databases import Databases
from tests.support.process_trees import children_of
from tests.support.scraping import Measured, scraped
from tests.support.service import Caller, Service, StartServer, lately, new_event, raw_call, refused
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEFINITIONS = define_measurements(NoInstruments()).instruments.definitions


@pytest.fixture
def measured(start_http: StartServer, database_url: str) -> Iterator[Service]:
    """A server that is measured."""
    with start_http(database_url, admin_address="127.0.0.1:0") as service:
        yield service


def scrape(service: Service) -> Measured:
    """The measurements of a server."""
    return scraped(service.server.admin_address)


def ended(measured: Service, **labels: str) -> float:
    """The number of calls that ended; the last of them may have been answered just now."""
    return scrape(measured)("cost_insights_calls_total", **labels)


def test_calls_are_counted_by_door(measured: Service) -> None:
    """A call counts for its door, its operation and the code it ended with."""
    caller = measured.stranger()
    caller.ingest(new_event())
    with refused("EVENT_NOT_FOUND"):
        caller.get_event(str(uuid.uuid4()))
    path = "/cost_insights.v1.EventService/GetEvent"
    for content_type in ("application/json", "application/grpc-web+json"):
        headers = {"content-type": content_type}
        httpx.post(f"{measured.url}{path}", content="{", headers=headers)
    httpx.get(f"{measured.url}/v1/events/").raise_for_status()
    httpx.get(f"{measured.url}/readyz").raise_for_status()
    wait_until(lambda: ended(measured, door="http", operation="health", code="OK") == 1)
    found = scrape(measured)
    calls = {
        tuple(labels.values()): sample.value
        for sample in found.families["cost_insights_calls"].samples
        if (labels := {name: sample.labels[name] for name in ("door", "operation", "code")})
        and sample.name.endswith("_total")
    }
    assert calls == {
        ("grpc", "IngestEvents", "OK"): 1,
        ("grpc", "GetEvent", "NOT_FOUND"): 1,
        ("connect", "GetEvent", "INVALID_ARGUMENT"): 1,
        ("grpc_web", "GetEvent", "INVALID_ARGUMENT"): 1,
        ("http", "events.list", "OK"): 1,
        ("http", "health", "OK"): 1,
    }
    duration = "cost_insights_call_duration_seconds"
    assert found(f"{duration}_count", door="grpc", operation="IngestEvents") == 1
    assert 0 < found(f"{duration}_sum", door="grpc", operation="IngestEvents") < 60
    assert found("cost_insights_calls_in_progress", door="grpc") == 0
    assert found("cost_insights_errors_total", reason="EVENT_NOT_FOUND") == 1


def test_events_are_counted_by_what_became_of_them(measured: Service) -> None:
    """Stored, stored before, in conflict and refused are told apart, and faults by reason."""
    caller = measured.stranger()
    first = [new_event(external_id=f"event {n}") for n in range(3)]
    caller.ingest(*first)
    caller.ingest(*first[:2], new_event(external_id="event 2", name="another"))
    unknown = new_event(customer_id=str(uuid.uuid4()))
    caller.ingest(new_event(name=""), unknown, new_event(), accept_valid=True)
    found = scrape(measured)

    def events(result: str) -> float:
        return found("cost_insights_events_total", result=result)

    assert [events(one) for one in ("inserted", "duplicate", "conflict", "refused")] == [4, 2, 1, 2]
    assert found("cost_insights_event_faults_total", reason="FIELD_REQUIRED") == 1
    assert found("cost_insights_event_faults_total", reason="CUSTOMER_NOT_FOUND") == 1
    assert found("cost_insights_group_requests_count") == 3
    assert found("cost_insights_group_events_sum") == 7
    assert found("cost_insights_ingested_bytes_total") > 0
    assert found("cost_insights_commit_duration_seconds_count") >= 3


def test_questions_caches_and_compaction_are_measured(measured: Service) -> None:
    """Each question counts by what it is grouped by; batches wait and are compacted."""
    caller = measured.stranger()
    caller.ingest(new_event())
    for _ in range(3):
        caller.get_metrics(**lately())
    caller.get_metrics(**lately(), group_by=1)
    found = scrape(measured)
    duration = "cost_insights_question_duration_seconds_count"
    assert found(duration, kind="ungrouped") == 3
    assert found(duration, kind="event_name") == 1
    assert found("cost_insights_cache_hits_total", cache="cells") > 0
    wait_until(lambda: scrape(measured)("cost_insights_compaction_rounds_total", result="done") > 0)
    wait_until(lambda: scrape(measured)("cost_insights_pending_batches") == 0)
    found = scrape(measured)
    assert found("cost_insights_compacted_bytes_total") > 0
    assert found("cost_insights_event_loop_lag_seconds_count") > 0
    assert found("process_cpu_seconds_total") > 0
    assert found("process_open_fds") > 0
    assert found("cost_insights_database_connections_limit", pool="transactions") >= 3


def test_a_stream_is_open_until_it_ends(measured: Service) -> None:
    """A stream of events counts as open, and not as a call in progress."""
    caller = measured.stranger()

    def requests() -> Iterator[event_service_pb2.StreamEventsRequest]:
        wait_until(lambda: scrape(measured)("cost_insights_open_streams", door="grpc") == 1)
        yield from ()

    assert list(caller.events.StreamEvents(requests(), timeout=60)) == []
    wait_until(lambda: scrape(measured)("cost_insights_open_streams", door="grpc") == 0)
    assert scrape(measured)("cost_insights_calls_in_progress", door="grpc") == 0


def test_no_caller_adds_a_label_value(measured: Service) -> None:
    """Whatever is sent, series are those of the definitions: unknown methods are one of them."""
    marker = f"x{uuid.uuid4().hex}"
    caller = measured.stranger(f"ci_{marker}")
    for path in (f"/{marker}/{marker}", f"/cost_insights.v1.EventService/{marker}"):
        with pytest.raises(grpc.RpcError):
            raw_call(caller.channel, path)(b"", timeout=60)
    with refused("TOKEN_UNKNOWN"):
        caller.ingest(new_event(name=marker))
    measured.stranger().ingest(new_event(name=marker, external_customer_id=marker))
    headers = {"authorization": f"Bearer {marker}", "user-agent": marker, marker: marker}
    for url in (f"/{marker}", f"/v1/events/{marker}", f"/docs/{marker}", f"/healthz?{marker}"):
        httpx.get(f"{measured.url}{url}", headers=headers)
    httpx.request(marker.upper(), f"{measured.url}/v1/events/")
    host, port = measured.server.http_address.split(":")
    for content in (f"{marker}\r\n\r\n", f"OPTIONS * HTTP/1.1\r\nhost: {marker}\r\n\r\n"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(content.encode())
            connection.recv(1_000)
    wait_until(lambda: ended(measured, door="grpc", operation="unknown", code="UNIMPLEMENTED") == 2)
    found = scrape(measured)
    allowed = {
        (one.shown_name if one.kind.value != "histogram" else one.name, labels)
        for one in DEFINITIONS
        for values in one.places
        for labels in [tuple(sorted(zip(one.label_names, values, strict=True)))]
    }
    for name, labels in found.samples:
        bare = tuple(pair for pair in labels if pair[0] != "le")
        family = name
        for suffix in ("_bucket", "_sum", "_count"):
            if labels != bare or (family, bare) not in allowed:
                family = family.removesuffix(suffix)
        assert (family, bare) in allowed, (name, labels)
    assert marker not in httpx.get(f"http://{measured.server.admin_address}/metrics").text
    assert found("cost_insights_calls_total", door="http", operation="unknown", code="NOT_FOUND")


@pytest.mark.slow
def test_workers_answer_for_all(serve: Serve, databases: Databases) -> None:
    """Any worker answers for all of them, and no counter goes back where one of them dies."""
    with (
        databases.fresh("postgresql") as url,
        serve(
            *("--database-url", url, "--grpc-address", "127.0.0.1:0", "--workers", "2"),
            *("--admin-address", "127.0.0.1:0"),
        ) as serving,
    ):
        address = serving.greeting.partition("metrics on ")[2].split(" ")[0]

        def calls() -> float:
            return scraped(address)(
                "cost_insights_calls_total", door="grpc", operation="IngestEvents", code="OK"
            )

        sent = 12
        for _ in range(sent):
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(serving.address, options=options) as channel:
                Caller(channel).ingest(new_event())
        # Each scrape is a connection of its own, which the kernel gives to either of them.
        wait_until(lambda: calls() == sent)
        assert {calls() for _ in range(10)} == {sent}
        assert scraped(address)("cost_insights_processes") == 2
        worker = children_of(serving.process.pid)[-1]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in children_of(serving.process.pid))
        for _ in range(10):
            with contextlib.suppress(httpx.TransportError):
                assert calls() == sent


def test_rows_become_one() -> None:
    """Counters add up, also those of a process that is gone, and gauges of living ones count."""
    length = row_length(define_measurements)
    memory = array("d", bytes(8 * rows_size(2, length)))
    rows = [Rows(memory, processes=2, own=number) for number in range(2)]
    both = [define_measurements(Instruments(one.own)) for one in rows]
    definitions = both[0].instruments.definitions

    def place(name: str, *labels: str) -> int:
        (found,) = [one.places[labels] for one in definitions if one.name == name]
        return found

    for number, (of_process, row) in enumerate(zip(both, rows, strict=True), start=1):
        row.begin(definitions)
        of_process.ingest.request_bytes.add(number)
        of_process.ingest.waiting_events.set(10 * number)
        of_process.compaction.oldest_seconds.set(100 * number)
    total = rows[0].combined(definitions)
    assert total[place("cost_insights_ingested_bytes")] == 3
    assert total[place("cost_insights_waiting_events")] == 30
    assert total[place("cost_insights_pending_batch_age_seconds")] == 200
    # The second process has given no sign of life for long.
    memory[rows_size(1, length)] -= 60
    total = rows[0].combined(definitions)
    assert total[place("cost_insights_ingested_bytes")] == 3
    assert total[place("cost_insights_waiting_events")] == 10
    # Another one takes its row over.
    rows[1].begin(definitions)
    total = rows[0].combined(definitions)
    assert total[place("cost_insights_ingested_bytes")] == 3
    assert total[place("cost_insights_waiting_events")] == 10


def test_the_address(measured: Service, start_server: StartServer, databases: Databases) -> None:
    """It answers measurements and its own health, and says so where the port is taken."""
    address = measured.server.admin_address
    assert httpx.get(f"http://{address}/healthz").text == "alive\n"
    assert httpx.get(f"http://{address}/v1/events/").status_code == 404
    openmetrics = httpx.get(
        f"http://{address}/metrics", headers={"accept": "application/openmetrics-text"}
    )
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    with (
        databases.fresh("sqlite") as url,
        pytest.raises(AddressError, match=f"cannot listen on {address}: Address already in use"),
        start_server(url, admin_address=address),
    ):
        pass


def test_sets_are_those_of_their_sources() -> None:
    """The codes are those of gRPC, and the kinds of questions those of their groups."""
    assert {name: number for number, name in enumerate(CODES)} == dict(code_pb2.Code.items())
    assert ("ungrouped", *(one.value for one in GroupBy)) == QuestionMeasurements.KINDS


def test_every_metric_is_documented() -> None:
    """The page lists every measurement with its kind, unit, labels and meaning, and no other."""
    table = (ROOT / "docs/observability.md").read_text().partition("<!-- metrics -->")[2]
    rows = table.partition("<!-- /metrics -->")[0].strip().splitlines()[2:]
    assert [[cell.strip() for cell in row.strip("|").split("|")] for row in rows] == [
        [
            f"`{one.shown_name}`",
            one.kind.value,
            one.unit,
            ", ".join(f"`{name}`" for name in one.label_names),
            one.help,
        ]
        for one in DEFINITIONS
    ]
