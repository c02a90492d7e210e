"""`serve` says where it is, is seen by `healthcheck`, and stops when it is told to."""

import json
import re
import signal
import socket
import subprocess
import time
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.command_line import SECONDS_MAX, Command, Serve, Serving, program
from tests.support.databases import Databases
from tests.support.postgresql import Cluster, folder_for_cluster
from tests.support.service import Caller, refused

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_serves_until_it_is_told_to_stop(quick: Command, serve: Serve, tmp_path: Path) -> None:
    """One line says where it listens, as whom callers act, how many processes it runs, which
    version it is and which database it works on."""
    database = f"sqlite:///{tmp_path / 'costs.db'}"
    with serve(
        *("--database-url", database, "--grpc-address", "127.0.0.1:0"),
        *("--open-organization", "acme"),
    ) as serving:
        assert serving.greeting == (
            f"gRPC on {serving.address} · HTTP on {serving.url.removeprefix('http://')} "
            "· callers need no token and act as organization acme "
            f"· 1 worker · cost-insights {version('cost-insights')} · database {database}"
        )
        healthy = quick("healthcheck", "--address", serving.address)
        assert (healthy.returncode, healthy.stdout) == (0, f"{serving.address}: SERVING\n")
        assert httpx.get(f"{serving.url}/readyz").status_code == 200
        assert serving.stop() == 0
        stopped = quick("healthcheck", "--address", serving.address)
        assert stopped.returncode == 3


@pytest.mark.slow
def test_an_empty_database_is_told_with_the_way_to_the_first_event(
    quick: Command, command: Command, serve: Serve, clean_env: dict[str, str], database_url: str
) -> None:
    """The printed line works in a shell, with a token where one is needed, and then is gone."""

    def start() -> AbstractContextManager[Serving]:
        return serve("--database-url", database_url, "--grpc-address", "127.0.0.1:0")

    def first_line(serving: Serving, words: str) -> str:
        assert serving.process.stdout is not None
        lines = [serving.process.stdout.readline() for _ in range(4)]
        assert lines[0] == f"the database holds no events yet; to send the first one{words}:\n"
        return lines[2]

    with start() as serving:
        first_line(serving, "")
        assert serving.stop() == 0
    flags = ("--database-url", database_url)
    quick("organization", "create", "acme", *flags)
    scopes = "events:write,metrics:read"
    token = quick("token", "create", "--organization", "acme", "--scopes", scopes, *flags)
    env = clean_env | {"COST_INSIGHTS_TOKEN": token.stdout.strip()}
    with start() as serving:
        line = first_line(serving, ", with an access token in COST_INSIGHTS_TOKEN")
        pasted = subprocess.run(["sh", "-c", line], env=env, check=False)
        assert pasted.returncode == 0
        shown = command("metrics", "--address", serving.address, env=env).stdout
        assert re.search(r"^total +0\.025 +0\.00025 +1 ", shown, re.MULTILINE)
        assert serving.stop() == 0
    with start() as serving:
        assert serving.process.stdout is not None
        assert serving.stop() == 0
        assert serving.process.stdout.read() == ""


