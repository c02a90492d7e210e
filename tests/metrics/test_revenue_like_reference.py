"""All metrics over a real socket equal those of the slow twin, for any facts and questions."""

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import costs as reference
from tests.reference.metrics import (
    COSTS,
    METRICS,
    NOT_ADDITIVE,
    REVENUE_GROUPINGS,
    Filters,
    span_of,
)
from tests.reference.revenue import (
    BILLING_TYPES,
    CANCEL_REASONS,
    CHECKOUT_STATUSES,
    ONE_TIME,
    RECURRING,
    REFUND_KINDS,
    Checkout,
    Facts,
    Order,
    Refund,
    Seat,
    Subscription,
)
from tests.support.cost_questions import (
    AMOUNTS,
    ANY_DATES,
    CUSTOMERS,
    FAVOURITES,
    LLMS,
    MODELS,
    NAMES,
    PRODUCTS,
    TOKENS,
    VENDORS,
    event_of,
)
from tests.support.facts import (
    Question,
    record,
    record_checkouts,
    record_orders,
    record_refunds,
    record_seats,
    record_subscriptions,
    sent,
    sent_checkout,
    sent_order,
    sent_refund,
    sent_seat,
    sent_subscription,
    zone_of,
)
from tests.support.service import Caller, Service
from tests.support.zones import ZONES

CURRENCIES = ["usd", "eur", "jpy"]
ORDERS = [f"order {number}" for number in range(8)]
SUBSCRIPTIONS = [f"subscription {number}" for number in range(5)]
NOW = datetime.now(UTC) - timedelta(seconds=1)
"""The time after which no record happened."""


# What is recorded

State = Subscription | Checkout | Seat


@dataclass
class Recorded:
    """The records of an organization: the first of each order and refund, the latest state of
    whatever has states."""

    events: list[reference.Event] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    latest: dict[tuple[type, str], tuple[datetime, State]] = field(default_factory=dict)
    states: dict[tuple[type, str, datetime], State] = field(default_factory=dict)

    @property
    def facts(self) -> Facts:
        """The facts in the form that the twin takes."""
        latest = self.latest.values()
        return Facts(
            events=self.events,
            orders=list(self.orders.values()),
            refunds=list(self.refunds.values()),
            subscriptions=[one for _, one in latest if isinstance(one, Subscription)],
            checkouts=[one for _, one in latest if isinstance(one, Checkout)],
            seats=[one for _, one in latest if isinstance(one, Seat)],
        )

    def record(self, caller: Caller, batch: Sequence[Any]) -> None:
        """Sends facts of one kind in one call."""
        if isinstance(batch[0], reference.Event):
            self.events += batch
            caller.ingest(*map(sent, batch))
        elif isinstance(batch[0], Order):
            for order in batch:
                self.orders.setdefault(order.order_id, order)
            record_orders(caller, map(sent_order, batch))
        elif isinstance(batch[0], Refund):
            for refund in batch:
                self.refunds.setdefault(refund.refund_id, refund)
            record_refunds(caller, map(sent_refund, batch))
        else:
            # Which of two states of one time counts is not said.
            batch = [
                (updated, one)
                for updated, one in batch
                if self.states.setdefault((type(one), id_of(one), updated), one) == one
            ]
            for updated, one in batch:
                known = self.latest.get((type(one), id_of(one)))
                if known is None or updated > known[0]:
                    self.latest[type(one), id_of(one)] = updated, one
            record_states(caller, batch)


def id_of(state: State) -> str:
    """The id of what has a state."""
    match state:
        case Subscription():
            return state.subscription_id
        case Checkout():
            return state.checkout_id
        case Seat():
            return state.seat_id


def record_states(caller: Caller, batch: Sequence[tuple[datetime, Any]]) -> None:
    """Sends states of one kind, if any are left, in one call."""
    match batch:
        case [(_, Checkout()), *_]:
            record_checkouts(caller, [sent_checkout(one, updated) for updated, one in batch])
        case [(_, Seat()), *_]:
            record_seats(caller, [sent_seat(one, updated) for updated, one in batch])
        case _:
            record_subscriptions(
                caller, [sent_subscription(one, updated) for updated, one in batch]
            )


