"""A program that tracks what its blocks, functions and LLM calls cost."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import assert_type

from cost_insights.client import (
    BackgroundClient,
    Client,
    LlmPrice,
    LlmPrices,
    LlmUsage,
    Track,
    TrackedEvent,
    TrackedFields,
    current_event,
    llm_usage,
)

PRICES: LlmPrices = {"gpt-4o": LlmPrice("2.50", 10, cached_input=Decimal("1.25"))}
FIELDS: TrackedFields = {"external_customer_id": "acme", "metadata": {"feature": "chat"}}

costs = BackgroundClient(Client())


@costs.track("resize", customer_of=str)
def resize(customer: str) -> int:
    """A function keeps its types."""
    current_event().cost = "0.5"
    return len(customer)


@costs.track("wait", external_customer_id="acme")
async def wait(seconds: float) -> str:
    """A coroutine does so, too."""
    return str(seconds)


async def work(response: object, parts: Iterator[bytes], later: AsyncIterator[str]) -> Decimal:
    """Blocks and answers."""
    assert_type(resize("acme"), int)
    assert_type(await wait(0.5), str)
    rendering: Track = costs.track("render", duration=True, **FIELDS)
    with rendering as event:
        assert_type(event, TrackedEvent)
        event.set_llm(response, prices=PRICES)
        costs.track_llm(response, external_customer_id="acme", parent_id=event.external_id)
    for part in costs.track_llm_stream(parts, prices=PRICES, **FIELDS):
        assert_type(part, bytes)
    stream = costs.track_llm_stream(later, cost=3, external_customer_id="acme")
    async with contextlib.aclosing(stream):
        async for text in stream:
            assert_type(text, str)
    usage: LlmUsage = llm_usage(response)
    return usage.cost(PRICES[usage.model])
