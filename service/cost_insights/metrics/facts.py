"""Facts: the numbers of a period that metrics are computed from.

Facts are read from cells and from the ledger; here is what each is called, where
it comes from and what it is of a whole span. Amounts are picocents of usd.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub


class Source(enum.Enum):
    """What has to be read for a fact."""

    COSTS = "costs"
    COST_HISTORY = "cost_history"
    ACTIVE_CUSTOMERS = "active_customers"
    ENTRIES = "entries"
    """What was earned: orders, refunds and the like."""

    SUBSCRIPTIONS = "subscriptions"


COST_SOURCES = frozenset({Source.COSTS, Source.COST_HISTORY, Source.ACTIVE_CUSTOMERS})
"""The sources that events are in."""

LEDGER_SOURCES = frozenset({Source.ENTRIES, Source.SUBSCRIPTIONS})


class Total(enum.Enum):
    """What a number is of a whole span."""

    SUM = "sum"
    """That of all periods."""

    LAST = "last"
    """The number of the last period."""

    DISTINCT = "distinct"
    """Counted anew, as what is in several periods counts once."""


@dataclass(frozen=True)
class Fact:
    """A number of each period."""

    name: str
    """As native calls it, where it is of the ledger."""

    source: Source
    total: Total


def _facts(source: Source, total: Total, *names: str) -> dict[str, Fact]:
    return {name: Fact(name, source, total) for name in names}


FACTS: Mapping[str, Fact] = {
    **_facts(Source.COSTS, Total.SUM, "costs"),
    **_facts(Source.COST_HISTORY, Total.LAST, "cumulative_costs"),
    **_facts(Source.ACTIVE_CUSTOMERS, Total.DISTINCT, "customers_by_event"),
    **_facts(
        Source.ENTRIES,
        Total.SUM,
        "revenue",
        "net_revenue",
        "orders",
        "order_revenue",
        "order_net_revenue",
        "one_time_orders",
        "one_time_revenue",
        "one_time_net_revenue",
        "new_revenue",
        "new_net_revenue",
        "renewed_subscriptions",
        "renewed_revenue",
        "renewed_net_revenue",
    ),
    **_facts(Source.ENTRIES, Total.LAST, "cumulative_revenue", "cumulative_net_revenue"),
    **_facts(
        Source.SUBSCRIPTIONS,
        Total.SUM,
        "new_subscriptions",
        "churned",
        "canceled",
        "canceled_customer_service",
        "canceled_low_quality",
        "canceled_missing_features",
        "canceled_switched_service",
        "canceled_too_complex",
        "canceled_too_expensive",
        "canceled_unused",
        "canceled_other",
    ),
    **_facts(
        Source.SUBSCRIPTIONS,
        Total.LAST,
        "active_subscriptions",
        "committed_subscriptions",
        "mrr",
        "committed_mrr",
        "trial_mrr",
        "trial_committed_mrr",
        "active_customers",
        "churn_canceled",
        "churn_base",
    ),
}
"""Every fact by its name."""


CUMULATIVE: Mapping[str, str] = {
    "costs": "cumulative_costs",
    "revenue": "cumulative_revenue",
    "net_revenue": "cumulative_net_revenue",
}
"""The facts that are also told with all that was before, and as what."""


@dataclass(frozen=True)
class Sums:
    """What some events, orders and subscriptions add up to."""

    columns: Mapping[str, Sequence[int]]
    """A number a period of each fact that was read."""

    distinct: Mapping[str, int]
    """Of the whole span, the facts that have to be counted anew."""

    history: Mapping[str, int]
    """Of the time before the span, the facts that are also told cumulatively."""

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Sequence[int]],
        *,
        distinct: Mapping[str, int] | None = None,
        history: Mapping[str, int] | None = None,
    ) -> "Sums":
        """With the cumulative facts of those whose history is known."""
        history = history or {}
        cumulative = {
            CUMULATIVE[name]: list(accumulate(columns[name], initial=before))[1:]
            for name, before in history.items()
        }
        return cls({**columns, **cumulative}, distinct or {}, history)

    def before(self) -> "Sums":
        """What was when the span began, as if that were its only period."""
        cumulative = {CUMULATIVE[name]: [number] for name, number in self.history.items()}
        columns = {name: cumulative.get(name, [0]) for name in self.columns}
        return Sums(columns, self.distinct, self.history)

    def __or__(self, other: "Sums") -> "Sums":
        """With the facts of another source."""
        return Sums(
            {**self.columns, **other.columns},
            {**self.distinct, **other.distinct},
            {**self.history, **other.history},
        )

    def __sub__(self, part: "Sums") -> "Sums":
        """What is left without a part that has no customer in common with the rest."""
        return Sums(
            {name: list(map(sub, all_, part.columns[name])) for name, all_ in self.columns.items()},
            {name: number - part.distinct[name] for name, number in self.distinct.items()},
            {name: number - part.history[name] for name, number in self.history.items()},
        )
