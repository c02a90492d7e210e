"""Answering a question: from facts to metrics per period and group."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import repeat
from operator import or_
from typing import Final, NamedTuple, TypeVar

from cost_insights._native.ledger import Ledger
from cost_insights.amounts import ONE_E12, divide_half_even
from cost_insights.cells import CellsTooLargeError
from cost_insights.identity import Organization
from cost_insights.metrics.answer import (
    Answer,
    Group,
    Numbers,
    Unattributed,
)
from cost_insights.metrics.definitions import METRICS, Metric
from cost_insights.metrics.periods import periods_of
from cost_insights.metrics.question import BILLING_TYPES, GroupBy, MetricsQuestion
from cost_insights.metrics.ranking import Key, Ranks, first
from cost_insights.metrics.sizes import cells_too_large, check_numbers, check_ranking, check_totals
from cost_insights.metrics.sources.cost_facts import CostFacts, products_of_events
from cost_insights.metrics.sources.facts import (
    COST_SOURCES,
    CUMULATIVE,
    LEDGER_SOURCES,
    FactSource,
    Sums,
)
from cost_insights.metrics.sources.ledger_cache import LedgerCache
from cost_insights.metrics.sources.revenue_facts import RevenueFacts
from cost_insights.metrics.sources.snapshot import Caches, Snapshot
from cost_insights.store import Deadline, Store
from cost_insights.telemetry import NOTHING, QuestionMeasurements, step

_EVERY_GROUP: Final = 2**31 - 1
"""A number of groups that no question exceeds."""

_T = TypeVar("_T")


class MetricsReader:
    """Answers questions from one snapshot of the database each."""

    def __init__(
        self,
        store: Store,
        caches: Caches,
        ledgers: LedgerCache,
        *,
        question_bytes_max: int,
        measurements: QuestionMeasurements = NOTHING.questions,
    ) -> None:
        """A question may read cells of so many bytes, and rank as many customers as take them."""
        self._store = store
        self._measurements = measurements
        self._caches = caches
        self._question_bytes_max = question_bytes_max
        self.ledgers = ledgers
        """The cached revenue records of organizations."""

    def answer(
        self,
        organization: Organization,
        question: MetricsQuestion,
        deadline: Deadline,
        *,
        numbers_max: int | None = None,
    ) -> Answer:
        """The metrics of the periods of a question; contains all that is committed.

        Raises InvalidRequestError if the answer would hold more numbers than `numbers_max`, or take
        too much memory, before it is computed, QueryTooSlowError if the deadline is over first, and
        StoreUnavailableError if the database does not answer.
        """
        return self._asked(
            organization,
            question,
            deadline,
            lambda query: query.answer(),
            numbers_max=numbers_max,
        )

    def totals(
        self, organization: Organization, question: MetricsQuestion, deadline: Deadline
    ) -> tuple[Sequence[Metric], Iterator[Group]]:
        """The metrics that groups have, and every group in order, however many there are.

        Everything is read by the call; groups are made as they are taken. Raises as `answer`.
        """
        every = replace(question, groups_max=_EVERY_GROUP)
        return self._asked(organization, every, deadline, lambda query: query.totals())

    def _asked(
        self,
        organization: Organization,
        question: MetricsQuestion,
        deadline: Deadline,
        read: "Callable[[_Query], _T]",
        *,
        numbers_max: int | None = None,
    ) -> _T:
        started = time.perf_counter()
        cover = periods_of(question.start, question.end, question.zone, question.interval).cover
        # More than one statement is needed for names, and for events beside the cells.
        transaction = question.takes_names or bool(cover.cut_quarters)
        bytes_max = self._question_bytes_max
        kind = "ungrouped" if question.group_by is None else question.group_by.value
        with (
            step("question", {"kind": kind}),
            self.snapshot(organization, deadline, transaction=transaction) as snapshot,
        ):
            query = _Query(
                snapshot, question, self.ledgers, numbers_max=numbers_max, bytes_max=bytes_max
            )
            try:
                answer = read(query)
            except CellsTooLargeError as error:
                raise cells_too_large(question, error.bytes, bytes_max) from None
        self._measurements.seconds[kind].observe(time.perf_counter() - started)
        return answer

    def snapshot(
        self, organization: Organization, deadline: Deadline, *, transaction: bool
    ) -> Snapshot:
        """A snapshot of what the organization has stored."""
        return Snapshot(
            self._store,
            self._caches,
            organization,
            deadline,
            transaction=transaction,
            cells_bytes_max=self._question_bytes_max,
        )


class _Called(NamedTuple):
    """The caller's name for the key of a group."""

    value: str
    customer_id: uuid.UUID | None


