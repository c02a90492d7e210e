"""The commands that prove, mend and prune what is stored."""

import contextlib
import datetime as dt
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cost_insights.cells import Kind
from cost_insights.store import Store
from cost_insights.store.schema import organization, segment
from tests.support.command_line import SECONDS_MAX, Command, program
from tests.support.databases import Databases
from tests.support.segments import compact, fill
from tests.support.service import Service, StartServer

SUMMARY = re.compile(r"(.*): (\d+) events, (\d+) cells, \d+\.\d seconds\n")


@pytest.fixture
def service(start_server: StartServer, database_url: str) -> Iterator[Service]:
    """A service that has compacted some events."""
    with start_server(database_url, compact=False) as service:
        fill(service.stranger())
        compact(service.store)
        yield service


def test_an_empty_database(quick: Command, database_url: str) -> None:
    """Without organizations and without events all is well, and nothing goes."""
    flags = ("--database-url", database_url)
    quick("db", "upgrade", *flags)
    for _ in range(2):
        done = quick("db", "check", *flags)
        assert (done.returncode, done.stderr) == (0, "")
        found = SUMMARY.fullmatch(done.stdout)
        assert found
        assert found.groups() == ("all cells agree with the events", "0", "0")
        everyone = ("--all-organizations", "--yes")
        pruned = quick("db", "prune", "--before", "2025-01-01", *everyone, *flags)
        assert (pruned.returncode, pruned.stderr) == (0, "")
        assert ": deleted 0 events before 2025-01-01 of " in pruned.stdout
        quick("organization", "create", "acme", *flags)


def test_differences_are_told_and_mended(
    quick: Command, service: Service, database_url: str
) -> None:
    """Each difference is a line; the exit code is 1 until they are mended."""
    flags = ("--database-url", database_url)
    right = quick("db", "check", *flags)
    found = SUMMARY.fullmatch(right.stdout)
    assert found
    assert (right.returncode, found[1], found[2]) == (0, "all cells agree with the events", "12")
    with service.store.write() as connection:
        connection.execute(sa.delete(segment).where(segment.c.kind == Kind.YEARS))
    wrong = quick("db", "check", "--differences-max", "1", *flags)
    line, summary = wrong.stdout.splitlines(keepends=True)
    assert line == (
        "default, everyone's years, 2024, event_name 'llm.inference', llm_vendor 'openai', "
        "llm_model 'gpt-4o': "
        "stored 0 events, 0 cents; expected 1 events, 0.5 cents\n"
    )
    found = SUMMARY.fullmatch(summary)
    assert found
    assert found[1] == "2 cells differ, 0 segments or batches are damaged"
    assert (wrong.returncode, wrong.stderr) == (1, "")
    mended = quick("db", "check", "--repair", "--organization", "default", *flags)
    assert (mended.returncode, mended.stderr) == (0, "the cells that differed are rewritten\n")
    assert len(mended.stdout.splitlines()) == 3
    assert quick("db", "check", *flags).returncode == 0


def test_differences_as_json(quick: Command, service: Service, database_url: str) -> None:
    """Programs get the same as one JSON list, with amounts as text."""
    with service.store.write() as connection:
        days = sa.delete(segment).where(
            segment.c.kind.in_([Kind.DAYS, Kind.DAY_EVERYONE, Kind.TOKEN_DAYS]),
            segment.c.span == 12 * 54 + 11,
        )
        connection.execute(days)
    done = quick("db", "check", "--json", "--database-url", database_url)
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found.pop("cells") > 12
    series = {"event_name": "llm.inference", "llm_vendor": "openai", "llm_model": "gpt-4o"}
    assert found == {
        "organization": "default",
        "events": 12,
        "events_unverified": 0,
        "events_damaged": 0,
        "events_missing": 0,
        "differing": 3,
        "damaged": [],
        "pruned_before": None,
        "pruned_ahead": False,
        "events_before": 0,
        "differences": [
            {
                "organization": "default",
                "kind": "everyone's days",
                "bucket": "2024-12-31",
                **series,
                "stored": {"events": 0, "cost": "0"},
                "expected": {"events": 1, "cost": "0.5"},
            },
            {
                "organization": "default",
                "kind": "who was active on each day",
                "bucket": "2024-12-31",
                "external_customer_id": "c0",
                "stored": False,
                "expected": True,
            },
            {
                "organization": "default",
                "kind": "everyone's tokens of days",
                "bucket": "2024-12-31",
                **series,
                "measure": "input",
                "stored": {"events": 0, "tokens": 0},
                "expected": {"events": 1, "tokens": 1},
            },
        ],
    }


def test_damage_is_told(quick: Command, service: Service, database_url: str) -> None:
    """A segment that cannot be read is named by its id and kind."""
    with service.store.write() as connection:
        years = segment.c.kind == Kind.YEARS
        connection.execute(sa.update(segment).where(years).values(packed=b""))
        (segment_id,) = connection.scalars(sa.select(segment.c.id).where(years))
    done = quick("db", "check", "--database-url", database_url)
    assert done.returncode == 1
    told = f"default, segment {segment_id} (everyone's years): damaged"
    assert done.stdout.splitlines()[0] == told


