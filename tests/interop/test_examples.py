"""The programs of `examples/`, each against one live service on both databases."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from playwright.sync_api import Browser, expect

from cost_insights import identity
from cost_insights.api import admission
from cost_insights.api.admission import Budget
from cost_insights.errors import OverloadedError
from cost_insights.identity.rates import RateLimits
from tests.support.certificates import new_authority
from tests.support.cutting import cutting
from tests.support.databases import Databases
from tests.support.pairs import PAIRS, Pair, without_ids
from tests.support.service import METHODS, LoopThread, Service, StartServer, new_event, running
from tests.support.sites import serving

ROOT = Path(__file__).parents[2]
BUILT = Path(sys.prefix) / "examples"
SECONDS_MAX = 120

expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Program:
    """The program of one language."""

    language: str
    command: Sequence[str]

    def run(
        self,
        *arguments: str,
        address: str,
        token: str | None = None,
        ca: Path | None = None,
        fails: bool = False,
    ) -> str:
        """The output of the program."""
        env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
        env["COST_INSIGHTS_GRPC_ADDRESS"] = address
        if token is not None:
            env["COST_INSIGHTS_TOKEN"] = token
        if ca is not None:
            env["COST_INSIGHTS_CA"] = str(ca)
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=BUILT / self.language,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
        assert done.returncode == int(fails), f"{done.stdout}\n{done.stderr}"
        return done.stdout


# Its life is short: code is not worth much work of the compiler.
_JAVA_FLAGS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]

PROGRAMS = {
    program.language: program
    for program in (
        Program("go", ["./costs"]),
        Program(
            "java", ["java", *_JAVA_FLAGS, "-cp", "target/classes:target/lib/*", "costs.Costs"]
        ),
        Program("node", ["node", "costs.js"]),
        Program("python", [".venv/bin/python", "costs.py"]),
        Program("rust", ["target/debug/costs"]),
    )
}


def check_built(name: str) -> None:
    """Skips the test where an example was left out as it was to be built."""
    left_out = BUILT / name / "left-out"
    if left_out.exists():
        pytest.skip(left_out.read_text().strip())
    assert (BUILT / name / "built").exists(), (
        f"the example {name} is not built: run make test, which builds it"
    )


@pytest.fixture(scope="module", params=list(PROGRAMS.values()), ids=list(PROGRAMS))
def program(request: pytest.FixtureRequest) -> Program:
    """The program of each language, where it could be built."""
    program: Program = request.param
    check_built(program.language)
    return program


def test_every_example_is_here() -> None:
    """Each folder of examples has its program in these tests."""
    folders = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}
    assert folders == {*PROGRAMS, "browser"}


def stored(service: Service, token: str) -> list[Mapping[str, Any]]:
    """The events of an organization, without what differs from one organization to another."""
    events = service.stranger(token).list_events()
    found = [json_format.MessageToDict(event, preserving_proto_field_name=True) for event in events]
    return [
        {key: value for key, value in event.items() if key not in {"id", "customer_id"}}
        for event in found
    ]


INGESTED = [
    {
        "name": "email.sent",
        "external_customer_id": "user_456",
        "timestamp": "2026-11-23T12:00:01Z",
        "external_id": "example-2",
        "cost": {"amount": "0.0001", "currency": "usd"},
    },
    {
        "name": "llm.inference",
        "external_customer_id": "user_123",
        "timestamp": "2026-11-23T12:00:00.250Z",
        "external_id": "example-1",
        "cost": {"amount": "0.025", "currency": "usd"},
        "llm": {
            "vendor": "openai",
            "model": "gpt-4",
            "input_tokens": "57",
            "output_tokens": "123",
        },
        "metadata": {"region": "eu", "attempts": 2.0, "cached": True},
    },
]


def test_ingest_and_metrics(service: Service, program: Program) -> None:
    """Events arrive whole, time and metadata too, count once, and cost what they cost."""
    token = service.token(service.organization())

    def run(*arguments: str) -> str:
        return program.run(*arguments, address=service.address, token=token)

    assert run("ingest") == "inserted 2, duplicates 0, conflicts 0\n"
    assert run("ingest") == "inserted 0, duplicates 2, conflicts 0\n"
    events = stored(service, token)
    assert [
        {key: event[key] for key in one} for event, one in zip(events, INGESTED, strict=True)
    ] == (INGESTED)
    assert run("metrics", "2026-11-01", "2026-11-30") == (
        "user_123: 0.025\nuser_456: 0.0001\nall: 0.0251\n"
    )


def test_a_stream_goes_on_where_it_broke(service: Service, program: Program) -> None:
    """The connection is cut twice, and afterwards every event is stored once."""
    token = service.token(service.organization())
    with cutting(service.address, cuts=2, after_bytes=24_000) as proxy:
        said = program.run("stream", "stream-1", address=proxy.address, token=token)
        assert said == "acknowledged 20 batches of 1000 events\n"
        assert proxy.cut == 2
    events = stored(service, token)
    costs = sorted(Decimal(event["cost"]["amount"]) for event in events)
    assert costs == [Decimal(number).scaleb(-4) for number in range(1000)]
    shown = program.run("metrics", "2026-11-15", "2026-11-15", address=service.address, token=token)
    assert shown == "user_3: 12.525\nuser_2: 12.5\nuser_1: 12.475\nuser_0: 12.45\nall: 49.95\n"


def test_a_stream_goes_on_after_an_overload(
    service: Service, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room for the first stream, and there is for the next one."""
    monkeypatch.setattr(admission, "_WAIT_SECONDS", 0.1)
    token = service.token(service.organization())
    budget, other = service.server.app.budget, service.organization()
    taken = budget.reserve(other, budget.bytes_max)
    assert taken is not None
    refusals = []

    def overloaded(unseen_bytes: int = 0) -> OverloadedError:
        refusals.append(unseen_bytes)
        asyncio.get_running_loop().call_soon(taken.release)
        return Budget.overloaded(budget, unseen_bytes)

    monkeypatch.setattr(budget, "overloaded", overloaded)
    said = program.run("stream", "stream-1", address=service.address, token=token)
    assert said == "acknowledged 20 batches of 1000 events\n"
    assert refusals
    assert len(stored(service, token)) == 1_000


