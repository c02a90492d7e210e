"""Clients in processes of their own that record what they send, ask and are answered.

Run as a program it is one client: it prints a JSON line for each thing that it did, with the times
of a clock that all processes of the machine share.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import grpc
from google.protobuf import timestamp_pb2

from cost_insights.v1 import (
    cost_pb2,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from tests.reference.history import Answer, Batch
from tests.support.processes import CHANNEL_OPTIONS

_UNIT: Final = 10**6
"""Costs are in millionths of a cent."""

_CALL_SECONDS = 20


def clients(
    address: str, name: str, *, writers: int, readers: int, seconds: float
) -> list[subprocess.Popen[str]]:
    """Starts clients, whose names begin with this one, and which go on for some seconds."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", __name__, role, address, f"{name} {number}", str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for role, count in (("writer", writers), ("reader", readers))
        for number in range(count)
    ]


def recorded(
    processes: Sequence[subprocess.Popen[str]],
) -> tuple[dict[str, list[Batch]], list[Answer]]:
    """What the clients have recorded, once they have ended."""
    batches: dict[str, list[Batch]] = {}
    answers: list[Answer] = []
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        for line in output.splitlines():
            one = json.loads(line)
            if "costs" in one:
                answers.append(Answer(one["asked"], one["answered"], one["costs"]))
            else:
                batch = Batch(one["cost"], one["sent"], one["acknowledged"])
                batches.setdefault(one["writer"], []).append(batch)
    return batches, answers


def _insisting(call: Callable[[], Any], until: float) -> Any:
    """The answer of a call that is tried again while the service is away; None if it stays away."""
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            transient = {
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            }
            if error.code() not in transient:
                raise
            if time.monotonic() > until + _CALL_SECONDS:
                return None
            time.sleep(0.05)


def _write(channel: grpc.Channel, name: str, until: float) -> None:
    stub = event_service_pb2_grpc.EventServiceStub(channel)
    source = random.Random(name)
    now = timestamp_pb2.Timestamp()
    number = 0
    sent_before: list[event_service_pb2.IngestEventsRequest] = []
    while time.monotonic() < until:
        costs = [source.randrange(1, 10**9) for _ in range(source.choice([1, 1, 3, 40]))]
        now.FromMilliseconds(int(time.time() * 1_000) - source.randrange(10**9))
        request = event_service_pb2.IngestEventsRequest(
            events=[
                event_pb2.NewEvent(
                    name="llm.inference",
                    external_customer_id=name,
                    external_id=f"{name} {number} {place}",
                    timestamp=now,
                    cost=cost_pb2.Cost(amount=f"{Decimal(cost) / _UNIT:f}", currency="usd"),
                )
                for place, cost in enumerate(costs)
            ]
        )
        number += 1
        row: dict[str, Any] = {"writer": name, "cost": sum(costs), "sent": time.monotonic()}
        done = _insisting(lambda: stub.IngestEvents(request, timeout=_CALL_SECONDS), until)  # noqa: B023
        row["acknowledged"] = None if done is None else time.monotonic()
        print(json.dumps(row), flush=True)
        if done is None:
            return
        sent_before.append(request)
        if source.random() < 0.1:
            # What is sent again counts once.
            again = source.choice(sent_before)
            _insisting(lambda: stub.IngestEvents(again, timeout=_CALL_SECONDS), until)  # noqa: B023


def _read(channel: grpc.Channel, name: str, until: float) -> None:
    stub = metrics_service_pb2_grpc.MetricsServiceStub(channel)
    source = random.Random(name)
    today = time.time()
    days = (time.strftime("%Y-%m-%d", time.gmtime(today + 86_400 * n)) for n in (-30, 2))
    start, end = days
    while time.monotonic() < until:
        request = metrics_service_pb2.GetMetricsRequest(
            start_date=start,
            end_date=end,
            timezone=source.choice(["UTC", "Asia/Kathmandu"]),
            interval=metrics_service_pb2.INTERVAL_DAY,
            group_by=metrics_service_pb2.GROUP_BY_CUSTOMER,
        )
        asked = time.monotonic()
        answer = _insisting(lambda: stub.GetMetrics(request, timeout=_CALL_SECONDS), until)  # noqa: B023
        if answer is None:
            return
        answered = time.monotonic()
        costs = {one.value: _units(one.totals.costs) for one in answer.groups}
        assert _units(answer.totals.costs) == sum(costs.values())
        row: Mapping[str, Any] = {"asked": asked, "answered": answered, "costs": costs}
        print(json.dumps(row), flush=True)


def _units(amount: str) -> int:
    units = Decimal(amount) * _UNIT
    assert units == int(units)
    return int(units)


if __name__ == "__main__":
    _role, _address, _name, _seconds = sys.argv[1:]
    with grpc.insecure_channel(_address, CHANNEL_OPTIONS) as _channel:
        _act = {"writer": _write, "reader": _read}[_role]
        _act(_channel, _name, time.monotonic() + float(_seconds))