def test_pruning(quick: Command, service: Service, database_url: str) -> None:
    """Old events are deleted once they are proven, and only if that is meant."""
    owner = ("--organization", "default")
    prune = ("db", "prune", "--database-url", database_url, "--before", "2025-02-01", *owner)
    unasked = quick(*prune)
    assert (unasked.returncode, unasked.stdout) == (2, "")
    assert unasked.stderr == (
        "cost-insights: --yes is required here, because nobody can be asked\n"
    )
    with service.store.write() as connection:
        connection.execute(sa.delete(segment).where(segment.c.kind == Kind.DAYS))
    differs = quick(*prune, "--yes")
    assert differs.returncode == 1
    assert differs.stdout.startswith("default, everyone's days, 2024-12-31, ")
    assert differs.stderr == (
        "cost-insights: cells differ from the events that would be deleted; nothing was "
        "deleted: run db check --repair first\n"
    )
    caller = service.stranger()
    assert len(caller.list_events()) == 12
    assert quick("db", "check", "--repair", "--database-url", database_url).returncode == 0
    done = quick(*prune, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{database_url}: deleted 4 events before 2025-02-01 of default (4); their cells stay\n"
    )
    assert len(caller.list_events()) == 8
    checked = quick("db", "check", "--database-url", database_url)
    told, summary = checked.stdout.splitlines()
    assert told == (
        "default: 4 events lie before 2025-02-01, up to which events were pruned; their cells are "
        "only compared with each other"
    )
    assert summary.startswith("all cells agree with the events that are left: 8 events, ")
    assert checked.returncode == 0
    (as_json,) = json.loads(quick("db", "check", "--json", "--database-url", database_url).stdout)
    assert as_json["pruned_before"] == "2025-02-01"
    assert as_json["events_before"] == 4


def test_pruning_without_a_check(quick: Command, service: Service, database_url: str) -> None:
    """An option deletes events without proof."""
    with service.store.write() as connection:
        connection.execute(sa.delete(segment).where(segment.c.kind == Kind.DAYS))
    done = quick(
        *("db", "prune", "--before", "2025-02-01", "--yes", "--no-check"),
        *("--all-organizations", "--database-url", database_url),
    )
    assert "deleted 4 events before 2025-02-01 of default (4);" in done.stdout


def test_what_is_pruned_is_said_before(
    clean_env: dict[str, str], service: Service, database_url: str
) -> None:
    """The question shows the database, each organization and the number of events to go."""
    service.organization("empty")
    shown = sa.make_url(database_url).render_as_string(hide_password=True)
    reader, terminal = pty.openpty()
    with subprocess.Popen(
        program("db", "prune", "--before", "2025-02-01", "--all-organizations"),
        env=clean_env | {"COST_INSIGHTS_DATABASE_URL": database_url},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(reader, b"n\n")
        out, err = process.communicate(timeout=SECONDS_MAX)
    os.close(reader)
    os.close(terminal)
    assert (process.returncode, out.strip()) == (130, "")
    assert f"{shown}: delete 4 events before 2025-02-01 of default (4), empty (0)? [y/N]" in err
    assert len(service.stranger().list_events()) == 12


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_days_to_come_are_not_pruned(command: Command, tmp_path: Path, zone: str) -> None:
    """The latest day is today in UTC, wherever whoever prunes may be."""
    today = dt.datetime.now(dt.UTC).date()
    prune = ("db", "prune", "--all-organizations", "--yes")
    flags = ("--database-url", f"sqlite:///{tmp_path / 'costs.db'}")
    assert command("db", "upgrade", *flags).returncode == 0
    for day in (today + dt.timedelta(days=1), dt.date(2099, 1, 1), dt.date.max):
        done = command(*prune, "--before", str(day), *flags, env={"TZ": zone})
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"cost-insights: --before: {day} is in the future; today, {today} in UTC, is the "
            "latest\n"
        )
    assert command(*prune, "--before", str(today), *flags, env={"TZ": zone}).returncode == 0


@pytest.mark.parametrize("flags", [(), ("--organization", "acme", "--all-organizations")])
def test_whose_events_go_must_be_said(quick: Command, flags: tuple[str, ...]) -> None:
    """Nobody prunes every organization because a flag was forgotten."""
    done = quick("db", "prune", "--before", "2025-01-01", "--yes", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "cost-insights: give either --organization NAME or --all-organizations\n"
    )


def test_a_boundary_in_the_future(quick: Command, service: Service, database_url: str) -> None:
    """A pruning that once reached into the future is told, as nothing is proven any more, and
    set right; from then on differences are found again."""
    flags = ("--database-url", database_url)
    with service.store.write() as connection:
        boundary = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
        connection.execute(
            sa.update(organization).values(events_from_us=int(boundary.timestamp()) * 1_000_000)
        )
    told = quick("db", "check", *flags)
    line, counted, summary = told.stdout.splitlines()
    assert line == (
        "default: events before 2999-01-01, which is in the future, count as pruned, so that "
        "nothing is proven until then; db check --repair sets this right"
    )
    assert counted.startswith("default: 12 events lie before 2999-01-01, ")
    assert summary.startswith("not everything can be proven: 0 events, ")
    assert told.returncode == 1
    assert quick("db", "check", "--repair", *flags).returncode == 0
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    checked = quick("db", "check", *flags)
    assert f"12 events lie before {tomorrow}, " in checked.stdout
    assert checked.returncode == 0


