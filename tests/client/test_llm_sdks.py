"""Answers as the packages of LLM vendors read them, and callbacks as frameworks call them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from cost_insights.client import Client, Event
from tests.support.databases import Databases
from tests.support.llm_answers import EXPECTED, vendors
from tests.support.service import LoopThread, running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.prefix) / "llm-sdks" / "bin" / "python"


def run(program: str, client: Client, *arguments: str) -> list[Event]:
    """Runs a program in the environment of the packages, and returns the events that it sent."""
    assert PYTHON.exists(), "the packages are not installed: run make test, which does it"
    env = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    env |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "service"), str(ROOT)]),
        # Prices from the network would be others tomorrow, and tracing would send what is said.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
    }
    command = [str(PYTHON), str(Path(__file__).parent / program), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return list(client.list_events())


@pytest.fixture(scope="module")
def access(loop_thread: LoopThread, databases: Databases) -> Iterator[tuple[str, str]]:
    """The address of a service and a token."""
    with databases.fresh("sqlite") as url, running(loop_thread, url) as service:
        token = service.caller().token
        assert token is not None
        yield service.address, token


def test_packages_of_vendors(access: tuple[str, str]) -> None:
    """Every answer, whole and streamed, awaited or not, is an event with the tokens and the cost
    that are on paper."""
    address, token = access
    with Client(address, token=token) as client, vendors() as url:
        events = run("llm_sdks.py", client, url, address, token)
    assert len(events) == 14
    for event in events:
        usage, cents = EXPECTED[event.name.split()[0]]
        assert event.llm is not None, event.name
        told = (event.llm.input_tokens, event.llm.output_tokens, event.llm.total_tokens)
        assert told == (usage.input_tokens, usage.output_tokens, usage.total_tokens), event.name
        assert event.llm.cached_input_tokens == usage.cached_input_tokens, event.name
        assert (event.llm.vendor, event.llm.model) == (usage.vendor, usage.model)
        assert event.cost == Decimal(cents), event.name


def test_callbacks_of_frameworks(access: tuple[str, str]) -> None:
    """LangChain and LiteLLM tell of each call once, with the customer that its metadata names; the
    cost is that of a table or, of LiteLLM, its own."""
    address, token = access
    with Client(address, token=token) as client, vendors() as url:
        run("llm_frameworks.py", client, url, address, token)
        langchain = list(client.list_events(event_names=["langchain"]))
        own = list(client.list_events(event_names=["litellm"]))
        priced = list(client.list_events(event_names=["litellm priced"]))
    usage, cents = EXPECTED["anthropic_message"]
    assert [(each.external_customer_id, each.cost) for each in langchain] == [
        ("acme", None),
        *[("acme", Decimal(cents))] * 3,
    ]
    for each in langchain[1:]:
        assert each.llm is not None
        assert (each.llm.vendor, each.llm.model) == ("anthropic", usage.model)
        assert each.llm.cached_input_tokens == usage.cached_input_tokens
    assert langchain[0].llm is not None
    assert (langchain[0].llm.model, langchain[0].llm.total_tokens) == ("gpt-3.5-turbo-instruct", 6)
    # A mock reads 10 tokens and writes 20; LiteLLM knows 2.50 and 10 dollars a million.
    assert [(each.external_customer_id, each.cost) for each in own][-1] == (
        "acme",
        Decimal("0.0225"),
    )
    assert len(own) == 3
    assert {each.external_customer_id for each in own} == {"acme"}
    assert {(each.llm.vendor, each.cost) for each in priced if each.llm} == {
        ("openai", Decimal(EXPECTED["openai_chat"].cents)),
        ("anthropic", Decimal(cents)),
    }
    assert len(priced) == 2
