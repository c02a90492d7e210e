"""Decoding and checking requests, next to the same in Python."""

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence

from cost_insights._native.commit import EVENT_COLUMNS, Commit
from cost_insights._native.events import EventBatch, Limits, decode_events, decode_events_json
from tests.benchmarks import bodies, json_models, python_decoder
from tests.benchmarks.results import Row, check_equal
from tests.benchmarks.timing import compare

EVENTS = 1_000
ORGANIZATION_ID = bytes(range(16))
LIMITS = Limits()


def decoding(seconds: float) -> Iterator[Row]:
    """Rows about one core that decodes and checks requests of 1 000 events."""
    for keyed in (True, False):
        yield _decoding(seconds, keyed=keyed)


def _decoding(seconds: float, *, keyed: bool) -> Row:
    prepared = bodies.bodies(requests=4, events_each=EVENTS, keyed=keyed)
    requests = [_with_keys(one) for one in prepared.requests]
    now_us = time.time_ns() // 1_000
    entropy = os.urandom(32)

    def ours(request: bytes) -> EventBatch:
        return decode_events(
            request,
            organization_id=ORGANIZATION_ID,
            now_us=now_us,
            entropy=entropy,
            limits=LIMITS,
        )

    def theirs(request: bytes) -> python_decoder.Decoded:
        return python_decoder.decode(
            request, organization_id=ORGANIZATION_ID, now_us=now_us, entropy=entropy
        )

    for request in requests:
        batch, decoded = ours(request), theirs(request)
        check_equal("events decoded", (len(batch), len(decoded.rows)), (EVENTS, EVENTS))
        check_equal("decoded events", _rows(batch, keyed), _comparable(decoded.rows, keyed))
        check_equal("customers", batch.external_customer_ids, list(decoded.customers))
        check_equal("series", batch.series, list(decoded.series))
    turns_ours, turns_theirs = itertools.cycle(requests), itertools.cycle(requests)
    keys = "with" if keyed else "without"
    return compare(
        lambda: ours(next(turns_ours)),
        {"generated classes, Python loop": lambda: theirs(next(turns_theirs))},
        seconds=seconds,
    ).row(f"decode and check requests of 1 000 events, {keys} external ids", EVENTS, "events", 20)


def json_decoding(seconds: float) -> Iterator[Row]:
    """One core decodes and checks requests of 1 000 events in JSON."""
    requests = bodies.json_bodies(requests=4, events_each=EVENTS)
    now_us = time.time_ns() // 1_000
    entropy = os.urandom(32)

    def ours(body: bytes) -> EventBatch:
        return decode_events_json(
            body,
            organization_id=ORGANIZATION_ID,
            now_us=now_us,
            entropy=entropy,
            limits=LIMITS,
        )

    for body in requests:
        batch, decoded = ours(body), json_models.decode(body)
        check_equal("events decoded", (len(batch), len(decoded.events)), (EVENTS, EVENTS))
        rows = [
            (row[EVENT_COLUMNS.index("cost_picocents")], json.loads(str(row[-1])))
            for row in _commit(batch).rows()
        ]
        models = [
            (event.metadata.cost.picocents, event.metadata.values)
            for event in decoded.events
            if event.metadata.cost is not None
        ]
        check_equal("decoded events", sorted(rows, key=repr), sorted(models, key=repr))
    turns_ours, turns_theirs = itertools.cycle(requests), itertools.cycle(requests)
    yield compare(
        lambda: ours(next(turns_ours)),
        {"orjson, pydantic models": lambda: json_models.decode(next(turns_theirs))},
        seconds=seconds,
    ).row("decode and check requests of 1 000 events in JSON", EVENTS, "events", 15)


def _with_keys(request: bytes) -> bytes:
    """The request with a key of its own for each event."""
    first, *rest = request.split(bodies.KEY.encode())
    parts = [first]
    for number, part in enumerate(rest):
        parts += f"bench-key-{number:016}".encode(), part
    return b"".join(parts)


def _rows(batch: EventBatch, keyed: bool) -> list[python_decoder.Row]:
    """The rows of a batch, its lists' places for numbers, without the organization."""
    return _comparable([(id_, *rest) for id_, _, *rest in _commit(batch).rows()], keyed)


def _commit(batch: EventBatch) -> Commit:
    """A batch with its lists' places for numbers."""
    customers = len(batch.external_customer_ids) + len(batch.customer_ids)
    return Commit([(batch, 1, list(range(customers)), list(range(len(batch.series))))])


def _comparable(rows: Sequence[python_decoder.Row], keyed: bool) -> list[python_decoder.Row]:
    """The rows in one order, without ids where these are random."""
    return sorted((row if keyed else row[1:] for row in rows), key=repr)