@pytest.mark.parametrize("date", ["2025-02-30", "yesterday", "20250201", "2025-2-1", ""])
def test_a_date_that_is_none(quick: Command, tmp_path: object, date: str) -> None:
    """A malformed date is refused before anything is opened."""
    url = f"sqlite:///{tmp_path}/none.db"
    done = quick("db", "prune", "--before", date, "--all-organizations", "--database-url", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cost-insights: --before: {date!r} is not a date such as 2025-01-01\n"


@pytest.mark.parametrize("arguments", [("check",), ("prune", "--before", "2025-01-01", "--yes")])
def test_an_organization_that_is_none(
    quick: Command, tmp_path: object, arguments: tuple[str, ...]
) -> None:
    """An organization that does not exist is told, not passed over."""
    url = f"sqlite:///{tmp_path}/costs.db"
    quick("db", "upgrade", "--database-url", url)
    done = quick("db", *arguments, "--organization", "nobody", "--database-url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("cost-insights: --organization: there is no organization 'nobody'\n")


READERS = (
    ("organization", "list"),
    ("token", "list"),
    ("token", "create", "--organization", "acme", "--scopes", "events:read"),
    ("token", "revoke", "1dbfc517-0bbf-4301-9ba8-555ca42b9737"),
    ("token", "rotate", "1dbfc517-0bbf-4301-9ba8-555ca42b9737"),
    ("db", "check"),
    ("db", "prune", "--before", "2025-01-01", "--all-organizations", "--yes"),
)


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_whoever_creates_nothing_makes_no_database(
    quick: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Neither a file nor its folder appears because somebody looked for it."""
    file = tmp_path / "new" / "costs.db"
    done = quick(*arguments, env={"COST_INSIGHTS_DATABASE_URL": f"sqlite:///{file}"})
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"cost-insights: sqlite:///{file}: the database cannot be used: there is no such file; "
        "`cost-insights db upgrade` makes it\n"
    )
    assert not file.parent.exists()


@pytest.mark.parametrize("arguments", [*READERS, ("serve",), ("organization", "create", "acme")])
def test_a_schema_of_another_version(
    quick: Command, database_url: str, arguments: tuple[str, ...]
) -> None:
    """A database without a schema, with an older and with a newer one is told in one line."""
    env = {"COST_INSIGHTS_DATABASE_URL": database_url, "COST_INSIGHTS_DATABASE_UPGRADE": "false"}
    hint = {"": "it has no schema yet", "0001": "its schema is 0001, and this program needs "}
    hint["9999"] = "a newer version of this program made its schema 9999; the newest schema that "
    with contextlib.closing(Store(database_url)) as store:
        store.dialect.create(store.url)
        with store.write() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        for revision, words in hint.items():
            with store.write() as connection:
                connection.exec_driver_sql("DELETE FROM alembic_version")
                if revision:
                    connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
            done = quick(*arguments, env=env)
            assert (done.returncode, done.stdout) == (3, "")
            assert f": the database cannot be used: {words}" in done.stderr
            assert done.stderr.count("\n") == 1
    if arguments in {("serve",), ("organization", "create", "acme")}:
        newer = quick(*arguments, env={"COST_INSIGHTS_DATABASE_URL": database_url})
        assert (newer.returncode, newer.stderr) == (3, done.stderr)


@pytest.mark.parametrize("arguments", [("serve",), ("db", "upgrade"), ("db", "check")], ids=str)
def test_a_file_that_is_no_database(
    quick: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """A database that cannot be opened, made or read is named in one line and not changed."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database\n" * 100)
    creates = arguments != ("db", "check")
    for file, code in ((text, 3), (tmp_path, 3), (text / "new" / "x.db", 5 if creates else 3)):
        done = quick(*arguments, env={"COST_INSIGHTS_DATABASE_URL": f"sqlite:///{file}"})
        assert (done.returncode, done.stdout) == (code, "")
        # The log of the service has a line of its own.
        *logged, last = done.stderr.splitlines()
        assert last.startswith(f"cost-insights: sqlite:///{file}: the database cannot be ")
        assert all(" ERROR " in line for line in logged)
    assert text.read_text() == "not a database\n" * 100


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_names_of_postgresql(quick: Command, databases: Databases, scheme: str) -> None:
    """The URL that others give out for PostgreSQL is taken as it is."""
    with databases.fresh("postgresql") as url:
        given = f"{scheme}://{url.partition('://')[2]}"
        done = quick("db", "upgrade", "--database-url", given)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{url}: the schema is up to date\n"
