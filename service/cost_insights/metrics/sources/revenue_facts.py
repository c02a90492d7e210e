"""Facts of the ledger: orders, refunds, subscriptions, checkouts and seats."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from cost_insights._native.ledger import Ledger, LedgerQuestion, LedgerTally
from cost_insights.metrics.periods import Interval, Periods
from cost_insights.metrics.question import GroupBy, MetricsQuestion
from cost_insights.metrics.ranking import Key, Ranks
from cost_insights.metrics.sources.facts import (
    CUMULATIVE,
    FACTS,
    LEDGER_SOURCES,
    FactSource,
    Sums,
    Total,
)
from cost_insights.store import chunks

_MEMBERS: Mapping[FactSource, str] = {
    FactSource.ENTRIES: "entries",
    FactSource.SUBSCRIPTIONS: "subscriptions",
    FactSource.CHECKOUTS: "checkouts",
    FactSource.SEATS: "seats",
}
"""The ledger column that counts the records of a source, by source."""


class RevenueFacts:
    """The facts of the revenue that a question is about."""

    def __init__(
        self,
        ledger: Ledger,
        question: MetricsQuestion,
        periods: Periods,
        *,
        facts: frozenset[str],
        customers: Sequence[int] | None,
    ) -> None:
        """Restricted to the `facts` that are needed and to `customers`, or all where it is None."""
        self._ledger = ledger
        self._by = {GroupBy.CUSTOMER: "customer", GroupBy.PRODUCT: "product"}.get(
            question.group_by or GroupBy.EVENT_NAME, ""
        )
        needed = {name for name in facts if FACTS[name].source in LEDGER_SOURCES}
        self._history = {base for base, name in CUMULATIVE.items() if name in needed}
        self._facts = needed - set(CUMULATIVE.values()) | self._history
        self._question = question
        self._periods = periods
        self._customers = customers

    def whole(self) -> Sums:
        """The totals."""
        return next(self._sums(self._ledger.tally(self._ledger_question(self._facts))))

    def of_each(self, keys: Sequence[Key]) -> Iterator[Sums]:
        """One entry per listed customer or product, and a last one for all others."""
        ledger_question = self._ledger_question(self._facts)
        return self._sums(self._ledger.tally(ledger_question, by=self._by, keys=keys))

    def members(self, sources: Iterable[FactSource]) -> Sequence[Key]:
        """The customers or products with any record of these sources in the span."""
        keys, tally = self._ranking
        counts = [tally.column(_MEMBERS[source]) for source in sources]
        return [key for key, *of_key in zip(keys, *counts, strict=True) if any(of_key)]

    def ranks(self, keys: Sequence[Key]) -> Ranks:
        """The facts by which these customers or products are ranked."""
        totals: dict[str, dict[Key, int]] = {name: {} for name in self._facts}
        history: dict[str, dict[Key, int]] = {name: {} for name in self._history}
        found, tally = self._ranking
        for name, of_key in totals.items():
            of_key.update(zip(found, tally.column(name), strict=True))
        for name, of_key in history.items():
            of_key.update(zip(found, tally.history(name), strict=True))
        # A key without a record in the span may have had some before it.
        known = frozenset(found)
        for chunk in chunks([key for key in keys if key not in known]):
            for key, sums in zip(chunk, self.of_each(chunk), strict=False):  # not the last
                for name, of_key in totals.items():
                    column = sums.columns[name]
                    is_sum = FACTS[name].total is Total.SUM
                    of_key[key] = sum(column) if is_sum else column[-1]
                for name, of_key in history.items():
                    of_key[key] = sums.history[name]

        def column_of(name: str) -> list[int]:
            return [totals[name][key] for key in keys]

        last = {name: column_of(name) for name in self._facts if FACTS[name].total is Total.LAST}
        for name, before in history.items():
            last[CUMULATIVE[name]] = [before[key] + totals[name][key] for key in keys]
        sums_ = {name: column_of(name) for name in self._facts if FACTS[name].total is Total.SUM}
        return Ranks(keys, sums_, last, {})

    @cached_property
    def _ranking(self) -> tuple[Sequence[Key], LedgerTally]:
        """Everyone with a record in the span, and the facts they are ranked by."""
        question = self._ledger_question({*self._facts, *_MEMBERS.values()})
        return self._ledger.rank(question, by=self._by)

    def _ledger_question(self, facts: Iterable[str]) -> LedgerQuestion:
        return LedgerQuestion(
            bounds_us=self._periods.bounds_us,
            whole_bounds_us=self._periods.whole_bounds_us,
            by_year=self._question.interval is Interval.YEAR,
            customers=self._customers,
            products=_texts(self._question.products),
            billing_types=_texts(self._question.billing_types),
            facts=sorted(facts),
            history=bool(self._history),
        )

    def _sums(self, tally: LedgerTally) -> Iterator[Sums]:
        columns = {name: tally.column(name) for name in self._facts}
        history = {name: tally.history(name) for name in self._history}
        slots = tally.slots
        for group in range(tally.groups):
            yield Sums.of(
                {
                    name: column[group * slots : (group + 1) * slots]
                    for name, column in columns.items()
                },
                history={name: before[group] for name, before in history.items()},
            )


def _texts(texts: frozenset[str] | None) -> list[str] | None:
    return None if texts is None else sorted(texts)
