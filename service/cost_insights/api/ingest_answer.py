"""The answer to events: counts that add up, and every refused event by name.

A client takes 4 MiB by default, so an answer spells out `DETAILS_BYTES_MAX` of
conflicts and faults. What follows says no more than which event it is and why; with
the 10,000 events that a request holds by default, all of it is below 4 MiB.
"""

from collections.abc import Iterable
from typing import Final

from cost_insights._native.faults import Fault
from cost_insights.errors import FieldFault
from cost_insights.v1.event_service_pb2 import EventConflict, EventFault, IngestEventsResponse

DETAILS_BYTES_MAX: Final = 512 * 1024
FAULTS_MAX: Final = 1_000
"""The number of faults after which only the first fault of each event is answered."""


def ingest_answer(
    *,
    inserted: int,
    duplicates: int,
    refused: int,
    conflicts: Iterable[tuple[int, str, str]],
    faults: Iterable[tuple[int, FieldFault | Fault]],
    faults_total: int,
) -> IngestEventsResponse:
    """The answer to one request.

    A conflict is the index of an event, its external id and the id of the event that
    holds it; a fault is the index of an event and what is wrong with it.
    """
    answer = IngestEventsResponse(
        inserted=inserted, duplicates=duplicates, refused=refused, faults_total=faults_total
    )
    details_bytes = 0
    for index, external_id, event_id in conflicts:
        conflict = EventConflict(index=index, event_id=event_id)
        if details_bytes < DETAILS_BYTES_MAX:
            conflict.external_id = external_id
            details_bytes += conflict.ByteSize()
        answer.conflicts.append(conflict)
    for index, found in faults:
        fault = EventFault(index=index, path=found.path, reason=found.reason)
        if details_bytes < DETAILS_BYTES_MAX:
            fault.message, fault.value = found.message, found.value
            details_bytes += fault.ByteSize()
        answer.faults.append(fault)
    return answer


def first_faults(
    faults: Iterable[tuple[int, FieldFault]],
) -> list[tuple[int, FieldFault]]:
    """The faults to answer, given all faults in the order of their events."""
    kept: list[tuple[int, FieldFault]] = []
    for index, fault in faults:
        if len(kept) < FAULTS_MAX or kept[-1][0] != index:
            kept.append((index, fault))
    return kept
