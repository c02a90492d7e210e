"""Streams of batches: order, faults, resuming and stopping."""

import queue
import threading
from collections.abc import Iterator, Sequence

import grpc
import pytest
from google.rpc import error_details_pb2

from cost_insights.v1 import event_pb2, event_service_pb2
from tests.support.service import Caller, Service, StartServer, new_event, refused


def message(
    sequence: int,
    *events: event_pb2.NewEvent,
    stream_id: str = "stream",
    accept_valid: bool = False,
) -> event_service_pb2.StreamEventsRequest:
    """One batch of a stream."""
    return event_service_pb2.StreamEventsRequest(
        stream_id=stream_id,
        sequence=sequence,
        batch=event_service_pb2.IngestEventsRequest(events=events, accept_valid=accept_valid),
    )


def stream(
    caller: Caller, requests: Sequence[event_service_pb2.StreamEventsRequest]
) -> list[event_service_pb2.StreamEventsResponse]:
    """Sends the batches and returns the acknowledgements."""
    return list(caller.events.StreamEvents(iter(requests), metadata=caller.metadata, timeout=30))


def test_batches_are_acknowledged_in_order(caller: Caller) -> None:
    """Each batch is acknowledged with what became of it, in the order of sending."""
    answers = stream(
        caller,
        [message(n, *(new_event(cost="0.1") for _ in range(n))) for n in (1, 2, 5, 100)],
    )
    assert [(one.sequence, one.batch.inserted) for one in answers] == [
        (1, 1),
        (2, 2),
        (5, 5),
        (100, 100),
    ]
    assert len(caller.list_events()) == 108


def test_later_messages_may_leave_the_stream_out(caller: Caller) -> None:
    """The stream is named once; what follows belongs to it."""
    stream(caller, [message(1, new_event()), message(2, new_event(), stream_id="")])
    again = stream(caller, [message(1, new_event()), message(2, new_event())])
    assert [one.batch.duplicates for one in again] == [1, 1]


def test_a_stream_sent_again_stores_nothing_twice(caller: Caller) -> None:
    """Events without external ids are identified by stream, sequence and place."""
    batches = [message(n, *(new_event(cost=f"0.{n}{i}") for i in range(1, 4))) for n in (1, 2, 3)]
    first = stream(caller, batches[:2])
    resumed = stream(caller, batches[1:])
    assert [one.batch.inserted for one in first] == [3, 3]
    assert [(one.batch.inserted, one.batch.duplicates) for one in resumed] == [(0, 3), (3, 0)]
    assert len(caller.list_events()) == 9


def test_other_content_in_the_same_place_is_a_conflict(caller: Caller) -> None:
    """A batch sent again with other events is told apart from the first one."""
    stream(caller, [message(1, new_event(cost="1"), new_event(cost="2"))])
    (answer,) = stream(caller, [message(1, new_event(cost="1"), new_event(cost="3"))])
    assert answer.batch.duplicates == 1
    (conflict,) = answer.batch.conflicts
    assert (conflict.index, conflict.external_id) == (1, "")
    assert caller.get_event(conflict.event_id).cost.amount == "2"


def test_other_streams_have_events_of_their_own(service: Service) -> None:
    """Neither another stream nor another organization meets the events of this one."""
    caller, other = service.caller(), service.caller()
    for who, stream_id in ((caller, "a"), (caller, "b"), (other, "a")):
        (answer,) = stream(who, [message(1, new_event(), stream_id=stream_id)])
        assert answer.batch.inserted == 1


def test_external_ids_count_across_streams_and_calls(caller: Caller) -> None:
    """An event with an external id is the same wherever it comes from."""
    caller.ingest(new_event(external_id="evt-1"))
    (answer,) = stream(caller, [message(7, new_event(external_id="evt-1"))])
    assert (answer.batch.inserted, answer.batch.duplicates) == (0, 1)


