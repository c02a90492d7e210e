"""Requests of any size and number: memory stays within the budget, and others are served."""

import contextlib
import gzip
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf import json_format

from cost_insights.v1 import event_service_pb2
from tests.support.attacked import AttackedService, StartAttacked, attacked
from tests.support.raw_http2 import RawConnection, framed
from tests.support.service import Caller, new_event

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1024 * 1024
BUDGET_BYTES = 128 * MIB
MESSAGE_BYTES = 16 * MIB

INGEST = "/cost_insights.v1.EventService/IngestEvents"
RECORD = "/cost_insights.v1.RevenueService/RecordOrders"
STREAM = "/cost_insights.v1.EventService/StreamEvents"


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedService]:
    """A service with a small budget, which has answered a call."""
    folder = tmp_path_factory.mktemp("memory")
    with attacked(folder, in_flight_bytes_max=BUDGET_BYTES) as service:
        service.caller().ingest(new_event())
        yield service


@contextlib.contextmanager
def bounded(victim: AttackedService, bytes_max: float) -> Iterator[None]:
    """Checks that the memory grows by no more than that at any time in a block."""
    idle = victim.resident_bytes()
    peak = idle
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, victim.resident_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert peak - idle <= bytes_max, f"{(peak - idle) / MIB:.0f} MiB"


def send_all(victim: AttackedService, call: Callable[[RawConnection], None]) -> None:
    """Attacks on eight connections at the same time, ten calls on each."""

    def attack(_: int) -> None:
        with RawConnection(victim.address) as connection:
            for _ in range(10):
                call(connection)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attack, range(8)))


def check_served(caller: Caller) -> None:
    """A caller is answered."""
    for _ in range(5):
        assert caller.ingest(new_event()).inserted == 1


def test_large_messages_without_a_token(victim: AttackedService) -> None:
    """Nothing of a request is taken before its caller is known."""
    caller = victim.caller()
    content = framed(bytes(MESSAGE_BYTES - 1))

    def call(connection: RawConnection) -> None:
        stream = connection.open(INGEST)
        assert connection.send(stream, content) < MIB

    with bounded(victim, 20 * MIB):
        send_all(victim, call)
        check_served(caller)


def test_large_messages_that_do_not_end(victim: AttackedService) -> None:
    """Messages of a valid caller that stop half-way hold no more than the budget."""
    attacker, caller = victim.caller(), victim.caller()
    content = framed(bytes(MESSAGE_BYTES - 1))[:-10]
    with bounded(victim, 1.25 * BUDGET_BYTES), contextlib.ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(RawConnection(victim.address))
            for _ in range(10):
                stream = connection.open(INGEST, authorization=f"Bearer {attacker.token}")
                connection.send(stream, content, seconds_max=0.1)
        check_served(caller)


ALLOCATING = """
import ctypes, threading
from cost_insights.memory import use_one_heap

{prelude}
threads_max = 4
meeting = threading.Barrier(threads_max)

def allocate():
    content = bytes(100_000)
    meeting.wait()

threads = [threading.Thread(target=allocate) for _ in range(threads_max)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(library.fdopen(1, b"w"))
library.malloc_info(0, stream)
library.fflush(stream)
"""
"""Threads that hold memory at the same time; then the C library tells of its heaps."""


@pytest.mark.parametrize(("prelude", "is_one"), [("", False), ("use_one_heap()", True)])
def test_threads_allocate_from_one_heap(prelude: str, is_one: bool) -> None:
    """Memory that one thread has freed can be allocated by the others."""
    program = ALLOCATING.format(prelude=prelude)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    heaps = done.stdout.count(b"<heap nr=")
    assert heaps == 1 if is_one else heaps > 1


def answered(connection: RawConnection) -> bool:
    """Whether ten calls of a connection have ended."""
    return len(connection.trailers) == 10


def test_compressed_messages(victim: AttackedService) -> None:
    """Small messages that are large inside are decompressed within the budget."""
    attacker, caller = victim.caller(), victim.caller()
    content = framed(gzip.compress(bytes(MESSAGE_BYTES - 1)), compressed=True)
    assert len(content) < 32 * 1024
    with bounded(victim, 1.25 * BUDGET_BYTES), contextlib.ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(victim.address)) for _ in range(4)]
        for connection in connections:
            for _ in range(10):
                stream = connection.open(
                    INGEST, authorization=f"Bearer {attacker.token}", grpc_encoding="gzip"
                )
                connection.send(stream, content)
        check_served(caller)
        for connection in connections:
            assert connection.wait_until(partial(answered, connection))


