"""Writing events: numbers, then rows, in one transaction."""

import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from cost_insights._native import EventBatch, Group, Receipt
from cost_insights.store.number_cache import NumberCache
from cost_insights.store.numbers import (
    SeriesParts,
    chunks,
    known_customers,
    number_customers,
    number_series,
)
from cost_insights.store.packed_cache import PackedCache
from cost_insights.store.schema import event
from cost_insights.store.segments import insert_batches

_CUSTOMERS_REMEMBERED = 200_000
_SERIES_REMEMBERED = 50_000

_K = TypeVar("_K", bound=Hashable)


class Submission(NamedTuple):
    """A batch and whose it is."""

    organization_number: int
    organization_id: uuid.UUID
    batch: EventBatch


class Outcome(NamedTuple):
    """What became of a submission."""

    batch: EventBatch
    """The batch without the events that name an unknown `customer_id`; they are faults now."""

    receipt: Receipt | None
    """None where nothing was stored, because a fault came up and `accept_valid` was not asked."""


class EventWriter:
    """Writes the events of one thread, one transaction at a time.

    After each transaction it must be told whether that was committed: only then
    does it remember the numbers it handed out.
    """

    def __init__(
        self, insert: Callable[[sa.Connection, Group], None], packed_cache: PackedCache
    ) -> None:
        self._insert = insert
        self._packed_cache = packed_cache
        self._new_batches: dict[uuid.UUID, bytes] = {}
        self._customers = NumberCache[tuple[int, str]](_CUSTOMERS_REMEMBERED)
        self._customers_by_id = NumberCache[tuple[int, bytes]](_CUSTOMERS_REMEMBERED)
        self._series = NumberCache[tuple[int, SeriesParts]](_SERIES_REMEMBERED)
        self._new_customers: dict[tuple[int, str], int] = {}
        self._new_customers_by_id: dict[tuple[int, bytes], int] = {}
        self._new_series: dict[tuple[int, SeriesParts], int] = {}

    def write(
        self,
        connection: sa.Connection,
        submissions: Sequence[Submission],
        *,
        now_us: int,
        looks_first: bool,
    ) -> tuple[list[Outcome], bytes | None]:
        """Writes the events of the submissions into the transaction of the connection.

        Returns their outcomes, in order, and the id of an event that was inserted.
        Unless it `looks_first` which events are stored already, it raises
        `sqlalchemy.exc.IntegrityError` if there are any: the transaction must be
        rolled back and written again by one that looks.

        A submission that names an unknown `customer_id` and does not ask for
        `accept_valid` writes nothing; the others are not affected.
        """
        self._forget_new()
        by_organization: dict[int, list[int]] = {}
        for place, submission in enumerate(submissions):
            by_organization.setdefault(submission.organization_number, []).append(place)

        outcomes: dict[int, Outcome] = {}
        places: list[int] = []
        members: list[tuple[EventBatch, int, list[int], list[int]]] = []
        known_parents: list[bytes] = []
        # In one order everywhere, so that two transactions never wait for each other's rows.
        for organization_number, theirs in sorted(by_organization.items()):
            by_id = self._number_ids(
                connection, organization_number, [submissions[place].batch for place in theirs]
            )
            accepted: dict[int, EventBatch] = {}
            for place in theirs:
                batch = submissions[place].batch
                unknown = [n for n, one in enumerate(batch.customer_ids) if one not in by_id]
                if unknown:
                    batch = batch.without_customers(unknown)
                if unknown and not batch.accept_valid:
                    outcomes[place] = Outcome(batch, None)
                else:
                    accepted[place] = batch
            customers = self._number_customers(
                connection, submissions[theirs[0]], accepted.values(), now_us
            )
            series = self._number_series(connection, organization_number, accepted.values())
            known_parents += _stored_ids(
                connection,
                organization_number,
                {parent for batch in accepted.values() for parent in batch.uncertain_parents},
            )
            for place, batch in accepted.items():
                numbers = [customers[one] for one in batch.external_customer_ids]
                numbers += [by_id.get(one, -1) for one in batch.customer_ids]
                places.append(place)
                members.append(
                    (batch, organization_number, numbers, [series[one] for one in batch.series])
                )

        group = Group(members, known_parents)
        if looks_first:
            self._insert_new(connection, group)
        else:
            self._insert(connection, group)
        self._new_batches = insert_batches(connection, group.cells(), now_us=now_us)
        for place, member, receipt in zip(places, members, group.receipts(), strict=True):
            outcomes[place] = Outcome(member[0], receipt)
        return [outcomes[place] for place in range(len(submissions))], group.any_id()

    def committed(self) -> None:
        """Remembers the numbers that the last transaction handed out."""
        self._customers.remember(self._new_customers)
        self._customers_by_id.remember(self._new_customers_by_id)
        self._series.remember(self._new_series)
        self._packed_cache.remember(self._new_batches)
        self._forget_new()

    def _forget_new(self) -> None:
        self._new_customers = {}
        self._new_customers_by_id = {}
        self._new_series = {}
        self._new_batches = {}

    def _number_ids(
        self,
        connection: sa.Connection,
        organization_number: int,
        batches: Iterable[EventBatch],
    ) -> Mapping[bytes, int]:
        asked = {one for batch in batches for one in batch.customer_ids}
        if not asked:
            return {}
        known = _known(self._customers_by_id, organization_number, asked)
        if missing := asked - known.keys():
            found = known_customers(connection, organization_number, missing)
            _add(self._new_customers_by_id, organization_number, found)
            known |= found
        return known

    def _number_customers(
        self,
        connection: sa.Connection,
        submission: Submission,
        batches: Iterable[EventBatch],
        now_us: int,
    ) -> Mapping[str, int]:
        organization_number = submission.organization_number
        asked = dict.fromkeys(one for batch in batches for one in batch.external_customer_ids)
        known = _known(self._customers, organization_number, asked)
        if len(known) < len(asked):
            found = number_customers(
                connection,
                organization_number,
                submission.organization_id,
                [one for one in asked if one not in known],
                now_us=now_us,
            )
            _add(self._new_customers, organization_number, found)
            known |= found
        return known

    def _number_series(
        self, connection: sa.Connection, organization_number: int, batches: Iterable[EventBatch]
    ) -> Mapping[SeriesParts, int]:
        asked = dict.fromkeys(one for batch in batches for one in batch.series)
        known = _known(self._series, organization_number, asked)
        if len(known) < len(asked):
            found = number_series(
                connection, organization_number, [one for one in asked if one not in known]
            )
            _add(self._new_series, organization_number, found)
            known |= found
        return known

    def _insert_new(self, connection: sa.Connection, group: Group) -> None:
        # What others insert between the look and the insert is found by another look.
        looked = False
        while True:
            before = len(group)
            group.set_aside(_stored_digests(connection, group.keyed_ids()))
            savepoint = connection.begin_nested()
            try:
                self._insert(connection, group)
            except sa.exc.IntegrityError:
                savepoint.rollback()
                if looked and len(group) == before:
                    # Not because of a stored event, so inserting again would not help.
                    raise
                looked = True
            else:
                savepoint.commit()
                return


