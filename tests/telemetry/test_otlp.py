"""OpenTelemetry: a real collector gets traces, metrics and logs, if the variables name one."""

import json
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_insights.app import define_measurements
from cost_insights.telemetry import NoInstruments
from cost_insights.v1 import event_service_pb2, metrics_service_pb2
from tests.support.collector import Collector, collecting, facts
from tests.support.service import (
    CALL_SECONDS_MAX,
    Caller,
    Service,
    StartServer,
    lately,
    new_event,
    writes_blocked,
)
from tests.support.waiting import wait_until


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the variables name."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
        for name in ("METRIC_EXPORT_INTERVAL", "BSP_SCHEDULE_DELAY", "BLRP_SCHEDULE_DELAY"):
            monkeypatch.setenv(f"OTEL_{name}", "100")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        yield collector


@pytest.fixture
def traced(
    collector: Collector,
    start_http: StartServer,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Service]:
    """A server that sends what it does to the collector, and a line of its log for each call."""
    del collector
    caplog.set_level(logging.INFO)
    with start_http(database_url, log_format="json") as service:
        yield service


class Parent:
    """A span of a client, in a trace of its own."""

    def __init__(self) -> None:
        self.trace_id = secrets.token_bytes(16)
        self.span_id = secrets.token_bytes(8)

    @property
    def header(self) -> str:
        """The header by which a call continues the trace."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-01"


def span_of(collector: Collector, name: str, parent: Parent | Span) -> Span:
    """The only span of that name within another one, which is awaited."""

    def found() -> list[Span]:
        return [one for one in collector.named(name) if one.parent_span_id == parent.span_id]

    wait_until(lambda: bool(found()))
    (span,) = found()
    assert span.trace_id == parent.trace_id
    return span


def ingest(caller: Caller, parent: Parent) -> None:
    """Sends an event as a step of a trace."""
    request = event_service_pb2.IngestEventsRequest(events=[new_event(name="private")])
    metadata = (("traceparent", parent.header),)
    caller.events.IngestEvents(request, metadata=metadata, timeout=CALL_SECONDS_MAX)


def test_a_trace_leads_from_the_client_to_the_commit(traced: Service, collector: Collector) -> None:
    """Calls over both doors continue the trace of their caller, through the group of events and
    its transaction, and to the answer of a question."""
    parent = Parent()
    ingest(traced.stranger(), parent)
    call = span_of(collector, "IngestEvents", parent)
    assert call.kind == Span.SPAN_KIND_SERVER
    assert facts(call.attributes)["organization"] == "default"
    assert facts(call.attributes)["code"] == "OK"
    group = span_of(collector, "group", call)
    assert facts(group.attributes) == {"requests": 1, "events": 1}
    assert [link.span_id for link in group.links] == [call.span_id]
    transaction = span_of(collector, "transaction", group)
    commit = span_of(collector, "commit", transaction)
    assert call.start_time_unix_nano <= commit.start_time_unix_nano
    assert commit.end_time_unix_nano <= call.end_time_unix_nano

    asking = Parent()
    days = lately()
    traced.stranger().metrics.GetMetrics(
        metrics_service_pb2.GetMetricsRequest(
            start_date=days["start_date"], end_date=days["end_date"]
        ),
        metadata=(("traceparent", asking.header),),
        timeout=60,
    )
    question = span_of(collector, "question", span_of(collector, "GetMetrics", asking))
    assert facts(question.attributes) == {"kind": "ungrouped"}

    over_http = Parent()
    headers = {"traceparent": over_http.header, "x-request-id": "traced"}
    httpx.get(f"{traced.url}/v1/events/", headers=headers, timeout=60).raise_for_status()
    found = facts(span_of(collector, "events.list", over_http).attributes)
    assert (found["door"], found["request_id"]) == ("http", "traced")
    assert "private" not in str(collector.spans)


def test_a_group_is_linked_to_all_its_callers(traced: Service, collector: Collector) -> None:
    """The span of a group is a step of one call, and linked to every call whose events it has."""
    parents = [Parent() for _ in range(4)]
    callers = [traced.stranger() for _ in parents]
    with writes_blocked(traced.store):
        calls = []
        for caller, parent in zip(callers, parents, strict=True):
            request = event_service_pb2.IngestEventsRequest(events=[new_event()])
            metadata = (("traceparent", parent.header),)
            calls.append(
                caller.events.IngestEvents.future(
                    request, metadata=metadata, timeout=CALL_SECONDS_MAX
                )
            )
        # The first one is in its transaction, and the others wait together.
        time.sleep(0.5)
    for call in calls:
        call.result()
    wait_until(lambda: sum(len(one.links) for one in collector.named("group")) == len(parents))
    groups = collector.named("group")
    assert len(groups) < len(parents)
    linked = {(link.trace_id, link.span_id) for group in groups for link in group.links}
    served = {
        (one.trace_id, one.span_id)
        for parent in parents
        for one in [span_of(collector, "IngestEvents", parent)]
    }
    assert linked == served


def test_metrics_are_those_of_prometheus(traced: Service, collector: Collector) -> None:
    """Every measurement is sent by its name, with the numbers of this process."""
    for _ in range(3):
        traced.stranger().ingest(new_event())

    def inserted() -> float:
        with collector.lock:
            metric = collector.metrics.get("cost_insights_events")
        points = [] if metric is None else metric.sum.data_points
        return sum(
            one.as_double for one in points if facts(one.attributes) == {"result": "inserted"}
        )

    wait_until(lambda: inserted() == 3)
    definitions = define_measurements(NoInstruments()).instruments.definitions
    with collector.lock:
        found = dict(collector.metrics)
    assert set(found) == {one.name for one in definitions}
    assert found["cost_insights_events"].sum.is_monotonic
    (commits,) = found["cost_insights_commit_duration_seconds"].histogram.data_points
    assert commits.count == sum(commits.bucket_counts) >= 3
    assert len(commits.bucket_counts) == len(commits.explicit_bounds) + 1
    assert found["cost_insights_commit_duration_seconds"].unit == "s"
    with collector.lock:
        resource = facts(collector.resources[-1].attributes)
    assert resource["service.name"] == "cost-insights"
    assert resource["deployment.environment.name"] == "test"
    assert {"service.version", "service.instance.id"} <= set(resource)


def test_lines_of_the_log_belong_to_their_trace(traced: Service, collector: Collector) -> None:
    """The line of a call is sent with its fields and the trace that it belongs to."""
    parent = Parent()
    ingest(traced.stranger(), parent)

    def lines() -> list[dict[str, object]]:
        with collector.lock:
            return [
                facts(one.attributes) for one in collector.logs if one.trace_id == parent.trace_id
            ]

    wait_until(lambda: bool(lines()))
    (line,) = lines()
    assert (line["operation"], line["code"]) == ("IngestEvents", "OK")


def test_a_collector_that_is_away_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, start_server: StartServer, database_url: str
) -> None:
    """Calls are answered, and the service stops, though nobody takes what it sends."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with start_server(database_url) as service:
        assert service.stranger().ingest(new_event()).inserted == 1
        before = time.monotonic()
    assert time.monotonic() - before < 30


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        },
    ],
)
def test_nothing_is_loaded_where_nobody_asks(variables: dict[str, str]) -> None:
    """Without the variables, or where they turn it off, the library is not even loaded."""
    program = (
        "import json, sys"
        "\nfrom cost_insights.server import Server"
        "\nfrom cost_insights.settings import Settings"
        "\nServer(Settings(database_url='sqlite:///nowhere.db'))"
        "\nprint(json.dumps(sorted(sys.modules)))"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | variables
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    loaded = json.loads(done.stdout)
    assert "cost_insights.telemetry.telemetry" in loaded
    assert not [one for one in loaded if one.startswith("opentelemetry.sdk")]
    is_other = "OTEL_EXPORTER_OTLP_PROTOCOL" in variables
    assert ("the protocol 'http/protobuf' is not supported" in done.stderr) == is_other
