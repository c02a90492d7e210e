"""The facts of the ledger: what was earned, and which subscriptions there were."""

from collections.abc import Iterable, Mapping, Sequence
from operator import add

from cost_insights._native import Ledger, LedgerQuestion, LedgerTally
from cost_insights.metrics.facts import CUMULATIVE, FACTS, LEDGER_SOURCES, Source, Sums, Total
from cost_insights.metrics.periods import Interval, Periods
from cost_insights.metrics.question import GroupBy, MetricsQuestion
from cost_insights.metrics.ranking import Key, Ranks

_MEMBERS: Mapping[Source, str] = {
    Source.ENTRIES: "entries",
    Source.SUBSCRIPTIONS: "subscriptions",
}
"""What tells how much of a source is of a key in the span."""


class EarnedFacts:
    """The facts of the orders and subscriptions that a question is about."""

    def __init__(
        self,
        ledger: Ledger,
        asked: MetricsQuestion,
        periods: Periods,
        *,
        facts: frozenset[str],
        customers: Sequence[int] | None,
    ) -> None:
        """`facts` are those that are needed; of `customers`, or of all where it is None."""
        self._ledger = ledger
        self._by = {GroupBy.CUSTOMER: "customer", GroupBy.PRODUCT: "product"}.get(
            asked.group_by or GroupBy.EVENT_NAME, ""
        )
        needed = {name for name in facts if FACTS[name].source in LEDGER_SOURCES}
        self._history = {base for base, name in CUMULATIVE.items() if name in needed}
        self._facts = needed - set(CUMULATIVE.values()) | self._history
        self._asked = asked
        self._periods = periods
        self._customers = customers

    def whole(self) -> Sums:
        """Of everything."""
        return self._sums(self._ledger.tally(self._question(self._facts)))[0]

    def of_each(self, keys: Sequence[Key]) -> list[Sums]:
        """Of each of these customers or products, and of all others at the end."""
        question = self._question(self._facts)
        return self._sums(self._ledger.tally(question, by=self._by, keys=keys))

    def ranks(self, sources: Iterable[Source]) -> tuple[Ranks, Sequence[Key]]:
        """What metrics of each customer or product are ranked by, and those of them that
        have anything of these sources in the span."""
        counted = [_MEMBERS[source] for source in sources]
        keys, tally = self._ledger.rank(self._question({*self._facts, *counted}), by=self._by)
        columns = {name: tally.column(name) for name in self._facts}
        sums = {name: columns[name] for name in self._facts if FACTS[name].total is Total.SUM}
        last = {name: columns[name] for name in self._facts if FACTS[name].total is Total.LAST}
        for name in self._history:
            last[CUMULATIVE[name]] = list(map(add, tally.history(name), columns[name]))
        counts = [tally.column(name) for name in counted]
        members = [key for key, *of_key in zip(keys, *counts, strict=True) if any(of_key)]
        return Ranks(keys, sums, last, {}), members

    def _question(self, facts: Iterable[str]) -> LedgerQuestion:
        return LedgerQuestion(
            bounds_us=self._periods.bounds_us,
            whole_bounds_us=self._periods.whole_bounds_us,
            by_year=self._asked.interval is Interval.YEAR,
            customers=self._customers,
            products=_texts(self._asked.products),
            billing_types=_texts(self._asked.billing_types),
            facts=sorted(facts),
        )

    def _sums(self, tally: LedgerTally) -> list[Sums]:
        columns = {name: tally.column(name) for name in self._facts}
        history = {name: tally.history(name) for name in self._history}
        slots = tally.slots
        return [
            Sums.of(
                {
                    name: column[group * slots : (group + 1) * slots]
                    for name, column in columns.items()
                },
                history={name: before[group] for name, before in history.items()},
            )
            for group in range(tally.groups)
        ]


def _texts(texts: frozenset[str] | None) -> list[str] | None:
    return None if texts is None else sorted(texts)
