"""Fresh databases on either engine, each one's own."""

import contextlib
import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql

from tests.support.postgresql import cluster, libpq_url

ENGINES = ("sqlite", "postgresql")


class Databases:
    """Makes databases. PostgreSQL starts when the first of its databases is asked for.

    With `keep` the folder holds the cluster too, and what is in both outlasts the program.
    `fsync` is that of the cluster.
    """

    def __init__(self, folder: Path, *, keep: bool = False, fsync: bool = True) -> None:
        self._folder = folder
        self._keep = keep
        self._fsync = fsync
        self._numbers = itertools.count(1)
        self._exit = contextlib.ExitStack()
        self._postgresql_url: str | None = None

    def close(self) -> None:
        """Stops the PostgreSQL that was started, if any."""
        self._exit.close()

    @contextlib.contextmanager
    def fresh(self, engine: str) -> Iterator[str]:
        """The URL of a new, empty database, which goes away with the block."""
        if engine == "sqlite":
            path = self._folder / f"{next(self._numbers)}.db"
            yield f"sqlite:///{path}"
            for file in self._folder.glob(f"{path.name}*"):
                file.unlink(
                    missing_ok=True
                )  # a connection that is closed just now takes its own along
            return
        server = self._postgresql()
        name = _new_name()
        self._create(server, sql.Identifier(name))
        try:
            yield _database_url(server, name)
        finally:
            self._drop(server, name)

    @contextlib.contextmanager
    def kept(self, engine: str, name: str) -> Iterator[str]:
        """The URL of the database of that name, new unless it was kept."""
        if not self._keep:
            with self.fresh(engine) as url:
                yield url
        elif engine == "sqlite":
            yield f"sqlite:///{self._folder / name}.db"
        else:
            server = self._postgresql()
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                self._create(server, sql.Identifier(name))
            yield _database_url(server, name)

    @contextlib.contextmanager
    def copied(self, url: str) -> Iterator[str]:
        """The URL of a copy of a PostgreSQL database, which goes away with the block."""
        server = self._postgresql()
        name = _new_name()
        source = sa.make_url(url).database or ""
        self._execute(
            server,
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(source)
            ),
        )
        try:
            yield _database_url(server, name)
        finally:
            self._drop(server, name)

    def _create(self, server: str, name: sql.Identifier) -> None:
        # Sorted as people do, not by code points: what relies on the order of
        # characters must say so itself. Not every server knows ICU.
        locale = sql.SQL(" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        create = sql.SQL("CREATE DATABASE {}").format(name)
        try:
            self._execute(server, create + locale)
        except (psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported):
            self._execute(server, create)

    def _drop(self, server: str, name: str) -> None:
        self._execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _postgresql(self) -> str:
        if self._postgresql_url is None:
            given = os.environ.get("COST_INSIGHTS_DATABASE_URL", "")
            if given.startswith("postgresql"):
                self._postgresql_url = given
            else:
                folder = self._folder / "postgresql" if self._keep else None
                self._postgresql_url = self._exit.enter_context(cluster(folder, fsync=self._fsync))
        return self._postgresql_url

    def _execute(self, url: str, statement: sql.Composed) -> None:
        with psycopg.connect(libpq_url(url), autocommit=True) as connection:
            connection.execute(statement)


def _new_name() -> str:
    return f"cost_insights_test_{uuid.uuid4().hex[:12]}"


def _database_url(server: str, name: str) -> str:
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)
