"""Blocks and functions whose costs are tracked, against a real service."""

import asyncio
import datetime
import logging
import os
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cost_insights.client import (
    BackgroundClient,
    CallError,
    Client,
    Conflict,
    Event,
    Fault,
    RefusedError,
    UnavailableError,
    current_event,
)
from tests.support.postgresql import free_port
from tests.support.service import Service


class Costs(BackgroundClient):
    """A background client of an organization of its own, with all that it stored."""

    def __init__(self, service: Service, **settings: Any) -> None:
        self.client = Client(service.address, token=service.caller().token)
        super().__init__(self.client, **settings)

    def stored(self) -> list[Event]:
        """All events, the earliest first."""
        self.flush()
        return list(self.client.list_events())[::-1]


@pytest.fixture
def costs(service: Service) -> Iterator[Costs]:
    """A background client."""
    with Costs(service) as costs:
        yield costs
    costs.client.close()


def test_a_block_is_an_event(costs: Costs) -> None:
    """A block is stored as an event of the time when it began, with exactly the values that it
    set, and other events can name it as their parent."""
    begin = datetime.datetime.now(datetime.UTC)
    with costs.track(
        "render", external_customer_id="acme", metadata={"codec": "av1"}, duration=True
    ) as event:
        event.cost = "12.000000000001"
        event.metadata["frames"] = 240
        event.product_id = "video"
        with costs.track("upload", external_customer_id="acme", parent_id=event.external_id):
            time.sleep(0.01)
    end = datetime.datetime.now(datetime.UTC)
    render, upload = costs.stored()
    assert (render.name, render.cost, render.product_id) == (
        "render",
        Decimal("12.000000000001"),
        "video",
    )
    assert begin - datetime.timedelta(milliseconds=1) <= render.timestamp <= upload.timestamp <= end
    assert 10 <= render.metadata["duration_ms"] < (end - begin).total_seconds() * 1000 + 1
    assert {**render.metadata, "duration_ms": 0} == {
        "codec": "av1",
        "frames": 240,
        "duration_ms": 0,
    }
    assert (upload.parent_id, upload.cost, upload.metadata) == (render.id, None, {})


def test_a_block_that_raises(costs: Costs) -> None:
    """A block that raises is stored with its cost so far and the name of the exception, which goes
    on; a block that was discarded is not stored."""

    def fail() -> None:
        with costs.track("render", external_customer_id="acme") as event:
            event.cost = 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    once = costs.track("render", external_customer_id="acme")
    with once as event:
        event.discard()
    with pytest.raises(RuntimeError, match="for one block"):
        once.__enter__()
    (stored,) = costs.stored()
    assert (stored.cost, stored.metadata) == (Decimal(3), {"error": "ZeroDivisionError"})


async def test_functions(costs: Costs) -> None:
    """Each call of a function is an event, of the customer that its arguments name; coroutines that
    run at once do not mix theirs up."""

    @costs.track("add", customer_of=lambda customer, *_: customer)
    def add(customer: str, *numbers: int) -> int:
        current_event().cost = Decimal(len(numbers))
        return sum(numbers)

    @costs.track("wait", external_customer_id="acme")
    async def wait(cents: int) -> int:
        event = current_event()
        await asyncio.sleep(0.01 * cents)
        assert current_event() is event
        event.cost = cents
        return cents

    assert add("acme", 1, 2, 3) == 6
    assert add.__name__ == "add"
    assert await asyncio.gather(*(wait(cents) for cents in range(5))) == [0, 1, 2, 3, 4]
    with pytest.raises(AttributeError):
        add("acme", None.x)  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        add("globex", "a")  # type: ignore[arg-type]
    # Outside of a tracked function there is an event to write to, which goes nowhere.
    current_event().cost = 1
    stored = sorted(
        (event.name, event.external_customer_id, event.cost) for event in costs.stored()
    )
    assert stored == [
        ("add", "acme", Decimal(3)),
        ("add", "globex", Decimal(1)),
        *(("wait", "acme", Decimal(cents)) for cents in range(5)),
    ]
    with pytest.raises(TypeError, match="is a generator"):

        @costs.track("parts")
        def parts() -> Iterator[int]:
            yield 1


Told = list[tuple[str, Fault | Conflict | CallError]]


def test_the_program_is_never_broken(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the event never stops the block; it is reported to `on_refused`."""
    told: Told = []
    with Costs(service, on_refused=lambda event, why: told.append((event.name, why))) as costs:
        with costs.track("no customer") as event:
            event.cost = 1
        with costs.track("no amount", external_customer_id="acme") as event:
            event.cost = object()  # type: ignore[assignment]
        with costs.track("no metadata", external_customer_id="acme", duration=True) as event:
            event.metadata = None  # type: ignore[assignment]

        @costs.track("no argument", customer_of=lambda: "acme")
        def double(number: int) -> int:
            return 2 * number

        assert double(2) == 4
        costs.flush()
    with costs.track("late", external_customer_id="acme") as event:
        event.cost = 1
    assert sorted((name, type(why)) for name, why in told) == [
        ("late", UnavailableError),
        ("no amount", RefusedError),
        ("no argument", Fault),
        ("no customer", Fault),
    ]
    assert "the event no metadata was not sent" in caplog.text
    assert "the customer of a call of no argument is not known" in caplog.text
    costs.client.close()


def test_a_full_client_does_not_wait() -> None:
    """A tracked block never waits for room in a full queue: its event goes to `on_refused`."""
    told: Told = []
    with Client(f"127.0.0.1:{free_port()}", retry_seconds=0.2) as client:
        costs = BackgroundClient(
            client,
            waiting_events_max=5,
            linger_seconds=60,
            on_refused=lambda event, why: told.append((event.name, why)),
        )
        for _ in range(8):
            with costs.track("render", external_customer_id="acme"):
                pass
        assert [str(why) for _, why in told] == ["UNAVAILABLE: 5 events are still to be stored"] * 3
        costs.close()
    assert len(told) == 8


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_process_is_not_broken(costs: Costs) -> None:
    """A fork of a program that tracks goes on without its events."""
    with costs.track("before", external_customer_id="acme"):
        pass
    read, write = os.pipe()
    # What the child logs is of no interest here.
    logging.disable()
    child = os.fork()
    if child == 0:
        with costs.track("in the child", external_customer_id="acme"):
            os.write(write, b"went on")
        os._exit(0)
    logging.disable(logging.NOTSET)
    assert os.read(read, 100) == b"went on"
    assert os.waitpid(child, 0)[1] == 0
    assert [event.name for event in costs.stored()] == ["before"]


def test_threads_have_events_of_their_own(costs: Costs) -> None:
    """Two threads in the same function write to two events."""
    meet = threading.Barrier(2)

    @costs.track("work", external_customer_id="acme")
    def work(cents: int) -> None:
        meet.wait()
        current_event().cost = cents
        meet.wait()

    threads = [threading.Thread(target=work, args=(cents,)) for cents in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.cost or 0 for event in costs.stored()) == [1, 2]
