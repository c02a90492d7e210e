"""Authentication of callers, and the check of their scopes."""

import asyncio
import datetime
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.errors import PermissionDeniedError, UnauthenticatedError
from cost_insights.identity.organizations import (
    Organization,
    ensure_organization,
    find_organization,
)
from cost_insights.identity.scopes import SCOPES
from cost_insights.identity.tokens import is_mistyped, token_sha256
from cost_insights.identity.uses import TokenUses
from cost_insights.store import Store
from cost_insights.store.schema import access_token, organization

_CACHED_TOKENS_MAX = 10_000


@dataclass(frozen=True)
class Caller:
    """The organization and the scopes that a call acts with."""

    organization: Organization
    scopes: frozenset[str]


@dataclass(frozen=True)
class _Known:
    """The state of a token in the database, or of calls without one."""

    caller: Caller
    expires_us: int | None
    revoked_us: int | None


@dataclass(frozen=True)
class _LookUp:
    """A look-up in the database, finished or not."""

    until: float
    """The time from which the look-up is repeated."""

    found: asyncio.Task[_Known | None]


_NO_TOKEN = b""
"""The key of the look-up for calls without a token."""


class Authenticator:
    """Checks access tokens, remembering each for a moment.

    While the database holds no token, a call without one acts as the open
    organization. A token, once there was one, closes that for ever, revoked or not.
    """

    def __init__(self, store: Store, *, open_organization: str, cache_ms: int) -> None:
        self._store = store
        self._open_organization = open_organization
        self._cache_seconds = cache_ms / 1_000
        self._look_ups: OrderedDict[bytes, _LookUp] = OrderedDict()
        self._closed = False
        self.uses = TokenUses(store)

    async def authorize(
        self, authorization: str | None, *, method: str, scopes: frozenset[str]
    ) -> Caller:
        """The caller of a method such as `/cost_insights.v1.EventService/GetEvent`.

        `authorization` is the value of the header of that name; the caller needs one of
        the `scopes`. Raises UnauthenticatedError or PermissionDeniedError.
        """
        if authorization is None:
            caller = await self._without_token()
        else:
            caller = await self._with_token(_secret(authorization))
        if not scopes & caller.scopes:
            words = {"needs": ", ".join(sorted(scopes)), "has": ", ".join(sorted(caller.scopes))}
            raise PermissionDeniedError(
                f"{method} needs the scope {' or '.join(sorted(scopes))}; "
                f"the access token has {words['has']}",
                reason="SCOPE_MISSING",
                facts={"method": method, **words},
                organization=caller.organization.name,
            )
        return caller

    async def _without_token(self) -> Caller:
        known = None if self._closed else await self._known(_NO_TOKEN, self._find_open)
        if known is None:
            self._closed = True
            raise UnauthenticatedError(
                "the call carries no access token; send `authorization: Bearer TOKEN`",
                reason="TOKEN_MISSING",
            )
        return known.caller

    async def _with_token(self, secret: str) -> Caller:
        if is_mistyped(secret):
            raise UnauthenticatedError(
                "the access token is not whole or mistyped: its checksum is wrong",
                reason="TOKEN_UNKNOWN",
            )
        key = token_sha256(secret)
        known = await self._known(key, partial(self._find, key))
        if known is None:
            raise UnauthenticatedError("unknown access token", reason="TOKEN_UNKNOWN")
        _check_alive(known)
        self.uses.note(key)
        return known.caller

    async def _known(self, key: bytes, find: Callable[[], _Known | None]) -> _Known | None:
        """The result for the key, from one look-up shared by all calls within its time.

        That time begins with the look-up, not with its answer: what was committed
        before a call may be missing from a look-up that began earlier.
        """
        now = time.monotonic()
        look_up = self._look_ups.get(key)
        if look_up is None or now >= look_up.until:
            look_up = self._look_up(key, find, now)
        if not look_up.found.done():
            # The look-up is not awaited directly: a caller who gives up must not end it for the
            # others.
            await asyncio.wait((look_up.found,))
        return look_up.found.result()

    def _look_up(self, key: bytes, find: Callable[[], _Known | None], now: float) -> _LookUp:
        found = asyncio.create_task(self._store.retrying(asyncio.to_thread, find))
        look_up = _LookUp(now + self._cache_seconds, found)
        self._look_ups[key] = look_up
        self._look_ups.move_to_end(key)
        if len(self._look_ups) > _CACHED_TOKENS_MAX:
            self._look_ups.popitem(last=False)

        def forget_unless_found(found: asyncio.Task[_Known | None]) -> None:
            has_failed = found.cancelled() or found.exception() is not None
            if (has_failed or found.result() is None) and self._look_ups.get(key) is look_up:
                del self._look_ups[key]

        look_up.found.add_done_callback(forget_unless_found)
        return look_up

    def _find_open(self) -> _Known | None:
        if any_token(self._store):
            return None
        # Looked up first, because a write may have to wait for other writers.
        with self._store.read() as connection:
            found = find_organization(connection, self._open_organization)
        if found is None:
            with self._store.write() as connection:
                found = ensure_organization(connection, self._open_organization)
        return _Known(Caller(found, SCOPES), expires_us=None, revoked_us=None)

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
            organization=known.caller.organization.name,
        )
    if known.expires_us is not None and known.expires_us <= clock.now_us():
        facts = {"expired": _rfc3339(known.expires_us)}
        raise UnauthenticatedError(
            f"the access token expired at {facts['expired']}",
            reason="TOKEN_EXPIRED",
            facts=facts,
            organization=known.caller.organization.name,
        )


def _rfc3339(timestamp_us: int) -> str:
    moment = datetime.datetime.fromtimestamp(timestamp_us // 1_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
