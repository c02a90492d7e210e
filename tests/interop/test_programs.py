"""Programs of others call the service knowing nothing of it but its address."""

import json
from pathlib import Path

import pytest

from tests.support.programs import ProgramError, output_of
from tests.support.service import SERVICES, Service

EXAMPLE = Path(__file__).parents[2] / "proto/examples/llm_inference.json"


@pytest.mark.parametrize("method", ["EventService.IngestEvents", "EventService/IngestEvents"])
def test_ghz(server: Service, method: str) -> None:
    """ghz finds the method that it is to call, and every call stores its event."""
    report = json.loads(
        output_of(
            *("ghz", "--insecure", "--total=20", "--concurrency=2", "--format=json"),
            *("--call", f"cost_insights.v1.{method}", "--data-file", str(EXAMPLE)),
            server.address,
        )
    )
    assert report["statusCodeDistribution"] == {"OK": 20}
    assert len(server.stranger().list_events()) == 20


@pytest.mark.parametrize(
    "flag", ["", "--reflect-protocol=grpc-v1", "--reflect-protocol=grpc-v1alpha"]
)
def test_buf_curl(server: Service, flag: str) -> None:
    """buf finds the method by either name of reflection and tells what an error says."""
    url = f"http://{server.address}/cost_insights.v1.EventService/IngestEvents"
    curl = ("buf", "curl", "--protocol=grpc", "--http2-prior-knowledge", *filter(None, [flag]))
    answer = output_of(*curl, "--data", f"@{EXAMPLE}", url)
    assert json.loads(answer) == {"inserted": 1}
    with pytest.raises(ProgramError) as caught:
        output_of(*curl, "--data", '{"events": [{"name": "a"}]}', url)
    refusal = json.loads(str(caught.value))
    assert refusal["code"] == "invalid_argument"
    assert [detail["type"] for detail in refusal["details"]] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
    ]


@pytest.mark.parametrize("name", ["", *(service.full_name for service in SERVICES)])
def test_grpc_health_probe(server: Service, name: str) -> None:
    """The probe of Kubernetes hears that the service as a whole and each of its services serve."""
    probe = ("grpc-health-probe", f"-addr={server.address}", f"-service={name}")
    output_of(*probe)
    with pytest.raises(ProgramError, match="NotFound"):
        output_of(*probe[:2], "-service=cost_insights.v1.Nothing")
