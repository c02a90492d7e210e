"""A client for Python programs that cause costs.

>>> from cost_insights.client import Client
>>> with Client("127.0.0.1:50051") as client:
...     client.ingest(
...         [
...             {
...                 "name": "llm.inference",
...                 "external_customer_id": "user_123",
...                 "cost": {"amount": "0.025", "currency": "usd"},
...             }
...         ]
...     )
Ingested(inserted=1, duplicates=0, refused=0, conflicts=(), faults=(), faults_total=0)

`Client` blocks, `AsyncClient` does not, `BackgroundClient` sends batches from a
thread of its own. All give each event an `external_id` if it has none, so every
retry is safe, and answer amounts as `Decimal`.
"""

from cost_insights.client.aio import AsyncClient
from cost_insights.client.answers import (
    Conflict,
    Fault,
    Ingested,
    MetricsAnswer,
    MetricsGroup,
    MetricsPeriod,
    UnattributedCosts,
)
from cost_insights.client.background import BackgroundClient
from cost_insights.client.errors import (
    CallError,
    InvalidEventError,
    RefusedError,
    UnavailableError,
)
from cost_insights.client.requests import Question
from cost_insights.client.sync import Client

__all__ = [
    "AsyncClient",
    "BackgroundClient",
    "CallError",
    "Client",
    "Conflict",
    "Fault",
    "Ingested",
    "InvalidEventError",
    "MetricsAnswer",
    "MetricsGroup",
    "MetricsPeriod",
    "Question",
    "RefusedError",
    "UnattributedCosts",
    "UnavailableError",
]