def money(*, signed: bool, cents_max: int = 10**7) -> st.SearchStrategy[Decimal]:
    """Amounts of many digits, and the extreme ones."""
    few = [Decimal(0), Decimal("1e-12"), Decimal("3e-12"), Decimal(100), Decimal(cents_max)]
    amounts = st.one_of(
        st.sampled_from(few),
        st.decimals(0, 10**6, places=2),
        st.decimals(0, 10, places=12),
    )
    return st.tuples(amounts, st.sampled_from([1, 1, -1] if signed else [1])).map(
        lambda amount: amount[0] * amount[1]
    )


RATES = st.one_of(
    st.sampled_from(list(map(Decimal, ["1.1", "0.5", "2", "9000000", "1e-12", "1.083333333333"]))),
    st.decimals(Decimal("0.001"), 200, places=12),
)


@st.composite
def priced(draw: st.DrawFn, *, signed: bool) -> dict[str, Any]:
    """An amount with its currency and exchange rate."""
    currency = draw(st.sampled_from(CURRENCIES))
    if currency == "usd":
        return {"cents": draw(money(signed=signed, cents_max=10**15))}
    cents = draw(money(signed=signed))
    return {"cents": cents, "currency": currency, "exchange_rate": draw(RATES)}


def moments_around(question: Question) -> st.SearchStrategy[datetime]:
    """Times inside the span, before and after it, and to the microsecond at what counts."""
    span = span_of(question.first, question.last, zone_of(question.zone), question.interval)
    bounds = {span.lower, span.upper, datetime(1, 1, 2, tzinfo=UTC)}
    for window in span.windows:
        bounds |= {window.lower, window.start, window.end, window.start - timedelta(days=30)}
    length = span.upper - span.lower
    return st.one_of(
        st.floats(0, 1).map(lambda share: span.lower + length * share),
        st.floats(-0.5, 1.2).map(lambda share: span.lower + length * share),
        st.tuples(st.sampled_from(sorted(bounds)), st.sampled_from([-1, 0, 1])).map(
            lambda at: at[0] + timedelta(microseconds=at[1])
        ),
    )


