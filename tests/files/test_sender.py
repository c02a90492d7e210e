"""Batches that are not acknowledged are sent again, at their place in the stream, until they get
through."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from cost_insights.cli.console import CommandError
from cost_insights.cli.file_errors import WORDS, command_errors
from cost_insights.client.service import Service
from cost_insights.files import errors as file_errors
from cost_insights.files import sender as sender_module
from cost_insights.files.checkpoint import Checkpoint, Counts, State, read_state
from cost_insights.files.ndjson import LineFault
from cost_insights.files.sender import BATCH_BYTES_MAX, IN_FLIGHT_MAX, Sender
from cost_insights.files.source import Format, Source
from cost_insights.v1.event_service_pb2 import (
    IngestEventsRequest,
    IngestEventsResponse,
    StreamEventsRequest,
    StreamEventsResponse,
)


@dataclass(frozen=True)
class Step:
    """A step of the script: what the service does with the next batch instead of storing it."""

    code: grpc.StatusCode
    reason: str = ""
    breaks: bool = False
    """Whether the stream ends with the status; otherwise it acknowledges the batch."""
    stores: bool = False
    """Whether the batch is stored before the stream breaks."""

    @property
    def status(self) -> status_pb2.Status:
        status = status_pb2.Status(code=self.code.value[0], message="try again")
        if self.reason:
            info = error_details_pb2.ErrorInfo(reason=self.reason, domain="cost-insights")
            packed = any_pb2.Any()
            packed.Pack(info)
            status.details.append(packed)
        return status


STORE: Step | None = None
OVERLOADED = Step(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
STORE_UNAVAILABLE = Step(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
INTERNAL = Step(grpc.StatusCode.INTERNAL, "INTERNAL")
TOO_MANY_EVENTS = Step(grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_EVENTS")
LOST = Step(grpc.StatusCode.UNAVAILABLE, breaks=True)
LOST_AFTER_STORING = Step(grpc.StatusCode.UNAVAILABLE, breaks=True, stores=True)
SHUTTING_DOWN = Step(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", breaks=True)
TOKEN_UNKNOWN = Step(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_UNKNOWN", breaks=True)
"""The step after which the caller is turned away."""


@dataclass
class ScriptedService:
    """Does with each batch what the script says; once that is over, stores every one."""

    script: list[Step | None] = field(default_factory=list)
    sequences: list[list[int]] = field(default_factory=list)
    """The sequences that each stream carried."""
    stored: dict[tuple[str, int, int], str] = field(default_factory=dict)
    """The names of the events, by what identifies them."""
    request_bytes: int = 0
    """The largest request."""
    turns_away: bool = False
    busy: bool = False
    """Whether it refuses calls, but not streams."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handler(self) -> grpc.GenericRpcHandler:
        """The service as a server takes it."""
        stream = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=StreamEventsRequest.FromString,
            response_serializer=StreamEventsResponse.SerializeToString,
        )
        ingest = grpc.unary_unary_rpc_method_handler(
            self._ingest,
            request_deserializer=IngestEventsRequest.FromString,
            response_serializer=IngestEventsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(
            "cost_insights.v1.EventService", {"StreamEvents": stream, "IngestEvents": ingest}
        )

    def _ingest(
        self, request: IngestEventsRequest, context: grpc.ServicerContext
    ) -> IngestEventsResponse:
        assert not request.events
        if self.busy:
            context.abort_with_status(rpc_status.to_status(OVERLOADED.status))
        if self.turns_away:
            context.abort_with_status(rpc_status.to_status(TOKEN_UNKNOWN.status))
        return IngestEventsResponse()

    def _stream(
        self, requests: Iterator[StreamEventsRequest], context: grpc.ServicerContext
    ) -> Iterator[StreamEventsResponse]:
        sequences: list[int] = []
        self.sequences.append(sequences)
        for request in requests:
            with self.lock:
                sequences.append(request.sequence)
                self.request_bytes = max(self.request_bytes, request.ByteSize())
                step = self.script.pop(0) if self.script else STORE
                answer = StreamEventsResponse(sequence=request.sequence)
                if step is None or step.stores:
                    answer.batch.CopyFrom(self._store(request))
                if step is not None:
                    self._fail(step, answer, context)
            yield answer

    def _fail(
        self, step: Step, answer: StreamEventsResponse, context: grpc.ServicerContext
    ) -> None:
        self.turns_away = self.turns_away or step is TOKEN_UNKNOWN
        if step.breaks:
            # The runtime of the client may lose what comes together with the end of a stream.
            time.sleep(0.05)
            if step.reason:
                context.abort_with_status(rpc_status.to_status(step.status))
            context.abort(step.code, "no details")
        answer.error.CopyFrom(step.status)

    def _store(self, request: StreamEventsRequest) -> IngestEventsResponse:
        answer = IngestEventsResponse()
        for index, event in enumerate(request.batch.events):
            place = (request.stream_id, request.sequence, index)
            if place in self.stored:
                assert self.stored[place] == event.name, "another event took the place"
                answer.duplicates += 1
            else:
                self.stored[place] = event.name
                answer.inserted += 1
        return answer

    @property
    def names(self) -> list[str]:
        """The names of the stored events in the order of the input."""
        return [self.stored[place] for place in sorted(self.stored)]


class Notes:
    """Keeps the faults that a sender reports."""

    def __init__(self) -> None:
        self.faults: list[tuple[int, str, bytes | None]] = []

    def fault(self, line: int, fault: LineFault, text: bytes | None, begins: int | None) -> None:
        self.faults.append((line, fault.message, text))

    def progress(self, counts: Counts, bytes_read: int) -> None:
        """Ignores the progress."""


@pytest.fixture
def grpc_server() -> Iterator[grpc.Server]:
    """A server without services on it, not started."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    yield server
    server.stop(None).wait()


class Run:
    """Sends lines to a scripted service, from a file beside which it may keep a checkpoint."""

    def __init__(self, server: grpc.Server, service: ScriptedService | None, folder: Path) -> None:
        if service is not None:
            server.add_generic_rpc_handlers((service.handler(),))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.file = folder / "events.ndjson"
        self.state = folder / "state"

    def __call__(
        self,
        lines: Sequence[str],
        *,
        batch_events: int = 2,
        retry_seconds: float = 5,
        keeps: bool = True,
    ) -> tuple[Counts, list[tuple[int, str, bytes | None]]]:
        """The result of the lines; raises the error that ends the command."""
        with command_errors(Service(self.address)):
            return self._send(lines, batch_events, retry_seconds, keeps=keeps)

    def _send(
        self, lines: Sequence[str], batch_events: int, retry_seconds: float, *, keeps: bool
    ) -> tuple[Counts, list[tuple[int, str, bytes | None]]]:
        self.file.write_text("\n".join(lines))
        notes = Notes()
        before = read_state(self.state)
        state = before or State(
            format=Format.NDJSON, batch_events=batch_events, batch_bytes=BATCH_BYTES_MAX
        )
        with Source("events.ndjson", os.open(self.file, os.O_RDONLY)) as source:
            sender = Sender(
                source,
                Service(self.address),
                notes,
                Checkpoint(state, self.state if keeps else None, resumed=before is not None),
                retry_seconds=retry_seconds,
            )
            asyncio.run(sender.run())
        return sender.counts, notes.faults


@pytest.fixture
def service() -> ScriptedService:
    """A service that stores everything until it gets a script."""
    return ScriptedService()


@pytest.fixture
def run(grpc_server: grpc.Server, service: ScriptedService, tmp_path: Path) -> Run:
    """Sends lines to `service`."""
    return Run(grpc_server, service, tmp_path)


def events(count: int) -> list[str]:
    """Events without an external id, named by their lines."""
    return [f'{{"name": "{n}"}}' for n in range(1, count + 1)]


def named(count: int) -> list[str]:
    """Their names."""
    return [str(n) for n in range(1, count + 1)]


def test_one_stream_carries_everything(service: ScriptedService, run: Run) -> None:
    """Batches go out in order on one stream, more of them than are in flight at once."""
    counts, faults = run(events(100))
    assert (counts, faults) == (Counts(inserted=100), [])
    assert service.names == named(100)
    assert service.sequences == [list(range(1, 51))]
    assert not run.state.exists()


@pytest.mark.parametrize(
    "step", [OVERLOADED, STORE_UNAVAILABLE, LOST, LOST_AFTER_STORING, SHUTTING_DOWN]
)
def test_sends_again_what_fails_in_passing(service: ScriptedService, run: Run, step: Step) -> None:
    """A batch that failed is sent again at its place and counts once."""
    service.script = [STORE, step, STORE, step]
    counts, faults = run(events(10))
    assert faults == []
    assert service.names == named(10)
    assert counts.inserted + counts.duplicates == 10
    assert counts == Counts(inserted=counts.inserted, duplicates=counts.duplicates)


def test_what_is_answered_is_not_asked_again(service: ScriptedService, run: Run) -> None:
    """A batch that could not be stored goes out alone; those behind it have their answers."""
    service.script = [STORE, STORE_UNAVAILABLE]
    counts, _ = run(events(6))
    assert counts == Counts(inserted=6)
    first, second = service.sequences
    assert first[:2] == [1, 2]
    assert second[0] == 2
    assert sorted(first + second[1:]) == [1, 2, 3]


def test_an_error_that_stays_is_a_fault_of_the_lines(service: ScriptedService, run: Run) -> None:
    """A batch that the service cannot store is reported line by line; the others are stored."""
    service.script = [STORE, INTERNAL]
    lines = ["no event", *events(5)]
    counts, faults = run(lines)
    assert counts == Counts(inserted=3, refused=3)
    assert faults == [
        (1, "not JSON: Expecting value at column 1", b"no event"),
        (3, "try again", b'{"name": "2"}'),
        (4, "try again", b'{"name": "3"}'),
    ]


def test_gives_up_after_a_while_and_goes_on_later(service: ScriptedService, run: Run) -> None:
    """Retrying ends with exit code 3; the next run sends what is missing, at the same places."""
    service.script = [STORE, *[LOST_AFTER_STORING] * 1_000]
    with pytest.raises(CommandError) as stopped:
        run(events(5), retry_seconds=0.5)
    assert stopped.value.exit_code == 3
    assert str(stopped.value).startswith("events.ndjson: stopped: ")
    assert str(stopped.value).endswith(
        "; every line up to 2 is stored or reported; lines 3 to 5 may be stored or not; "
        "--resume goes on from there, and nothing counts twice"
    )
    assert 2 <= len(service.sequences) <= 10
    kept = read_state(run.state)
    assert kept is not None
    assert (kept.sequence, kept.line, kept.counts) == (1, 3, Counts(inserted=2))
    service.script = []
    counts, _ = run(events(5))
    assert service.names == named(5)
    assert counts.inserted + counts.duplicates == 5
    assert not run.state.exists()


def test_an_error_may_come_after_the_commit(service: ScriptedService, run: Run) -> None:
    """A failure may hide a commit, so the run can be resumed and not begun anew."""
    service.script = [STORE_UNAVAILABLE] * 1_000
    with pytest.raises(CommandError) as stopped:
        run(events(2), retry_seconds=0)
    assert str(stopped.value) == (
        f"events.ndjson: stopped: {run.address}: try again (STORE_UNAVAILABLE); lines 1 to 2 may "
        "be stored or not; --resume goes on from there, and nothing counts twice"
    )
    assert run.state.exists()


def test_progress_begins_the_wait_anew(service: ScriptedService, run: Run) -> None:
    """Retries are bounded for each batch, not for a long run."""
    service.script = [STORE, LOST] * 8
    counts, _ = run(events(18), retry_seconds=0.3)
    assert counts == Counts(inserted=18)


def test_a_busy_service_is_streamed_to(service: ScriptedService, run: Run) -> None:
    """A service that refuses calls for a while takes a stream as fast as it can."""
    service.busy = True
    assert run(events(4), retry_seconds=0)[0] == Counts(inserted=4)


def test_a_refusal_is_not_retried(service: ScriptedService, run: Run) -> None:
    """A token that is wrong stays wrong, and as nothing is stored, there is nothing to resume."""
    service.turns_away = True
    with pytest.raises(CommandError) as stopped:
        run(events(100))
    assert stopped.value.exit_code == 4
    assert str(stopped.value) == (
        "try again (TOKEN_UNKNOWN); --token or COST_INSIGHTS_TOKEN give an access token"
    )
    assert service.sequences == []
    assert not run.state.exists()


def test_a_refusal_in_the_middle_can_be_resumed(service: ScriptedService, run: Run) -> None:
    """A token that is revoked while it runs ends the run; with another one it goes on."""
    service.script = [STORE, TOKEN_UNKNOWN]
    with pytest.raises(CommandError) as stopped:
        run(events(100))
    assert stopped.value.exit_code == 4
    assert "an access token; every line up to 2 is stored" in str(stopped.value)
    service.turns_away = False
    assert run(events(100))[0] == Counts(inserted=100)
    assert service.names == named(100)


def test_batches_that_are_too_large_end_the_run(service: ScriptedService, run: Run) -> None:
    """The lines of a batch are not to blame for its size; the option that sets it is named."""
    service.script = [TOO_MANY_EVENTS] * 1_000
    with pytest.raises(CommandError) as stopped:
        run(events(10))
    assert stopped.value.exit_code == 1
    assert str(stopped.value) == (
        "events.ndjson: stopped: try again (TOO_MANY_EVENTS); --batch-events makes the batches "
        "smaller; nothing from line 1 on was stored"
    )
    assert not run.state.exists()


def test_batches_are_bounded_by_bytes(service: ScriptedService, run: Run) -> None:
    """Large events go out in more batches than small ones, each far below the service's limit."""
    text = "x" * 300_000
    lines = [f'{{"name": "{n}", "metadata": {{"text": "{text}"}}}}' for n in range(1, 41)]
    counts, _ = run(lines, batch_events=1_000)
    assert counts == Counts(inserted=40)
    assert service.names == named(40)
    assert service.request_bytes < 2 * BATCH_BYTES_MAX


def test_without_a_checkpoint_the_account_says_what_is_in_doubt(
    service: ScriptedService, run: Run
) -> None:
    """The account says that batches without an acknowledgement may be stored, and that no more was
    read."""
    service.script = [STORE, *[LOST] * 1_000]
    with pytest.raises(CommandError) as stopped:
        run(events(10_000), retry_seconds=0, keeps=False)
    words = str(stopped.value)
    assert "; every line up to 2 is stored or reported; lines 3 to " in words
    last = int(words.partition("lines 3 to ")[2].split()[0])
    assert 4 <= last <= 2 + 2 * IN_FLIGHT_MAX
    assert words.endswith(f"may be stored or not; nothing from line {last + 1} on was stored")


def test_a_service_that_is_silent_counts_as_lost(
    service: ScriptedService, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is never acknowledged is sent again on a new stream."""
    monkeypatch.setattr(sender_module, "ANSWER_SECONDS", 0.2)
    with service.lock, pytest.raises(CommandError) as stopped:
        run(events(2), retry_seconds=0.5)
    assert stopped.value.exit_code == 3
    assert "the service did not answer in time" in str(stopped.value)
    assert len(service.sequences) >= 2


def test_a_state_that_cannot_be_kept_ends_the_run(service: ScriptedService, run: Run) -> None:
    """Without the id of the stream on disk nothing is sent."""
    run.state = run.state / "no such folder" / "state"
    with pytest.raises(CommandError, match="cannot be written: No such file or directory; --state"):
        run(events(2))
    assert service.stored == {}


def test_a_damaged_state_is_refused(run: Run) -> None:
    """A file that is not a state is named, and only overwritten by a run that asks for it."""
    run.state.write_text(json.dumps({"version": 2, "stream_id": ""}))
    with pytest.raises(CommandError, match="not the state of an ingest; --restart begins anew"):
        run(events(2))


def test_stops_at_a_service_that_is_no_service_of_this_kind(
    grpc_server: grpc.Server, tmp_path: Path
) -> None:
    """A server without the call is told from one that cannot be reached."""
    with pytest.raises(CommandError) as stopped:
        Run(grpc_server, None, tmp_path)(events(1))
    assert stopped.value.exit_code == 1
    assert "(UNIMPLEMENTED)" in str(stopped.value)


def test_every_error_has_its_words() -> None:
    """The command knows what to say of each error of files and how to end with it."""
    found = {
        error
        for error in vars(file_errors).values()
        if isinstance(error, type) and issubclass(error, file_errors.FilesError)
    }
    others = {file_errors.FilesError, file_errors.CallFailedError, file_errors.StoppedError}
    assert found - others == set(WORDS)
