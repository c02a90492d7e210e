"""Advice on the settings of a PostgreSQL server that stores events.

It follows from what the server says of itself; nothing is changed. What is known by measurement is
in `docs/operations.md`, with the figures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cost_insights.store.distribution import find_cluster
from cost_insights.store.schema import event

KB: Final = 1_024
MB: Final = 1_024 * KB
GB: Final = 1_024 * MB

_UNITS: Final = {"B": 1, "kB": KB, "MB": MB, "ms": 1, "s": 1_000, "min": 60_000}
"""The units of `pg_settings`, in bytes or milliseconds; a number may be before one, as in 8kB."""

_WAL_BYTES_MIN: Final = 8 * GB
_CHECKPOINT_MS_MIN: Final = 900_000
_STATEMENT_MS_MIN: Final = 60_000
_OTHER_CONNECTIONS: Final = 10
"""Connections for people, backups and monitoring."""

_SHARED_BUFFERS_MAX: Final = 16 * GB

_LOOKED_AT: Final = (
    "shared_buffers",
    "effective_cache_size",
    "max_wal_size",
    "wal_compression",
    "checkpoint_timeout",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "max_connections",
    "superuser_reserved_connections",
    "autovacuum",
    "autovacuum_vacuum_insert_scale_factor",
    "maintenance_work_mem",
    "work_mem",
    "random_page_cost",
    "statement_timeout",
)


@dataclass(frozen=True)
class ServerSetting:
    """A setting of the server."""

    value: str
    """As `SHOW` gives it."""

    amount: int
    """In bytes, milliseconds or as it is; 0 for what is no whole number."""

    needs_restart: bool
    choices: tuple[str, ...]


@dataclass(frozen=True)
class DatabaseServer:
    """The settings and sizes of a server, on which advice is based."""

    version: str
    settings: Mapping[str, ServerSetting]
    memory_bytes: int | None
    """None if the server does not let its memory be seen."""

    events: int
    """About how many are stored."""

    event_bytes: int
    """The size of the table of events, without its indexes."""

    index_bytes: int
    key_bytes: int
    """The size of the index of the ids of events; 0 if it is spread over workers."""

    workers: int
    """The workers of Citus that hold the events; 0 if they are here."""


@dataclass(frozen=True)
class Advice:
    """A setting that should be another one."""

    setting: str
    current: str
    advised: str
    why: str
    statement: str | None
    """The statement that changes it; None where it is no setting of the server."""

    needs_restart: bool = False


def read_server(connection: sa.Connection) -> DatabaseServer:
    """Reads the settings and sizes of a server, on a new connection."""
    settings = {
        name: ServerSetting(
            shown,
            int(value) * _unit(unit) if kind == "integer" else 0,
            context == "postmaster",
            tuple(choices or ()),
        )
        for name, shown, value, unit, kind, context, choices in connection.execute(
            sa.text(
                "SELECT name, current_setting(name), setting, unit, vartype, context, enumvals "
                "FROM pg_settings WHERE name = ANY(:names)"
            ),
            {"names": list(_LOOKED_AT)},
        )
    }
    events = connection.scalar(
        sa.text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'event'::regclass")
    )
    cluster = find_cluster(connection)
    workers = cluster.workers if cluster is not None and event.name in cluster.shards else 0
    if workers:
        sizes = "citus_table_size('event'), citus_total_relation_size('event'), 0"
    else:
        sizes = (
            "pg_table_size('event'), pg_total_relation_size('event'), "
            "pg_relation_size('event_pkey')"
        )
    table_bytes, total_bytes, key_bytes = connection.execute(sa.text(f"SELECT {sizes}")).one()
    return DatabaseServer(
        version=connection.scalar(sa.text("SHOW server_version")) or "",
        settings=settings,
        memory_bytes=_memory_bytes(connection),
        events=events or 0,
        event_bytes=table_bytes,
        index_bytes=total_bytes - table_bytes,
        key_bytes=key_bytes,
        workers=workers,
    )


def _unit(unit: str | None) -> int:
    if unit is None:
        return 1
    name = unit.lstrip("0123456789")
    return int(unit.removesuffix(name) or 1) * _UNITS[name]


def _memory_bytes(connection: sa.Connection) -> int | None:
    """The memory of the server, or of its container, which only some roles may see."""
    amounts = []
    for file in ("/proc/meminfo", "/sys/fs/cgroup/memory.max"):
        try:
            with connection.begin_nested():
                text = connection.scalar(
                    sa.text("SELECT pg_read_file(:file, 0, 65536, true)"), {"file": file}
                )
        except sa.exc.DBAPIError:
            continue
        words = (text or "").split()
        if words[:1] == ["MemTotal:"]:
            amounts.append(int(words[1]) * KB)
        elif words and words[0].isdigit():
            amounts.append(int(words[0]))
    return min(amounts, default=None)


def advice_for(server: DatabaseServer, *, connections: int) -> list[Advice]:
    """What to change so that the service stores and answers as fast as it can and loses nothing;
    it opens so many connections."""
    return [
        *_safety(server),
        *_memory(server),
        *_writing(server),
        *_upkeep(server, connections),
        *_size(server),
    ]


def right_settings(server: DatabaseServer, advice: list[Advice]) -> list[str]:
    """The settings that were looked at and may stay as they are."""
    wrong = {one.setting for one in advice}
    return [name for name in _LOOKED_AT if name in server.settings and name not in wrong]


def _set(server: DatabaseServer, name: str, advised: str, why: str) -> Advice:
    setting = server.settings[name]
    return Advice(
        name,
        setting.value,
        advised,
        why,
        f"ALTER SYSTEM SET {name} = '{advised}';",
        setting.needs_restart,
    )


def _safety(server: DatabaseServer) -> Iterator[Advice]:
    for name, why in (
        ("fsync", "after a crash of the machine the database may be damaged"),
        ("full_page_writes", "a page that is half written in a crash cannot be restored"),
        ("synchronous_commit", "events that were acknowledged may be lost in a crash"),
    ):
        if server.settings[name].value == "off":
            yield _set(server, name, "on", why)


def _memory(server: DatabaseServer) -> Iterator[Advice]:
    memory = server.memory_bytes
    buffers = server.settings["shared_buffers"].amount
    why = (
        "the keys of events with an external id are read and written at random: on default "
        "settings a table of 21 M events takes 33 k of them a second; with 4 GB, and the settings "
        "of the log below, 75 k to 84 k at 25 M"
    )
    if memory is None:
        if buffers < GB:
            yield Advice(
                "shared_buffers",
                server.settings["shared_buffers"].value,
                "a quarter of the memory",
                why + "; give --memory for a value",
                None,
                needs_restart=True,
            )
        return
    wanted = min(memory // 4, _SHARED_BUFFERS_MAX) // (256 * MB) * (256 * MB)
    # A little less or more makes no difference.
    if buffers < 0.75 * wanted:
        yield _set(server, "shared_buffers", _size_shown(wanted), why)
    if buffers > 0.6 * memory:
        yield _set(
            server, "shared_buffers", _size_shown(wanted), "processes need memory besides it"
        )
    wanted = 3 * memory // 4 // (256 * MB) * (256 * MB)
    if server.settings["effective_cache_size"].amount < 0.6 * wanted:
        yield _set(
            server,
            "effective_cache_size",
            _size_shown(wanted),
            "the planner takes indexes for slower than they are; it reserves no memory",
        )


def _writing(server: DatabaseServer) -> Iterator[Advice]:
    if server.settings["max_wal_size"].amount < _WAL_BYTES_MIN:
        yield _set(
            server,
            "max_wal_size",
            "16GB",
            "a checkpoint is forced each time that the log has this size, and after it every page "
            "of an index is written to the log as a whole again; the disk must have room for it",
        )
    if server.settings["checkpoint_timeout"].amount < _CHECKPOINT_MS_MIN:
        yield _set(
            server,
            "checkpoint_timeout",
            "15min",
            "for the same reason; a server that crashed takes longer to start",
        )
    compression = server.settings["wal_compression"]
    if compression.value == "off":
        yield _set(
            server,
            "wal_compression",
            "lz4" if "lz4" in compression.choices else "on",
            "whole pages are most of the log where keys are random",
        )


def _upkeep(server: DatabaseServer, connections: int) -> Iterator[Advice]:
    needed = (
        connections + server.settings["superuser_reserved_connections"].amount + _OTHER_CONNECTIONS
    )
    if server.settings["max_connections"].amount < needed:
        yield _set(
            server,
            "max_connections",
            str(needed),
            f"the processes of the service open {connections}, and a few are for others; a pooler "
            "in transaction mode needs fewer",
        )
    if server.settings["autovacuum"].value == "off":
        yield _set(
            server, "autovacuum", "on", "space is not used again, and statistics become wrong"
        )
    timeout = server.settings["statement_timeout"].amount
    if 0 < timeout < _STATEMENT_MS_MIN:
        yield _set(
            server,
            "statement_timeout",
            "0",
            "it stops compaction and migrations; the service sets limits of its own",
        )
    memory = server.memory_bytes
    if (
        memory is not None
        and memory >= 8 * GB
        and server.settings["maintenance_work_mem"].amount < 256 * MB
    ):
        yield _set(
            server,
            "maintenance_work_mem",
            "512MB",
            "migrations that make an index, and vacuum, take several passes",
        )
    if float(server.settings["random_page_cost"].value) > 2:
        yield _set(
            server,
            "random_page_cost",
            "1.1",
            "the planner takes a disk for one that must move its heads; not where it must",
        )


def _size(server: DatabaseServer) -> Iterator[Advice]:
    if server.memory_bytes is None or server.key_bytes <= server.memory_bytes // 2:
        return
    yield Advice(
        "memory",
        _size_shown(server.memory_bytes),
        _size_shown(2 * server.key_bytes),
        f"the ids of events take {_size_shown(server.key_bytes)} and are used at random: where "
        "they are not in memory, each event with an external id reads the disk; prune old events, "
        "or distribute them over workers (db distribute)",
        None,
    )


def _size_shown(count: int) -> str:
    """A size as PostgreSQL reads it."""
    if count % GB == 0:
        return f"{count // GB}GB"
    return f"{count // MB}MB"