def batches_around(question: Question) -> st.SearchStrategy[list[Any]]:
    """Some facts of one kind, most of them near the span."""
    any_time = moments_around(question)
    past = any_time.map(lambda moment: min(moment, NOW))
    # `none` first, so that what fails becomes simple.
    maybe, maybe_past = st.none() | any_time, st.none() | past
    customers, products = st.sampled_from(CUSTOMERS), st.sampled_from(PRODUCTS)

    def order(amounts: dict[str, Any], **fields: Any) -> Order:
        return Order(**fields, **amounts)

    def refund(amounts: dict[str, Any], **fields: Any) -> Refund:
        return Refund(**fields, **amounts)

    def state(amounts: dict[str, Any], updated: datetime, **fields: Any) -> Any:
        # What a month was worth is told by orders.
        amounts = {name: one for name, one in amounts.items() if name != "exchange_rate"}
        return updated, Subscription(**fields, **amounts)

    def checkout(updated: datetime, **fields: Any) -> Any:
        return updated, Checkout(**fields)

    def seat(updated: datetime, **fields: Any) -> Any:
        return updated, Seat(**fields)

    kinds: list[st.SearchStrategy[Any]] = [
        st.builds(
            event_of,
            past,
            customers,
            st.sampled_from(NAMES),
            AMOUNTS,
            st.sampled_from(LLMS),
            products,
            TOKENS,
        ),
        st.builds(
            order,
            priced(signed=True),
            order_id=st.sampled_from(ORDERS),
            customer=customers,
            product=products,
            billing_type=st.sampled_from(BILLING_TYPES),
            subscription_id=st.sampled_from(["", *SUBSCRIPTIONS]),
            applied_balance=st.just(Decimal(0)) | money(signed=True),
            fee=st.just(Decimal(0)) | money(signed=True),
            created=past,
            paid=maybe_past,
        ),
        st.builds(
            refund,
            priced(signed=False),
            refund_id=st.sampled_from([f"refund {number}" for number in range(8)]),
            order_id=st.sampled_from(ORDERS),
            kind=st.sampled_from(REFUND_KINDS),
            fee=st.just(Decimal(0)) | money(signed=True),
            created=past,
        ),
        st.builds(
            state,
            priced(signed=False),
            subscription_id=st.sampled_from(SUBSCRIPTIONS),
            customer=customers,
            product=products,
            interval=st.sampled_from(reference.INTERVALS[1:]),
            interval_count=st.sampled_from([1, 2, 7, 999]),
            started=any_time,
            trial_end=maybe,
            canceled=maybe_past,
            cancel_reason=st.sampled_from(["", *CANCEL_REASONS]),
            uncanceled=maybe_past,
            ends=maybe,
            ended=maybe_past,
            updated=past,
        ),
        st.builds(
            checkout,
            checkout_id=st.sampled_from(["checkout 1", "checkout 2", "checkout 3"]),
            customer=st.sampled_from(["", *CUSTOMERS]),
            product=products,
            billing_type=st.sampled_from(["", *BILLING_TYPES]),
            status=st.sampled_from(CHECKOUT_STATUSES),
            created=past,
            opened=maybe_past,
            updated=past,
        ),
        st.builds(
            seat,
            seat_id=st.sampled_from([f"seat {number}" for number in range(6)]),
            customer=customers,
            product=products,
            subscription_id=st.sampled_from(["", *SUBSCRIPTIONS]),
            created=past,
            claimed=maybe_past,
            revoked=maybe_past,
            updated=past,
        ),
    ]
    return st.one_of(*(st.lists(kind, min_size=1, max_size=6) for kind in kinds))


# What is asked


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """A question within the limits, often around a change of the clock."""
    interval = draw(st.sampled_from(reference.INTERVALS))
    # The twin looks at each fact for each metric of each period of each group.
    days_max = {
        reference.HOUR: 1,
        reference.DAY: 20,
        reference.WEEK: 120,
        reference.MONTH: 500,
        reference.YEAR: 1_500,
    }[interval]
    first = draw(ANY_DATES)
    question = Question(
        first=first,
        last=first + timedelta(days=draw(st.integers(0, days_max))),
        zone=draw(st.one_of(st.sampled_from(FAVOURITES), st.sampled_from(ZONES))),
        interval=interval,
    )
    return draw(questions_about(question))


@st.composite
def questions_about(draw: st.DrawFn, question: Question) -> Question:
    """Another question about the same days."""

    def some(values: Sequence[str]) -> Sequence[str]:
        return draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))

    values = {
        "customers": [*CUSTOMERS, "nobody's"],
        "names": [*NAMES, "nobody's"],
        "vendors": VENDORS,
        "models": MODELS,
        "products": [*PRODUCTS, "nobody's"],
        "billing_types": BILLING_TYPES,
    }
    filtered = draw(st.sets(st.sampled_from(sorted(values)), max_size=2))
    group_by = draw(st.none() | st.sampled_from([*REVENUE_GROUPINGS, "event_name", "llm_model"]))
    # By revenue nobody can order event names.
    orders = list(METRICS if group_by in (None, *REVENUE_GROUPINGS) else COSTS)
    directions = st.sampled_from(["", " asc", " desc"])
    return replace(
        question,
        filters=Filters(**{name: some(values[name]) for name in sorted(filtered)}),
        metrics=some(list(METRICS)) if draw(st.booleans()) else (),
        group_by=group_by,
        order_by=draw(st.just("") | st.builds(str.__add__, st.sampled_from(orders), directions)),
        groups_max=draw(st.integers(1, 4)),
    )


def check(caller: Caller, recorded: Recorded, question: Question) -> None:
    """Asks the service and the twin."""
    assert question.asked(caller) == question.on_paper(recorded.facts)


