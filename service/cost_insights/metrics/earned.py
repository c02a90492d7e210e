"""The facts of the ledger: what was earned, and which subscriptions there were."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from cost_insights._native import Ledger, LedgerQuestion, LedgerTally
from cost_insights.metrics.facts import CUMULATIVE, FACTS, LEDGER_SOURCES, Source, Sums, Total
from cost_insights.metrics.periods import Interval, Periods
from cost_insights.metrics.question import GroupBy, MetricsQuestion
from cost_insights.metrics.ranking import Key, Ranks
from cost_insights.store import chunks

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

    def members(self, sources: Iterable[Source]) -> Sequence[Key]:
        """The customers or products that have anything of these sources in the span."""
        keys, tally = self._ranking
        counts = [tally.column(_MEMBERS[source]) for source in sources]
        return [key for key, *of_key in zip(keys, *counts, strict=True) if any(of_key)]

    def ranks(self, keys: Sequence[Key]) -> Ranks:
        """What metrics of these customers or products are ranked by."""
        totals: dict[str, dict[Key, int]] = {name: {} for name in self._facts}
        history: dict[str, dict[Key, int]] = {name: {} for name in self._history}
        found, tally = self._ranking
        for name, of_key in totals.items():
            of_key.update(zip(found, tally.column(name), strict=True))
        for name, of_key in history.items():
            of_key.update(zip(found, tally.history(name), strict=True))
        # What has nothing in the span may have had something before it.
        known = frozenset(found)
        for chunk in chunks([key for key in keys if key not in known]):
            for key, sums in zip(chunk, self.of_each(chunk), strict=False):  # but the others
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
        """Who has anything in the span, and what they are ranked by."""
        return self._ledger.rank(self._question({*self._facts, *_MEMBERS.values()}), by=self._by)

    def _question(self, facts: Iterable[str]) -> LedgerQuestion:
        return LedgerQuestion(
            bounds_us=self._periods.bounds_us,
            whole_bounds_us=self._periods.whole_bounds_us,
            by_year=self._asked.interval is Interval.YEAR,
            customers=self._customers,
            products=_texts(self._asked.products),
            billing_types=_texts(self._asked.billing_types),
            facts=sorted(facts),
            history=bool(self._history),
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
