"""Access tokens, with which clients act as an organization.

The secret is shown once; the database keeps its SHA-256 only. A slow hash would protect a secret
that can be guessed; one of 256 random bits cannot.

A secret is `ci_`, 43 random characters of base62 and six of a checksum, which is the CRC-32 of all
before it. By prefix and checksum scanners find leaked secrets without false alarms, and a mistyped
one is refused without a look-up. Secrets of earlier versions, and those that operators chose
themselves, have other forms and go on to work.
"""

import hashlib
import re
import secrets
import string
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.errors import FieldFault, InvalidRequestError, NotFoundError
from cost_insights.identity.certificates import Certificate
from cost_insights.identity.organizations import Organization, find_organization
from cost_insights.identity.rates import NO_LIMITS, RateLimits
from cost_insights.identity.scopes import SCOPES
from cost_insights.store.chunks import chunks
from cost_insights.store.schema import access_token, organization

PREFIX = "ci_"
"""The prefix of every secret, by which scanners for leaked secrets recognize it."""

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS = 43
_CHECKSUM_CHARS = 6
_SECRET = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECKSUM_CHARS}}}")


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
    last_used_us: int | None
    """The time of the last call with it, to about a minute; None if there was none."""

    limits: RateLimits
    certificate: str | None
    """The subject of the client certificate that it is; None if it has a secret. The hint is of
    the fingerprint then."""

    @property
    def lifetime_us(self) -> int:
        """The time for which it was made; 0 if it never expires."""
        return 0 if self.expires_us is None else self.expires_us - self.created_us


def new_secret() -> str:
    """A new secret, which nobody can guess."""
    text = PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARS))
    return text + _checksum(text)


def is_mistyped(secret: str) -> bool:
    """Whether a secret has the form that this version makes, but not the checksum."""
    if _SECRET.fullmatch(secret) is None:
        return False
    return _checksum(secret[:-_CHECKSUM_CHARS]) != secret[-_CHECKSUM_CHARS:]


