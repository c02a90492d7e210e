"""The requests that benchmarks send.

Events are those of the documentation in equal shares: bare LLM calls, video,
e-mail, LLM calls with details, and ones with `_llm` and an amount computed in
doubles. They belong to ten thousand customers.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from cost_insights.v1 import event_pb2, event_service_pb2

CUSTOMERS = 10_000
SEED = 20261123

KEY = f"bench-key-{'0' * 16}"
"""Marks where the load generator writes a new key; see `load/main.go`."""


Request = event_service_pb2.IngestEventsRequest


def encoded(request: Request) -> bytes:
    """The request in protobuf."""
    return request.SerializeToString()


def as_json(request: Request) -> bytes:
    """The request as the SDKs of the compatible API write it."""
    content = json_format.MessageToDict(request, preserving_proto_field_name=True)
    return json.dumps(content, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Bodies:
    """Prepared requests that are sent one after the other, again and again."""

    events_each: int
    requests: Sequence[bytes]
    costs_picocents: Sequence[int]
    """The total cost of the events of each request."""

    def write(self, path: Path) -> None:
        """Writes them as the load generator reads them."""
        with path.open("wb") as file:
            for one in self.requests:
                file.write(len(one).to_bytes(4) + one)


def bodies(
    *,
    requests: int,
    events_each: int,
    keyed: bool,
    new_customers: bool = False,
    write: Callable[[Request], bytes] = encoded,
) -> Bodies:
    """Prepares requests, in protobuf or as `write` writes them; `keyed` events carry an external
    id, and with `new_customers` each is of a customer that no event named before."""
    generator = random.Random(SEED)
    written: list[bytes] = []
    costs: list[int] = []
    for _ in range(requests):
        request = event_service_pb2.IngestEventsRequest()
        cost = Decimal(0)
        for _ in range(events_each):
            event, cents = _event(generator)
            if keyed:
                event.external_id = KEY
            if new_customers:
                event.external_customer_id = KEY
            request.events.append(event)
            cost += cents
        written.append(write(request))
        costs.append(int(cost.scaleb(12)))
    return Bodies(events_each, written, costs)


def json_bodies(*, requests: int, events_each: int) -> Sequence[bytes]:
    """Prepares requests in JSON, without external ids, as SDKs write them."""
    generator = random.Random(SEED)
    return [
        json.dumps(
            {"events": [_document(generator)[0] for _ in range(events_each)]},
            separators=(",", ":"),
        ).encode()
        for _ in range(requests)
    ]


def _event(generator: random.Random) -> tuple[event_pb2.NewEvent, Decimal]:
    document, amount = _document(generator)
    return json_format.ParseDict(document, event_pb2.NewEvent()), round(Decimal(repr(amount)), 12)


def _document(generator: random.Random) -> tuple[dict[str, Any], float]:
    name, amount, metadata = generator.choice(_KINDS)
    customer = generator.randrange(CUSTOMERS)
    who = "customer_id" if name == "gpt4.completion" else "external_customer_id"
    document = {
        "name": name,
        who: f"user_{customer}",
        "metadata": {"_cost": {"amount": amount, "currency": "usd"}, **metadata},
    }
    return document, amount


_KINDS: Sequence[tuple[str, float, Mapping[str, Any]]] = (
    ("llm.inference", 0.025, {}),
    ("video.processing", 45.5, {"duration_seconds": 120, "resolution": "1080p"}),
    ("email.sent", 0.0001, {"provider": "sendgrid", "recipients": 1}),
    ("llm.completion", 0.000125, {"model": "gpt-4-turbo", "tokens": 1000, "feature": "chatbot"}),
    (
        "gpt4.completion",
        0.045000000000000005,
        {
            "_llm": {
                "vendor": "openai",
                "model": "gpt-4",
                "input_tokens": 1,
                "output_tokens": 7,
                "total_tokens": 8,
            }
        },
    ),
)