def said_of(error: Mapping[str, Any]) -> str:
    """The lines that a program prints for a `google.rpc.Status`."""
    status = json_format.ParseDict(dict(error), status_pb2.Status())
    assert status.code == 3
    lines = [f"INVALID_ARGUMENT: {status.message}"]
    for detail in status.details:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            lines.append(f"reason {info.reason}")
        elif detail.Unpack(bad_request):
            lines += [
                f"fault {one.field}: {one.description}" for one in bad_request.field_violations
            ]
    return "\n".join([*lines, ""])


def answers_of(
    service: Service, program: Program, token: str, pairs: Sequence[Pair]
) -> Sequence[Mapping[str, Any]]:
    """The answers to the requests of pairs, one after the other."""
    calls = [argument for pair in pairs for argument in (pair.method, str(pair.path))]
    lines = program.run("call", *calls, address=service.address, token=token).splitlines()
    answers = []
    for pair, line in zip(pairs, lines, strict=True):
        kind = message_factory.GetMessageClass(METHODS[f"/{pair.method}"].output_type)
        # Some programs print which member of a oneof is set, too.
        message = json_format.Parse(line, kind(), ignore_unknown_fields=True)
        answer = json_format.MessageToDict(message, preserving_proto_field_name=True)
        answers.append(without_ids(answer))
    return answers


@pytest.fixture(scope="module")
def embedded(loop_thread: LoopThread, databases: Databases) -> Iterator[Service]:
    """A server on SQLite, for what no database matters to."""
    with databases.fresh("sqlite") as url, running(loop_thread, url) as service:
        yield service


