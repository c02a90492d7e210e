"""The log: lines that machines read, ids of requests, and no secret in any of them."""

import io
import json
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import pytest
import sqlalchemy as sa

from cost_insights.logs.output import JsonLines, QueuedHandler
from cost_insights.store import Store
from cost_insights.v1 import event_service_pb2
from tests.support.command_line import Serve, Serving
from tests.support.databases import Databases
from tests.support.service import Caller, new_event, refusal_of
from tests.support.waiting import wait_until

INGEST = "/v1/events/ingest"
CONNECT = "/cost_insights.v1.EventService/ListEventNames"


class Log:
    """The log of a service, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def text(self) -> str:
        """Everything written so far."""
        return self.file.read_text()

    @property
    def lines(self) -> list[Mapping[str, Any]]:
        """The objects of all whole lines."""
        whole = self.text.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def of(self, request_id: str, logger: str = "cost_insights.access") -> Mapping[str, Any]:
        """The only line about a request, which is awaited."""

        def found() -> list[Mapping[str, Any]]:
            return [
                one
                for one in self.lines
                if one.get("request_id") == request_id and one["logger"] == logger
            ]

        wait_until(lambda: bool(found()))
        (line,) = found()
        return line


@contextmanager
def logging_service(
    serve: Serve, folder: Path, url: str, *arguments: str
) -> Iterator[tuple[Serving, Log]]:
    """A service whose log goes to a file."""
    file = folder / "log"
    address = ("--grpc-address", "127.0.0.1:0")
    with (
        file.open("w") as written,
        serve("--database-url", url, *address, *arguments, stderr=written.fileno()) as serving,
    ):
        yield serving, Log(file)


def ingest(serving: Serving, *metadata: tuple[str, str]) -> grpc.Call:
    """A call that has ended, and was not refused."""
    with grpc.insecure_channel(serving.address) as channel:
        request = event_service_pb2.IngestEventsRequest(events=[new_event()])
        answered = Caller(channel).events.IngestEvents.with_call(
            request, metadata=metadata, timeout=60
        )
        call: grpc.Call = answered[1]
        return call


def id_in(call: grpc.Call) -> str:
    """The id that a call was answered."""
    return str(dict(call.trailing_metadata())["x-request-id"])


@pytest.mark.slow
def test_machines_read_a_line_for_each_call(
    serve: Serve, databases: Databases, tmp_path: Path
) -> None:
    """Each call over each door has one line, by the id that it was answered: the caller's own, or
    another one where that is missing or malformed."""
    with (
        databases.fresh("sqlite") as url,
        logging_service(serve, tmp_path, url, "--log-format", "json") as (serving, log),
        httpx.Client(base_url=serving.url) as web,
    ):
        assert id_in(ingest(serving, ("x-request-id", "job-7/retry:2"))) == "job-7/retry:2"
        line = log.of("job-7/retry:2")
        assert (line["level"], line["door"], line["operation"]) == ("info", "grpc", "IngestEvents")
        assert (line["organization"], line["code"]) == ("default", "OK")
        assert 0 < line["milliseconds"] < 60_000
        given = {id_in(ingest(serving)), id_in(ingest(serving, ("x-request-id", "a b")))}
        assert all(re.fullmatch(r"[0-9a-f]{22}", one) for one in given)
        assert len(given) == 2

        body = {"events": [{"name": "", "external_customer_id": "user"}]}
        answer = web.post(INGEST, json=body, headers={"x-request-id": "http-1"})
        assert answer.headers["x-request-id"] == "http-1"
        line = log.of("http-1")
        assert (line["door"], line["operation"]) == ("http", "events.ingest")
        assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "FIELD_REQUIRED")
        for number, (content_type, door, content) in enumerate(
            (
                ("application/json", "connect", b"{}"),
                ("application/grpc-web+proto", "grpc_web", bytes(5)),
            )
        ):
            headers = {"content-type": content_type, "x-request-id": f"rpc-{number}"}
            answer = web.post(CONNECT, content=content, headers=headers)
            assert answer.headers["x-request-id"] == f"rpc-{number}"
            line = log.of(f"rpc-{number}")
            assert (line["door"], line["code"]) == (door, "OK")
            assert line["operation"] == "ListEventNames"
        answer = web.get("/nowhere", headers={"x-request-id": "x" * 129})
        assert log.of(answer.headers["x-request-id"])["operation"] == "unknown"

        with grpc.insecure_channel(serving.address) as channel:
            request = event_service_pb2.GetEventRequest(id=str(uuid.uuid4()))
            with pytest.raises(grpc.RpcError) as refused:
                Caller(channel).events.GetEvent(
                    request, metadata=(("x-request-id", "no-event"),), timeout=60
                )
        assert refusal_of(refused.value).reason == "EVENT_NOT_FOUND"
        assert id_in(cast("grpc.Call", refused.value)) == "no-event"
        assert log.of("no-event")["reason"] == "EVENT_NOT_FOUND"
        assert serving.stop() == 0
    stopping = [one for one in log.lines if one["message"].startswith("stopping")]
    assert len(stopping) == 1
    assert all({"time", "level", "logger", "message", "process"} <= set(one) for one in log.lines)


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_holds_a_secret(
    serve: Serve, databases: Databases, tmp_path: Path, log_format: str
) -> None:
    """A fault of the service is logged with its incident and its traceback; neither a token, nor
    the password of the database, nor what was sent is in the log, even at its most talkative."""
    marker = f"private{uuid.uuid4().hex}"
    password = f"password{uuid.uuid4().hex}"
    with databases.fresh("postgresql") as plain, closing(Store(plain)) as store:
        store.upgrade()
        user = f"u{uuid.uuid4().hex[:12]}"
        with store.write() as connection:
            connection.execute(sa.text(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'"))
        url = sa.make_url(plain).set(username=user, password=password)
        arguments = ("--log-level", "debug", "--log-format", log_format)
        shown = url.render_as_string(hide_password=False)
        with logging_service(serve, tmp_path, shown, *arguments) as (serving, log):
            ingest(serving)
            with store.write() as connection:
                # PostgreSQL shows the whole row that violates it.
                connection.execute(sa.text("ALTER TABLE event ADD CHECK (false) NOT VALID"))
            secret = f"ci_{marker}"
            answer = httpx.post(
                f"{serving.url}{INGEST}",
                json={"events": [{"name": marker, "external_customer_id": marker}]},
                headers={"x-request-id": "incident", "cookie": marker},
                timeout=60,
            )
            incident = re.findall("incident ([0-9a-f]{8})", answer.json()["detail"])[0]
            wait_until(lambda: f"incident {incident}" in log.text)
            with grpc.insecure_channel(serving.address) as channel:
                metadata = (("authorization", f"Bearer {secret}"), ("x-secret", marker))
                request = event_service_pb2.IngestEventsRequest(events=[new_event(name=marker)])
                with pytest.raises(grpc.RpcError):
                    Caller(channel).events.IngestEvents(request, metadata=metadata, timeout=60)
            assert serving.stop() == 0
        with store.write() as connection:
            connection.execute(sa.text(f"DROP OWNED BY {user}"))
            connection.execute(sa.text(f"DROP ROLE {user}"))
    assert "CheckViolation" in log.text
    assert "TOKEN_UNKNOWN" in log.text
    assert marker not in log.text
    assert password not in log.text
    if log_format == "json":
        line = log.of("incident", "cost_insights.api.statuses")
        assert (line["level"], line["incident"]) == ("error", incident)
        assert line["traceback"].startswith("Traceback (most recent call last):")
        assert log.of("incident")["code"] == "INTERNAL"
    else:
        assert "http events.ingest: INTERNAL" in log.text


def test_a_reader_that_is_stuck_holds_nobody_up() -> None:
    """Whoever logs does not wait for whoever reads, and is told of the lines that were lost."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing, "w") as stream:
        handler = QueuedHandler(JsonLines(), stream)
        log = logging.Logger("stuck")
        log.addHandler(handler)
        # The pipe holds some hundred lines while nobody reads; the others wait or are lost.
        count = 30_000
        for number in range(count):
            log.info("line %d %s", number, "x" * 100)
        lost = 0
        read = 0
        while read + lost < count:
            message = json.loads(pipe.readline())["message"]
            if message.startswith("line "):
                read += 1
            else:
                lost += int(message.split(" ")[0])
        assert read >= 10_000
        assert lost > 0
        handler.flush()


def test_a_malformed_line_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither whoever logs it nor the thread that writes is stopped by it."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log = logging.Logger("malformed")
    stream = io.StringIO()
    handler = QueuedHandler(JsonLines(), stream)
    log.addHandler(handler)
    log.info("%d", "no number")
    log.info("malformed", extra={"fields": {"never": object()}})
    log.info("good")
    handler.flush()
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "good"


def test_other_handlers_have_the_record_as_it_was() -> None:
    """The writer changes a copy: tests and OpenTelemetry see the error and the arguments."""
    stream = io.StringIO()
    handler = QueuedHandler(JsonLines(), stream)
    try:
        raise RuntimeError("a bug")
    except RuntimeError as error:
        trace = (RuntimeError, error, error.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "p", 1, "in %s", ("b",), trace)
    handler.handle(record)
    handler.flush()
    assert record.exc_info == trace
    assert record.args == ("b",)
    assert "RuntimeError: a bug" in stream.getvalue()
    assert '"in b"' in stream.getvalue()
