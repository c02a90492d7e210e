"""`ingest` stores the good lines of a file, names the others, and can be run again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from tests.cli.conftest import SECONDS_MAX, Command, Serve, program
from tests.support.service import Caller, Service


def written(folder: Path, *lines: str) -> str:
    """A file of lines."""
    file = folder / "events.ndjson"
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


def test_stores_what_is_valid_and_names_the_rest(
    command: Command, server: Service, tmp_path: Path
) -> None:
    """Each fault is printed with its line; the good lines between them are stored exactly."""
    file = written(
        tmp_path,
        '{"name": "a", "external_customer_id": "u", "external_id": "1", '
        '"metadata": {"_cost": {"amount": 99999.999999999999, "currency": "usd"}}}',
        "",
        '{"name": "a", "external_customer_id": "u", "external_id": "1", '
        '"cost": {"amount": 7, "currency": "usd"}}',
        '{"name": "", "external_customer_id": "u"}',
        '{"name": "a"',
        '{"name": "a", "external_customer_id": "u", '
        '"metadata": {"_cost": {"amount": 9000000.01, "currency": "eur"}}}',
        '{"name": "a", "external_customer_id": "u", "color": "\\u001b[31mred"}',
        '{"name": "a", "external_customer_id": "u", "cost": {"amount": 1e-12, "currency": "USD"}}',
        '{"name": "a", "external_customer_id": "u", "external_id": "1", '
        '"metadata": {"_cost": {"amount": "99999.999999999999", "currency": "usd"}}}',
    )
    done = command("ingest", file, "--address", server.address)
    assert done.stdout == "inserted 2, duplicates 1, conflicts 1, refused 4\n"
    assert done.returncode == 1
    faults = done.stderr.splitlines()
    assert [fault.removeprefix(f"{file}:").split(":")[0] for fault in faults] == [
        "3", "4", "5", "6", "6", "7",
    ]  # fmt: skip
    assert faults[0].startswith(
        f"{file}:3: external_id: 1 is stored already with other content, which stays (event "
    )
    assert faults[1].startswith(f"{file}:4: name: ")
    assert faults[2] == f"{file}:5: not JSON: Expecting ',' delimiter at column 13"
    assert faults[3].startswith(f"{file}:6: metadata._cost.amount: ")
    assert "9000000.01" in faults[3]
    assert faults[4].startswith(f"{file}:6: metadata._cost.currency: ")
    assert faults[5].startswith(f"{file}:7: color: there is no such field; known are name, ")
    stored = Caller(server.channel()).list_events()
    assert sorted(event.cost.amount for event in stored) == [
        "0.000000000001",
        "99999.999999999999",
    ]


def test_an_empty_input_is_no_error(command: Command, sqlite_server: Service) -> None:
    """Nothing to send is sent, and that is all right."""
    done = command("ingest", "-", "--address", sqlite_server.address)
    assert (done.returncode, done.stdout) == (
        0,
        "inserted 0, duplicates 0, conflicts 0, refused 0\n",
    )


def test_quiet_prints_faults_only(command: Command, sqlite_server: Service) -> None:
    """With --quiet there is no summary; faults and the exit code remain."""
    lines = '{"name": "a", "external_customer_id": "u"}\n{"name": "a"}'
    done = command("ingest", "-", "--quiet", "--address", sqlite_server.address, stdin=lines)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("<stdin>:2: ")
    assert done.stderr.count("\n") == 1


def test_shows_its_token(command: Command, sqlite_server: Service) -> None:
    """The token comes from the flag or the variable; a wrong one is refused with the reason."""
    caller = sqlite_server.caller()
    assert caller.token is not None
    line = '{"name": "a", "external_customer_id": "u"}'
    arguments = ["ingest", "-", "--address", sqlite_server.address]
    by_variable = command(*arguments, stdin=line, env={"COST_INSIGHTS_TOKEN": caller.token})
    by_flag = command(*arguments, "--token", caller.token, stdin=line)
    without = command(*arguments, stdin=line)
    assert [by_variable.returncode, by_flag.returncode, without.returncode] == [0, 0, 1]
    assert "(TOKEN_MISSING)" in without.stderr
    assert len(caller.list_events()) == 2


def test_events_of_a_slow_pipe_do_not_wait_for_its_end(
    clean_env: dict[str, str], sqlite_server: Service
) -> None:
    """What is piped in is stored within moments, however few events it is."""
    arguments = program("ingest", "-", "--address", sqlite_server.address)
    with subprocess.Popen(
        arguments, env=clean_env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"name": "drip", "external_customer_id": "u"}\n{"name": "dr')
        process.stdin.flush()
        caller = Caller(sqlite_server.channel())
        wait_until(lambda: bool(caller.list_events()))
        assert [event.name for event in caller.list_events()] == ["drip"]
        out, _ = process.communicate(b'op", "external_customer_id": "u"}', SECONDS_MAX)
    assert process.returncode == 0
    assert out == b"inserted 2, duplicates 0, conflicts 0, refused 0\n"


def test_an_interrupt_says_what_is_done(clean_env: dict[str, str], sqlite_server: Service) -> None:
    """Ctrl-C ends with exit code 130, the summary, and the line to go on from."""
    arguments = program("ingest", "-", "--address", sqlite_server.address)
    with subprocess.Popen(
        arguments,
        env=clean_env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"name": "a", "external_customer_id": "u"}\n')
        process.stdin.flush()
        caller = Caller(sqlite_server.channel())
        wait_until(lambda: bool(caller.list_events()))
        # The answer reaches the sender a moment after the event can be read.
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 130
    assert out == b"inserted 1, duplicates 0, conflicts 0, refused 0\n"
    assert err == (
        b"cost-insights: <stdin>: stopped: interrupted; every line up to 1 is stored or named "
        b"above; nothing from line 2 on was sent\n"
    )


def test_memory_does_not_grow_with_the_file(
    clean_env: dict[str, str], sqlite_server: Service, tmp_path: Path
) -> None:
    """A line of 64 MiB and many lines without an event are read with a few MiB."""
    file = tmp_path / "events.ndjson"
    with file.open("wb") as stream:
        for _ in range(64):
            stream.write(b"x" * 2**20)
        stream.write(b"\n")
        stream.write(b"\n" * 2**20)
        stream.write(b'{"name": "a", "external_customer_id": "u"}')
    # The peak of a child is that of all children, so it is measured by a child that has one.
    measure = (
        "import resource, subprocess, sys; "
        "code = subprocess.run(sys.argv[1:]).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )

    def peak_kib(path: Path) -> tuple[str, int]:
        arguments = program("ingest", str(path), "--address", sqlite_server.address)
        done = subprocess.run(
            [sys.executable, "-c", measure, *arguments],
            env=clean_env,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        summary, peak = done.stdout.splitlines()
        return summary, int(peak)

    small = tmp_path / "small.ndjson"
    small.write_text('{"name": "b", "external_customer_id": "u"}')
    summary, peak = peak_kib(file)
    assert summary == "inserted 1, duplicates 0, conflicts 0, refused 1"
    assert peak - peak_kib(small)[1] < 24 * 1024


def test_a_killed_service_loses_and_doubles_nothing(
    clean_env: dict[str, str], serve: Serve, command: Command, tmp_path: Path
) -> None:
    """With external ids a file gets through although the service is killed in the middle of it."""
    events = 10_000
    file = tmp_path / "events.ndjson"
    with file.open("w") as stream:
        for number in range(events):
            event = {
                "name": "a",
                "external_customer_id": f"customer {number % 100}",
                "external_id": str(number),
                "metadata": {"_cost": {"amount": 0.000000000001, "currency": "usd"}},
            }
            stream.write(json.dumps(event) + "\n")
    database = f"sqlite:///{tmp_path / 'costs.db'}"
    with serve("--database-url", database, "--grpc-address", "127.0.0.1:0") as first:
        address = first.address
        ingesting = subprocess.Popen(
            program("ingest", str(file), "--address", address, "--batch-events", "50"),
            env=clean_env,
            stdout=subprocess.PIPE,
            text=True,
        )
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: bool(Caller(channel).list_page(page_size=1).events))
        first.process.kill()
    assert ingesting.poll() is None, "the file was through before the service was killed"
    with serve("--database-url", database, "--grpc-address", address) as second:
        out, _ = ingesting.communicate(timeout=SECONDS_MAX)
        counts = dict(part.rsplit(" ", 1) for part in out.strip().split(", "))
        assert int(counts["inserted"]) + int(counts["duplicates"]) == events
        assert (counts["conflicts"], counts["refused"]) == ("0", "0")
        done = command("metrics", "--json", "--metric", "costs", "--address", second.address)
        assert json.loads(done.stdout)["totals"] == {"costs": "0.00000001"}
        again = command("ingest", str(file), "--address", second.address)
        assert again.stdout == f"inserted 0, duplicates {events}, conflicts 0, refused 0\n"


def wait_until(true: Callable[[], bool]) -> None:
    """Returns once that is so."""
    give_up = time.monotonic() + SECONDS_MAX
    while not true():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.01)
