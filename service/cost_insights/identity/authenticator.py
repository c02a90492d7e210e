"""Who is calling, and may they."""

import asyncio
import datetime
import time
from collections import OrderedDict
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights.errors import PermissionDeniedError, UnauthenticatedError
from cost_insights.identity.organizations import Organization, ensure_organization
from cost_insights.identity.scopes import NEEDED, SCOPES
from cost_insights.identity.tokens import token_sha256
from cost_insights.store import Store
from cost_insights.store.schema import access_token, organization

_CACHED_TOKENS_MAX = 10_000


@dataclass(frozen=True)
class Caller:
    """Whom a call acts as."""

    organization: Organization
    scopes: frozenset[str]


@dataclass(frozen=True)
class _Known:
    """What the database says of a token."""

    caller: Caller
    expires_us: int | None
    revoked_us: int | None


class Authenticator:
    """Checks access tokens, remembering each for a moment.

    While the database holds no token, a call without one acts as the open
    organization. A token, once there was one, closes that for ever, revoked or not.
    """

    def __init__(self, store: Store, *, open_organization: str, cache_ms: int) -> None:
        self._store = store
        self._open_organization = open_organization
        self._cache_seconds = cache_ms / 1_000
        self._cache: OrderedDict[bytes, tuple[float, _Known]] = OrderedDict()
        self._open: tuple[float, Caller] | None = None
        self._closed = False

    async def authorize(self, method: str, authorization: str | None) -> Caller:
        """The caller of a method such as `/cost_insights.v1.EventService/GetEvent`.

        `authorization` is the value of the header of that name. Raises
        UnauthenticatedError or PermissionDeniedError.
        """
        if authorization is None:
            caller = await self._without_token()
        else:
            caller = await self._with_token(_secret(authorization))
        needs = NEEDED[method]
        if not needs & caller.scopes:
            words = {"needs": ", ".join(sorted(needs)), "has": ", ".join(sorted(caller.scopes))}
            raise PermissionDeniedError(
                f"{method} needs the scope {' or '.join(sorted(needs))}; "
                f"the access token has {words['has']}",
                reason="SCOPE_MISSING",
                facts={"method": method, **words},
            )
        return caller

    async def _without_token(self) -> Caller:
        now = time.monotonic()
        if self._open is not None and now < self._open[0]:
            return self._open[1]
        self._open = None
        if self._closed or await asyncio.to_thread(any_token, self._store):
            self._closed = True
            raise UnauthenticatedError(
                "the call carries no access token; send `authorization: Bearer TOKEN`",
                reason="TOKEN_MISSING",
            )
        caller = Caller(await asyncio.to_thread(self._ensure_open_organization), SCOPES)
        self._open = (now + self._cache_seconds, caller)
        return caller

    async def _with_token(self, secret: str) -> Caller:
        key = token_sha256(secret)
        now = time.monotonic()
        cached = self._cache.get(key)
        if cached is not None and now < cached[0]:
            known = cached[1]
        else:
            found = await asyncio.to_thread(self._find, key)
            if found is None:
                self._cache.pop(key, None)
                raise UnauthenticatedError(
                    "the access token is none of this service's", reason="TOKEN_UNKNOWN"
                )
            known = found
            self._cache[key] = (now + self._cache_seconds, known)
            self._cache.move_to_end(key)
            if len(self._cache) > _CACHED_TOKENS_MAX:
                self._cache.popitem(last=False)
        _check_alive(known)
        return known.caller

    def _ensure_open_organization(self) -> Organization:
        with self._store.write() as connection:
            return ensure_organization(connection, self._open_organization)

    def _find(self, key: bytes) -> _Known | None:
        statement = (
            sa.select(
                organization.c.number,
                organization.c.id,
                organization.c.name,
                organization.c.created_us,
                access_token.c.scopes,
                access_token.c.expires_us,
                access_token.c.revoked_us,
            )
            .join(organization, organization.c.number == access_token.c.organization_number)
            .where(access_token.c.token_sha256 == key)
        )
        with self._store.read() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        owner = Organization(row.number, row.id, row.name, row.created_us)
        return _Known(Caller(owner, frozenset(row.scopes.split())), row.expires_us, row.revoked_us)


def any_token(store: Store) -> bool:
    """Whether the database holds a token, so that callers need one."""
    with store.read() as connection:
        return connection.execute(sa.select(access_token.c.id).limit(1)).first() is not None


def _secret(authorization: str) -> str:
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise UnauthenticatedError(
            "the authorization is not of the form `Bearer TOKEN`", reason="TOKEN_MISSING"
        )
    return secret.strip()


def _check_alive(known: _Known) -> None:
    if known.revoked_us is not None:
        facts = {"revoked": _rfc3339(known.revoked_us)}
        raise UnauthenticatedError(
            f"the access token was revoked at {facts['revoked']}",
            reason="TOKEN_REVOKED",
            facts=facts,
        )
    if known.expires_us is not None and known.expires_us <= time.time_ns() // 1_000:
        facts = {"expired": _rfc3339(known.expires_us)}
        raise UnauthenticatedError(
            f"the access token expired at {facts['expired']}",
            reason="TOKEN_EXPIRED",
            facts=facts,
        )


def _rfc3339(timestamp_us: int) -> str:
    moment = datetime.datetime.fromtimestamp(timestamp_us // 1_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
