"""Facts: the numbers of a period that metrics are computed from.

This module names each fact, the source it is read from (cells or the ledger) and how
its total over a span comes about. Amounts are picocents of usd.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub


class FactSource(enum.Enum):
    """The source that a fact is read from."""

    COSTS = "costs"
    COST_HISTORY = "cost_history"
    ACTIVE_CUSTOMERS = "active_customers"
    EVENT_COUNTS = "event_counts"
    TOKENS = "tokens"

    ENTRIES = "entries"
    """Ledger entries: orders, refunds and the like."""

    SUBSCRIPTIONS = "subscriptions"
    CHECKOUTS = "checkouts"
    SEATS = "seats"


COST_SOURCES = frozenset(
    {
        FactSource.COSTS,
        FactSource.COST_HISTORY,
        FactSource.ACTIVE_CUSTOMERS,
        FactSource.EVENT_COUNTS,
        FactSource.TOKENS,
    }
)
"""The sources that are read from events."""

LEDGER_SOURCES = frozenset(
    {FactSource.ENTRIES, FactSource.SUBSCRIPTIONS, FactSource.CHECKOUTS, FactSource.SEATS}
)


class Total(enum.Enum):
    """The rule for the total of a number over a span."""

    SUM = "sum"
    """The sum of all periods."""

    LAST = "last"
    """The number of the last period."""

    DISTINCT = "distinct"
    """Counted anew over the span: a customer who is active in several periods counts once."""


@dataclass(frozen=True)
class Fact:
    """A number of each period."""

    name: str
    """The name of the fact; facts of the ledger have the same name in native."""

    source: FactSource
    total: Total


def _facts(source: FactSource, total: Total, *names: str) -> dict[str, Fact]:
    return {name: Fact(name, source, total) for name in names}


FACTS: Mapping[str, Fact] = {
    **_facts(FactSource.COSTS, Total.SUM, "costs"),
    **_facts(FactSource.COST_HISTORY, Total.LAST, "cumulative_costs"),
    **_facts(FactSource.ACTIVE_CUSTOMERS, Total.DISTINCT, "customers_by_event"),
    **_facts(FactSource.EVENT_COUNTS, Total.SUM, "events"),
    **_facts(
        FactSource.TOKENS,
        Total.SUM,
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "total_tokens",
    ),
    **_facts(
        FactSource.ENTRIES,
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
    **_facts(FactSource.ENTRIES, Total.LAST, "cumulative_revenue", "cumulative_net_revenue"),
    **_facts(
        FactSource.SUBSCRIPTIONS,
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
        FactSource.SUBSCRIPTIONS,
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
    **_facts(FactSource.CHECKOUTS, Total.SUM, "checkouts", "succeeded_checkouts"),
    **_facts(FactSource.SEATS, Total.LAST, "seats_total", "seats_claimed", "seat_customers"),
    **_facts(FactSource.SEATS, Total.SUM, "new_seat_customers", "churned_seat_customers"),
}
"""Every fact by its name."""


CUMULATIVE: Mapping[str, str] = {
    "costs": "cumulative_costs",
    "revenue": "cumulative_revenue",
    "net_revenue": "cumulative_net_revenue",
}
"""Facts that also exist cumulatively, with the names of the cumulative ones."""


@dataclass(frozen=True)
class Sums:
    """The facts of some events and revenue."""

    columns: Mapping[str, Sequence[int]]
    """One number per period of each fact that was read."""

    distinct: Mapping[str, int]
    """Totals over the span of facts that are counted anew."""

    history: Mapping[str, int]
    """Totals over the time before the span, of facts that also exist cumulatively."""

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Sequence[int]],
        *,
        distinct: Mapping[str, int] | None = None,
        history: Mapping[str, int] | None = None,
    ) -> "Sums":
        """Adds the cumulative facts of those whose history is known."""
        history = history or {}
        cumulative = {
            CUMULATIVE[name]: list(accumulate(columns[name], initial=before))[1:]
            for name, before in history.items()
        }
        return cls({**columns, **cumulative}, distinct or {}, history)

    def before(self) -> "Sums":
        """The facts at the beginning of the span, as a span of one period."""
        cumulative = {CUMULATIVE[name]: [number] for name, number in self.history.items()}
        columns = {name: cumulative.get(name, [0]) for name in self.columns}
        return Sums(columns, self.distinct, self.history)

    def __or__(self, other: "Sums") -> "Sums":
        """The union of the facts of two sources."""
        return Sums(
            {**self.columns, **other.columns},
            {**self.distinct, **other.distinct},
            {**self.history, **other.history},
        )

    def __sub__(self, part: "Sums") -> "Sums":
        """The facts without those of a part that shares no customer with the rest."""
        return Sums(
            {name: list(map(sub, all_, part.columns[name])) for name, all_ in self.columns.items()},
            {name: number - part.distinct[name] for name, number in self.distinct.items()},
            {name: number - part.history[name] for name, number in self.history.items()},
        )
