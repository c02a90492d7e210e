"""Clients that send events without pause, and know of each one whether it was acknowledged.

They try each batch again until it is acknowledged. Afterwards the database must hold every event
that was acknowledged, once and with its cost, and nothing that was never sent.
"""

import contextlib
import datetime
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import sqlalchemy as sa

from cost_insights.client import Client, NewEvent
from cost_insights.client.errors import CallError, RefusedError, UnavailableError
from cost_insights.store import Store
from cost_insights.store.schema import event
from tests.support.command_line import program

_PAUSE_SECONDS: Final = 0.02
_FINISH_SECONDS_MAX: Final = 120


@dataclass(frozen=True)
class Acknowledgement:
    """A batch that was acknowledged, and the time at which the sender heard of it."""

    at_ns: int
    """By `time.monotonic_ns`."""

    external_ids: Sequence[str]


@dataclass
class Record:
    """Everything that a sender sent, and what it was told."""

    sent: dict[str, int] = field(default_factory=dict)
    """The picocents of each event by its external id."""

    acknowledged: list[Acknowledgement] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    """The number of failed tries, by code and reason."""

    errors: list[str] = field(default_factory=list)
    """What no sender should ever be told."""


class Sender(threading.Thread):
    """Sends batches, one after the other."""

    def __init__(
        self,
        address: str,
        name: str,
        *,
        token: str | None = None,
        batch_events: int = 40,
        text_chars: int = 0,
    ) -> None:
        super().__init__(name=name)
        self.record = Record()
        self._address = address
        self._token = token
        self._batch_events = batch_events
        self._text = "x" * text_chars
        self._rng = random.Random(name)
        self._done = threading.Event()
        self._gives_up = threading.Event()

    def finish(self) -> None:
        """Makes it stop once its batch is acknowledged."""
        self._done.set()

    def give_up(self) -> None:
        """Makes it stop at once; whether the last batch is stored remains unknown."""
        self._done.set()
        self._gives_up.set()

    def run(self) -> None:
        """Sends until told to stop."""
        number = 0
        with Client(
            self._address, token=self._token, timeout_seconds=30, retry_seconds=0
        ) as client:
            while not self._done.is_set():
                batch = {
                    f"{self.name}-{number + n}": self._rng.randint(-(10**14), 10**15)
                    for n in range(self._batch_events)
                }
                number += len(batch)
                self.record.sent |= batch
                try:
                    self._send(client, batch)
                except Exception as error:  # noqa: BLE001 (the row fails with it)
                    self.record.errors.append(f"{self.name}: {type(error).__name__}: {error}")
                    return

    def _send(self, client: Client, batch: dict[str, int]) -> None:
        events: list[NewEvent] = [
            {
                "name": ("llm.inference", "email.sent", "video.processing")[picocents % 3],
                "external_customer_id": f"user_{picocents % 50}",
                "external_id": external_id,
                "cost": {"amount": str(Decimal(picocents).scaleb(-12)), "currency": "usd"},
                "metadata": {"text": self._text} if self._text else {},
            }
            for external_id, picocents in batch.items()
        ]
        while not self._gives_up.is_set():
            try:
                answer = client.ingest(events)
            except (UnavailableError, RefusedError) as error:
                self._refused(error)
                time.sleep(_PAUSE_SECONDS * (1 + self._rng.random()))
                continue
            if answer.inserted + answer.duplicates != len(events) or answer.conflicts:
                self.record.errors.append(f"{self.name} was told {answer}")
            at_ns = time.monotonic_ns()
            self.record.acknowledged.append(Acknowledgement(at_ns, list(batch)))
            return

    def _refused(self, error: CallError) -> None:
        self.record.refusals[f"{error.code.name} {error.reason}".strip()] += 1
        if error.code.name in {"INTERNAL", "UNKNOWN"} or isinstance(error, RefusedError):
            self.record.errors.append(f"{self.name} was refused: {error} {error.violations}")
            self.give_up()


@contextlib.contextmanager
def sending(
    address: str,
    count: int,
    *,
    token: str | None = None,
    batch_events: int = 40,
    text_chars: int = 0,
) -> Iterator[Sequence[Sender]]:
    """Senders for the time of the block, after which each knows what became of its batches."""
    senders = [
        Sender(address, f"s{number}", token=token, batch_events=batch_events, text_chars=text_chars)
        for number in range(count)
    ]
    for sender in senders:
        sender.start()
    finished = False
    try:
        yield senders
        finished = True
    finally:
        for sender in senders:
            (sender.finish if finished else sender.give_up)()
        until = time.monotonic() + _FINISH_SECONDS_MAX
        for sender in senders:
            sender.join(max(0.0, until - time.monotonic()))
        for sender in senders:
            if sender.is_alive():
                sender.record.errors.append(f"{sender.name} is not answered in the end")
                sender.give_up()


def differences(
    database_url: str, records: Sequence[Record], *, until_ns: int | None = None
) -> list[str]:
    """What the database holds otherwise than the senders know.

    With `until_ns`, acknowledgements count that came before that time.
    """
    store = Store(database_url, connections_max=4)
    try:
        with store.read() as connection:
            rows = connection.execute(sa.select(event.c.external_id, event.c.cost_picocents)).all()
    finally:
        store.close()
    stored = dict(tuple(row) for row in rows)
    found = []
    if len(stored) != len(rows):
        found.append(f"{len(rows) - len(stored)} events are stored more than once")
    sent: dict[str, int] = {}
    needed: set[str] = set()
    for record in records:
        found += record.errors
        sent |= record.sent
        for acknowledged in record.acknowledged:
            if until_ns is None or acknowledged.at_ns < until_ns:
                needed.update(acknowledged.external_ids)
    if lost := needed - stored.keys():
        found.append(f"{len(lost)} of {len(needed)} acknowledged events are lost")
    if others := {one for one, cost in stored.items() if sent.get(one) != cost}:
        found.append(f"{len(others)} events are stored that nobody sent so")
    return found


def sums_differ(address: str, database_url: str, *, token: str | None = None) -> list[str]:
    """What the service adds up otherwise than it is stored, and what `db check` finds."""
    store = Store(database_url, connections_max=4)
    try:
        with store.read() as connection:
            costs = connection.execute(sa.select(event.c.cost_picocents)).scalars().all()
    finally:
        store.close()
    today = datetime.datetime.now(datetime.UTC).date()
    # The clock of the service may have been wrong.
    days = datetime.timedelta(days=60)
    with Client(address, token=token) as client:
        answer = client.metrics(start=today - days, end=today + days)
    wanted = Decimal(sum(cost or 0 for cost in costs)).scaleb(-12)
    found = []
    if answer.totals["costs"] != wanted:
        found.append(f"the service answers {answer.totals['costs']}, stored are {wanted}")
    return found + check_differs(database_url)


def check_differs(database_url: str) -> list[str]:
    """The complaint of `db check`, if it has one."""
    command = program("db", "check", "--database-url", database_url)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return [] if done.returncode == 0 else [f"db check: {done.stdout}{done.stderr}".strip()]
