"""The commands that prove, mend and prune what is stored."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa

from cost_insights.store import Kind
from cost_insights.store.schema import segment
from tests.support.command_line import Command
from tests.support.segments import compact, fill
from tests.support.service import Service

StartServer = Callable[..., AbstractContextManager[Service]]

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
    for _ in range(2):
        done = quick("db", "check", *flags)
        assert (done.returncode, done.stderr) == (0, "")
        found = SUMMARY.fullmatch(done.stdout)
        assert found
        assert found.groups() == ("all is as the events say", "0", "0")
        pruned = quick("db", "prune", "--before", "2025-01-01", "--yes", *flags)
        assert (pruned.returncode, pruned.stderr) == (0, "")
        assert pruned.stdout == "deleted 0 events before 2025-01-01; their cells stay\n"
        quick("organization", "create", "acme", *flags)


def test_differences_are_told_and_mended(
    quick: Command, service: Service, database_url: str
) -> None:
    """Each difference is a line; the exit code is 1 until they are mended."""
    flags = ("--database-url", database_url)
    right = quick("db", "check", *flags)
    found = SUMMARY.fullmatch(right.stdout)
    assert found
    assert (right.returncode, found[1], found[2]) == (0, "all is as the events say", "12")
    with service.store.write() as connection:
        connection.execute(sa.delete(segment).where(segment.c.kind == Kind.YEARS))
    wrong = quick("db", "check", "--differences-max", "1", *flags)
    line, summary = wrong.stdout.splitlines(keepends=True)
    assert line == (
        "default, everyone's years, 2024, event_name 'llm.inference': "
        "stored 0 events, 0 cents; expected 1 events, 0.5 cents\n"
    )
    found = SUMMARY.fullmatch(summary)
    assert found
    assert found[1] == "2 cells differ, 0 segments or batches are damaged"
    assert (wrong.returncode, wrong.stderr) == (1, "")
    mended = quick("db", "check", "--repair", "--organization", "default", *flags)
    assert (mended.returncode, mended.stderr) == (0, "what differed is written anew\n")
    assert len(mended.stdout.splitlines()) == 3
    assert quick("db", "check", *flags).returncode == 0


def test_differences_as_json(quick: Command, service: Service, database_url: str) -> None:
    """Programs get the same as one JSON list, with amounts as text."""
    with service.store.write() as connection:
        days = sa.delete(segment).where(
            segment.c.kind.in_([Kind.DAYS, Kind.DAY_EVERYONE]), segment.c.span == 12 * 54 + 11
        )
        connection.execute(days)
    done = quick("db", "check", "--json", "--database-url", database_url)
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found.pop("cells") > 12
    assert found == {
        "organization": "default",
        "events": 12,
        "differing": 2,
        "damaged": [],
        "differences": [
            {
                "organization": "default",
                "kind": "everyone's days",
                "bucket": "2024-12-31",
                "event_name": "llm.inference",
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
    prune = ("db", "prune", "--database-url", database_url, "--before", "2025-02-01")
    unasked = quick(*prune)
    assert (unasked.returncode, unasked.stdout) == (2, "")
    assert unasked.stderr == (
        "cost-insights: --yes: nobody can be asked here, so it must be given\n"
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
    assert done.stdout == "deleted 4 events before 2025-02-01; their cells stay\n"
    assert len(caller.list_events()) == 8
    assert quick("db", "check", "--database-url", database_url).returncode == 0


def test_pruning_without_a_check(quick: Command, service: Service, database_url: str) -> None:
    """Whoever insists deletes events without proof."""
    with service.store.write() as connection:
        connection.execute(sa.delete(segment).where(segment.c.kind == Kind.DAYS))
    done = quick(
        *("db", "prune", "--before", "2025-02-01", "--yes", "--no-check"),
        *("--database-url", database_url),
    )
    assert done.stdout == "deleted 4 events before 2025-02-01; their cells stay\n"


@pytest.mark.parametrize("date", ["2025-02-30", "yesterday", "20250201", "2025-2-1", ""])
def test_a_date_that_is_none(quick: Command, tmp_path: object, date: str) -> None:
    """A malformed date is refused before anything is opened."""
    url = f"sqlite:///{tmp_path}/none.db"
    done = quick("db", "prune", "--before", date, "--yes", "--database-url", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cost-insights: --before: {date!r} is no date such as 2025-01-01\n"


@pytest.mark.parametrize("arguments", [("check",), ("prune", "--before", "2025-01-01", "--yes")])
def test_an_organization_that_is_none(
    quick: Command, tmp_path: object, arguments: tuple[str, ...]
) -> None:
    """An organization that does not exist is told, not passed over."""
    url = f"sqlite:///{tmp_path}/costs.db"
    done = quick("db", *arguments, "--organization", "nobody", "--database-url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("cost-insights: --organization: there is no organization 'nobody'\n")