def test_a_malformed_batch_does_not_end_the_stream(caller: Caller) -> None:
    """A batch with faults is acknowledged with the status of a call; the next one is stored."""
    bad = new_event(name="x" * 129)
    answers = stream(
        caller,
        [
            message(1, new_event(), bad),
            message(2, new_event()),
            message(3, new_event(), bad, accept_valid=True),
        ],
    )
    assert answers[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answers[0].error.message == (
        "events[1].name: the name has 129 characters; at most 128 are allowed"
    )
    info = error_details_pb2.ErrorInfo()
    assert answers[0].error.details[0].Unpack(info)
    assert info.reason == "TEXT_TOO_LONG"
    assert answers[1].batch.inserted == 1
    assert answers[2].batch.inserted == 1
    assert [fault.path for fault in answers[2].batch.faults] == ["events[1].name"]


@pytest.mark.parametrize(
    ("requests", "reason", "words"),
    [
        (
            [message(1, stream_id="")],
            "FIELD_REQUIRED",
            (
                "stream_id: the stream id is absent or empty; "
                "the first message of a stream requires it"
            ),
        ),
        (
            [message(1, stream_id="a"), message(2, stream_id="b")],
            "FIELDS_CONFLICT",
            "stream_id: the stream id 'b' is not 'a', the id of this stream",
        ),
        (
            [message(1, stream_id="x" * 129)],
            "TEXT_TOO_LONG",
            "stream_id: the stream id has 129 characters; at most 128 are allowed",
        ),
        (
            [message(1, stream_id="a\0b")],
            "TEXT_MALFORMED",
            "stream_id: the stream id holds the character U+0000",
        ),
        (
            [message(0)],
            "NUMBER_OUT_OF_RANGE",
            "sequence: the sequence 0 is not greater than 0, the sequence of the previous batch",
        ),
        (
            [message(-1)],
            "NUMBER_OUT_OF_RANGE",
            "sequence: the sequence -1 is not greater than 0, the sequence of the previous batch",
        ),
        (
            [message(2), message(2)],
            "NUMBER_OUT_OF_RANGE",
            "sequence: the sequence 2 is not greater than 2, the sequence of the previous batch",
        ),
    ],
)
def test_what_is_no_part_of_the_stream_ends_it(
    caller: Caller,
    requests: Sequence[event_service_pb2.StreamEventsRequest],
    reason: str,
    words: str,
) -> None:
    """A message that does not follow the one before ends the stream, after all acknowledgements."""
    answers = caller.events.StreamEvents(iter(requests), metadata=caller.metadata, timeout=30)
    got: list[int] = []
    with refused(reason) as call:
        got.extend(one.sequence for one in answers)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.message == words
    assert got == [one.sequence for one in requests[:-1]]


def test_a_stopping_service_acknowledges_what_it_took(
    start_server: StartServer, database_url: str
) -> None:
    """At SIGTERM a stream gets the acknowledgements of what was read and is told to come again."""
    with start_server(database_url) as service:
        caller = service.stranger()
        sent: queue.Queue[event_service_pb2.StreamEventsRequest | None] = queue.Queue()

        def requests() -> Iterator[event_service_pb2.StreamEventsRequest]:
            while (one := sent.get()) is not None:
                yield one

        answers = caller.events.StreamEvents(requests(), timeout=30)
        sent.put(message(1, new_event()))
        assert next(answers).sequence == 1
        service.begin_stop()
        with refused("SHUTTING_DOWN") as call:
            next(answers)
        sent.put(None)
        assert call.refusal.code is grpc.StatusCode.UNAVAILABLE
        assert call.refusal.retry_seconds == 1


def test_a_revoked_token_ends_a_stream(service: Service) -> None:
    """A token is checked for every batch."""
    caller = service.caller()
    sent: queue.Queue[event_service_pb2.StreamEventsRequest | None] = queue.Queue()

    def requests() -> Iterator[event_service_pb2.StreamEventsRequest]:
        while (one := sent.get()) is not None:
            yield one

    answers = caller.events.StreamEvents(requests(), metadata=caller.metadata, timeout=30)
    sent.put(message(1, new_event()))
    assert next(answers).batch.inserted == 1
    service.revoke(caller)
    sent.put(message(2, new_event()))
    with refused("TOKEN_REVOKED"):
        next(answers)
    sent.put(None)


@pytest.mark.slow
def test_a_slow_reader_is_waited_for(caller: Caller) -> None:
    """A client that sends thousands of batches before it reads loses none."""
    count = 2_000
    answers = caller.events.StreamEvents(
        (message(n, new_event(cost="0.1")) for n in range(1, count + 1)),
        metadata=caller.metadata,
        timeout=60,
    )
    threading.Event().wait(0.5)
    assert [one.sequence for one in answers] == list(range(1, count + 1))
