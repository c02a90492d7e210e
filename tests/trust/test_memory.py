"""Requests of any size and number: memory stays within the budget, and others are served."""

import contextlib
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.support.attacked import AttackedService, StartAttacked
from tests.support.raw_http2 import RawConnection, framed
from tests.support.service import Caller, new_event

MIB = 1024 * 1024
BUDGET_BYTES = 128 * MIB
MESSAGE_BYTES = 16 * MIB

INGEST = "/cost_insights.v1.EventService/IngestEvents"
STREAM = "/cost_insights.v1.EventService/StreamEvents"


@pytest.fixture
def victim(start_attacked: StartAttacked) -> Iterator[AttackedService]:
    """A service with a small budget, which has answered a call."""
    with start_attacked(in_flight_bytes_max=BUDGET_BYTES) as service:
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
