"""`serve` says where it is, is seen by `healthcheck`, and stops when it is told to."""

import signal
import socket
from pathlib import Path

import pytest

from tests.support.command_line import Command, Serve


def test_serves_until_it_is_told_to_stop(quick: Command, serve: Serve, tmp_path: Path) -> None:
    """One line says where it listens, as whom callers act, and which database it works on."""
    database = f"sqlite:///{tmp_path / 'costs.db'}"
    with serve(
        *("--database-url", database, "--grpc-address", "127.0.0.1:0"),
        *("--open-organization", "acme"),
    ) as serving:
        assert serving.greeting == (
            f"gRPC on {serving.address} · callers need no token and act as organization acme "
            f"· database {database}"
        )
        healthy = quick("healthcheck", "--address", serving.address)
        assert (healthy.returncode, healthy.stdout) == (0, f"{serving.address}: SERVING\n")
        assert serving.stop() == 0
        stopped = quick("healthcheck", "--address", serving.address)
        assert stopped.returncode == 3


def test_the_address_comes_from_the_environment(
    quick: Command, serve: Serve, tmp_path: Path
) -> None:
    """Clients look where the service listens, also where that is every address."""
    database = f"sqlite:///{tmp_path / 'costs.db'}"
    with serve("--database-url", database, "--grpc-address", "127.0.0.1:0") as serving:
        port = serving.address.rpartition(":")[2]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            done = quick("healthcheck", env={"COST_INSIGHTS_GRPC_ADDRESS": f"{host}:{port}"})
            assert done.returncode == 0, done.stderr


def test_the_database_is_in_the_data_folder_by_default(
    clean_env: dict[str, str], serve: Serve
) -> None:
    """Without any setting there is a database all the same."""
    file = Path(clean_env["XDG_DATA_HOME"]) / "cost-insights" / "cost-insights.db"
    with serve("--grpc-address", "127.0.0.1:0") as serving:
        assert serving.greeting.endswith(f" · database sqlite:///{file}")
        assert file.exists()
        serving.process.send_signal(signal.SIGINT)
        assert serving.process.wait(30) == 0


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0:0", "will not listen on 0.0.0.0:0 while the database holds no access token"),
        ("", "cannot listen on "),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(
    command: Command, tmp_path: Path, address: str, words: str
) -> None:
    """A port that is taken, or one that strangers reach, ends the command with the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = address or f"127.0.0.1:{taken.getsockname()[1]}"
        done = command(
            *("serve", "--grpc-address", address),
            *("--database-url", f"sqlite:///{tmp_path / 'costs.db'}"),
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"cost-insights: {words}")


def test_healthcheck_tells_another_server(quick: Command) -> None:
    """Something that listens but is no service of this kind is not healthy."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = quick("healthcheck", "--address", address, "--timeout-seconds", "0.5")
    assert done.returncode == 3
    assert done.stderr.startswith(f"cost-insights: {address}: the service did not answer in time")
