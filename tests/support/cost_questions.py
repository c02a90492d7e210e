"""Questions about costs and the events around them, drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from cost_insights.v1 import metrics_service_pb2
from tests.reference import costs as reference
from tests.support.facts import zone_of
from tests.support.service import Caller, metrics_on_paper
from tests.support.zones import ZONES

CUSTOMERS = ["c1", "c2", "c,3", "ü"]
NAMES = ["a", "b", "llm.inference"]
# (vendor, model): two vendors have one model of the same name.
LLMS = [("", ""), ("openai", "gpt-4o"), ("openai", "o3"), ("azure", "gpt-4o")]
VENDORS = ["", "openai", "azure"]
MODELS = ["", "gpt-4o", "o3"]
PRODUCTS = ["", "p1", "p,2", "ü"]

FAVOURITES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Caracas",
    "Africa/Monrovia",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
]

DATE_MIN = date(1973, 1, 1)
DATE_MAX = datetime.now(UTC).date()


@dataclass(frozen=True)
class CostQuestion:
    """A question about the same events."""

    first: date
    last: date
    zone: str
    interval: str
    customers: Sequence[str]
    names: Sequence[str]
    vendors: Sequence[str]
    models: Sequence[str]
    group_by: str | None
    groups_max: int
    metrics: Sequence[str] = ()
    products: Sequence[str] = ()

    def request(self) -> metrics_service_pb2.GetMetricsRequest:
        """The request that is sent."""
        return metrics_service_pb2.GetMetricsRequest(
            start_date=str(self.first),
            end_date=str(self.last),
            timezone=self.zone,
            interval=metrics_service_pb2.Interval.Value(f"INTERVAL_{self.interval.upper()}"),
            external_customer_ids=self.customers,
            event_names=self.names,
            llm_vendors=self.vendors,
            llm_models=self.models,
            product_ids=self.products,
            group_by=metrics_service_pb2.GroupBy.Value(
                f"GROUP_BY_{(self.group_by or 'unspecified').upper()}"
            ),
            groups_max=self.groups_max,
            metrics=self.metrics,
        )

    def on_paper(self, events: Sequence[reference.Event]) -> reference.Metrics:
        """The answer of the twin."""
        answer = reference.metrics_of(
            events,
            self.first,
            self.last,
            zone_of(self.zone),
            self.interval,
            customers=self.customers,
            names=self.names,
            vendors=self.vendors,
            models=self.models,
            products=self.products,
            group_by=self.group_by,
            groups_max=self.groups_max,
        )
        return only(answer, self.metrics) if self.metrics else answer


AMOUNT_METRICS = ("costs", "cumulative_costs", "cost_per_user")
METRICS = (
    *AMOUNT_METRICS,
    "active_user_by_event",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "total_tokens",
)


def only(answer: reference.Metrics, metrics: Sequence[str]) -> reference.Metrics:
    """The answer without what nobody asked for, as messages have it."""
    left_out: dict[str, Any] = {
        slug: "" if slug in AMOUNT_METRICS else 0 for slug in METRICS if slug not in metrics
    }

    def rows(
        periods: Sequence[tuple[str, reference.Numbers]],
    ) -> tuple[tuple[str, reference.Numbers], ...]:
        return tuple((start, replace(numbers, **left_out)) for start, numbers in periods)

    return reference.Metrics(
        rows(answer.periods),
        replace(answer.totals, **left_out),
        tuple(
            replace(group, periods=rows(group.periods), totals=replace(group.totals, **left_out))
            for group in answer.groups
            # Others without an event in the span are told of for their history alone.
            if group.members or "cumulative_costs" in metrics
        ),
    )


TOKEN_COUNTS = st.one_of(st.just(0), st.integers(0, 5_000), st.just(2**53))
TOKENS = st.builds(
    reference.Tokens, TOKEN_COUNTS, TOKEN_COUNTS, TOKEN_COUNTS, st.none() | TOKEN_COUNTS
)
"""The tokens that calls report; a total may be less than its parts."""

AMOUNTS: st.SearchStrategy[Decimal | float | None] = st.one_of(
    st.none(),
    st.decimals(-9_000_000, 9_000_000, places=10),
    st.decimals(-10, 10, places=12),
    st.sampled_from([Decimal(9_000_000), Decimal("1e-12"), Decimal("-1e-12"), Decimal(0)]),
    st.sampled_from([0.1, 0.1 + 0.2, 0.045000000000000005, 1e-7]),
    st.floats(-1_000, 1_000),
)

ANY_DATES = st.one_of(
    st.dates(DATE_MIN, DATE_MAX),
    st.sampled_from([date(2026, 3, 28), date(2025, 10, 25), date(2011, 12, 29)]),
)


@st.composite
def cost_questions(
    draw: st.DrawFn, first_dates: st.SearchStrategy[date] = ANY_DATES
) -> CostQuestion:
    """A question within the limits, often around a change of the clock."""
    zone = draw(st.one_of(st.sampled_from(FAVOURITES), st.sampled_from(ZONES)))
    interval = draw(st.sampled_from(reference.INTERVALS))
    longest = {reference.HOUR: 3, reference.DAY: 40}.get(interval, reference.DAYS_MAX[interval])
    first = draw(first_dates)
    days = draw(st.integers(0, longest))

    def some(values: Sequence[str]) -> Sequence[str]:
        return draw(st.one_of(st.just([]), st.lists(st.sampled_from([*values, "nobody's"]))))

    return CostQuestion(
        first=first,
        last=first + timedelta(days=days),
        zone=zone,
        interval=interval,
        customers=some(CUSTOMERS),
        names=some(NAMES),
        vendors=some(VENDORS),
        models=some(MODELS),
        products=some(PRODUCTS),
        group_by=draw(st.sampled_from([None, *reference.GROUPINGS])),
        groups_max=draw(st.integers(1, 4)),
        metrics=draw(st.one_of(st.just(()), st.lists(st.sampled_from(METRICS)))),
    )


@st.composite
def events_around(draw: st.DrawFn, question: CostQuestion) -> list[reference.Event]:
    """Events inside the span, at its bounds to the microsecond, and before it."""
    periods = reference.periods_of(
        question.first, question.last, zone_of(question.zone), question.interval
    )
    bounds = reference.bounds_of(periods) or [reference.midnight(question.first)]
    now = datetime.now(UTC) - timedelta(seconds=1)
    moments = st.one_of(
        st.tuples(st.sampled_from(bounds), st.sampled_from([-1, 0, 1])).map(
            lambda at: at[0] + timedelta(microseconds=at[1])
        ),
        st.tuples(st.floats(-0.3, 1.1)).map(
            lambda share: bounds[0] + (bounds[-1] - bounds[0]) * share[0]
        ),
        st.just(datetime(1, 1, 1, tzinfo=UTC)),
    )
    drawn = draw(
        st.lists(
            st.tuples(
                moments,
                st.sampled_from(CUSTOMERS),
                st.sampled_from(NAMES),
                AMOUNTS,
                st.sampled_from(LLMS),
                st.sampled_from(PRODUCTS),
                TOKENS,
            ),
            max_size=25,
        )
    )
    return [event_of(min(moment, now), *facts) for moment, *facts in drawn]


def event_of(moment: datetime, *facts: Any) -> reference.Event:
    """The event with these facts: customer, name, amount, (vendor, model), product and tokens,
    which it has only with a vendor."""
    customer, name, amount, (vendor, model), product, tokens = facts
    return reference.Event(
        moment,
        customer,
        name,
        cents_of(amount),
        vendor,
        model,
        product,
        tokens if vendor else reference.Tokens(),
    )


def cents_of(amount: Decimal | float | None) -> Decimal | None:
    """The meaning of an amount; a double was meant to be written to 12 decimals."""
    return reference.round_amount(amount) if isinstance(amount, float) else amount


def check(caller: Caller, events: Sequence[reference.Event], question: CostQuestion) -> None:
    """Asks the service and the twin."""
    answer = caller.metrics.GetMetrics(question.request(), metadata=caller.metadata, timeout=60)
    assert metrics_on_paper(answer) == question.on_paper(events)