@given(data=st.data())
def test_any_question_about_any_facts(service: Service, data: st.DataObject) -> None:
    """Every answer is the one on paper, whatever was recorded in whatever batches and order."""
    caller = service.caller()
    recorded = Recorded()
    for _ in range(data.draw(st.integers(1, 2))):
        question = data.draw(questions())
        batches = batches_around(question)
        for _ in range(data.draw(st.integers(1, 3))):
            for batch in data.draw(st.lists(batches, min_size=1, max_size=6)):
                recorded.record(caller, batch)
            check(caller, recorded, question)
            question = data.draw(questions_about(question))
    caller.channel.close()


# A business that makes sense


def business(seed: int) -> Facts:
    """A year and a half of a few customers, whose orders are of their subscriptions."""
    dice = random.Random(seed)
    customers = [f"c{number}" for number in range(6)]

    def moment(first: datetime = datetime(2024, 1, 1, tzinfo=UTC)) -> datetime:
        seconds = (datetime(2025, 7, 1, tzinfo=UTC) - first).total_seconds()
        return first + timedelta(seconds=dice.randrange(int(seconds)))

    def cents() -> Decimal:
        return Decimal(dice.randrange(10**9)) / 10**4

    subscriptions = [some_subscription(dice, number, customers, moment) for number in range(12)]
    orders = [
        Order(
            order_id=f"order {number}",
            customer=dice.choice(customers),
            product=dice.choice(PRODUCTS),
            created=moment(),
            cents=cents(),
            fee=cents() / 100,
            applied_balance=dice.choice([Decimal(0), cents() / 10]),
        )
        for number in range(25)
    ]
    for number in range(40):
        owner = dice.choice(subscriptions)
        created = moment(owner.started)
        orders.append(
            Order(
                order_id=f"cycle {number}",
                customer=owner.customer,
                product=owner.product,
                billing_type=RECURRING,
                subscription_id=owner.subscription_id,
                created=created,
                paid=created - timedelta(days=dice.choice([-1, 0, 1])),
                cents=owner.cents,
                currency=owner.currency,
                exchange_rate=Decimal(1 if owner.currency == "usd" else dice.randrange(100, 200))
                / (1 if owner.currency == "usd" else 100),
                fee=cents() / 100,
            )
        )
    refunds = [
        Refund(
            refund_id=f"refund {number}",
            order_id=dice.choice(orders).order_id if number else "unknown",
            kind=dice.choice(REFUND_KINDS),
            created=moment(),
            cents=cents() / 10,
            fee=dice.choice([Decimal(0), cents() / 1_000]),
        )
        for number in range(20)
    ]
    events = [
        reference.Event(
            moment(),
            dice.choice(customers),
            dice.choice(NAMES),
            cents() / 10,
            *(llm := dice.choice(LLMS)),
            dice.choice(PRODUCTS),
            some_tokens(dice) if llm[0] else reference.Tokens(),
        )
        for _ in range(100)
    ]
    return Facts(
        events=events,
        orders=orders,
        refunds=refunds,
        subscriptions=subscriptions,
        checkouts=[some_checkout(dice, number, customers, moment) for number in range(40)],
        seats=[some_seat(dice, number, subscriptions, moment) for number in range(50)],
    )