def test_valid_load_beyond_the_budget(victim: AttackedService) -> None:
    """Requests that do not fit at once are stored one after the other, all of them."""
    caller = victim.caller()
    event = new_event(metadata={"text": "x" * 2_000})
    events = [event] * 3_000

    def send(_: int) -> int:
        colleague = victim.colleague(caller)
        for _ in range(100):
            with contextlib.suppress(Exception):
                return colleague.ingest(*events).inserted
            time.sleep(0.1)
        return 0

    # Caches and threads are there from now on.
    send(0)
    with bounded(victim, 1.25 * BUDGET_BYTES), ThreadPoolExecutor(20) as pool:
        assert list(pool.map(send, range(20))) == [len(events)] * 20


def test_acknowledgements_that_are_never_read(victim: AttackedService) -> None:
    """A stream whose client reads nothing is not read any further, and others are served."""
    attacker, caller = victim.caller(), victim.caller()
    event = new_event(metadata={"text": "x" * 2_000})
    batch = event_service_pb2.IngestEventsRequest(events=[event] * 3_000)
    with (
        bounded(victim, 1.25 * BUDGET_BYTES),
        # The window lets the head of the answer arrive, and not one acknowledgement.
        RawConnection(victim.address, answers_bytes_max=0) as connection,
    ):
        stream = connection.open(STREAM, authorization=f"Bearer {attacker.token}")
        sent = 0
        for sequence in range(1, 101):
            request = event_service_pb2.StreamEventsRequest(
                stream_id="s", sequence=sequence, batch=batch
            ).SerializeToString()
            accepted = connection.send(stream, framed(request), seconds_max=1)
            sent += accepted
            if accepted <= len(request):
                break
        assert sent < BUDGET_BYTES
        check_served(caller)


def test_large_batches_that_do_not_end(tmp_path: Path) -> None:
    """Batches of many streams that stop half-way hold no more than the budget, again and again;
    streams of others, which wait meanwhile, go on."""
    budget_bytes = 2 * BUDGET_BYTES
    first = event_service_pb2.StreamEventsRequest(
        stream_id="s", sequence=1, batch=event_service_pb2.IngestEventsRequest(events=[new_event()])
    )
    content = framed(bytes(MESSAGE_BYTES - 1))[:-10]
    with (
        attacked(tmp_path, in_flight_bytes_max=budget_bytes) as victim,
        RawConnection(victim.address) as connection,
    ):
        attacker, caller = victim.caller(), victim.caller()
        streams = [connection.open(STREAM, authorization=f"Bearer {caller.token}") for _ in "ab"]

        def go_on(stream: int) -> bool:
            """Whether the next batch of a stream is acknowledged."""
            seen = connection.answers[stream]
            connection.send(stream, framed(first.SerializeToString()))
            first.sequence += 1
            return connection.wait_until(lambda: connection.answers[stream] > seen)

        assert all(map(go_on, streams))
        with bounded(victim, 1.25 * budget_bytes):
            for _ in range(2):
                with contextlib.ExitStack() as stack:
                    for _ in range(8):
                        attack = stack.enter_context(RawConnection(victim.address))
                        for _ in range(10):
                            stream = attack.open(STREAM, authorization=f"Bearer {attacker.token}")
                            attack.send(stream, content, seconds_max=0.1)
                    check_served(caller)
                assert all(map(go_on, streams))


def send_bodies(
    victim: AttackedService, path: str, headers: Mapping[str, str], body: bytes, count: int
) -> list[socket.socket]:
    """Sends POST requests without reading any answer; of each as much as is taken at once."""
    host, _, port = victim.url.removeprefix("http://").partition(":")
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items()
    )
    connections = []
    for _ in range(count):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(head.encode() + b"\r\n")
        connection.settimeout(0.2)
        with contextlib.suppress(OSError):
            connection.sendall(body)
        connections.append(connection)
    return connections


