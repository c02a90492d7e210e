"""A callback handler of LangChain that sends the usage and the cost of each call of a model.

Needs `cost-insights[langchain]`.
"""

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Unpack

from cost_insights.client.background import BackgroundClient
from cost_insights.client.llm import LlmPrices, LlmUsage, llm_usage
from cost_insights.client.tracking import TrackedEvent, TrackedFields

try:
    from langchain_core.callbacks import BaseCallbackHandler
except ImportError as error:
    raise ImportError(
        "the callback of LangChain needs langchain-core, which is not installed: "
        "pip install 'cost-insights[langchain]'",
        name="langchain_core",
    ) from error

_log = logging.getLogger(__name__)

_VENDORS: Final = {"google_genai": "google", "google_vertexai": "google"}
"""Vendors that LangChain calls otherwise than the answers of their own packages are called."""


class _Run(NamedTuple):
    time_ns: int
    metadata: Mapping[str, Any]


class CostInsightsCallback(BaseCallbackHandler):  # type: ignore[misc]
    """Sends an event for each call of a model, streamed or not.

    `fields` are those of every event; `external_customer_id` in the metadata of a call replaces the
    one among them: `model.invoke(…, config={"metadata": {"external_customer_id": "acme"}})`.
    """

    run_inline = True
    """It only puts the event into a queue; a thread for that would cost more."""

    def __init__(
        self,
        costs: BackgroundClient,
        *,
        name: str = "llm.inference",
        prices: LlmPrices | None = None,
        **fields: Unpack[TrackedFields],
    ) -> None:
        self._costs = costs
        self._name = name
        self._prices = prices
        self._fields = fields
        self._runs: dict[uuid.UUID, _Run] = {}

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: uuid.UUID,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notes when a call begins, and for whom."""
        self._runs[run_id] = _Run(time.time_ns(), metadata or {})

    def on_llm_start(
        self,
        serialized: Any,
        prompts: Any,
        *,
        run_id: uuid.UUID,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notes when a call of a model without chat begins, and for whom."""
        self._runs[run_id] = _Run(time.time_ns(), metadata or {})

    def on_llm_end(self, response: Any, *, run_id: uuid.UUID, **kwargs: Any) -> None:
        """Sends the usage of a call."""
        run = self._runs.pop(run_id, None) or _Run(time.time_ns(), {})
        try:
            usages = [
                _usage(generation.message, run.metadata)
                for generation in (one for each in response.generations for one in each[:1])
                if getattr(getattr(generation, "message", None), "usage_metadata", None)
            ]
            if not usages:
                # Models without chat tell the usage of all prompts together.
                output = response.llm_output or {}
                counts = {"usage": output.get("token_usage"), "model": output.get("model_name")}
                usages = [
                    llm_usage(
                        counts,
                        vendor=run.metadata.get("ls_provider"),
                        model=run.metadata.get("ls_model_name"),
                    )
                ]
            for usage in usages:
                self._send(usage, run)
        except ValueError:
            _log.warning("an answer of LangChain told no usage of tokens")
        except Exception:  # noqa: BLE001 (whatever an answer is, the program goes on)
            _log.exception("the usage of an LLM call could not be read")

    def on_llm_error(self, error: BaseException, *, run_id: uuid.UUID, **kwargs: Any) -> None:
        """Forgets a call that failed, and so tells no usage."""
        self._runs.pop(run_id, None)

    def _send(self, usage: LlmUsage, run: _Run) -> None:
        fields = self._fields
        if customer := run.metadata.get("external_customer_id"):
            fields = {**fields, "external_customer_id": customer}
        event = TrackedEvent(self._name, fields)
        event.set_usage(usage, self._prices if event.cost is None else None)
        self._costs.offer(event.as_event(run.time_ns))


def _usage(message: Any, metadata: Mapping[str, Any]) -> LlmUsage:
    counts, told = message.usage_metadata, message.response_metadata
    vendor = told.get("model_provider") or metadata.get("ls_provider") or "unknown"
    model = told.get("model_name") or told.get("model") or metadata.get("ls_model_name")
    details = counts.get("input_token_details") or {}
    long = details.get("ephemeral_1h_input_tokens") or 0
    written = (details.get("ephemeral_5m_input_tokens") or 0) + long
    return LlmUsage(
        vendor=_VENDORS.get(vendor, vendor),
        model=(model or "unknown").removeprefix("models/"),
        input_tokens=counts["input_tokens"],
        output_tokens=counts["output_tokens"],
        total_tokens=counts["total_tokens"],
        cached_input_tokens=details.get("cache_read"),
        cache_write_tokens=written or details.get("cache_creation") or 0,
        cache_write_long_tokens=long,
    )
