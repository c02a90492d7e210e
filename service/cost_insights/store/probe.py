"""A check whether a database answers, on a connection of its own."""

import sqlalchemy as sa

from cost_insights.store.dialect import Dialect


class Probe:
    """Sends a database a trivial statement, from one thread at a time."""

    def __init__(self, dialect: Dialect, engine: sa.Engine) -> None:
        self._dialect = dialect
        self._engine = dialect.probe_engine(engine)
        self._asked: object | None = None

    def ask(self) -> None:
        """Returns once the database has answered."""
        with self._engine.connect() as connection:
            self._asked = connection.connection.driver_connection
            try:
                connection.exec_driver_sql(self._dialect.probe_statement)
            finally:
                self._asked = None

    def give_up(self) -> None:
        """Makes a check that is still unanswered fail; any thread may call it."""
        if self._asked is not None:
            self._dialect.cut(self._asked)

    def close(self) -> None:
        """Closes the connection."""
        self._engine.dispose()
