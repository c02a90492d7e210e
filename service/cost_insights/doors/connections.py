"""How many connections the doors take, so that files are left for everything else."""

import resource
from dataclasses import dataclass
from typing import Final

_RESERVED_FILES: Final = 64
"""Files for the log, modules and sockets that listen, and for what libraries open."""

_CONNECTION_FILES: Final = 4
"""The files of a connection to a database: SQLite opens the database, its log and its index."""

_FILES_MAX: Final = 65_536
"""The limit that is asked for where the system sets none."""


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of the connections of a door."""

    connections_max: int
    """The number of connections; more are refused."""

    idle_seconds_max: float
    """The time after which a connection without calls is closed."""


def connections_allowed(connections_max: int, *, doors: int, database_connections: int) -> int:
    """The number of connections that each door may take.

    Raises the limit of open files of this process as far as the system allows.
    """
    files = _open_files_max()
    reserved = _RESERVED_FILES + _CONNECTION_FILES * database_connections
    return max(1, min(connections_max, (files - reserved) // doors))


def _open_files_max() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_MAX if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _FILES_MAX if soft == resource.RLIM_INFINITY else soft
