"""Usage and cost of LLM calls, as JSON of the vendors' HTTP APIs tells them."""

import importlib
import sys
from decimal import Decimal
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from cost_insights.client import BackgroundClient, Client, LlmPrice, LlmUsage, llm_usage
from cost_insights.client.llm import UsageReader, price_of
from tests.support.llm_answers import EXPECTED, PRICES, json_of, stream_of
from tests.support.service import Service


@pytest.mark.parametrize("name", EXPECTED)
def test_an_answer(name: str) -> None:
    """Each vendor counts cached tokens in its own way; usage and cost are those on paper."""
    usage, cents = EXPECTED[name]
    assert llm_usage(json_of(name)) == usage
    price = price_of(PRICES, usage.model)
    assert price is not None
    assert str(usage.cost(price)) == cents


@pytest.mark.parametrize("name", [name for name in EXPECTED if "embeddings" not in name])
def test_a_stream(name: str) -> None:
    """The parts of a stream tell together what the whole answer tells."""
    reader = UsageReader()
    assert reader.usage() is None
    for part in stream_of(name):
        reader.read(part)
    assert reader.usage() == EXPECTED[name].usage


def test_the_prices_of_a_model() -> None:
    """A date at the end of a name makes no difference, and nothing else is guessed."""
    assert price_of(PRICES, "gpt-4o-2024-08-06") is PRICES["gpt-4o"]
    assert price_of(PRICES, "gpt-4o-mini-2024-07-18") is None
    assert price_of(PRICES, "claude-sonnet-4-5-20250929") is PRICES["claude-sonnet-4-5"]
    own = {**PRICES, "gpt-4o-2024-08-06": LlmPrice(1, 2)}
    assert price_of(own, "gpt-4o-2024-08-06") == LlmPrice(1, 2)


def test_other_prices_stand_in() -> None:
    """Tokens of a cache cost what other input costs where no price of their own is known."""
    usage = LlmUsage("a", "b", 100, 0, 100, 30, 40, 10)
    assert usage.cost(LlmPrice(10_000, 0)) == 100
    assert usage.cost(LlmPrice(10_000, 0, cached_input=0)) == 70
    assert usage.cost(LlmPrice(10_000, 0, cache_write=20_000)) == 140
    assert usage.cost(LlmPrice(10_000, 0, cache_write=20_000, cache_write_long=0)) == 120


@pytest.mark.parametrize(
    ("price", "error", "words"),
    [
        (0.15, TypeError, "input: 0.15 is no exact price"),
        (True, TypeError, "input: True is no exact price"),
        ("cheap", ValueError, "input: 'cheap' is no number"),
        ("NaN", ValueError, "input: NaN is no price"),
        ("-1", ValueError, "input: -1 is no price"),
        ("0.000000001", ValueError, "at most 8 decimals"),
    ],
)
def test_what_is_no_price(price: Any, error: type[Exception], words: str) -> None:
    """A price that would need rounding, or is none, is refused when it is written down."""
    with pytest.raises(error, match=words):
        LlmPrice(price, 1)


TOKENS = st.integers(0, 2**53)
PRICE = st.integers(0, 10**12).map(lambda number: Decimal(number).scaleb(-8))


@hypothesis.given(st.tuples(TOKENS, TOKENS, TOKENS), st.tuples(PRICE, PRICE, PRICE))
def test_costs_are_exact(
    tokens: tuple[int, int, int], prices: tuple[Decimal, Decimal, Decimal]
) -> None:
    """A cost is the sum of products of whole numbers, to the last of 12 decimals."""
    (fresh, cached, output), (price, cheap, dear) = tokens, prices
    usage = LlmUsage("a", "b", fresh + cached, output, 0, cached)
    cost = usage.cost(LlmPrice(price, dear, cached_input=cheap))
    on_paper = sum(
        count * int(dollars * 10**8) for count, dollars in zip(tokens, prices, strict=True)
    )
    sign, digits, exponent = cost.as_tuple()
    assert isinstance(exponent, int)
    assert sign == 0
    assert -12 <= exponent <= 0
    assert int("".join(map(str, digits))) * 10 ** (12 + exponent) == on_paper


@pytest.mark.parametrize("answer", [None, {}, "text", object(), {"usage": {}}, {"usage": {"a": 1}}])
def test_what_tells_no_usage(answer: Any) -> None:
    """An answer without any count is no usage of zero tokens."""
    with pytest.raises(ValueError, match="tells no usage of tokens"):
        llm_usage(answer)


@pytest.mark.parametrize(
    ("framework", "package"), [("langchain", "langchain_core"), ("litellm", "litellm")]
)
def test_a_framework_that_is_missing(
    framework: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the extra that installs what a callback needs."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"pip install 'cost-insights\[{framework}\]'"
    ) as missing:
        importlib.import_module(f"cost_insights.client.{framework}")
    assert missing.value.name == package


def test_events(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """An answer becomes an event with its tokens and its cost: that of the caller, or by prices;
    what cannot be read or has no price breaks nothing."""
    client = Client(service.address, token=service.caller().token)
    with client, BackgroundClient(client) as costs:
        answer = json_of("anthropic_message")
        costs.track_llm(answer, prices=PRICES, external_customer_id="acme")
        costs.track_llm(
            answer, cost=7, vendor="bedrock", model="m", prices=PRICES, external_customer_id="acme"
        )
        costs.track_llm({}, cost="0.5", external_customer_id="acme", name="unread")
        costs.track_llm({}, prices=PRICES, external_customer_id="acme", name="lost")
        costs.track_llm(answer, prices={}, external_customer_id="acme", name="unpriced")
        with costs.track("agent", external_customer_id="acme") as event:
            event.set_llm(json_of("openai_chat"), prices=PRICES)
        parts = costs.track_llm_stream(
            iter(stream_of("google_generate")),
            prices=PRICES,
            external_customer_id="acme",
            name="streamed",
        )
        assert list(parts) == stream_of("google_generate")
        broken = costs.track_llm_stream(
            iter(stream_of("anthropic_message")[:2]),
            prices=PRICES,
            external_customer_id="acme",
            name="cut",
        )
        next(broken)
        broken.close()
        costs.flush()
        found = {(event.name, event.cost) for event in client.list_events()}
        (bedrock,) = client.list_events(llm_vendors=["bedrock"])
    assert found == {
        ("llm.inference", Decimal("7.58838")),
        ("llm.inference", Decimal(7)),
        ("unread", Decimal("0.5")),
        ("unpriced", None),
        ("agent", Decimal("0.5615")),
        ("streamed", Decimal("0.14959")),
        # What was read is paid for, and one token of the answer.
        ("cut", Decimal("7.00038")),
    }
    assert bedrock.llm is not None
    assert (bedrock.llm.model, bedrock.llm.input_tokens, bedrock.llm.cached_input_tokens) == (
        "m",
        191_107,
        188_086,
    )
    assert "the usage of an LLM call could not be read" in caplog.text
    assert "the model 'claude-sonnet-4-5-20250929' has no price" in caplog.text
