"""Access tokens, with which clients act as an organization.

The secret is 256 random bits and is shown once; the database keeps its SHA-256
only. A slow hash would protect a secret that can be guessed; this one cannot.
"""

import hashlib
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.errors import FieldFault, InvalidRequestError, NotFoundError
from cost_insights.identity.organizations import Organization
from cost_insights.identity.scopes import SCOPES
from cost_insights.store.schema import access_token, organization

PREFIX = "ci_"
"""The prefix of every secret, by which scanners for leaked secrets recognize it."""


@dataclass(frozen=True)
class AccessToken:
    """An access token without its secret."""

    id: uuid.UUID
    organization_name: str
    scopes: frozenset[str]
    hint: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None


def token_sha256(secret: str) -> bytes:
    """The hash under which the database knows a token."""
    return hashlib.sha256(secret.encode()).digest()


def create_token(
    connection: sa.Connection,
    owner: Organization,
    scopes: Iterable[str],
    *,
    expires_us: int | None,
) -> tuple[AccessToken, str]:
    """Creates a token and returns it with its secret, which cannot be had again.

    Raises InvalidRequestError for an unknown scope or none.
    """
    asked = frozenset(scopes)
    unknown = sorted(asked - SCOPES)
    if unknown or not asked:
        value = ",".join(unknown)
        allowed = ", ".join(sorted(SCOPES))
        raise InvalidRequestError(
            [
                FieldFault(
                    "scopes",
                    "VALUE_UNKNOWN",
                    f"there is no scope {value!r}; allowed are {allowed}",
                    value,
                    {"allowed": allowed},
                )
            ]
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    return store_token(connection, owner, asked, secret, expires_us=expires_us), secret


def store_token(
    connection: sa.Connection,
    owner: Organization,
    scopes: frozenset[str],
    secret: str,
    *,
    expires_us: int | None,
) -> AccessToken:
    """Creates a token with a secret that must be beyond guessing; raises
    `sqlalchemy.exc.IntegrityError` if there is a token with that secret."""
    token = AccessToken(
        id=uuid.uuid4(),
        organization_name=owner.name,
        scopes=scopes,
        hint=secret[-4:],
        created_us=clock.now_us(),
        expires_us=expires_us,
        revoked_us=None,
    )
    connection.execute(
        sa.insert(access_token).values(
            id=token.id,
            organization_number=owner.number,
            token_sha256=token_sha256(secret),
            hint=token.hint,
            scopes=" ".join(sorted(scopes)),
            created_us=token.created_us,
            expires_us=expires_us,
        )
    )
    return token


def list_tokens(
    connection: sa.Connection, organization_name: str | None = None
) -> list[AccessToken]:
    """The tokens of one organization, or all, in the order in which they were created."""
    statement = _SELECT.order_by(access_token.c.created_us)
    if organization_name is not None:
        statement = statement.where(organization.c.name == organization_name)
    return [_token(row) for row in connection.execute(statement)]


def revoke_token(connection: sa.Connection, token_id: uuid.UUID) -> AccessToken:
    """Revokes a token, for ever; raises NotFoundError if there is none of that id."""
    connection.execute(
        sa.update(access_token)
        .where(access_token.c.id == token_id, access_token.c.revoked_us.is_(None))
        .values(revoked_us=clock.now_us())
    )
    row = connection.execute(_SELECT.where(access_token.c.id == token_id)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no access token {token_id}",
            reason="TOKEN_UNKNOWN",
            facts={"id": str(token_id)},
        )
    return _token(row)


_SELECT = sa.select(
    access_token.c.id,
    organization.c.name,
    access_token.c.scopes,
    access_token.c.hint,
    access_token.c.created_us,
    access_token.c.expires_us,
    access_token.c.revoked_us,
).join(organization, organization.c.number == access_token.c.organization_number)


def _token(
    row: sa.Row[*tuple[Any, ...]],
) -> AccessToken:
    identity, name, scopes, *rest = row
    return AccessToken(identity, name, frozenset(scopes.split()), *rest)
