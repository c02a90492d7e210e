"""Usage of LLM calls, read from the answers of OpenAI, Anthropic and Google GenAI, and its price.

None of their packages is imported: an answer is told by its fields, so that answers of compatible
services, of LiteLLM, and JSON as these services send it are read, too.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cost_insights.client import inputs

_EXACT: Final = decimal.Context(prec=100)
_DECIMALS_MAX: Final = 8
"""Dollars per million tokens with so many decimals give cents with 12."""

_KNOWN: Final = (
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_token_count",
    "prompt_tokens",
    "total_token_count",
    "total_tokens",
)
"""The counts of which an answer tells at least one."""

_DATE: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")


@dataclass(frozen=True)
class LlmPrice:
    """The prices of a model, in dollars per million tokens, with at most 8 decimals.

    Tokens read from a cache and tokens written to one cost what other input costs, unless they have
    prices of their own; `cache_write_long` is that of the longer retention, where a vendor has two.
    """

    input: inputs.Amount
    output: inputs.Amount
    cached_input: inputs.Amount | None = None
    cache_write: inputs.Amount | None = None
    cache_write_long: inputs.Amount | None = None

    def __post_init__(self) -> None:
        for name, price in vars(self).items():
            if price is not None:
                _price(name, price)


@dataclass(frozen=True)
class LlmUsage:
    """The tokens of an LLM call; `input_tokens` are all of the input, cached or not."""

    vendor: str
    model: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_input_tokens: int | None = None
    """None where the answer does not say it."""
    cache_write_tokens: int = 0
    """The number of tokens written to a cache, with either retention."""
    cache_write_long_tokens: int = 0
    """The number of those that are kept for longer."""

    def cost(self, price: LlmPrice) -> Decimal:
        """The exact cost, in cents."""
        read = self.cached_input_tokens or 0
        long = min(self.cache_write_long_tokens, self.cache_write_tokens)
        short = self.cache_write_tokens - long
        written = price.input if price.cache_write is None else price.cache_write
        parts = (
            (max(self.input_tokens - read - short - long, 0), price.input),
            (read, price.input if price.cached_input is None else price.cached_input),
            (short, written),
            (long, written if price.cache_write_long is None else price.cache_write_long),
            (self.output_tokens, price.output),
        )
        total = Decimal(0)
        for tokens, dollars in parts:
            total = _EXACT.add(total, _EXACT.multiply(Decimal(tokens), Decimal(dollars)))
        # Dollars per million tokens are cents per ten thousand.
        cents = total.scaleb(-4, _EXACT).normalize(_EXACT)
        return cents.quantize(Decimal(1), context=_EXACT) if cents % 1 == 0 else cents

    def event_fields(self) -> inputs.NewLlm:
        """The usage as an event has it."""
        fields: inputs.NewLlm = {
            "vendor": self.vendor,
            "model": self.model,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
        }
        if self.cached_input_tokens is not None:
            fields["cached_input_tokens"] = self.cached_input_tokens
        return fields


LlmPrices = Mapping[str, LlmPrice]
"""Prices by model. A name with a date, such as `gpt-4o-2024-08-06`, has the price of the name
without it, unless it has one of its own."""


def price_of(prices: LlmPrices, model: str) -> LlmPrice | None:
    """The price of a model; None if there is none."""
    return prices.get(model) or prices.get(_DATE.sub("", model))


def llm_usage(response: Any, *, vendor: str | None = None, model: str | None = None) -> LlmUsage:
    """The usage of an answer of OpenAI (chat completions, responses, embeddings), Anthropic
    (messages) or Google GenAI.

    `vendor` and `model` stand in the place of those of the answer. Raises ValueError where it tells
    no usage.
    """
    reader = UsageReader()
    reader.read(response)
    usage = reader.usage(vendor=vendor, model=model)
    if usage is None:
        raise ValueError(
            f"an answer of type {type(response).__qualname__} tells no usage of tokens"
        )
    return usage


class UsageReader:
    """Reads the usage of an answer, or of the parts of a stream, one after the other."""

    def __init__(self) -> None:
        self._model: str | None = None
        self._kind = ""
        self._counts: dict[str, Any] = {}

    def read(self, part: Any) -> None:
        """Takes an answer or a part of one; counts of later parts replace earlier ones."""
        inner = _get(part, "response") or _get(part, "message")
        if inner is not None and str(_get(part, "type")).partition(".")[0] in {
            "message_start",
            "response",
        }:
            self.read(inner)
            return
        self._model = _get(part, "model") or _get(part, "model_version") or self._model
        for counts in (_get(part, "usage"), _get(part, "usage_metadata")):
            if counts is not None:
                self._kind = self._kind or _kind_of(part, counts)
                self._counts |= {name: value for name, value in _items(counts) if value is not None}

    def usage(self, *, vendor: str | None = None, model: str | None = None) -> LlmUsage | None:
        """The usage so far; None where nothing told one."""
        if not any(_count(self._counts, name) is not None for name in _KNOWN):
            return None
        vendor = vendor or self._kind
        model = (model or self._model or "unknown").removeprefix("models/")
        counts = self._counts
        if self._kind == "google":
            return _google(vendor, model, counts)
        return (_anthropic if self._kind == "anthropic" else _openai)(vendor, model, counts)


def _openai(vendor: str, model: str, counts: Mapping[str, Any]) -> LlmUsage:
    """Counts of input contain those of caches."""
    taken = _count(counts, "prompt_tokens") or _count(counts, "input_tokens") or 0
    given = _count(counts, "completion_tokens") or _count(counts, "output_tokens") or 0
    details = counts.get("prompt_tokens_details") or counts.get("input_tokens_details")
    by_retention = _get(details, "cache_write_tokens_details")
    # As LiteLLM passes on what Anthropic tells.
    of_litellm = _get(details, "cache_creation_token_details")
    long = _get(by_retention, "ttl_12h_tokens") or _get(of_litellm, "ephemeral_1h_input_tokens")
    written = _get(details, "cache_write_tokens") or _get(details, "cache_creation_tokens")
    return LlmUsage(
        vendor,
        model,
        taken,
        given,
        _count(counts, "total_tokens") or taken + given,
        _get(details, "cached_tokens"),
        written or 0,
        long or 0,
    )


def _anthropic(vendor: str, model: str, counts: Mapping[str, Any]) -> LlmUsage:
    """The count of input contains neither what was read from a cache nor what was written."""
    read = _count(counts, "cache_read_input_tokens")
    written = _count(counts, "cache_creation_input_tokens") or 0
    taken = (_count(counts, "input_tokens") or 0) + (read or 0) + written
    given = _count(counts, "output_tokens") or 0
    long = _get(counts.get("cache_creation"), "ephemeral_1h_input_tokens")
    return LlmUsage(vendor, model, taken, given, taken + given, read, written, long or 0)


def _google(vendor: str, model: str, counts: Mapping[str, Any]) -> LlmUsage:
    """The count of the prompt contains what was read from a cache, but not the results of tools;
    that of candidates does not contain thoughts."""
    taken = (_count(counts, "prompt_token_count") or 0) + (
        _count(counts, "tool_use_prompt_token_count") or 0
    )
    given = (_count(counts, "candidates_token_count") or 0) + (
        _count(counts, "thoughts_token_count") or 0
    )
    total = _count(counts, "total_token_count") or taken + given
    return LlmUsage(
        vendor, model, taken, given, total, _count(counts, "cached_content_token_count")
    )


def _kind_of(part: Any, counts: Any) -> str:
    names = {name for name, _ in _items(counts)}
    if "prompt_token_count" in names or "total_token_count" in names:
        return "google"
    anthropic = {"cache_read_input_tokens", "cache_creation_input_tokens"}
    is_message = _get(part, "type") in {"message", "message_delta"}
    if "prompt_tokens" not in names and (is_message or anthropic & names):
        return "anthropic"
    return "openai"


def _count(counts: Mapping[str, Any], name: str) -> int | None:
    value = counts.get(name)
    return value if isinstance(value, int) else None


def _items(fields: Any) -> Iterator[tuple[str, Any]]:
    """The fields of an object or of JSON, where Google writes names in camel case."""
    found = fields if isinstance(fields, Mapping) else getattr(fields, "__dict__", {})
    for name, value in found.items():
        yield re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower(), value


def _get(fields: Any, name: str) -> Any:
    if not isinstance(fields, Mapping):
        return getattr(fields, name, None)
    words = name.split("_")
    return fields.get(name, fields.get(words[0] + "".join(word.title() for word in words[1:])))


def _price(name: str, price: Any) -> None:
    if isinstance(price, bool | float) or not isinstance(price, str | int | Decimal):
        raise TypeError(f"{name}: {price!r} is no exact price; a text, a Decimal and an int are")
    try:
        number = Decimal(price)
    except decimal.InvalidOperation:
        raise ValueError(f"{name}: {price!r} is no number") from None
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -_DECIMALS_MAX or number < 0:
        raise ValueError(
            f"{name}: {price} is no price in dollars per million tokens, which is at least 0 and "
            f"has at most {_DECIMALS_MAX} decimals"
        )
