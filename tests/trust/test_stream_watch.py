"""Memory that waiting streams hold unseen: whose streams are ended to get it back."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator

import pytest

from cost_insights.api.admission import Budget
from cost_insights.doors.grpc import stream_watch
from cost_insights.doors.grpc.stream_watch import StreamWatch
from cost_insights.errors import OverloadedError
from cost_insights.identity import Organization

REQUEST_BYTES = 16
UNSEEN_BYTES = 100
"""The memory that may be held unseen."""


class Memory:
    """Memory of a process that a test fills; requests that arrive hold theirs until they end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.others = 1_000
        self.hidden = 0
        self.given_back_after = 0.01
        monkeypatch.setattr(stream_watch, "allocated_bytes", self.held_bytes)
        monkeypatch.setattr(stream_watch, "private_bytes", self.held_bytes)
        monkeypatch.setattr(stream_watch, "_LOOK_SECONDS", 0.005)
        monkeypatch.setattr(stream_watch, "_FREEING_SECONDS", 0.05)

    def held_bytes(self) -> int:
        """Everything that is held."""
        return self.others + self.hidden

    async def partly_arrived(self, size: int) -> bytes | None:
        """A request of which that much has arrived, and the rest never does."""
        self.hidden += size
        try:
            await asyncio.Event().wait()
        finally:
            asyncio.get_running_loop().call_later(self.given_back_after, self._give_back, size)
        return None

    def _give_back(self, size: int) -> None:
        self.hidden -= size


class Streams:
    """Streams that wait for requests which never end."""

    def __init__(self, memory: Memory, watch: StreamWatch) -> None:
        self._memory = memory
        self._watch = watch
        self._numbers = itertools.count(2)
        self._tasks: list[asyncio.Task[bytes | None]] = []

    def start(
        self, count: int, size: int, *, number: int | None = None
    ) -> list[asyncio.Task[bytes | None]]:
        """Streams of an organization, a new one unless it has that number, each of which has
        received that much of a request."""
        number = next(self._numbers) if number is None else number
        owner = Organization(number, uuid.uuid4(), f"organization {number}", 0)
        tasks = [
            asyncio.create_task(self._watch.arrival(self._memory.partly_arrived(size), owner))
            for _ in range(count)
        ]
        self._tasks += tasks
        return tasks

    async def close(self) -> None:
        """Ends those that are left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


@pytest.fixture
async def streams(memory: Memory) -> AsyncIterator[Streams]:
    watch = StreamWatch(
        Budget(8 * UNSEEN_BYTES), request_bytes_max=REQUEST_BYTES, other_bytes=lambda: 0
    )
    streams = Streams(memory, watch)
    yield streams
    await streams.close()


def are_ended(tasks: list[asyncio.Task[bytes | None]]) -> bool:
    """Whether all have been ended because of the memory; none must have ended otherwise."""
    ended = [task for task in tasks if task.done()]
    assert all(isinstance(task.exception(), OverloadedError) for task in ended)
    assert len(ended) in {0, len(tasks)}
    return bool(ended)


async def test_the_streams_that_hold_it_are_ended(memory: Memory, streams: Streams) -> None:
    """Others that wait go on, and so do those that come after it was given back."""
    few = streams.start(2, 0)
    many = streams.start(10, REQUEST_BYTES)
    await asyncio.sleep(0.2)
    assert (are_ended(few), are_ended(many)) == (False, True)
    assert memory.hidden == 0
    later = streams.start(6, REQUEST_BYTES)
    await asyncio.sleep(0.2)
    assert (are_ended(few), are_ended(later)) == (False, False)


async def test_those_who_had_no_part_in_it_are_left_alone_from_then_on(
    memory: Memory, streams: Streams
) -> None:
    """They are found by what their end gives back."""
    many = streams.start(20, 0, number=1)
    guilty = streams.start(10, REQUEST_BYTES)
    await asyncio.sleep(0.3)
    assert (are_ended(many), are_ended(guilty)) == (True, True)
    again = streams.start(20, 0, number=1)
    await asyncio.sleep(0.05)
    guilty = streams.start(10, REQUEST_BYTES)
    await asyncio.sleep(0.3)
    assert (are_ended(again), are_ended(guilty)) == (False, True)
    assert memory.hidden == 0


async def test_memory_that_is_given_back_late_is_not_looked_for_elsewhere(
    memory: Memory, streams: Streams
) -> None:
    """Nobody else is ended while the memory of ended streams may be freed yet."""
    memory.given_back_after = 0.04
    few = streams.start(2, 0)
    many = streams.start(10, REQUEST_BYTES)
    await asyncio.sleep(0.2)
    assert (are_ended(few), are_ended(many)) == (False, True)


async def test_memory_that_streams_cannot_hold_is_not_theirs(
    memory: Memory, streams: Streams
) -> None:
    """The process may grow for other reasons, and streams are ended once at most."""
    few = streams.start(2, 0)
    await asyncio.sleep(0.02)
    memory.others += 10 * UNSEEN_BYTES
    await asyncio.sleep(0.2)
    assert not are_ended(few)
    many = streams.start(20, 0, number=1)
    await asyncio.sleep(0.02)
    memory.others += 10 * UNSEEN_BYTES
    await asyncio.sleep(0.3)
    assert (are_ended(few), are_ended(many)) == (False, True)
    again = streams.start(20, 0, number=1)
    await asyncio.sleep(0.3)
    assert not are_ended(again)
    guilty = streams.start(10, REQUEST_BYTES)
    await asyncio.sleep(0.3)
    assert (are_ended(few), are_ended(again), are_ended(guilty)) == (False, False, True)


async def test_reserved_memory_is_seen(memory: Memory) -> None:
    """Memory that the budget or others account for ends no stream."""
    budget = Budget(8 * UNSEEN_BYTES)
    others = 0
    watch = StreamWatch(budget, request_bytes_max=REQUEST_BYTES, other_bytes=lambda: others)
    streams = Streams(memory, watch)
    many = streams.start(20, 0)
    await asyncio.sleep(0.02)
    with await budget.room(Organization(1, uuid.uuid4(), "organization", 0), 3 * UNSEEN_BYTES):
        others = 2 * UNSEEN_BYTES
        memory.others += 6 * UNSEEN_BYTES
        await asyncio.sleep(0.2)
        assert not are_ended(many)
        memory.others += 1
        await asyncio.sleep(0.2)
        assert are_ended(many)
    await streams.close()
