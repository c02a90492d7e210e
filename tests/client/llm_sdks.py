"""A program with the packages of LLM vendors: it calls a server that answers as they do, and tracks
each answer as an event that is named after the call.

Run in an environment of its own: `llm_sdks.py VENDORS_URL ADDRESS TOKEN`.
"""

import asyncio
import sys
from collections.abc import AsyncIterable, Iterable
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types

from cost_insights.client import BackgroundClient, Client
from tests.support.llm_answers import PRICES

URL, ADDRESS, TOKEN = sys.argv[1:]
CUSTOMER = "acme"
MESSAGES = [{"role": "user", "content": "Say hello."}]
GOOGLE = types.HttpOptions(base_url=f"{URL}/google")
CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 1_000, "messages": MESSAGES}
GEMINI = {"model": "gemini-2.5-flash", "contents": "Say hello."}
GPT = {"model": "gpt-4o", "messages": MESSAGES}
GPT_STREAM = {**GPT, "stream": True, "stream_options": {"include_usage": True}}
GPT_4_1 = {"model": "gpt-4.1", "input": "Say hello."}


def blocking(costs: BackgroundClient) -> None:
    """Calls that are waited for."""

    def track(name: str, response: Any) -> None:
        costs.track_llm(response, name=name, prices=PRICES, external_customer_id=CUSTOMER)

    def stream(name: str, parts: Iterable[Any]) -> None:
        tracked = costs.track_llm_stream(
            parts, name=name, prices=PRICES, external_customer_id=CUSTOMER
        )
        assert len(list(tracked)) > 1

    gpt = openai.OpenAI(base_url=f"{URL}/openai", api_key="k")
    track("openai_chat", gpt.chat.completions.create(**GPT))
    stream("openai_chat stream", gpt.chat.completions.create(**GPT_STREAM))
    track("openai_responses", gpt.responses.create(**GPT_4_1))
    stream("openai_responses stream", gpt.responses.create(**GPT_4_1, stream=True))
    embedded = gpt.embeddings.create(model="text-embedding-3-small", input="Hello.")
    track("openai_embeddings", embedded)

    claude = anthropic.Anthropic(base_url=f"{URL}/anthropic", api_key="k")
    track("anthropic_message", claude.messages.create(**CLAUDE))
    stream("anthropic_message stream", claude.messages.create(**CLAUDE, stream=True))
    with claude.messages.stream(**CLAUDE) as parts:
        track("anthropic_message final", parts.get_final_message())

    gemini = genai.Client(api_key="k", http_options=GOOGLE)
    track("google_generate", gemini.models.generate_content(**GEMINI))
    stream("google_generate stream", gemini.models.generate_content_stream(**GEMINI))


async def awaited(costs: BackgroundClient) -> None:
    """Calls by coroutines."""

    async def stream(name: str, parts: AsyncIterable[Any]) -> None:
        tracked = costs.track_llm_stream(
            parts, name=name, prices=PRICES, external_customer_id=CUSTOMER
        )
        assert len([part async for part in tracked]) > 1

    gpt = openai.AsyncOpenAI(base_url=f"{URL}/openai", api_key="k")
    with costs.track("openai_chat in a block", external_customer_id=CUSTOMER) as event:
        event.set_llm(await gpt.chat.completions.create(**GPT), prices=PRICES)
    await stream("openai_chat awaited", await gpt.chat.completions.create(**GPT_STREAM))
    claude = anthropic.AsyncAnthropic(base_url=f"{URL}/anthropic", api_key="k")
    await stream("anthropic_message awaited", await claude.messages.create(**CLAUDE, stream=True))
    gemini = genai.Client(api_key="k", http_options=GOOGLE)
    await stream(
        "google_generate awaited", await gemini.aio.models.generate_content_stream(**GEMINI)
    )


with Client(ADDRESS, token=TOKEN) as client, BackgroundClient(client) as costs:
    blocking(costs)
    asyncio.run(awaited(costs))
