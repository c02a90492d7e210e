"""Programs that report by themselves what they use: @polar-sh/ingestion, and that of polar_sdk 0.x.

Their amounts are products of doubles, and their currency is `USD`, as in their documentation.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from google.protobuf import json_format

from cost_insights.v1.event_pb2 import Event
from tests.support.sdks import INTEROP, PYTHON_0, node_environment
from tests.support.service import Caller, Service

pytestmark = pytest.mark.slow


def output_of(command: Sequence[str], web: Service, caller: Caller) -> str:
    """What a program prints that reports to the service; it must end well."""
    assert caller.token is not None
    ran = subprocess.run(
        [*command, web.url, caller.token],
        env=node_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # A report that is refused ends the program of most strategies.
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def reported(strategy: str, web: Service) -> tuple[Any, Sequence[Event]]:
    """What a strategy measured, and the events that it reported."""
    caller = web.caller()
    program = str(INTEROP / "node" / "ingestion.js")
    measured = json.loads(output_of(["node", program, strategy], web, caller))
    return measured, caller.list_events()


def metadata(event: Event) -> Mapping[str, Any]:
    """The metadata of an event, without its cost and its LLM call."""
    found: Mapping[str, Any] = json_format.MessageToDict(event.metadata)
    return found


def test_a_batch(web: Service) -> None:
    """Events of one request, with all that their caller sets."""
    answer, events = reported("batch", web)
    assert answer == {"inserted": 2, "duplicates": 0}
    assert {(one.name, one.external_id, one.cost.amount) for one in events} == {
        ("first", "first", "0.3"),
        ("second", "second", "0.3"),
    }


def check_llm_call(event: Event) -> None:
    """The call of a model: 1 token in, 7 out, for 0.045000000000000005 as a double."""
    assert (event.name, event.external_customer_id) == ("llm", "user_123")
    assert (event.cost.amount, event.cost.currency) == ("0.045", "usd")
    assert (event.llm.vendor, event.llm.model) == ("openai.responses", "gpt-4o")
    assert (event.llm.input_tokens, event.llm.output_tokens, event.llm.total_tokens) == (1, 7, 8)
    assert metadata(event) == {
        "vendor": "openai.responses",
        "model": "gpt-4o",
        "inputTokens": 1,
        "cachedInputTokens": 0,
        "outputTokens": 7,
        "totalTokens": 8,
        "strategy": "LLM",
    }


def test_llm_generate(web: Service) -> None:
    """A model that answers at once is reported, before its answer is returned."""
    text, (event,) = reported("generate", web)
    assert text == "Hello"
    check_llm_call(event)


def test_llm_stream(web: Service) -> None:
    """A model that answers in parts is reported once it is done."""
    text, (event,) = reported("stream", web)
    assert text == "Hello"
    check_llm_call(event)


def test_s3(web: Service) -> None:
    """An object that is stored, by its bytes: 17 times 0.1, as a double 1.7000000000000002."""
    _, (event,) = reported("s3", web)
    assert (event.name, event.cost.amount) == ("s3", "1.7")
    assert metadata(event) == {
        "bytes": 17,
        "strategy": "S3",
        "bucket": "my-bucket",
        "key": "my-key",
        "contentType": "application/json",
    }


def test_stream(web: Service) -> None:
    """A stream, by its bytes; the caller chooses the metadata, and nothing has a cost."""
    _, (event,) = reported("bytes", web)
    assert event.name == "bytes"
    assert not event.HasField("cost")
    assert metadata(event) == {"bytes": 11, "kind": "greeting"}


def test_delta_time(web: Service) -> None:
    """The time between two calls, whose price has all the digits that a clock has."""
    measured, (event,) = reported("time", web)
    exact = Decimal(repr(measured["amount"]))
    assert Decimal(event.cost.amount) == exact.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
    assert metadata(event) == {"deltaTime": measured["deltaTime"], "strategy": "DeltaTime"}


def test_opentelemetry(web: Service) -> None:
    """Spans with a customer are events, a child under its parent, which arrives later."""
    spans, events = reported("opentelemetry", web)
    found = {one.name: one for one in events}
    assert found.keys() == {"request", "lookup"}
    assert found["request"].external_id == spans["parent"]
    assert found["request"].parent_id == ""
    assert found["lookup"].external_id == spans["child"]
    assert found["lookup"].parent_id == found["request"].id
    for event in events:
        assert metadata(event) == {
            "externalCustomerId": "user_123",
            "region": "eu",
            "tokens": 7,
            "cached": True,
        }


def test_the_background_thread_of_python(web: Service) -> None:
    """Events that wait in a thread are sent before the program ends, timed by its own clock."""
    caller = web.caller()
    program = str(INTEROP / "python" / "ingestion.py")
    output_of([PYTHON_0.python, program], web, caller)
    events = caller.list_events()
    assert sorted(metadata(one)["number"] for one in events) == list(range(120))
    assert {one.cost.amount for one in events} == {"0.3"}
