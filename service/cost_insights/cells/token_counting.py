"""Counting the tokens of events that earlier versions stored, whose cells hold none yet.

It goes on in the background, one month after the other, the latest first. A month is computed of
its events in a snapshot; only writing the cells keeps others from writing on SQLite.
"""

import logging

import sqlalchemy as sa

from cost_insights.cells.check import CellCheck, replace_spans
from cost_insights.store import Store
from cost_insights.store.schema import organization

_log = logging.getLogger(__name__)


class TokenCounting:
    """The work that is left on a database. Nobody may compact while a step of it is done."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left: list[tuple[int, list[int]]] | None = None
        """(organization number, months from 1970 that are left, the next at the end); None while
        that is not known."""

    def begin(self) -> None:
        """Forgets what is left: another process may have gone on with it."""
        self._left = None

    def step(self) -> None:
        """Counts the tokens of a month of an organization, if any are left to count."""
        if self._left is None:
            self._left = self._uncounted()
        if not self._left:
            return
        number, months = self._left[-1]
        if months:
            self._count(number, months[-1])
            months.pop()
        if not months:
            with self._store.write() as connection:
                connection.execute(
                    sa.update(organization)
                    .where(organization.c.number == number)
                    .values(tokens_counted=True)
                )
            _log.info("the tokens of all events of organization %s are counted", number)
            self._left.pop()

    def _uncounted(self) -> list[tuple[int, list[int]]]:
        with self._store.read() as connection:
            numbers = connection.scalars(
                sa.select(organization.c.number).where(sa.not_(organization.c.tokens_counted))
            ).all()
            return [
                (number, CellCheck(self._store, connection, number, only_tokens=True).months())
                for number in numbers
            ]

    def _count(self, number: int, month: int) -> None:
        with self._store.read() as connection:
            # Damaged events are passed over: nothing else knows their tokens.
            check = CellCheck(self._store, connection, number, accept_loss=True, only_tokens=True)
            wrong = [one for one in check.month(month).spans if not one.is_right]
        if wrong:
            with self._store.write() as connection:
                replace_spans(connection, number, wrong)