def _known(
    cache: NumberCache[tuple[int, _K]], organization_number: int, keys: Iterable[_K]
) -> dict[_K, int]:
    found = cache.known((organization_number, key) for key in keys)
    return {key: number for (_, key), number in found.items()}


def _add(
    new: dict[tuple[int, _K], int], organization_number: int, numbers: Mapping[_K, int]
) -> None:
    new.update({(organization_number, key): number for key, number in numbers.items()})


def _stored_digests(connection: sa.Connection, ids: Sequence[bytes]) -> list[tuple[bytes, int]]:
    stored: list[tuple[bytes, int]] = []
    for chunk in chunks(ids):
        rows = connection.execute(
            sa.select(event.c.id, event.c.content_digest).where(
                event.c.id.in_([uuid.UUID(bytes=one) for one in chunk])
            )
        )
        stored += [(one.bytes, digest) for one, digest in rows]
    return stored


def _stored_ids(
    connection: sa.Connection, organization_number: int, ids: set[bytes]
) -> list[bytes]:
    stored: list[bytes] = []
    for chunk in chunks(ids):
        rows = connection.execute(
            sa.select(event.c.id).where(
                event.c.organization_number == organization_number,
                event.c.id.in_([uuid.UUID(bytes=one) for one in chunk]),
            )
        )
        stored += [one.bytes for (one,) in rows]
    return stored
