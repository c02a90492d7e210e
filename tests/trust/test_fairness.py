"""An organization that asks and sends far more than its share: the others hardly notice."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import grpc
import pytest

from cost_insights.v1 import event_service_pb2
from tests.support.attacked import AttackedService, StartAttacked
from tests.support.samples import EVENTS
from tests.support.service import Caller, new_event

NAMES = 60_000
EVENTS_EACH = 10_000
BUSY_READERS = 12
BUSY_SENDERS = 40
SLOWER_MAX = 25
"""The greatest factor by which calls may become slower: two cores are shared by the service, those
who attack it and those who measure. Before organizations took turns it was several hundred."""

LIST_NAMES = f"{EVENTS}/ListEventNames"


@pytest.fixture
def victim(start_attacked: StartAttacked) -> Iterator[AttackedService]:
    """A service whose queue holds few events."""
    with start_attacked(waiting_events_max=5_000) as service:
        yield service


@contextlib.contextmanager
def busy(calls: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Makes each of these calls again and again, all at the same time, during a block."""
    over = threading.Event()

    def repeat(call: Callable[[], object]) -> None:
        while not over.is_set():
            with contextlib.suppress(grpc.RpcError):
                call()

    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def median_seconds(call: Callable[[], object], count: int = 40) -> float:
    """The time that a call usually takes."""
    taken: list[float] = []
    for _ in range(count):
        started = time.monotonic()
        call()
        taken.append(time.monotonic() - started)
    return statistics.median(taken)


def with_many_names(victim: AttackedService) -> Caller:
    """A caller whose organization has many event names."""
    caller = victim.caller()
    for first in range(0, NAMES, EVENTS_EACH):
        caller.ingest(
            *(new_event(name=f"event {n}") for n in range(first, first + EVENTS_EACH)),
        )
    return caller


def list_names(caller: Caller, query: str = "") -> bytes:
    """Lists names; each that the organization has is looked at."""
    return caller.call(
        LIST_NAMES, event_service_pb2.ListEventNamesRequest(query=query, page_size=1_000)
    )


def test_slow_reads_of_one_organization(victim: AttackedService) -> None:
    """Reads of another organization hardly become slower."""
    greedy, other = with_many_names(victim), victim.caller()
    other.ingest(new_event())
    quiet = median_seconds(partial(list_names, other))
    readers = [victim.colleague(greedy) for _ in range(BUSY_READERS)]
    with busy([partial(list_names, reader, "event 5") for reader in readers]):
        attacked = median_seconds(partial(list_names, other))
    assert attacked <= SLOWER_MAX * quiet, f"{quiet * 1e3:.1f} ms became {attacked * 1e3:.1f} ms"


def test_events_of_one_organization_fill_the_queue(victim: AttackedService) -> None:
    """While an organization sends more than can be stored, every event of another one is."""
    greedy, other = victim.caller(), victim.caller()
    senders = [victim.colleague(greedy) for _ in range(BUSY_SENDERS)]
    batch = [new_event() for _ in range(1_000)]
    with busy([partial(sender.ingest, *batch) for sender in senders]):
        for _ in range(50):
            assert other.ingest(new_event()).inserted == 1
