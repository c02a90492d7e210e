"""Events that SDKs of the compatible API send, and read again."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import pytest

from tests.support.sdks import OTHER_DATES, Sdk, SdkClient, SdkProcess
from tests.support.service import Service

pytestmark = pytest.mark.slow

CUSTOMER = {"external_customer_id": "user_123"}


def cost(amount: float | str) -> Mapping[str, Any]:
    """The metadata of an event that costs so much."""
    return {"_cost": {"amount": amount, "currency": "usd"}}


# The examples of the documentation, each with the amount that it means.

INFERENCE = {
    "name": "llm.inference",
    "external_customer_id": "user_123",
    "metadata": {"_cost": {"amount": 0.025, "currency": "usd"}},
}
VIDEO = {
    "name": "video.processing",
    "external_customer_id": "user_123",
    "metadata": {
        "_cost": {"amount": 45.5, "currency": "usd"},
        "duration_seconds": 120,
        "resolution": "1080p",
    },
}
EMAIL = {
    "name": "email.sent",
    "external_customer_id": "user_123",
    "metadata": {
        "_cost": {"amount": 0.0001, "currency": "usd"},
        "provider": "sendgrid",
        "recipients": 1,
    },
}
COMPLETION = {
    "name": "llm.completion",
    "external_customer_id": "user_123",
    "metadata": {
        "_cost": {"amount": 0.000125, "currency": "usd"},
        "model": "gpt-4-turbo",
        "tokens": 1000,
        "feature": "chatbot",
    },
}


def priced(input_tokens: int, output_tokens: int) -> Mapping[str, Any]:
    """The example of an LLM call that is priced in code, by binary doubles."""
    return {
        "name": "gpt4.completion",
        "customer_id": "cus_abc123",
        "metadata": {
            **cost(input_tokens / 1000 * 3 + output_tokens / 1000 * 6),
            "_llm": {
                "vendor": "openai",
                "model": "gpt-4",
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                "total_tokens": input_tokens + output_tokens,
            },
        },
    }


EXAMPLES: Sequence[tuple[Mapping[str, Any], str]] = (
    (INFERENCE, "0.025"),
    (VIDEO, "45.5"),
    (EMAIL, "0.0001"),
    (COMPLETION, "0.000125"),
    (priced(57, 123), "0.909"),
    # As a double the product is 0.045000000000000005.
    (priced(1, 7), "0.045"),
)


def stored(client: SdkClient, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Sends an event, the first one, and returns it as the SDK reads it again."""
    assert client.ingest(event) == {"inserted": 1, "duplicates": 0}
    (found,) = client.items("events.list")
    assert client("events.get", id=found["id"]) == found
    read: Mapping[str, Any] = found
    return read


@pytest.mark.parametrize(("event", "amount"), EXAMPLES)
def test_the_documented_examples(client: SdkClient, event: Mapping[str, Any], amount: str) -> None:
    """Each example is stored as it stands, and read again as the typed event of the SDK."""
    found = stored(client, event)
    assert found["name"] == event["name"]
    if "label" not in client.sdk.lacks:
        assert found["label"] == event["name"]
    assert found["source"] == "user"
    # A customer_id that is not a UUID is the caller's own name of the customer.
    customer = event.get("external_customer_id", event.get("customer_id"))
    assert found["external_customer_id"] == customer
    metadata = dict(found["metadata"])
    assert metadata.pop("_cost") == {"amount": amount, "currency": "usd"}
    llm = {key: one for key, one in metadata.pop("_llm", {}).items() if one is not None}
    assert metadata | ({"_llm": llm} if llm else {}) == {
        key: one for key, one in event["metadata"].items() if key != "_cost"
    }


@pytest.mark.parametrize("dated", OTHER_DATES, ids=lambda dated: dated.name)
def test_every_dated_version(web: Service, dated: Sdk) -> None:
    """The dated versions of the API that an SDK may ask for do not differ here."""
    with closing(SdkProcess(dated)) as process:
        client = SdkClient(process, web.url, web.token(web.organization()))
        assert stored(client, INFERENCE)["metadata"]["_cost"]["amount"] == "0.025"


AMOUNTS: Sequence[tuple[float | str, str]] = (
    (150, "150"),
    (100, "100"),
    (0.5, "0.5"),
    (0.025, "0.025"),
    (0.001, "0.001"),
    (0.0001, "0.0001"),
    (0.000125, "0.000125"),
    (1e-7, "0.0000001"),
    (-5, "-5"),
    ("0.3", "0.3"),
    ("99999.999999999999", "99999.999999999999"),
    # Noise of binary doubles is rounded to 12 decimals.
    (0.1 + 0.2, "0.3"),
    (1.1 * 3, "3.3"),
    (0.02070646500000021, "0.020706465"),
)


def test_amounts(client: SdkClient) -> None:
    """Amounts are exact, as numbers and as texts, in one request and read again."""
    events = [
        {**CUSTOMER, "name": f"amount {number}", "metadata": cost(amount)}
        for number, (amount, _) in enumerate(AMOUNTS)
    ]
    assert client.ingest(*events) == {"inserted": len(AMOUNTS), "duplicates": 0}
    found = {
        one["name"]: one["metadata"]["_cost"] for one in client.items("events.list", limit=100)
    }
    assert found == {
        f"amount {number}": {"amount": means, "currency": "usd"}
        for number, (_, means) in enumerate(AMOUNTS)
    }


def test_a_currency_in_capitals(client: SdkClient) -> None:
    """The currency is taken in any case."""
    event = {**CUSTOMER, "name": "a", "metadata": {"_cost": {"amount": 1, "currency": "USD"}}}
    assert stored(client, event)["metadata"]["_cost"] == {"amount": "1", "currency": "usd"}


def test_duplicates(client: SdkClient) -> None:
    """An event of the same external_id is stored once, within a request and by a later one."""
    events = [
        {**CUSTOMER, "name": "a", "external_id": f"event-{number}", "metadata": cost(1)}
        for number in (1, 2, 2)
    ]
    assert client.ingest(*events) == {"inserted": 2, "duplicates": 1}
    assert client.ingest(*events) == {"inserted": 0, "duplicates": 3}
    assert len(client.items("events.list")) == 2


def test_nothing(client: SdkClient) -> None:
    """No events are no error."""
    assert client.ingest() == {"inserted": 0, "duplicates": 0}