def test_pairs(embedded: Service, program: Program) -> None:
    """Each request of `proto/examples` is answered, or refused, as its answer says."""
    for after in {tuple(pair.after) for pair in PAIRS.values()}:
        answered = [pair for pair in PAIRS.values() if pair.answer and tuple(pair.after) == after]
        sent = [*(PAIRS[name] for name in after), *answered]
        token = embedded.token(embedded.organization())
        answers = answers_of(embedded, program, token, sent)
        assert answers == [pair.answer for pair in sent]
    token = embedded.token(embedded.organization())
    for pair in PAIRS.values():
        if pair.error is not None:
            call = ("call", pair.method, str(pair.path))
            said = program.run(*call, address=embedded.address, token=token, fails=True)
            assert said == said_of(pair.error)


def test_when_to_try_again(service: Service, program: Program) -> None:
    """A caller over its rate is told how long to wait, and one without a token why."""
    with service.store.write() as connection:
        owner = identity.create_organization(connection, f"slow {program.language}")
        _, token = identity.create_token(
            connection,
            owner,
            frozenset({"events:write"}),
            expires_us=None,
            limits=RateLimits(events_per_second=1),
        )
    # They are all taken at once, and have to be waited for by what comes next.
    service.stranger(token).ingest(*(new_event() for _ in range(1_000)))
    lines = program.run("ingest", address=service.address, token=token, fails=True).splitlines()
    assert lines[0].startswith("RESOURCE_EXHAUSTED: ")
    assert lines[1] == "reason RATE_LIMITED"
    said, milliseconds, unit = lines[2].rsplit(" ", 2)
    assert (said, unit) == ("retry after", "ms")
    assert int(milliseconds) > 0
    lines = program.run("ingest", address=service.address, fails=True).splitlines()
    assert lines[0].startswith("UNAUTHENTICATED: ")
    assert lines[1:] == ["reason TOKEN_MISSING"]


def test_tls(
    databases: Databases, start_server: StartServer, program: Program, tmp_path: Path
) -> None:
    """With the authority of the service a token travels by TLS."""
    pki = new_authority(tmp_path / "authority")
    with (
        databases.fresh("sqlite") as url,
        start_server(url, tls_cert=pki.service.cert, tls_key=pki.service.key) as service,
    ):
        token = service.token(service.organization())
        address = f"localhost:{service.address.rpartition(':')[2]}"
        said = program.run("ingest", address=address, token=token, ca=pki.ca)
        assert said == "inserted 2, duplicates 0, conflicts 0\n"


def test_a_page_in_a_browser(
    databases: Databases, start_server: StartServer, chromium: Browser
) -> None:
    """A page of another origin shows the costs of customers, a file, and what errors say."""
    check_built("browser")
    with (
        serving(BUILT / "browser") as address,
        databases.fresh("sqlite") as url,
        start_server(
            url, http_address="127.0.0.1:0", http_cors_origins=(f"http://{address}",)
        ) as service,
    ):
        caller = service.caller()
        caller.ingest_json(*INGESTED)
        assert caller.token is not None
        page = chromium.new_page()
        page.goto(f"http://{address}/")

        def ask(token: str, start: str) -> None:
            page.get_by_label("Service").fill(service.url)
            page.get_by_label("Access token").fill(token)
            page.get_by_label("From").fill(start)
            page.get_by_label("To", exact=True).fill("2026-11-30")
            page.get_by_role("button", name="Show").click()

        ask(caller.token, "2026-11-01")
        expect(page.locator("#costs tr")).to_have_text(
            ["user_1230.025", "user_4560.0001", "all0.0251"]
        )
        expect(page.locator("#rows")).to_contain_text("2026-11-01T00:00:00+00:00,user_123")
        errors = page.locator("#error li")
        ask(caller.token, "2026-02-30")
        expect(errors).to_have_count(3)
        assert errors.all_inner_texts()[1] == "reason DATE_INVALID"
        assert errors.all_inner_texts()[2].startswith("fault start_date: ")
        ask("", "2026-11-01")
        expect(errors).to_have_count(2)
        assert errors.all_inner_texts()[0].startswith("Unauthenticated: ")
        assert errors.all_inner_texts()[1] == "reason TOKEN_MISSING"
        page.close()