@pytest.mark.slow
def test_a_newcomer_is_led_from_the_demo_to_what_it_made(
    command: Command, serve: Serve, clean_env: dict[str, str]
) -> None:
    """After a demo, an empty `serve` names the command that serves what the demo made."""
    assert command("demo", "--events", "50", "--grpc-address", "127.0.0.1:0").returncode == 0
    with serve("--grpc-address", "127.0.0.1:0") as serving:
        assert serving.process.stdout is not None
        lines = [serving.process.stdout.readline() for _ in range(7)]
        assert lines[4].startswith("what the demo made is in a database of its own; ")
    with subprocess.Popen(
        ["sh", "-c", f"exec {lines[6].strip()} --grpc-address 127.0.0.1:0"],
        env=clean_env,
        stdout=subprocess.PIPE,
        text=True,
    ) as serving_demo:
        try:
            assert serving_demo.stdout is not None
            address = serving_demo.stdout.readline().split(" ")[2]
            assert "┤" in command("metrics", "--address", address).stdout
        finally:
            serving_demo.terminate()


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_every_worker_watches_the_database(serve: Serve) -> None:
    """Whichever worker is asked, health follows the database."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        cluster.start()
        with_password = cluster.url.replace("postgres@", "postgres:secret@")
        try:
            with serve(
                *("--database-url", f"{with_password}?sslpassword=secret", "--workers", "2"),
                *("--grpc-address", "127.0.0.1:0"),
            ) as serving:
                assert " · 2 workers · " in serving.greeting
                assert serving.greeting.endswith("?sslpassword=hidden")
                assert "secret" not in serving.greeting
                assert statuses(serving.address) == {SERVING}
                cluster.stop()
                time.sleep(2)
                assert statuses(serving.address) == {NOT_SERVING}
                cluster.start()
                time.sleep(3)
                assert statuses(serving.address) == {SERVING}
                assert serving.stop() == 0
        finally:
            cluster.stop()


def statuses(address: str) -> set[int]:
    """The answers of health over several connections, which the kernel spreads over the workers."""
    said = set()
    for _ in range(12):
        with grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            said.add(stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status)
    return said


@pytest.mark.slow
def test_a_sqlite_file_is_served_once(quick: Command, serve: Serve, tmp_path: Path) -> None:
    """A second service on the same file is refused and names the first; commands still work,
    and a killed one leaves nothing in the way."""
    file = tmp_path / "costs.db"
    (tmp_path / "link.db").symlink_to(file)
    flags = ("--database-url", f"sqlite:///{file}", "--grpc-address", "127.0.0.1:0")
    with serve(*flags) as serving:
        for name in ("costs.db", "link.db"):
            url = f"sqlite:///{tmp_path / name}"
            again = quick("serve", "--database-url", url, "--grpc-address", "127.0.0.1:0")
            assert (again.returncode, again.stdout) == (3, "")
            assert again.stderr == (
                f"cost-insights: {url}: the database cannot be used: another process serves it "
                f"already, process {serving.process.pid}; only one can serve a SQLite file: stop "
                "that one, or use another file or PostgreSQL\n"
            )
        assert quick("organization", "create", "acme", *flags[:2]).returncode == 0
        assert quick("db", "check", *flags[:2]).returncode == 0
        serving.process.kill()
        serving.process.wait()
        with serve(*flags) as other:
            assert other.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_that_comes_up_later_is_waited_for(
    clean_env: dict[str, str], workers: str
) -> None:
    """The command says once what it waits for, and why; then it serves."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        arguments = ("--database-url", cluster.url, "--grpc-address", "127.0.0.1:0")
        with subprocess.Popen(
            program("serve", *arguments, "--workers", workers),
            env=clean_env | {"COST_INSIGHTS_DATABASE_WAIT_SECONDS": str(SECONDS_MAX)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                waiting = process.stderr.readline()
                assert waiting.startswith(
                    f"waiting up to {SECONDS_MAX} seconds for the database {cluster.url}: "
                )
                assert "refused" in waiting
                cluster.start()
                assert process.stdout.readline().startswith("gRPC on ")
                process.terminate()
                assert process.wait(SECONDS_MAX) == 0
            finally:
                process.kill()
                cluster.stop()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_token_comes_from_a_file(
    quick: Command, clean_env: dict[str, str], databases: Databases, tmp_path: Path, workers: str
) -> None:
    """The bootstrap token opens every address, acts as the open organization, and is made once; its
    secret is nowhere to be seen."""
    secret = "0123456789abcdef0123456789abcdef"
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    engine = "sqlite" if workers == "1" else "postgresql"
    with databases.fresh(engine) as url:
        env = {"COST_INSIGHTS_DATABASE_URL": url, "COST_INSIGHTS_BOOTSTRAP_TOKEN_FILE": str(file)}
        flags = ("--grpc-address", "0.0.0.0:0", "--workers", workers)
        for content in (secret, secret, "another secret that is none".replace(" ", "-") * 2):
            file.write_text(f"{content}\n")
            with subprocess.Popen(
                program("serve", *flags, "--log-level", "debug"),
                env=clean_env | env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout is not None
                greeting = process.stdout.readline()
                port = greeting.split(" ")[2].rpartition(":")[2]
                http = f"http://{greeting.split(' ')[6]}"
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                    assert Caller(channel, secret).list_events() == []
                    with refused("TOKEN_MISSING"):
                        Caller(channel).list_events()
                # Each connection may lead to another worker.
                for _ in range(8):
                    headers = {"authorization": f"Bearer {secret}"}
                    answer = httpx.get(f"{http}/v1/metrics/limits", headers=headers)
                    assert answer.status_code == 200
                    assert httpx.get(f"{http}/v1/metrics/limits").status_code == 401
                process.terminate()
                out, err = process.communicate(timeout=SECONDS_MAX)
            assert process.returncode == 0
            assert content not in greeting + out + err
            assert ("the database already holds others" in err) == (content != secret)
        [token] = json.loads(quick("token", "list", "--json", env=env).stdout)
        assert (token["organization"], len(token["scopes"])) == ("default", 6)


@pytest.mark.parametrize("content", [None, b"", b"short", b"x" * 31, b"a b" * 20, b"\xff" * 40])
def test_a_file_without_a_secret(quick: Command, tmp_path: Path, content: bytes | None) -> None:
    """A file that is absent, or whose secret could be guessed, is refused before anything starts;
    what it holds is not repeated."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    done = quick("serve", env={"COST_INSIGHTS_BOOTSTRAP_TOKEN_FILE": str(file)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"cost-insights: COST_INSIGHTS_BOOTSTRAP_TOKEN_FILE: {str(file)!r} "
        + ("cannot be read: " if content is None else "holds no secret of 32 to 256 ")
    )
    assert done.stderr.count("\n") == 1
    if content:
        assert content.decode("latin-1") not in done.stderr
