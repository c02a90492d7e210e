"""A callback of LiteLLM that sends the usage and the cost of each call.

Needs `cost-insights[litellm]`.
"""

import datetime
import logging
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final, Unpack

from cost_insights.client.background import BackgroundClient
from cost_insights.client.llm import LlmPrices, llm_usage
from cost_insights.client.tracking import TrackedEvent, TrackedFields

try:
    from litellm.integrations.custom_logger import CustomLogger
except ImportError as error:
    raise ImportError(
        "the callback of LiteLLM needs litellm, which is not installed: "
        "pip install 'cost-insights[litellm]'",
        name="litellm",
    ) from error

_log = logging.getLogger(__name__)

_PICOCENT: Final = Decimal("1e-12")
_WIDE: Final = Context(prec=60)


class CostInsightsLogger(CustomLogger):  # type: ignore[misc]
    """Sends an event for each call: `litellm.callbacks = [CostInsightsLogger(costs)]`.

    The cost follows from `prices` or, without them, is what LiteLLM computes from its own, as a
    float, whose shortest decimal form is rounded half-even to 12 decimals of a cent.

    `fields` are those of every event; `external_customer_id` in the metadata of a call replaces the
    one among them: `litellm.completion(…, metadata={"external_customer_id": "acme"})`.
    """

    def __init__(
        self,
        costs: BackgroundClient,
        *,
        name: str = "llm.inference",
        prices: LlmPrices | None = None,
        **fields: Unpack[TrackedFields],
    ) -> None:
        super().__init__()
        self._costs = costs
        self._name = name
        self._prices = prices
        self._fields = fields

    def log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Sends the usage of a call."""
        self._send(kwargs, response_obj, start_time)

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Sends the usage of a call that was awaited."""
        self._send(kwargs, response_obj, start_time)

    def _send(self, kwargs: Mapping[str, Any], response: Any, start: datetime.datetime) -> None:
        try:
            usage = llm_usage(
                response,
                vendor=kwargs.get("custom_llm_provider"),
                model=getattr(response, "model", None) or kwargs.get("model"),
            )
            params = kwargs.get("litellm_params") or {}
            fields = self._fields
            if customer := (params.get("metadata") or {}).get("external_customer_id"):
                fields = {**fields, "external_customer_id": customer}
            if call := kwargs.get("litellm_call_id"):
                # LiteLLM may tell of a call more than once.
                fields = {**fields, "external_id": f"litellm-{call}"}
            event = TrackedEvent(self._name, fields)
            event.set_usage(usage, self._prices if event.cost is None else None)
            dollars = kwargs.get("response_cost")
            if event.cost is None and self._prices is None and dollars is not None:
                cents = Decimal(repr(float(dollars))).scaleb(2, _WIDE)
                event.cost = cents.quantize(_PICOCENT, ROUND_HALF_EVEN, _WIDE)
            self._costs.offer(event.as_event(int(start.timestamp() * 1_000_000) * 1_000))
        except Exception:  # noqa: BLE001 (whatever an answer is, the program goes on)
            _log.exception("the usage of a call of LiteLLM could not be read")