def _checksum(text: str) -> str:
    """The CRC-32 of a text in base62, the greatest digit first."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits


def token_sha256(secret: str) -> bytes:
    """The hash under which the database knows a token."""
    return hashlib.sha256(secret.encode()).digest()


def create_token(
    connection: sa.Connection,
    owner: Organization,
    scopes: Iterable[str],
    *,
    expires_us: int | None,
    limits: RateLimits = NO_LIMITS,
) -> tuple[AccessToken, str]:
    """Creates a token and returns it with its secret, which cannot be had again.

    Raises InvalidRequestError for an unknown scope or none.
    """
    asked = _checked(scopes)
    secret = new_secret()
    token = store_token(connection, owner, asked, secret, expires_us=expires_us, limits=limits)
    return token, secret


def register_certificate(
    connection: sa.Connection,
    owner: Organization,
    scopes: Iterable[str],
    certificate: Certificate,
    *,
    expires_us: int | None,
    limits: RateLimits = NO_LIMITS,
) -> AccessToken:
    """Creates a token that is a client certificate, and expires with it at the latest.

    Raises InvalidRequestError for an unknown scope or none, and if the certificate has expired or
    was registered before.
    """
    asked = _checked(scopes)
    if certificate.expires_us <= clock.now_us():
        raise _refused_certificate(certificate, "has expired")
    known = connection.execute(
        sa.select(access_token.c.id).where(access_token.c.token_sha256 == certificate.sha256)
    ).scalar()
    if known is not None:
        raise _refused_certificate(
            certificate,
            f"is registered already, as token {known}, or was; another organization, other scopes "
            "and a new start need another certificate",
        )
    return _store(
        connection,
        owner,
        asked,
        certificate.sha256,
        hint=certificate.fingerprint[-4:],
        certificate=certificate.subject,
        expires_us=certificate.expires_us
        if expires_us is None
        else min(expires_us, certificate.expires_us),
        limits=limits,
    )


def _refused_certificate(certificate: Certificate, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        [
            FieldFault(
                "certificate",
                "VALUE_UNKNOWN",
                f"the certificate of {certificate.subject!r} with the SHA-256 fingerprint "
                f"{certificate.fingerprint} {why}",
                certificate.fingerprint,
            )
        ]
    )


def _checked(scopes: Iterable[str]) -> frozenset[str]:
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
    return asked


def store_token(
    connection: sa.Connection,
    owner: Organization,
    scopes: frozenset[str],
    secret: str,
    *,
    expires_us: int | None,
    limits: RateLimits = NO_LIMITS,
) -> AccessToken:
    """Creates a token with a secret that must be beyond guessing; raises
    `sqlalchemy.exc.IntegrityError` if there is a token with that secret."""
    return _store(
        connection,
        owner,
        scopes,
        token_sha256(secret),
        hint=secret[-4:],
        certificate=None,
        expires_us=expires_us,
        limits=limits,
    )


def _store(
    connection: sa.Connection,
    owner: Organization,
    scopes: frozenset[str],
    key: bytes,
    *,
    hint: str,
    certificate: str | None,
    expires_us: int | None,
    limits: RateLimits,
) -> AccessToken:
    token = AccessToken(
        id=uuid.uuid4(),
        organization_name=owner.name,
        scopes=scopes,
        hint=hint,
        created_us=clock.now_us(),
        expires_us=expires_us,
        revoked_us=None,
        last_used_us=None,
        limits=limits,
        certificate=certificate,
    )
    connection.execute(
        sa.insert(access_token).values(
            id=token.id,
            organization_number=owner.number,
            token_sha256=key,
            hint=token.hint,
            scopes=" ".join(sorted(scopes)),
            created_us=token.created_us,
            expires_us=expires_us,
            certificate=certificate,
            events_per_second=limits.events_per_second,
            requests_per_second=limits.requests_per_second,
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
    return find_token(connection, token_id)


def rotate_token(
    connection: sa.Connection,
    token_id: uuid.UUID,
    *,
    overlap_us: int,
    expires_us: int | None,
    certificate: Certificate | None = None,
) -> tuple[AccessToken, AccessToken, str | None]:
    """Creates a token with the organization, the scopes and the limits of another one, which
    expires when the overlap is over, unless it does earlier.

    Returns the old token, the new one and its secret; with a certificate the new token is that and
    has none. Raises NotFoundError if there is no token of that id, and InvalidRequestError if it is
    revoked or has expired, or if it is a certificate and no other one is given.
    """
    now_us = clock.now_us()
    old = find_token(connection, token_id)
    if old.revoked_us is not None or (old.expires_us is not None and old.expires_us <= now_us):
        state = "is revoked" if old.revoked_us is not None else "has expired"
        raise InvalidRequestError(
            [
                FieldFault(
                    "id",
                    "VALUE_UNKNOWN",
                    f"the access token {token_id} {state}; create another one",
                    str(token_id),
                )
            ]
        )
    if old.certificate is not None and certificate is None:
        raise InvalidRequestError(
            [
                FieldFault(
                    "certificate",
                    "FIELD_REQUIRED",
                    f"the access token {token_id} is the client certificate of "
                    f"{old.certificate!r}: the new one must be given",
                )
            ]
        )
    owner = find_organization(connection, old.organization_name)
    if owner is None:
        raise AssertionError("a token without an organization")
    secret: str | None = None
    if certificate is None:
        new, secret = create_token(
            connection, owner, old.scopes, expires_us=expires_us, limits=old.limits
        )
    else:
        new = register_certificate(
            connection, owner, old.scopes, certificate, expires_us=expires_us, limits=old.limits
        )
    connection.execute(
        sa.update(access_token)
        .where(
            access_token.c.id == token_id,
            sa.func.coalesce(access_token.c.expires_us, 2**62) > now_us + overlap_us,
        )
        .values(expires_us=now_us + overlap_us)
    )
    return find_token(connection, token_id), new, secret


def limit_token(
    connection: sa.Connection, token_id: uuid.UUID, limits: Mapping[str, int | None]
) -> AccessToken:
    """Changes some of the limits of a token, None to none of its own; raises NotFoundError if
    there is no token of that id."""
    if limits:
        connection.execute(
            sa.update(access_token).where(access_token.c.id == token_id).values(dict(limits))
        )
    return find_token(connection, token_id)


def note_uses(connection: sa.Connection, hashes: Iterable[bytes], *, used_us: int) -> None:
    """Records that the tokens with these hashes were used at a time."""
    for chunk in chunks(hashes):
        connection.execute(
            sa.update(access_token)
            .where(
                access_token.c.token_sha256.in_(chunk),
                sa.func.coalesce(access_token.c.last_used_us, 0) < used_us,
            )
            .values(last_used_us=used_us)
        )


def find_token(connection: sa.Connection, token_id: uuid.UUID) -> AccessToken:
    """The token of that id; raises NotFoundError if there is none."""
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
    access_token.c.last_used_us,
    access_token.c.events_per_second,
    access_token.c.requests_per_second,
    access_token.c.certificate,
).join(organization, organization.c.number == access_token.c.organization_number)


def _token(
    row: sa.Row[*tuple[Any, ...]],
) -> AccessToken:
    return AccessToken(
        id=row.id,
        organization_name=row.name,
        scopes=frozenset(row.scopes.split()),
        hint=row.hint,
        created_us=row.created_us,
        expires_us=row.expires_us,
        revoked_us=row.revoked_us,
        last_used_us=row.last_used_us,
        limits=RateLimits(row.events_per_second, row.requests_per_second),
        certificate=row.certificate,
    )
