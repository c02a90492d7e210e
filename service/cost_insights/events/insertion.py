"""Inserting events: numbers, then rows, in one transaction."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from cost_insights._native.cells import fold_series, fold_token_series
from cost_insights._native.commit import Commit, NumberCache, Receipt
from cost_insights._native.events import EventBatch
from cost_insights.cells.batches import is_committed, new_batches
from cost_insights.cells.cache import CellCache
from cost_insights.cells.rows import Packed, RowKey
from cost_insights.customers.numbering import (
    NO_LIMITS,
    CustomerKey,
    DefaultLimits,
    FoundNumbers,
    SeriesParts,
    known_customers,
    number_all,
    other_series,
)
from cost_insights.events.pruned_events import PrunedError, pruned_digests
from cost_insights.store.chunks import chunks
from cost_insights.store.dialect import Dialect
from cost_insights.store.schema import event

_CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Room for the numbers of some 600 000 customers."""

_NOBODY = -1
"""Stands for the number of a customer of whom no event is left."""

_K = TypeVar("_K")


class Submission(NamedTuple):
    """A batch and its organization."""

    organization_number: int
    organization_id: uuid.UUID
    batch: EventBatch


class Outcome(NamedTuple):
    """The result of a submission."""

    batch: EventBatch
    """The batch without the events that name an unknown `customer_id`; they are faults now."""

    receipt: Receipt | None
    """None if nothing was stored, because of a fault in a request without `accept_valid`."""


class _SubmissionCommit(NamedTuple):
    """The commit of several submissions, with what their outcomes are made of."""

    batches: Sequence[EventBatch]
    """The batch of each submission, without the events that name an unknown `customer_id`."""

    refused: frozenset[int]
    """The indexes of the submissions that are not in the commit."""

    commit: Commit

    def outcomes(self) -> list[Outcome]:
        """The outcome of each submission, provided that the commit is inserted."""
        receipts = iter(self.commit.receipts())
        return [
            Outcome(batch, None if place in self.refused else next(receipts))
            for place, batch in enumerate(self.batches)
        ]


@dataclass(frozen=True)
class Prepared:
    """Submissions, prepared as far as possible without the database."""

    submissions: Sequence[Submission]
    submission_commit: _SubmissionCommit | None
    """None if customers, series or parents must be looked up in the database."""

    encoded: object
    """The events of the commit, as the dialect inserts them."""

    cells: Sequence[tuple[int, bytes, bytes | None]]
    """The packed cells of these events and those of their tokens, by organization."""


class TransactionTrace(NamedTuple):
    """Evidence by which a committed transaction is recognized later."""

    batch_key: RowKey
    """A batch that the transaction inserted. An event would be no evidence: another transaction may
    have inserted the same one."""

    transaction_id: str


class Written(NamedTuple):
    """A transaction that is ready to commit."""

    transaction: sa.RootTransaction
    outcomes: list[Outcome]
    trace: TransactionTrace | None
    """None where no event was inserted: whether it was committed does not matter then."""


class _Known(NamedTuple):
    """The numbers of what a batch lists, in the order of its lists."""

    external_customers: list[int | None]
    customers: list[int | None]
    series: list[int | None]


class _Found(NamedTuple):
    """The numbers that were found in the database for an organization."""

    organization_number: int
    external_customers: dict[str, int]
    customers: dict[bytes, int]
    series: dict[SeriesParts, int]


