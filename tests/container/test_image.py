"""The image: what is in it, and the service that runs in it."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.containers import Builder, Container, Image
from tests.support.postgresql import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BYTES_MAX = 250_000_000
TOKEN = "0123456789abcdef0123456789abcdef"
EVENT = {
    "name": "llm.inference",
    "external_customer_id": "user_123",
    "external_id": "one",
    "metadata": {"_cost": {"amount": 0.025, "currency": "usd"}},
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of this repository."""
    return Builder(tmp_path_factory.mktemp("containers")).build(ROOT)


@pytest.fixture
def volume(image: Image, tmp_path: Path) -> Path:
    """A volume as a container engine makes it: a copy of the folder of the image."""
    (folder,) = image.config["Volumes"]
    inside = (image.root / folder.lstrip("/")).stat()
    volume = tmp_path / "volume"
    volume.mkdir(mode=inside.st_mode & 0o777)
    subprocess.run(["chown", f"{inside.st_uid}:{inside.st_gid}", volume], check=True)
    return volume


@pytest.fixture
def ports() -> dict[str, str]:
    """Addresses that no other test uses; every machine could reach them."""
    return {
        "COST_INSIGHTS_GRPC_ADDRESS": f"0.0.0.0:{free_port()}",
        "COST_INSIGHTS_HTTP_ADDRESS": f"0.0.0.0:{free_port()}",
        "COST_INSIGHTS_ADMIN_ADDRESS": f"0.0.0.0:{free_port()}",
    }


@pytest.fixture
def client(ports: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of the service over HTTP."""
    port = ports["COST_INSIGHTS_HTTP_ADDRESS"].rpartition(":")[2]
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        yield client


def is_ready(client: httpx.Client) -> bool:
    """Whether the service answers."""
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def test_configuration(image: Image) -> None:
    """It runs the service as a user without rights, is checked, stopped by SIGTERM, and small."""
    config = image.config
    assert image.command == ["cost-insights", "serve"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"50051/tcp", "8080/tcp", "9464/tcp"}
    assert set(config["Volumes"]) == {"/var/lib/cost-insights"}
    assert config["Healthcheck"]["Test"] == ["CMD", "cost-insights", "healthcheck"]
    assert image.bytes_over_base <= BYTES_MAX
    for left_out in ("src", "build", "usr/bin/gcc", "opt/cost-insights/bin/pip"):
        assert not (image.root / left_out).exists(), left_out


def test_it_refuses_to_listen_without_a_token(
    image: Image, volume: Path, ports: dict[str, str]
) -> None:
    """Other machines reach a container, so it does not start while anybody could read and write."""
    ran = Container(image, volume, **ports).run(image.command)
    assert ran.returncode == 1
    assert "will not listen" in ran.stderr
    assert "cost-insights token create" in ran.stderr


def test_the_service_in_a_container(
    image: Image, volume: Path, ports: dict[str, str], client: httpx.Client
) -> None:
    """With a read-only root it takes events, is healthy, drains, and keeps what it stored."""
    (volume / "token").write_text(TOKEN)
    environment = {
        **ports,
        "COST_INSIGHTS_BOOTSTRAP_TOKEN_FILE": "/var/lib/cost-insights/token",
    }
    (volume / "token").chmod(0o444)
    container = Container(image, volume, **environment)
    health = image.config["Healthcheck"]["Test"][1:]
    assert container.run(health).returncode == 3
    for counts in ({"inserted": 1, "duplicates": 0}, {"inserted": 0, "duplicates": 1}):
        with container.running() as process:
            wait_until(lambda: is_ready(client))
            assert container.run(health).returncode == 0
            answer = client.post("/v1/events/ingest", json={"events": [EVENT]})
            assert answer.json() == counts
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
    listed = container.run(["cost-insights", "token", "list"])
    assert listed.returncode == 0, listed.stderr
    assert TOKEN not in listed.stdout
    assert container.run(["touch", "/opt/cost-insights/x"]).returncode != 0
