"""`demo` works from nothing, its totals are exact, and what it suggests can be done."""

import json
import re
import socket
import subprocess
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from cost_insights.cli.demo_events import EXAMPLES_COST, PRICED_CALLS, generate
from tests.support.command_line import SECONDS_MAX, Command


def on_paper(out: str, *, seed: int, events: int) -> str:
    """The total that a demo should have printed, from the first day that it printed."""
    first_day = date.fromisoformat(re.findall(r"^(\d{4}-\d\d-\d\d) ", out, re.MULTILINE)[0])
    month = generate(
        seed=seed, last_day=first_day.fromordinal(first_day.toordinal() + 29), events=events
    )
    total = sum((event.cost for event in month), start=EXAMPLES_COST)
    total += sum(cost for *_, cost in PRICED_CALLS)
    return format(total.normalize(), ",f")


def free_address() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def try_everything(out: str, env: dict[str, str]) -> None:
    """Pastes what the demo suggests into a shell; each way has to show the demo's total."""
    [total] = re.findall(r"^exact: equals the sum on paper, (\S+) cents$", out, re.MULTILINE)
    plain = total.replace(",", "")
    suggestions = out.partition("in them start the service:\n")[2]
    [serve] = re.findall(r"^  (.* serve .*|.* serve)$", suggestions, re.MULTILINE)
    [metrics] = re.findall(r"^  (.* metrics .*)$", suggestions, re.MULTILINE)
    [grpcurl] = re.findall(r"^  (\S*grpcurl .*)$", suggestions, re.MULTILINE)
    [curl] = re.findall(r"^  (curl .*)$", suggestions, re.MULTILINE)
    snippet = suggestions[suggestions.index("  ", suggestions.index(curl) + len(curl)) :]
    assert snippet.endswith("END\n")
    with subprocess.Popen(
        ["sh", "-c", f"exec {serve}"], env=env, stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stdout is not None
            assert serving.stdout.readline().startswith("gRPC on ")
            assert f" {total} " in pasted(metrics, env)
            assert json.loads(pasted(grpcurl, env))["totals"]["costs"] == plain
            assert f'"totals":{{"costs":{plain}}}' in pasted(curl, env)
            assert pasted(snippet, env) == f"{plain} cents\n"
        finally:
            serving.terminate()


def pasted(text: str, env: dict[str, str]) -> str:
    """The text that a shell prints for a command."""
    done = subprocess.run(
        ["sh", "-c", text],
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def address(clean_env: dict[str, str]) -> str:
    """The address of the demo; demos that run side by side do not share a port."""
    clean_env["COST_INSIGHTS_GRPC_ADDRESS"] = free_address()
    clean_env["COST_INSIGHTS_HTTP_ADDRESS"] = free_address()
    return clean_env["COST_INSIGHTS_GRPC_ADDRESS"]


@pytest.mark.slow
def test_shows_a_month_with_exact_totals(command: Command, address: str) -> None:
    """The demo goes from nothing to a table, a plot and totals that equal the sum on paper."""
    done = command("demo", "--seed", "7")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"gRPC on {address} · database sqlite:///")
    assert re.search(r"^sent 6 documented requests and 20000 generated events in ", lines[1])
    total = on_paper(done.stdout, seed=7, events=20_000)
    assert f"exact: equals the sum on paper, {total} cents" in lines
    [totals] = [line.split() for line in lines if line.startswith("total ")]
    assert totals[1] == total
    in_cents, in_dollars = (Decimal(text.replace(",", "")) for text in totals[1:3])
    assert in_dollars * 100 == in_cents
    assert totals[3] == "202"
    assert len(re.findall(r"^\d{4}-\d\d-\d\d ", done.stdout, re.MULTILINE)) in {31, 32}
    assert "costs (cents)" in lines
    [end] = [at for at, line in enumerate(lines) if line.startswith("exact: ")]
    table_and_plot = lines[:end]
    assert max(map(len, table_and_plot[2:])) <= 80
    assert done.stderr == ""


@pytest.mark.usefixtures("address")
def test_replaces_its_database(quick: Command, clean_env: dict[str, str]) -> None:
    """The second demo does not count the events of the first."""
    first = quick("demo", "--events", "50")
    second = quick("demo", "--events", "50")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "exact: equals the sum on paper, " in second.stdout
    folder = Path(clean_env["XDG_DATA_HOME"]) / "cost-insights"
    assert {file.name.partition("-")[0] for file in folder.iterdir()} == {"demo.db"}


def test_takes_another_port_where_its_own_is_taken(quick: Command) -> None:
    """A service that runs already is left alone, and the suggestions name the other port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = quick("demo", "--events", "50", "--grpc-address", address)
    assert done.returncode == 0, done.stderr
    assert address not in done.stdout
    other = re.findall(r"^gRPC on (\S+) ", done.stdout)[0]
    assert f"--grpc-address {other}" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_on_a_given_database_works_beside_what_is_there(
    command: Command, quick: Command, clean_env: dict[str, str], database_url: str
) -> None:
    """Each demo is an organization of its own, on either database, with tokens or without."""
    flags = ("--database-url", database_url)
    for _ in range(2):
        done = quick("demo", "--events", "50", *flags)
        assert done.returncode == 0, done.stderr
        assert "exact: equals the sum on paper, " in done.stdout
    quick("organization", "create", "acme", *flags)
    quick("token", "create", "--organization", "acme", "--scopes", "events:read", *flags)
    done = command("demo", "--events", "50", *flags)
    assert done.returncode == 0, done.stderr
    assert "exact: equals the sum on paper, " in done.stdout
    listed = quick("organization", "list", *flags, env={"COLUMNS": "120"}).stdout
    assert len(re.findall(r" demo-\d{8}-\d{6}-\d{6} ", listed)) == 3
    try_everything(done.stdout, clean_env)


@pytest.mark.usefixtures("address")
def test_leaves_the_configured_database_alone(quick: Command, tmp_path: Path) -> None:
    """A database named by the environment is not even made; only the flag leads to it."""
    file = tmp_path / "production.db"
    env = {"COST_INSIGHTS_DATABASE_URL": f"sqlite:///{file}"}
    done = quick("demo", "--events", "50", env=env)
    assert done.returncode == 0, done.stderr
    assert str(file) not in done.stdout
    assert re.search(r"^gRPC on \S+ · database sqlite:////\S+/demo\.db$", done.stdout, re.MULTILINE)
    assert not file.exists()
    done = quick("demo", "--events", "50", "--database-url", f"sqlite:///{file}", env=env)
    assert done.returncode == 0, done.stderr
    assert f" · database sqlite:///{file}\n" in done.stdout
    assert file.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_what_it_suggests_works(command: Command, clean_env: dict[str, str]) -> None:
    """The printed lines, pasted into a shell as they are, show the same total."""
    done = command("demo", "--events", "50")
    assert done.returncode == 0, done.stderr
    try_everything(done.stdout, clean_env)