class EventInsertion:
    """Inserts events, one transaction at a time.

    After each transaction it must be told whether that was committed: only then
    does it remember the numbers it handed out.
    """

    def __init__(
        self, dialect: Dialect, cell_cache: CellCache, defaults: DefaultLimits = NO_LIMITS
    ) -> None:
        self._dialect = dialect
        self._defaults = defaults
        # The series that counts the folded ones, of each organization of which any was seen.
        self._other_series: dict[int, int] = {}
        self._found_other_series: Mapping[int, int] = {}
        self._folded = 0
        self._cell_cache = cell_cache
        self._cache = NumberCache(_CACHE_BYTES_MAX)
        self._found: Sequence[_Found] = ()
        self._batches: Mapping[bytes, Packed] = {}

    def prepare(self, submissions: Sequence[Submission]) -> Prepared:
        """Does the work that needs no database; any thread may call it."""
        commit = self._cache.commit_of(
            [(one.batch, one.organization_number) for one in submissions]
        )
        if commit is None:
            return Prepared(submissions, None, None, ())
        submission_commit = _SubmissionCommit(
            [one.batch for one in submissions], frozenset(), commit
        )
        return Prepared(
            submissions,
            submission_commit,
            self._dialect.encode_events(commit),
            self._cells(commit),
        )

    def write(self, connection: sa.Connection, prepared: Prepared, *, now_us: int) -> Written:
        """Writes the events of the submissions into a transaction, which it begins.

        A submission that names an unknown `customer_id` and does not ask for
        `accept_valid` writes nothing; the others are not affected.
        """
        # Insert first and look afterwards. Looking first would cost every event a
        # look-up, and two processes could both see nothing; the primary key decides
        # instead. The price is one failed transaction for a commit that holds an event
        # which is stored already; what others store between the look and the insert
        # is found by another look.
        looks = False
        left: int | None = None
        while True:
            transaction = connection.begin()
            self._found, self._found_other_series, self._batches = (), {}, {}
            self._folded = 0
            left_before, left = left, None
            trace: TransactionTrace | None = None
            try:
                if looks or prepared.submission_commit is None:
                    self._dialect.begin(connection)
                submission_commit = prepared.submission_commit or self._number(
                    connection, prepared.submissions, now_us
                )
                commit, encoded, cells = submission_commit.commit, prepared.encoded, prepared.cells
                if looks:
                    commit.set_aside(_stored_digests(connection, commit.keyed_ids()))
                    commit.set_aside(pruned_digests(connection, commit))
                    encoded = None
                left = len(commit)
                if left and encoded is None:
                    encoded, cells = self._dialect.encode_events(commit), self._cells(commit)
                if left:
                    batches = new_batches(cells, now_us=now_us)
                    inserted = self._dialect.insert(connection, encoded, batches)
                    # What is pruned just now can be inserted only once that is committed,
                    # and from then on it is found.
                    if inserted.has_pruned and pruned_digests(connection, commit):
                        raise PrunedError
                    self._batches = {one.id.bytes: Packed(one.cells, one.tokens) for one in batches}
                    batch_key = batches[0].organization_number, batches[0].id
                    trace = TransactionTrace(batch_key, inserted.transaction_id)
            except (sa.exc.IntegrityError, PrunedError):
                transaction.rollback()
                if looks and left == left_before:
                    # The failure is not caused by a stored event, so inserting again would not
                    # help.
                    raise
                looks = True
            else:
                return Written(transaction, submission_commit.outcomes(), trace)

    def was_committed(self, connection: sa.Connection, trace: TransactionTrace) -> bool:
        """The outcome of a transaction whose connection was lost while it committed."""
        self._dialect.refuse_unfinished(connection, trace.transaction_id)
        with connection.begin():
            return is_committed(connection, trace.batch_key)

    def committed(self) -> int:
        """Remembers the numbers that the last transaction handed out; returns how many series it
        folded."""
        # First, so that who finds a folded series in the cache finds this as well.
        self._other_series |= self._found_other_series
        self._found_other_series = {}
        for found in self._found:
            self._cache.add(*found)
        self._found = ()
        self._cell_cache.remember(self._batches)
        self._batches = {}
        return self._folded

    def _numbered(
        self,
        connection: sa.Connection,
        submissions: Sequence[Submission],
        batches: Sequence[EventBatch],
        known: Sequence[_Known],
        accepted: Sequence[int],
        *,
        left_out: Collection[CustomerKey] = (),
        now_us: int,
    ) -> FoundNumbers:
        """The numbers that are not known yet of what the accepted batches hold, but for customers
        that are left out."""
        owners = [submission.organization_number for submission in submissions]
        customers = _missing(
            (owners[place], batches[place].external_customer_ids, known[place].external_customers)
            for place in accepted
        )
        return number_all(
            connection,
            [one for one in customers if one not in left_out] if left_out else customers,
            _missing(
                (owners[place], batches[place].series, known[place].series) for place in accepted
            ),
            organization_ids={one.organization_number: one.organization_id for one in submissions},
            now_us=now_us,
            defaults=self._defaults,
        )

    def _cells(self, commit: Commit) -> Sequence[tuple[int, bytes, bytes | None]]:
        """The packed cells of the events left to insert and of their tokens, those of folded
        series together."""
        others = self._other_series
        if self._found_other_series:
            others = {**others, **self._found_other_series}
        if not others:
            return commit.cells()
        return [
            (owner, packed, tokens)
            if (other := others.get(owner)) is None
            else (
                owner,
                fold_series(packed, other),
                None if tokens is None else fold_token_series(tokens, other),
            )
            for owner, packed, tokens in commit.cells()
        ]

    def _find_other_series(
        self,
        connection: sa.Connection,
        owners: Sequence[int],
        known: Iterable["_Known"],
        found: FoundNumbers,
    ) -> None:
        """Finds the series that counts folded ones, of the organizations that have any."""
        folding = {owner for (owner, _), number in found.series.items() if number < 0}
        for owner, numbers in zip(owners, known, strict=True):
            if any(number is not None and number < 0 for number in numbers.series):
                folding.add(owner)
        if folding := folding - self._other_series.keys():
            self._found_other_series = other_series(connection, folding)

    def _known(self, organization_number: int, batch: EventBatch) -> _Known:
        return _Known(*self._cache.known(organization_number, batch))

    def _number(
        self, connection: sa.Connection, submissions: Sequence[Submission], now_us: int
    ) -> _SubmissionCommit:
        batches = [submission.batch for submission in submissions]
        owners = [submission.organization_number for submission in submissions]
        known = [self._known(*one) for one in zip(owners, batches, strict=True)]
        by_id = known_customers(
            connection,
            _missing(
                (owner, batch.customer_ids, numbers.customers)
                for owner, batch, numbers in zip(owners, batches, known, strict=True)
            ),
        )
        accepted: list[int] = []
        for place, owner in enumerate(owners):
            batch = batches[place]
            customers = _filled(owner, batch.customer_ids, known[place].customers, by_id)
            unknown = [n for n, number in enumerate(customers) if number == _NOBODY]
            if unknown:
                batch = batches[place] = batch.without_customers(unknown)
            if not unknown or batch.accept_valid:
                accepted.append(place)
        found = self._numbered(connection, submissions, batches, known, accepted, now_us=now_us)
        if found.quotas:
            accepted, left_out = _within_quotas(owners, batches, known, accepted, found)
            found = self._numbered(
                connection, submissions, batches, known, accepted, left_out=left_out, now_us=now_us
            )
        self._folded = found.folded
        self._find_other_series(connection, owners, known, found)
        self._found = _found_by_organization(found, by_id)
        members = [
            (
                batch,
                owner,
                [
                    *_filled(
                        owner,
                        batch.external_customer_ids,
                        numbers.external_customers,
                        found.customers,
                    ),
                    *_filled(owner, batch.customer_ids, numbers.customers, by_id),
                ],
                _filled(owner, batch.series, numbers.series, found.series),
            )
            for owner, batch, numbers in ((owners[n], batches[n], known[n]) for n in accepted)
        ]
        parents = {
            (owners[place], one) for place in accepted for one in batches[place].uncertain_parents
        }
        commit = Commit(members, _stored_ids(connection, parents))
        refused = frozenset(range(len(submissions))).difference(accepted)
        return _SubmissionCommit(batches, refused, commit)


