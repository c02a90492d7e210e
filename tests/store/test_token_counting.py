"""Tokens of events that earlier versions stored are counted, however far that gets at a time."""

import time
import uuid
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from cost_insights.cells import Kind, pending_batches
from cost_insights.cells.token_counting import TokenCounting
from cost_insights.store import Store
from cost_insights.store.schema import batch, event, organization, segment
from tests.support.segments import SPAN, answers, checked, compact, fill
from tests.support.service import Caller, StartServer


def forget_tokens(store: Store) -> None:
    """Leaves a database as an upgrade from an earlier version does."""
    with store.write() as connection:
        for one in connection.scalars(sa.select(batch.c.id)).all():
            # Of another id, as nobody remembers the contents of what an earlier version stored.
            changed = sa.update(batch).where(batch.c.id == one)
            connection.execute(changed.values(id=uuid.uuid4(), tokens=None))
        kinds = [kind for kind in Kind if kind.layout.is_of_tokens]
        connection.execute(sa.delete(segment).where(segment.c.kind.in_(kinds)))
        connection.execute(sa.update(organization).values(tokens_counted=False))


TOKENS = sum(100 * n + 1 for n in range(12))
"""The input tokens of what `fill` sends."""


def tokens(caller: Caller) -> dict[str, int]:
    """The input tokens of events by name."""
    answer = caller.get_metrics(**SPAN, metrics=["input_tokens"], group_by="GROUP_BY_EVENT_NAME")
    return {one.value: one.totals.input_tokens for one in answer.groups}


def is_counted(store: Store) -> bool:
    """Whether nothing is left to count."""
    with store.read() as connection:
        return bool(connection.scalar(sa.select(organization.c.tokens_counted)))


def test_tokens_of_earlier_versions(start_server: StartServer, database_url: str) -> None:
    """The service counts them after an upgrade, compacted or not, with a checksum or without, and
    what comes meanwhile counts once."""
    with start_server(database_url, compact=False) as service:
        caller = service.stranger()
        fill(caller)
        compact(service.store)
        fill(caller, name="email.sent")
        forget_tokens(service.store)
        fill(caller, name="new")
        assert tokens(caller) == {"llm.inference": 0, "email.sent": 0, "new": TOKENS}
        # They are not held against cells that nobody has counted yet.
        assert checked(service.store).is_right
        with service.store.write() as connection:
            connection.execute(
                sa.update(event)
                .where(event.c.customer_number == 1)
                .values(checksum=None, metadata_signature=None)
            )
    with start_server(database_url) as service:
        give_up = time.monotonic() + 60
        while not is_counted(service.store) or pending_batches(service.store):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert tokens(service.stranger()) == dict.fromkeys(
            ["llm.inference", "email.sent", "new"], TOKENS
        )
        assert checked(service.store).is_right


@pytest.mark.parametrize("between", [lambda store: None, compact], ids=["pending", "compacted"])
def test_counting_month_by_month(
    start_server: StartServer, database_url: str, between: Callable[[Store], None]
) -> None:
    """A month is counted at a time, the latest first; counting may begin again at any time, and
    compactions may come between."""
    with start_server(database_url, compact=False) as service:
        caller = service.stranger()
        fill(caller)
        between(service.store)
        expected = answers(caller)
        forget_tokens(service.store)
        steps = 0
        counting = TokenCounting(service.store)
        while not is_counted(service.store):
            counting.step()
            steps += 1
            if steps == 3:
                counting.begin()
            between(service.store)
        assert steps == 3 + 5
        counting.step()
        assert answers(caller) == expected
        assert checked(service.store).is_right
