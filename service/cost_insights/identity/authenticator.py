"""Authentication of callers, and the check of their scopes."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.errors import PermissionDeniedError, UnauthenticatedError
from cost_insights.identity.credentials import Credentials
from cost_insights.identity.look_ups import LookUps
from cost_insights.identity.organizations import (
    Organization,
    ensure_organization,
    find_limits,
    find_organization,
)
from cost_insights.identity.rates import NO_LIMITS, UNLIMITED, Buckets, Owner, RateLimits, Rates
from cost_insights.identity.scopes import SCOPES
from cost_insights.identity.sessions import SESSION_SECONDS_MAX, Session, Sessions
from cost_insights.identity.tokens import is_mistyped, token_sha256
from cost_insights.identity.uses import TokenUses
from cost_insights.store import Store
from cost_insights.store.schema import access_token, organization
from cost_insights.telemetry import running_call


@dataclass(frozen=True)
class Caller:
    """The organization and the scopes that a call acts with, and the rates that it must keep."""

    organization: Organization
    scopes: frozenset[str]
    rates: Rates = UNLIMITED


@dataclass(frozen=True)
class _Known:
    """The state of a token in the database, or of calls without one."""

    caller: Caller
    expires_us: int | None
    revoked_us: int | None
    is_certificate: bool = False


_NO_TOKEN = b""
"""The key of the look-up for calls without a token."""


class Authenticator:
    """Checks access tokens, remembering each for a moment.

    While the database holds no token, a call without one acts as the open
    organization. A token, once there was one, closes that for ever, revoked or not.
    """

    def __init__(
        self,
        store: Store,
        *,
        open_organization: str,
        cache_ms: int,
        buckets: Buckets | None = None,
    ) -> None:
        """`buckets` count what callers send; without them nobody has a limit by default."""
        self._store = store
        self._buckets = buckets or Buckets(NO_LIMITS, burst_seconds=1)
        self._open_organization = open_organization
        self._look_ups = LookUps(store, self._find, keep_seconds=cache_ms / 1_000)
        self._closed = False
        self.uses = TokenUses(store)
        self._sessions = Sessions(store.page_token_key)

    def close(self) -> None:
        """Ends the thread that looks up tokens."""
        self._look_ups.close()

    @property
    def asks_for_tokens(self) -> bool:
        """Whether a call without a token was refused; then all others will be."""
        return self._closed

    async def authorize(
        self, credentials: Credentials, *, method: str, scopes: frozenset[str]
    ) -> Caller:
        """The caller of a method such as `/cost_insights.v1.EventService/GetEvent`, whose request
        is counted.

        The caller needs one of the `scopes`.
        Raises UnauthenticatedError, PermissionDeniedError or RateLimitedError.
        """
        caller = await self.authenticate(credentials, method=method, scopes=scopes)
        caller.rates.take_request()
        return caller

    async def sign_in(self, secret: str) -> tuple[str, Session]:
        """Exchanges the secret of a token for a session, which ends with the token at the latest.

        The request is counted. Raises UnauthenticatedError or RateLimitedError.
        """
        key = _key_of(secret)
        known = await self._alive(key)
        known.caller.rates.take_request()
        expires_us = clock.now_us() + SESSION_SECONDS_MAX * 1_000_000
        if known.expires_us is not None:
            expires_us = min(expires_us, known.expires_us)
        session = Session(key, expires_us)
        return await self._sessions.encode(session), session

    async def session(self, value: str) -> Session | None:
        """The session with this value, whether its token still works or not; None if it was not
        made here."""
        return await self._sessions.decode(value)

    async def authenticate(
        self, credentials: Credentials, *, method: str, scopes: frozenset[str]
    ) -> Caller:
        """The caller, as `authorize` finds it, without counting a request."""
        authorization, session, certificate, names_this_machine = credentials
        if authorization is not None:
            # What a caller says is never replaced by what its connection shows.
            caller = (await self._alive(_key_of(_secret(authorization)))).caller
        elif session is not None and (found := await self._sessions.decode(session)) is not None:
            if found.expires_us <= clock.now_us():
                raise _expired("session", found.expires_us)
            caller = (await self._alive(found.token_sha256)).caller
        elif certificate is not None:
            caller = await self._with_certificate(certificate, names_this_machine)
        else:
            caller = await self._without_token("no access token", names_this_machine)
        if (call := running_call()) is not None:
            call.organization = caller.organization.name
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

    async def _without_token(self, carried: str, names_this_machine: bool) -> Caller:
        known = None
        if not self._closed:
            known = self._look_ups.kept(_NO_TOKEN) or await self._look_ups.value(_NO_TOKEN)
        if known is None:
            self._closed = True
            raise UnauthenticatedError(
                f"the call carries {carried}; send `authorization: Bearer TOKEN`",
                reason="TOKEN_MISSING",
            )
        if not names_this_machine:
            raise UnauthenticatedError(
                f"the call carries {carried}, and its host is neither localhost nor an address: it "
                "may come from a page of another site; call the service by its address, or send "
                "`authorization: Bearer TOKEN`",
                reason="TOKEN_MISSING",
            )
        return known.caller

    async def _alive(self, key: bytes) -> _Known:
        """The token with this hash; raises UnauthenticatedError if there is none that works."""
        known = self._look_ups.kept(key) or await self._look_ups.value(key)
        if known is None or known.is_certificate:
            raise UnauthenticatedError("unknown access token", reason="TOKEN_UNKNOWN")
        _check_alive(known)
        self.uses.note(key)
        return known

    async def _with_certificate(self, key: bytes, names_this_machine: bool) -> Caller:
        known = self._look_ups.kept(key) or await self._look_ups.value(key)
        if known is None or not known.is_certificate:
            return await self._without_token(
                "no access token, and its client certificate is not registered as one",
                names_this_machine,
            )
        _check_alive(known)
        self.uses.note(key)
        return known.caller

    def _find(self, keys: Collection[bytes]) -> Mapping[bytes, _Known]:
        found: dict[bytes, _Known] = {}
        hashes = [key for key in keys if key != _NO_TOKEN]
        with self._store.look_up() as connection:
            if hashes:
                rows = connection.execute(_TOKENS.where(access_token.c.token_sha256.in_(hashes)))
                found.update((row.token_sha256, self._known_of(row)) for row in rows)
            if _NO_TOKEN in keys and not _holds_token(connection):
                found[_NO_TOKEN] = self._open(connection)
        return found

    def _open(self, connection: sa.Connection) -> _Known:
        # Looked up first, because a write may have to wait for other writers.
        found = find_organization(connection, self._open_organization)
        limits = NO_LIMITS
        if found is None:
            with self._store.write() as writing:
                found = ensure_organization(writing, self._open_organization)
        else:
            limits = find_limits(connection, found).rates
        rates = self._buckets.rates(_owner(found), limits)
        return _Known(Caller(found, SCOPES, rates), expires_us=None, revoked_us=None)

    def _known_of(self, row: sa.Row[*tuple[Any, ...]]) -> _Known:
        owner = Organization(row.number, row.organization_id, row.name, row.created_us)
        rates = self._buckets.rates(
            _owner(owner),
            RateLimits(row.organization_events, row.organization_requests),
            Owner("access_token", row.token_id.bytes, str(row.token_id), owner.name),
            RateLimits(row.token_events, row.token_requests),
        )
        caller = Caller(owner, frozenset(row.scopes.split()), rates)
        return _Known(caller, row.expires_us, row.revoked_us, row.certificate is not None)


_TOKENS = sa.select(
    access_token.c.token_sha256,
    access_token.c.id.label("token_id"),
    organization.c.number,
    organization.c.id.label("organization_id"),
    organization.c.name,
    organization.c.created_us,
    organization.c.events_per_second.label("organization_events"),
    organization.c.requests_per_second.label("organization_requests"),
    access_token.c.scopes,
    access_token.c.expires_us,
    access_token.c.revoked_us,
    access_token.c.certificate,
    access_token.c.events_per_second.label("token_events"),
    access_token.c.requests_per_second.label("token_requests"),
).join(organization, organization.c.number == access_token.c.organization_number)


def _owner(organization: Organization) -> Owner:
    name = organization.name
    return Owner("organization", organization.id.bytes, name, name)


def any_token(store: Store) -> bool:
    """Whether the database holds a token, so that callers need one."""
    with store.read() as connection:
        return _holds_token(connection)


def _holds_token(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(access_token.c.id).limit(1)).first() is not None


def _secret(authorization: str) -> str:
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise UnauthenticatedError(
            "the authorization is not of the form `Bearer TOKEN`", reason="TOKEN_MISSING"
        )
    return secret.strip()


def _key_of(secret: str) -> bytes:
    """The hash of a secret; raises UnauthenticatedError if its checksum is wrong."""
    if is_mistyped(secret):
        raise UnauthenticatedError(
            "the access token is not whole or mistyped: its checksum is wrong",
            reason="TOKEN_UNKNOWN",
        )
    return token_sha256(secret)


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
        raise _expired("access token", known.expires_us, known.caller.organization.name)


def _expired(what: str, expired_us: int, organization: str | None = None) -> UnauthenticatedError:
    facts = {"expired": _rfc3339(expired_us)}
    return UnauthenticatedError(
        f"the {what} expired at {facts['expired']}",
        reason="TOKEN_EXPIRED",
        facts=facts,
        organization=organization,
    )


def _rfc3339(timestamp_us: int) -> str:
    moment = datetime.datetime.fromtimestamp(timestamp_us // 1_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
