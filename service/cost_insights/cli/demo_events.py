"""The events of the demo: the documented examples and a generated month.

The month is a function of its seed and its last day. Amounts are `Decimal` from
the beginning; only the documented call that is priced in code is a double, since
that is what it shows.
"""

import bisect
import datetime as dt
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from cost_insights.v1.cost_pb2 import Cost, Llm
from cost_insights.v1.event_pb2 import NewEvent

EXAMPLES: Final = (
    """{"events": [{"name": "llm.inference", "external_customer_id": "user_123",
  "metadata": {"_cost": {"amount": 0.025, "currency": "usd"}}}]}""",
    """{"events": [{"name": "video.processing", "external_customer_id": "user_123",
  "metadata": {"_cost": {"amount": 45.5, "currency": "usd"}, "duration_seconds": 120, \
"resolution": "1080p"}}]}""",
    """{"events": [{"name": "email.sent", "external_customer_id": "user_123",
  "metadata": {"_cost": {"amount": 0.0001, "currency": "usd"}, "provider": "sendgrid", \
"recipients": 1}}]}""",
    """{"events": [{"name": "llm.completion", "external_customer_id": "user_123",
  "metadata": {"_cost": {"amount": 0.000125, "currency": "usd"}, "model": "gpt-4-turbo", \
"tokens": 1000, "feature": "chatbot"}}]}""",
)
"""The documented requests, as they are documented."""

EXAMPLES_COST: Final = Decimal("0.025") + Decimal("45.5") + Decimal("0.0001") + Decimal("0.000125")

PRICED_CALLS: Final = ((57, 123, Decimal("0.909")), (1, 7, Decimal("0.045")))
"""Input tokens, output tokens and what they cost, of the documented call that is priced in code."""

EXAMPLE_CUSTOMERS: Final = frozenset({"user_123", "cus_abc123"})


def priced_call(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """The documented call that is priced in code, at 3 and 6 cents per thousand tokens.

    The amount is a double on purpose, noise in its last digits included.
    """
    amount = input_tokens / 1_000 * 3 + output_tokens / 1_000 * 6
    return {
        "events": [
            {
                "name": "gpt4.completion",
                "customer_id": "cus_abc123",
                "metadata": {
                    "_cost": {"amount": amount, "currency": "usd"},
                    "_llm": {
                        "vendor": "openai",
                        "model": "gpt-4",
                        "input_tokens": input_tokens,
                        "output_tokens": output_tokens,
                        "total_tokens": input_tokens + output_tokens,
                    },
                },
            }
        ]
    }


@dataclass(frozen=True)
class DemoEvent:
    """A generated event."""

    name: str
    customer: str
    time: dt.datetime
    external_id: str
    cost: Decimal
    llm: Llm | None = None
    metadata: dict[str, str | int] = field(default_factory=dict)

    def message(self) -> NewEvent:
        """The event as it is sent."""
        event = NewEvent(
            name=self.name,
            external_customer_id=self.customer,
            external_id=self.external_id,
            cost=Cost(amount=format(self.cost, "f"), currency="usd"),
            llm=self.llm,
        )
        event.metadata.update(self.metadata)
        event.timestamp.FromDatetime(self.time)
        return event


@dataclass(frozen=True)
class _Model:
    vendor: str
    model: str
    weight: int
    input_price: Decimal
    """Cents for a million tokens."""
    output_price: Decimal

    def call(self, chance: random.Random) -> tuple[Llm, Decimal]:
        read = min(20_000, 50 + round(chance.expovariate(1 / 1_400)))
        written = min(4_000, 5 + round(chance.expovariate(1 / 350)))
        cost = (read * self.input_price + written * self.output_price) / 1_000_000
        llm = Llm(
            vendor=self.vendor,
            model=self.model,
            input_tokens=read,
            output_tokens=written,
            total_tokens=read + written,
        )
        return llm, cost


_MODELS: Final = (
    _Model("openai", "gpt-4o", 20, Decimal(250), Decimal(1_000)),
    _Model("openai", "gpt-4o-mini", 30, Decimal(15), Decimal(60)),
    _Model("anthropic", "claude-sonnet", 15, Decimal(300), Decimal(1_500)),
    _Model("anthropic", "claude-haiku", 15, Decimal(80), Decimal(400)),
    _Model("mistral", "mistral-small", 10, Decimal("10.5"), Decimal("31.5")),
    _Model("google", "gemini-flash", 10, Decimal("7.5"), Decimal(30)),
)

_FEATURES: Final = ("chatbot", "search", "summary", "translation")
_WEEKEND_SHARE: Final = 0.45
_HOURS: Final = (2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 17, 15, 17, 18, 17, 15, 12, 9, 7, 6, 5, 4, 3)
"""The relative number of events in each hour of a day."""


def generate(
    *, seed: int, last_day: dt.date, days: int = 30, events: int = 20_000, customers: int = 200
) -> Iterator[DemoEvent]:
    """The generated events, in the order of their times, up to the end of `last_day` in UTC.

    A few customers cause most of the events, weekends are quiet and business
    grows by the day.
    """
    chance = random.Random(seed)  # noqa: S311 (to be foreseen is the point)
    span = [last_day - dt.timedelta(days=back) for back in reversed(range(days))]
    shares = [
        (1 + 0.01 * number) * (_WEEKEND_SHARE if day.weekday() >= 5 else 1)
        for number, day in enumerate(span)
    ]
    names = [f"customer_{number:03}" for number in range(1, customers + 1)]
    skew = list(itertools.accumulate(1 / rank for rank in range(1, customers + 1)))
    scale = sum(shares)
    ends = [round(events * upto / scale) for upto in itertools.accumulate(shares)]
    for day, begin, end in zip(span, [0, *ends], ends, strict=False):
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        times = sorted(
            midnight
            + dt.timedelta(
                hours=chance.choices(range(24), _HOURS)[0],
                microseconds=chance.randrange(3_600_000_000),
            )
            for _ in range(end - begin)
        )
        for number, time in enumerate(times):
            customer = names[bisect.bisect(skew, chance.random() * skew[-1], hi=customers - 1)]
            yield _event(chance, customer, time, f"demo-{seed}-{day}-{number}")


def _event(chance: random.Random, customer: str, time: dt.datetime, external_id: str) -> DemoEvent:
    kind = chance.random()
    if kind < 0.70:
        model = chance.choices(_MODELS, [model.weight for model in _MODELS])[0]
        llm, cost = model.call(chance)
        feature: dict[str, str | int] = {"feature": chance.choice(_FEATURES)}
        return DemoEvent("llm.completion", customer, time, external_id, cost, llm, feature)
    if kind < 0.97:
        mail: dict[str, str | int] = {"provider": "sendgrid", "recipients": 1}
        return DemoEvent(
            "email.sent", customer, time, external_id, Decimal("0.0001"), metadata=mail
        )
    seconds = chance.randrange(30, 240)
    video: dict[str, str | int] = {"duration_seconds": seconds, "resolution": "1080p"}
    # 45.5 cents for two minutes, by the eighth of a cent.
    cost = Decimal("45.5") + Decimal(seconds - 120) / 8
    return DemoEvent("video.processing", customer, time, external_id, cost, metadata=video)
