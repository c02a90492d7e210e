"""Programs that end without closing the background client: what was sent is stored or reported."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.postgresql import free_port
from tests.support.service import Service

PROGRAM = """
import os, signal, sys
from cost_insights.client import BackgroundClient, Client

client = Client(os.environ["ADDRESS"], token=os.environ.get("TOKEN"))
background = BackgroundClient(client, exit_seconds=float(os.environ["EXIT_SECONDS"]), {options})
for _ in range(500):
    background.send({{"name": "a", "external_customer_id": "u"}})
{ending}
"""

SECONDS_MAX = 60


def run(
    address: str,
    ending: str = "",
    *,
    token: str | None = None,
    exit_seconds: float = 30,
    options: str = "",
) -> subprocess.CompletedProcess[str]:
    """Runs a program that sends 500 events and ends so."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(ending=ending, options=options)],
        env={**os.environ, "ADDRESS": address, "EXIT_SECONDS": str(exit_seconds)}
        | ({} if token is None else {"TOKEN": token}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if "pause" in ending:
                assert process.stdout is not None
                assert process.stdout.readline() == "sent\n"
                process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=SECONDS_MAX)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


TERMINATED = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("sent", flush=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise RuntimeError('the program fails')", 1),
        (TERMINATED, 7),
        ("del client, background", 0),
    ],
)
def test_a_program_that_just_ends(service: Service, ending: str, code: int) -> None:
    """All that was sent is stored, whatever the way out, and the exit code stays."""
    caller = service.caller()
    done = run(service.address, ending, token=caller.token)
    assert done.returncode == code, done.stderr
    assert len(caller.list_events()) == 500


def test_a_program_that_ends_without_a_service() -> None:
    """The program ends in time, and says how much was not stored, of each event and in all."""
    began = time.monotonic()
    address = f"127.0.0.1:{free_port()}"
    done = run(address, exit_seconds=2)
    assert time.monotonic() - began < SECONDS_MAX / 2
    assert done.returncode == 0
    words = done.stderr.splitlines()
    summary = (
        "500 events were not stored, or it is not known whether: not stored within 2 seconds "
        "of closing"
    )
    assert words.count(summary) == 1
    assert len([line for line in words if line.startswith("the event a ")]) == 500
    done = run(address, exit_seconds=2, options="on_refused=lambda *why: print(why[1])")
    assert summary in done.stderr.splitlines()
    assert (
        done.stdout.splitlines()
        == ["DEADLINE_EXCEEDED: the event was sent, but not stored within 2 seconds of closing"]
        * 500
    )


def test_a_fork_has_no_part_in_it(service: Service) -> None:
    """A child that forked off is told to make its own client, and ends without waiting; the
    parent's events count once."""
    caller = service.caller()
    ending = """
if os.fork() == 0:
    try:
        background.send({"name": "a", "external_customer_id": "u"})
    except RuntimeError as error:
        print(error, flush=True)
    sys.exit(0)
os.wait()
"""
    done = run(service.address, ending, token=caller.token)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "the client was made before the process forked; make the Client and the "
        "BackgroundClient in the process that uses them\n"
    )
    assert len(caller.list_events()) == 500
