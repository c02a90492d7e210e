"""The command that says how a database should be set up for the service."""

import dataclasses
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import sqlalchemy as sa
import typer

from cost_insights.cli.console import printable, say, whole_number
from cost_insights.cli.opening import DatabaseOption, database_shown, existing
from cost_insights.cli.variables import settings_of
from cost_insights.settings import Settings
from cost_insights.store import Store
from cost_insights.store.advice import (
    GB,
    MB,
    Advice,
    DatabaseServer,
    advice_for,
    read_server,
    right_settings,
)
from cost_insights.store.dialect import OTHER_CONNECTIONS

_MEMORY_UNITS: Final = {"MB": MB, "GB": GB, "TB": 1_024 * GB}
_SQLITE_EVENTS_MAX: Final = 50_000_000


def _memory(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([MGT]B)", text, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a size such as 16GB; units are MB, GB and TB")
    return int(match[1]) * _MEMORY_UNITS[match[2]]


def advise(
    *,
    memory: Annotated[
        int | None,
        typer.Option(
            parser=_memory,
            metavar="SIZE",
            help="The memory of the server of the database, such as 16GB. Default: what the server "
            "tells, which only a superuser or a member of pg_read_server_files may ask.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, 10_000),
            metavar="N",
            help="The number of processes of the service, of all machines, 1 to 10000.",
        ),
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list. Default: text, with the SQL.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Says which settings of the database server to change, why, and by which SQL.

    Reads the settings of PostgreSQL, the sizes of the tables of events and, where the server lets
    it be seen, its memory. Nothing is changed. The figures are measured; docs/operations.md has
    them. The exit code is 0 also where there is something to change. SQLite takes its settings from
    the service.

    Example: cost-insights db advise

    Example: cost-insights db advise --memory 16GB --workers 4
    """
    settings = settings_of(database_url=database_url)
    with existing(settings) as store:
        if not store.dialect.starts_apart:
            _advise_on_sqlite(store, settings, as_json=as_json)
            return
        with store.read() as connection:
            server = read_server(connection)
    if memory is not None:
        server = dataclasses.replace(server, memory_bytes=memory)
    connections = workers * (settings.database_connections_max + OTHER_CONNECTIONS)
    advice = advice_for(server, connections=connections)
    if as_json:
        say(json.dumps([dataclasses.asdict(one) for one in advice], ensure_ascii=False))
        return
    say(f"{database_shown(settings)}: {_in_words(server)}")
    _print(advice)
    if server.workers:
        say(f"the events are on {server.workers} workers, each of which has settings of its own")
    if right := right_settings(server, advice):
        say(f"right as they are: {', '.join(right)}")


def _in_words(server: DatabaseServer) -> str:
    memory = (
        "its memory cannot be seen; give it by --memory"
        if server.memory_bytes is None
        else f"{server.memory_bytes / GB:.1f} GB of memory"
    )
    sizes = (
        f"about {server.events} events, {server.event_bytes / GB:.1f} GB and "
        f"{server.index_bytes / GB:.1f} GB of indexes"
    )
    return f"PostgreSQL {server.version}; {memory}; {sizes}"


def _print(advice: Sequence[Advice]) -> None:
    if not advice:
        say("there is nothing to change")
        return
    width = max(len(one.setting) for one in advice)
    for one in advice:
        say(f"  {one.setting:{width}}  {one.current} → {one.advised}: {one.why}")
    statements = [one for one in advice if one.statement is not None]
    if not statements:
        return
    say("to change them, as a superuser:")
    for one in statements:
        say(f"  {one.statement}")
    say("  SELECT pg_reload_conf();")
    if restarting := [one.setting for one in statements if one.needs_restart]:
        say(f"the server must be restarted for: {', '.join(restarting)}")


def _advise_on_sqlite(store: Store, settings: Settings, *, as_json: bool) -> None:
    file = Path(store.url.database or "")
    with store.read() as connection:
        journal_mode = connection.scalar(sa.text("PRAGMA journal_mode"))
        events = connection.scalar(sa.text("SELECT coalesce(max(rowid), 0) FROM event"))
    size, free = file.stat().st_size, shutil.disk_usage(file.parent).free
    words = []
    if journal_mode != "wal":
        words.append(
            f"its journal is {journal_mode} instead of wal, so that questions wait for writers: "
            "put the file on a local disk"
        )
    if free < size:
        words.append(
            f"the disk has {free / GB:.1f} GB left, less than the file, which a backup beside it "
            "needs"
        )
    if events > _SQLITE_EVENTS_MAX:
        words.append("of so many events PostgreSQL answers filters and lists faster")
    if as_json:
        say(json.dumps(words, ensure_ascii=False))
        return
    say(f"{database_shown(settings)}: SQLite; about {events} events, {size / GB:.1f} GB")
    for one in words:
        say(f"  {printable(one)}")
    if not words:
        say("there is nothing to change: SQLite takes its settings from the service")