PATHS = pytest.mark.parametrize("path", ["/v1/events/ingest", INGEST, STREAM])


def content_type(path: str) -> str:
    """The content-type of requests to a path."""
    return "application/connect+json" if path == STREAM else "application/json"


@PATHS
@pytest.mark.parametrize("is_known", [False, True])
def test_bodies_that_do_not_end(victim: AttackedService, path: str, is_known: bool) -> None:
    """Bodies that stop half-way hold no more than the budget, and nothing without a token."""
    attacker, caller = victim.caller(), victim.caller()
    headers = {"content-type": content_type(path), "content-length": str(MESSAGE_BYTES)}
    if is_known:
        headers["authorization"] = f"Bearer {attacker.token}"
    body = b"\0" + (MESSAGE_BYTES - 5).to_bytes(4, "big") if path == STREAM else b""
    body += b" " * (MESSAGE_BYTES - 100)
    with bounded(victim, 1.25 * BUDGET_BYTES if is_known else 20 * MIB):
        connections = send_bodies(victim, path, headers, body, 20)
        check_served(caller)
        assert httpx.get(f"{victim.url}/healthz").status_code == 200
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("path", ["/v1/events/ingest", INGEST])
def test_compressed_bodies(victim: AttackedService, path: str, encoding: str) -> None:
    """Small bodies that are large inside are decompressed within the budget."""
    attacker, caller = victim.caller(), victim.caller()
    content = b" " * (MESSAGE_BYTES - 1)
    body = gzip.compress(content) if encoding == "gzip" else zstd.compress(content)
    assert len(body) < 32 * 1024
    headers = {
        "content-type": "application/json",
        "content-encoding": encoding,
        "content-length": str(len(body)),
        "authorization": f"Bearer {attacker.token}",
    }
    with bounded(victim, 1.25 * BUDGET_BYTES):
        connections = send_bodies(victim, path, headers, body, 40)
        check_served(caller)
        for connection in connections:
            connection.settimeout(30)
            assert connection.recv(1_000).startswith((b"HTTP/1.1 4", b"HTTP/1.1 503"))
            connection.close()


def test_no_request_outlives_its_response(start_attacked: StartAttacked) -> None:
    """Refused requests are freed at once, not when somebody looks for reference cycles."""
    event = new_event(name="x" * 129, metadata={"text": "x" * 2_000})
    request = event_service_pb2.IngestEventsRequest(events=[event] * 500)
    proto, json = request.SerializeToString(), json_format.MessageToJson(request).encode()
    assert len(proto) > MIB
    with start_attacked(collects_garbage=False) as victim:
        caller = victim.caller()
        headers = {"authorization": f"Bearer {caller.token}", "content-type": "application/json"}
        with httpx.Client(base_url=victim.url, headers=headers) as client:

            def over_http(path: str, content: bytes, **more: str) -> None:
                assert client.post(path, content=content, headers=more).status_code in {400, 422}

            def by_rpc(method: str, content: bytes) -> None:
                with contextlib.suppress(grpc.RpcError):
                    caller.call(method, content)

            proto_type = {"content-type": "application/proto"}
            streamed = event_service_pb2.StreamEventsRequest(
                stream_id="s", sequence=1, batch=request
            ).SerializeToString()
            refusals: Sequence[Callable[[], None]] = (
                lambda: by_rpc(INGEST, proto),
                lambda: by_rpc(INGEST, proto[:-1]),
                lambda: by_rpc(STREAM, streamed),
                lambda: by_rpc(STREAM, streamed[:-1]),
                lambda: by_rpc(RECORD, proto[:-1]),
                lambda: over_http("/v1/events/ingest", json),
                lambda: over_http("/v1/events/ingest", json[:-1]),
                lambda: over_http(INGEST, json),
                lambda: over_http(INGEST, json[:-1]),
                lambda: over_http(INGEST, proto, **proto_type),
                lambda: over_http(INGEST, proto[:-1], **proto_type),
                lambda: over_http(RECORD, json[:-1]),
                lambda: over_http(RECORD, proto[:-1], **proto_type),
            )
            for refuse in refusals:
                for _ in range(5):
                    refuse()
                with bounded(victim, 15 * MIB):
                    for _ in range(30):
                        refuse()
