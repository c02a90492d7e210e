"""A program with LangChain and LiteLLM, whose callbacks track each call as an event.

Run in an environment of its own: `llm_frameworks.py VENDORS_URL ADDRESS TOKEN`.
"""

import asyncio
import contextlib
import sys
import time
import uuid
from typing import Any

import litellm
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeListChatModelError,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation, LLMResult

from cost_insights.client import BackgroundClient, Client
from cost_insights.client.langchain import CostInsightsCallback
from cost_insights.client.litellm import CostInsightsLogger
from tests.support.llm_answers import PRICES

URL, ADDRESS, TOKEN = sys.argv[1:]
MESSAGES = [{"role": "user", "content": "Say hello."}]
MESSAGE = AIMessage(
    "Hello there!",
    usage_metadata={
        "input_tokens": 191_107,
        "output_tokens": 393,
        "total_tokens": 191_500,
        "input_token_details": {
            "cache_read": 188_086,
            "cache_creation": 0,
            "ephemeral_5m_input_tokens": 2_000,
            "ephemeral_1h_input_tokens": 1_000,
        },
    },
    response_metadata={
        "model_provider": "anthropic",
        "model_name": "claude-sonnet-4-5-20250929",
    },
)


def langchain(costs: BackgroundClient) -> None:
    """Calls of chat models, whole and streamed, awaited or not; some fail or tell nothing."""
    handler = CostInsightsCallback(
        costs, name="langchain", prices=PRICES, external_customer_id="nobody"
    )
    config: Any = {"callbacks": [handler], "metadata": {"external_customer_id": "acme"}}
    model = GenericFakeChatModel(messages=iter([MESSAGE] * 3))
    model.invoke("Say hello.", config=config)
    model.batch(["Say hello."], config=config)
    asyncio.run(model.ainvoke("Say hello.", config=config))
    silent = FakeListChatModel(responses=["Hello!"])
    silent.invoke("Say hello.", config=config)
    FakeListLLM(responses=["Hello!"]).invoke("Say hello.", config=config)
    handler.on_llm_start({}, ["Say hello."], run_id=uuid.UUID(int=1), metadata=config["metadata"])
    result = LLMResult(
        generations=[[Generation(text="Hello!")]],
        llm_output={
            "token_usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
            "model_name": "gpt-3.5-turbo-instruct",
        },
    )
    handler.on_llm_end(result, run_id=uuid.UUID(int=1))
    failing = FakeListChatModel(responses=["Hello!"], error_on_chunk_number=0)
    with contextlib.suppress(FakeListChatModelError):
        list(failing.stream("Say hello.", config=config))
    assert not handler._runs


async def awaited() -> None:
    """Calls of LiteLLM by coroutines."""
    metadata = {"external_customer_id": "acme"}
    await litellm.acompletion(
        model="gpt-4o", messages=MESSAGES, mock_response="Hello!", metadata=metadata
    )
    parts = await litellm.acompletion(
        model="gpt-4o",
        messages=MESSAGES,
        mock_response="Hello!",
        metadata=metadata,
        stream=True,
        stream_options={"include_usage": True},
    )
    async for _ in parts:
        pass
    # It calls back by a task of its own.
    await asyncio.sleep(1)


def called(costs: BackgroundClient, count: int) -> None:
    """Waits until LiteLLM has called back, which it does in threads of its own."""
    deadline = time.monotonic() + 60
    while costs._taken < count and time.monotonic() < deadline:
        time.sleep(0.05)


def lite(costs: BackgroundClient) -> None:
    """Calls of LiteLLM, priced by it and by a table, to a mock and to a vendor."""
    metadata = {"external_customer_id": "acme"}
    before = costs._taken
    litellm.callbacks = [CostInsightsLogger(costs, name="litellm", external_customer_id="nobody")]
    litellm.completion(model="gpt-4o", messages=MESSAGES, mock_response="Hello!", metadata=metadata)
    called(costs, before + 1)
    asyncio.run(awaited())
    called(costs, before + 3)
    # LiteLLM keeps those that it has called.
    litellm.logging_callback_manager._reset_all_callbacks()
    litellm.callbacks = [
        CostInsightsLogger(costs, name="litellm priced", prices=PRICES, external_customer_id="acme")
    ]
    vendor: Any = {"messages": MESSAGES, "api_key": "k"}
    litellm.completion(model="openai/gpt-4o", api_base=f"{URL}/openai", **vendor)
    litellm.completion(
        model="anthropic/claude-sonnet-4-5", api_base=f"{URL}/anthropic", max_tokens=9, **vendor
    )
    called(costs, before + 5)


with Client(ADDRESS, token=TOKEN) as client, BackgroundClient(client) as costs:
    langchain(costs)
    lite(costs)
