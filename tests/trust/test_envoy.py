"""The configuration of the reverse proxy: what Envoy knows, and what goes with the service."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from cost_insights.settings import Settings
from tests.support.attacked import AttackedService
from tests.support.raw_http2 import RawConnection

FILE = Path(__file__).parents[2] / "deploy/envoy/envoy.yaml"

TEXT = FILE.read_text()


def read_by_envoy(config: str) -> subprocess.CompletedProcess[str]:
    """Reads a configuration, as JSON, with the messages of Envoy's API."""
    python = Path(sys.prefix) / "xds-protos" / "bin" / "python"
    packages = sorted(set(re.findall(r"googleapis\.com/(envoy\.\S+)\.\w+\n", TEXT)))
    command = [python, Path(__file__).with_name("envoy_bootstrap.py"), *packages]
    return subprocess.run(command, input=config, capture_output=True, check=False, text=True)


def test_envoy_knows_every_field() -> None:
    """The file is a valid message of Envoy's API, the configurations of all extensions included."""
    config = json.dumps(yaml.safe_load(TEXT))
    read = read_by_envoy(config)
    assert read.returncode == 0, read.stderr
    assert read.stdout == "2 listeners\n"
    misspelled = read_by_envoy(config.replace("max_heap_size_bytes", "heap_size_bytes_max"))
    assert "heap_size_bytes_max" in misspelled.stderr


def found(node: Any, name: str) -> list[Any]:
    """The values of a field, wherever it is."""
    if isinstance(node, dict):
        return [
            one
            for key, value in node.items()
            for one in ([value] if key == name else found(value, name))
        ]
    return [one for value in node for one in found(value, name)] if isinstance(node, list) else []


def test_its_limits_are_within_those_of_the_service(victim: AttackedService) -> None:
    """The proxy allows no more than the service takes, and closes idle connections before it."""
    config = yaml.safe_load(TEXT)
    with RawConnection(victim.address) as connection:
        assert connection.wait_until(lambda: bool(connection.settings))
        (calls_max,) = (
            value
            for key, value in connection.settings.items()
            if key == 3  # its HTTP/2 number
        )
    assert max(found(config, "max_concurrent_streams")) <= calls_max
    settings = Settings()
    for cluster in config["static_resources"]["clusters"]:
        assert max(found(cluster, "max_connections")) <= settings.connections_max
        (idle,) = found(cluster, "idle_timeout")
        assert float(idle.rstrip("s")) < settings.connection_idle_seconds