def _within_quotas(
    owners: Sequence[int],
    batches: list[EventBatch],
    known: Sequence[_Known],
    accepted: Sequence[int],
    found: FoundNumbers,
) -> tuple[list[int], set[CustomerKey]]:
    """The places of the batches that are still accepted where organizations have more new customers
    than they may, and the customers that are left out.

    First come, first served. The events of others become faults; a batch that does not ask for
    `accept_valid` is refused as a whole, and registers nobody.
    """
    left = {owner: quota.left for owner, quota in found.quotas.items()}
    taken: set[CustomerKey] = set()
    left_out: set[CustomerKey] = set()
    still_accepted: list[int] = []
    for place in accepted:
        owner, batch = owners[place], batches[place]
        if owner not in left:
            still_accepted.append(place)
            continue
        numbers = zip(batch.external_customer_ids, known[place].external_customers, strict=True)
        new = [
            (n, key)
            for n, (external_id, number) in enumerate(numbers)
            if number is None
            and (key := (owner, external_id)) not in found.customers
            and key not in taken
        ]
        fitting, others = new[: left[owner]], new[left[owner] :]
        if others:
            batches[place] = batch.without_new_customers(
                [n for n, _ in others], found.quotas[owner].limit
            )
            if not batch.accept_valid:
                continue
        still_accepted.append(place)
        left[owner] -= len(fitting)
        taken.update(key for _, key in fitting)
        left_out.update(key for _, key in others)
    return still_accepted, left_out - taken


def _found_by_organization(
    found: FoundNumbers, by_id: Mapping[tuple[int, bytes], int]
) -> Sequence[_Found]:
    by_organization: dict[int, _Found] = {}

    def of(organization_number: int) -> _Found:
        if organization_number not in by_organization:
            by_organization[organization_number] = _Found(organization_number, {}, {}, {})
        return by_organization[organization_number]

    for (owner, external_id), number in found.customers.items():
        of(owner).external_customers[external_id] = number
    for (owner, one), number in by_id.items():
        of(owner).customers[one] = number
    for (owner, parts), number in found.series.items():
        of(owner).series[parts] = number
    return list(by_organization.values())


def _missing(
    lists: Iterable[tuple[int, Sequence[_K], Sequence[int | None]]],
) -> list[tuple[int, _K]]:
    """The distinct keys that have no number, each after the number of its organization, in the
    order of their first appearance."""
    missing: dict[tuple[int, _K], None] = {}
    for owner, keys, numbers in lists:
        missing |= {
            (owner, key): None for key, number in zip(keys, numbers, strict=True) if number is None
        }
    return list(missing)


def _filled(
    owner: int,
    keys: Sequence[_K],
    numbers: Sequence[int | None],
    found: Mapping[tuple[int, _K], int],
) -> list[int]:
    """The numbers of an organization's keys, those that were missing from what was found."""
    return [
        found.get((owner, key), _NOBODY) if number is None else number
        for key, number in zip(keys, numbers, strict=True)
    ]


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
    connection: sa.Connection, ids: Collection[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    """The ids of stored events among these, each after the number of the organization that it
    must belong to."""
    stored: list[tuple[int, bytes]] = []
    for chunk in chunks({one for _, one in ids}):
        rows = connection.execute(
            sa.select(event.c.id, event.c.organization_number).where(
                event.c.id.in_([uuid.UUID(bytes=one) for one in chunk])
            )
        )
        stored += [key for one, owner in rows if (key := (owner, one.bytes)) in ids]
    return stored
