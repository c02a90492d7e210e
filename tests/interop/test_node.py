"""Node's @grpc/grpc-js with @grpc/proto-loader, which writes what does not fit as nothing."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from google.protobuf import json_format

from tests.support.documents import ROOT, blocks
from tests.support.service import Service

MODULES = Path(sys.prefix) / "node" / "node_modules"


def ingest(service: Service, event: str) -> str:
    """The output of the client after it sends an event, which is an expression of JavaScript."""
    assert MODULES.is_dir(), "the client of Node is not installed: run make test, which does it"
    folders = [str(ROOT / "proto"), sysconfig.get_path("purelib")]
    program = str(Path(__file__).parent / "node" / "ingest.js")
    ran = subprocess.run(
        ["node", program, service.address, f"[{event}]", *folders],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_date_is_refused(server: Service) -> None:
    """A `Date` arrives as 0 seconds and 0 nanoseconds; the answer says what is required instead."""
    event = "{name: 'a', external_customer_id: 'u', timestamp: new Date()}"
    assert ingest(server, event) == (
        "events[0].timestamp: the time 1970-01-01T00:00:00Z is 0 seconds and 0 nanoseconds, "
        "which is what arrives when a client failed to write a time; set seconds and "
        'nanos, as in {"seconds": 1795435200, "nanos": 0}'
    )
    assert server.stranger().list_events() == []


def documented() -> str:
    """The event in the README of the example."""
    (event,) = [
        one.text for one in blocks(ROOT / "examples/node/README.md") if one.language == "js"
    ]
    return event


def test_the_documented_event(server: Service) -> None:
    """The documented event arrives whole: the time, the cost and the metadata."""
    assert json.loads(ingest(server, documented()))["inserted"] == 1
    (event,) = server.stranger().list_events()
    assert event.cost.amount == "0.025"
    assert json_format.MessageToDict(event.metadata) == {"region": "eu", "tokens": 1000.0}
    assert event.timestamp.ToJsonString() == "2026-11-23T12:00:00.250Z"


def test_a_plain_object_as_metadata_arrives_empty(server: Service) -> None:
    """The client drops it without a word, which nothing on this side can see: hence that README."""
    event = "{name: 'a', external_customer_id: 'u', metadata: {region: 'eu'}}"
    assert json.loads(ingest(server, event))["inserted"] == 1
    (stored,) = server.stranger().list_events()
    assert not stored.metadata.fields