class _Query:
    """The answer to one question from one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        question: MetricsQuestion,
        ledgers: LedgerCache,
        *,
        numbers_max: int | None,
        bytes_max: int,
    ) -> None:
        self._numbers_max = numbers_max
        self._bytes_max = bytes_max
        self._snapshot = snapshot
        self._deadline = snapshot.deadline
        self._question = question
        self._ledgers = ledgers
        self._periods = periods_of(question.start, question.end, question.zone, question.interval)
        self._customers = snapshot.customer_numbers(question.filter)
        self._names: dict[Key, _Called] = {}

    def answer(self) -> Answer:
        """The metrics of everything and of each group."""
        question = self._question
        whole, groups, group_metrics = Sums.of({}), list[Group](), list[Metric]()
        if question.group_by is not None:
            group_metrics = self._group_metrics(question.group_by)
            whole, of_groups = self._grouped(question.group_by, group_metrics)
            groups = list(of_groups)
        if not whole.columns and self._sources & COST_SOURCES:
            whole = self._cost_facts.whole()
        if self._sources & LEDGER_SOURCES:
            self._deadline.check()
            whole = whole | self._revenue_facts.whole()
        return Answer(
            starts=self._periods.starts,
            metrics=question.metrics,
            numbers=Numbers.of(whole, question.metrics),
            group_metrics=group_metrics,
            groups=groups,
            unattributed=self._unattributed(),
        )

    def totals(self) -> tuple[Sequence[Metric], Iterator[Group]]:
        """The metrics of each group, without those of everything."""
        group_by = self._question.group_by
        if group_by is None:
            raise ValueError("a question without groups has no totals of them")
        if group_by is GroupBy.CUSTOMER and self._customers is None:
            check_totals(self._snapshot.customers_count(), self._bytes_max)
        metrics = self._group_metrics(group_by)
        return metrics, self._grouped(group_by, metrics)[1]

    def _group_metrics(self, group_by: GroupBy) -> list[Metric]:
        return [
            metric
            for metric in self._question.metrics
            if metric.is_of_costs_alone or not group_by.is_of_events
        ]

    def _grouped(
        self, group_by: GroupBy, metrics: Sequence[Metric]
    ) -> tuple[Sums, Iterator[Group]]:
        """The facts of everything, and each group, which is made of what has been read."""
        sources = _sources_of(metrics)
        members, shown = self._first(sources)
        if self._numbers_max is not None:
            check_numbers(
                self._question,
                periods=len(self._periods.starts),
                groups=len(shown),
                metrics=len(metrics),
                numbers_max=self._numbers_max,
            )
        called = self._called(shown)
        whole = Sums.of({})
        each: Iterator[Sums] = repeat(Sums.of({}), len(shown) + 1)
        if sources & COST_SOURCES:
            self._deadline.check()
            if group_by is GroupBy.CUSTOMER:
                whole, each = self._cost_facts.of_customers(shown)
            else:
                whole, each = self._cost_facts.of_values(shown)
        if sources & LEDGER_SOURCES:
            self._deadline.check()
            each = map(or_, each, self._revenue_facts.of_each(shown))
        return whole, _groups([called[key] for key in shown], members, each, metrics)

    # Which groups come first

    def _first(self, sources: frozenset[FactSource]) -> tuple[int, Sequence[Key]]:
        """The number of keys with a record of these sources in the span, and the keys to show."""
        question, order = self._question, self._question.order
        by_greatest_costs = order.metric is METRICS["costs"] and order.descending
        totals: Mapping[Key, int]
        if by_greatest_costs and sources and sources <= COST_SOURCES:
            if question.group_by is GroupBy.CUSTOMER:
                members, totals = self._cost_facts.first_customers(question.groups_max)
            else:
                members, totals = self._cost_facts.first_values(question.groups_max)
        else:
            ranks = self._ranks(sources)
            totals = dict(zip(ranks.keys, ranks.total(order.metric), strict=True))
            members = len(totals)
        self._deadline.check()
        shown = first(
            totals,
            question.groups_max,
            descending=order.descending,
            texts_of=self._texts_of,
            first_by_text=self._first_by_text,
        )
        return members, shown

    def _ranks(self, sources: frozenset[FactSource]) -> Ranks:
        """The facts that rank all keys with a record of these sources in the span."""
        metric = self._question.order.metric
        if self._question.group_by is GroupBy.CUSTOMER and self._customers is None:
            check_ranking(self._question, self._snapshot.customers_count(), self._bytes_max)
        costs, members = self._cost_facts_of([metric]), dict[Key, None]()
        if sources & COST_SOURCES:
            members |= dict.fromkeys(costs.members)
        if (sources | metric.sources) & LEDGER_SOURCES:
            self._deadline.check()
            earned = self._revenue_facts_of([metric])
            members |= dict.fromkeys(earned.members(sources & LEDGER_SOURCES))
        # A key counts with its facts of all sources if any source has it in the span.
        ranks = Ranks(list(members), {}, {}, {})
        if metric.sources & COST_SOURCES:
            ranks = ranks | costs.ranks(ranks.keys)
        if metric.sources & LEDGER_SOURCES:
            ranks = ranks | earned.ranks(ranks.keys)
        return ranks

    def _texts_of(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        return {key: called.value for key, called in self._called(keys).items()}

    def _first_by_text(self, keys: Sequence[Key], count: int) -> Sequence[Key]:
        if self._question.group_by is not GroupBy.CUSTOMER:
            return sorted(keys, key=str)[:count]
        return self._snapshot.first_customers([key for key in keys if isinstance(key, int)], count)

    def _called(self, keys: Sequence[Key]) -> Mapping[Key, _Called]:
        if self._question.group_by is not GroupBy.CUSTOMER:
            return {key: _Called(str(key), None) for key in keys}
        numbers = [key for key in keys if isinstance(key, int)]
        found = self._snapshot.customers(one for one in numbers if one not in self._names)
        self._names.update(
            (number, _Called(one.external_id, one.id)) for number, one in found.items()
        )
        return {number: self._names[number] for number in numbers}

    # Sources of facts

    @cached_property
    def _sources(self) -> frozenset[FactSource]:
        return _sources_of(self._question.metrics)

    @cached_property
    def _cost_facts(self) -> CostFacts:
        return self._cost_facts_of(self._question.metrics)

    @cached_property
    def _revenue_facts(self) -> RevenueFacts:
        return self._revenue_facts_of(self._question.metrics)

    def _cost_facts_of(self, metrics: Sequence[Metric]) -> CostFacts:
        """The facts of events that these metrics need."""
        return CostFacts(
            self._snapshot,
            self._question,
            self._periods,
            sources=_sources_of(metrics),
            customers=self._customers,
            products=self._products,
        )

    def _revenue_facts_of(self, metrics: Sequence[Metric]) -> RevenueFacts:
        """The facts of the ledger that these metrics need."""
        return RevenueFacts(
            self._ledger,
            self._question,
            self._periods,
            facts=frozenset().union(*(metric.facts for metric in metrics)),
            customers=self._customers,
        )

    @cached_property
    def _ledger(self) -> Ledger:
        return self._ledgers.current(self._snapshot)

    @cached_property
    def _products(self) -> frozenset[str] | None:
        return products_of_events(self._question, lambda: self._ledger)

    def _unattributed(self) -> Unattributed | None:
        question = self._question
        if question.products is None and question.billing_types is None:
            return None
        known = None
        if question.billing_types is not None:
            known = frozenset(self._ledger.billed_products(sorted(BILLING_TYPES)))
        self._deadline.check()
        unattributed, costs = self._cost_facts_of([METRICS["costs"]]).unattributed(known)
        return Unattributed(unattributed, divide_half_even(unattributed * ONE_E12, costs))


def _groups(
    shown: Sequence[_Called], members: int, each: Iterator[Sums], metrics: Sequence[Metric]
) -> Iterator[Group]:
    """The groups that are shown, and one of all others if it holds anything; `each` has the facts
    of all of these, and `members` is how many values they stand for."""
    for called, of_group in zip(shown, each, strict=False):  # those of the others are left
        numbers = Numbers.of(of_group, metrics)
        yield Group(called.value, called.customer_id, others=False, members=1, numbers=numbers)
    others = next(each)
    numbers = Numbers.of(others, metrics)
    if members > len(shown) or _holds_anything(others, numbers, metrics):
        yield Group("", None, others=True, members=members - len(shown), numbers=numbers)


def _sources_of(metrics: Sequence[Metric]) -> frozenset[FactSource]:
    return frozenset().union(*(metric.sources for metric in metrics))


def _holds_anything(sums: Sums, numbers: Numbers, metrics: Sequence[Metric]) -> bool:
    """Whether a metric of the groups would not add up without the others.

    They hold what values without anything in the span cost or earned before it, and
    refunds whose order, and so whose customer, is not known.
    """
    facts = frozenset().union(*(metric.facts for metric in metrics))
    return any(
        before and CUMULATIVE[name] in facts for name, before in sums.history.items()
    ) or any(any(numbers.columns[metric.slug]) for metric in metrics if metric.is_additive)