def some_tokens(dice: random.Random) -> reference.Tokens:
    """The tokens of a call that may say no total, and none that were cached."""
    read, written = dice.randrange(2_000), dice.randrange(500)
    total = dice.choice([0, read + written, read + written + 7])
    return reference.Tokens(read, written, total, dice.choice([None, read // 3]))


def some_checkout(
    dice: random.Random, number: int, customers: Sequence[str], moment: Callable[..., datetime]
) -> Checkout:
    """One that was opened or not, and paid or not, by somebody or nobody."""
    created = moment()
    return Checkout(
        checkout_id=f"checkout {number}",
        customer=dice.choice(["", *customers]),
        product=dice.choice(PRODUCTS),
        billing_type=dice.choice(BILLING_TYPES),
        status=dice.choice(CHECKOUT_STATUSES),
        created=created,
        opened=created + timedelta(minutes=dice.randrange(60)) if dice.random() < 0.8 else None,
    )


def some_seat(
    dice: random.Random,
    number: int,
    subscriptions: Sequence[Subscription],
    moment: Callable[..., datetime],
) -> Seat:
    """One of a subscription or of an order, claimed or not, which stays or is revoked."""
    owner = dice.choice(subscriptions)
    created = moment(owner.started)
    return Seat(
        seat_id=f"seat {number}",
        customer=owner.customer,
        product=owner.product,
        subscription_id=dice.choice([owner.subscription_id, ""]),
        created=created,
        claimed=moment(created) if dice.random() < 0.7 else None,
        revoked=moment(created) if dice.random() < 0.6 else None,
    )


def some_subscription(
    dice: random.Random,
    number: int,
    customers: Sequence[str],
    moment: Callable[..., datetime],
) -> Subscription:
    """A subscription that goes on, or is canceled and ends later, or is canceled and taken back."""
    started = moment()
    canceled = moment(started) if dice.random() < 0.6 else None
    back = canceled is not None and dice.random() < 0.3
    return Subscription(
        subscription_id=f"subscription {number}",
        customer=dice.choice(customers),
        product=dice.choice(PRODUCTS),
        started=started,
        cents=Decimal(dice.randrange(10**6)),
        currency=dice.choice(["usd", "usd", "eur"]),
        interval=dice.choice(reference.INTERVALS[1:]),
        interval_count=dice.choice([1, 1, 3]),
        trial_end=started + timedelta(days=14) if dice.random() < 0.5 else None,
        canceled=canceled,
        cancel_reason=dice.choice(["", *CANCEL_REASONS]),
        uncanceled=moment(canceled) if canceled is not None and back else None,
        ends=None if canceled is None or back else canceled + timedelta(days=dice.randrange(40)),
    )


def some_questions() -> list[Question]:
    """About all of it, and about a part of it that it cuts."""
    year = Question(
        first=date(2024, 6, 10),
        last=date(2025, 6, 20),
        interval=reference.MONTH,
        zone="America/New_York",
    )
    return [
        year,
        replace(year, interval=reference.YEAR),
        replace(year, first=date(2025, 2, 3), last=date(2025, 4, 9), interval=reference.WEEK),
        replace(year, filters=Filters(customers=["c1", "c2", "c3"], products=["", "p1", "ü"])),
        replace(year, filters=Filters(billing_types=[ONE_TIME])),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_business(caller: Caller, seed: int) -> None:
    """Answers of every kind about facts that make sense."""
    facts = business(seed)
    record(caller, facts)
    for question in some_questions():
        for group_by in (None, "event_name", *REVENUE_GROUPINGS):
            asked = replace(question, group_by=group_by, groups_max=3)
            assert asked.asked(caller) == asked.on_paper(facts)


SKIPPED = [
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Pacific/Kwajalein", date(1993, 8, 21)),
    ("Pacific/Kiritimati", date(1994, 12, 31)),
]
"""Days that the calendar of a zone left out."""


@pytest.mark.slow
@pytest.mark.parametrize(("zone", "day"), SKIPPED, ids=[zone for zone, _ in SKIPPED])
@pytest.mark.parametrize("interval", reference.INTERVALS)
def test_a_day_that_a_zone_skipped(caller: Caller, zone: str, day: date, interval: str) -> None:
    """Spans of nothing but the skipped day, and those that begin or end with it, have the
    answers on paper: of all metrics and groups, and of each metric alone."""
    facts = business(3)
    later = datetime.combine(day, datetime.min.time(), UTC) - datetime(2024, 9, 1, tzinfo=UTC)
    facts = moved(facts, later)
    record(caller, facts)
    skipped = Question(first=day, last=day, interval=interval, zone=zone, groups_max=3)
    for question in (
        skipped,
        replace(skipped, first=day - timedelta(days=2)),
        replace(skipped, last=day + timedelta(days=2)),
    ):
        for group_by in (None, "event_name", *REVENUE_GROUPINGS):
            asked = replace(question, group_by=group_by)
            assert asked.asked(caller) == asked.on_paper(facts)
    for slug in METRICS:
        alone = replace(skipped, metrics=[slug])
        assert alone.asked(caller) == alone.on_paper(facts)


def moved(facts: Facts, by: timedelta) -> Facts:
    """The facts at other times."""

    def times_moved(fact: Any) -> Any:
        times = {name: at for name, at in vars(fact).items() if isinstance(at, datetime)}
        return replace(fact, **{name: at + by for name, at in times.items()})

    return Facts(
        events=[times_moved(one) for one in facts.events],
        orders=[times_moved(one) for one in facts.orders],
        refunds=[times_moved(one) for one in facts.refunds],
        subscriptions=[times_moved(one) for one in facts.subscriptions],
        checkouts=[times_moved(one) for one in facts.checkouts],
        seats=[times_moved(one) for one in facts.seats],
    )


@pytest.mark.slow
def test_two_servers_answer_alike(
    database_url: str, start_server: Callable[..., AbstractContextManager[Service]]
) -> None:
    """A record of one process is in the next answer of the other, whichever came first."""
    facts = business(5)
    dice = random.Random(5)
    updated = datetime(2025, 1, 1, tzinfo=UTC)
    states = [(updated, one) for one in facts.subscriptions]
    states += [
        (updated - timedelta(days=1), replace(one, product="p1", cents=Decimal(7), canceled=None))
        for one in facts.subscriptions
    ]
    checkouts = [(updated, one) for one in facts.checkouts]
    seats = [(updated, one) for one in facts.seats]
    seats += [(updated - timedelta(days=1), replace(one, revoked=None)) for one in facts.seats]
    batches = [
        batch
        for kind in (facts.events, facts.orders, facts.refunds, states, checkouts, seats)
        for batch in in_batches(dice, kind)
    ]
    dice.shuffle(batches)
    question = replace(some_questions()[0], group_by="customer", groups_max=3)
    recorded = Recorded()
    with start_server(database_url) as one, start_server(database_url) as other:
        caller = one.caller()
        callers = [caller, other.stranger(caller.token)]
        for place, batch in enumerate(batches):
            recorded.record(callers[place % 2], batch)
            check(callers[(place + 1) % 2], recorded, question)


def in_batches(dice: random.Random, facts: Sequence[Any]) -> list[Sequence[Any]]:
    """The facts in any order, a few at once."""
    shuffled = dice.sample(facts, len(facts))
    return [shuffled[place : place + 7] for place in range(0, len(shuffled), 7)]


def test_a_metric_alone_is_the_same(caller: Caller) -> None:
    """Everything that a metric needs is read, also if nobody asks for that."""
    record(caller, business(7))
    for question in some_questions():
        every = question.asked(caller)
        for slug in METRICS:
            alone = replace(question, metrics=[slug]).asked(caller)
            assert alone.totals == {slug: every.totals[slug]}
            assert alone.periods == tuple(
                (start, {slug: numbers[slug]}) for start, numbers in every.periods
            )


@pytest.mark.parametrize("group_by", REVENUE_GROUPINGS)
@pytest.mark.parametrize("groups_max", [1, 3, 100])
def test_groups_add_up(caller: Caller, group_by: str, groups_max: int) -> None:
    """Every metric that can be added up is in the groups to the last digit."""
    record(caller, business(11))
    additive = [slug for slug in METRICS if slug not in NOT_ADDITIVE]
    for question in some_questions():
        answer = replace(question, group_by=group_by, groups_max=groups_max).asked(caller)
        for slug in additive:
            parts = [group.totals[slug] for group in answer.groups]
            assert sum(map(Decimal, parts)) == Decimal(answer.totals[slug]), slug
            for place, (_, numbers) in enumerate(answer.periods):
                parts = [group.periods[place][1][slug] for group in answer.groups]
                assert sum(map(Decimal, parts)) == Decimal(numbers[slug]), slug
