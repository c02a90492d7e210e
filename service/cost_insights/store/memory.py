"""Answers from memory, without a transaction."""

import sqlalchemy as sa


class NotRememberedError(Exception):
    """What is remembered does not tell: the database must be asked in a transaction."""


def asked_of(connection: sa.Connection | None) -> sa.Connection:
    """The connection; raises NotRememberedError where there is none."""
    if connection is None:
        raise NotRememberedError
    return connection
