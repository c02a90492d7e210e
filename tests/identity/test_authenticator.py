"""Look-ups of who calls: how many there are, and what becomes of those that fail."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights.errors import UnauthenticatedError
from cost_insights.identity import Authenticator, Credentials
from cost_insights.store import Store
from tests.support.samples import METRICS

METHOD = f"{METRICS}/GetMetricsLimits"
SCOPES = frozenset({"metrics:read"})
CALLERS = 50


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose database has no tables yet."""
    store = Store(f"sqlite:///{tmp_path / 'events.db'}")
    store.dialect.create(store.url)
    yield store
    store.close()


@contextmanager
def statements_of(table: str) -> Iterator[list[str]]:
    """The statements that name a table, as they are executed."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if table in statement:
            seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def token_of(store: Store, name: str) -> str:
    """The authorization of a new token."""
    with store.write() as connection:
        organization = identity.ensure_organization(connection, name)
        _, secret = identity.create_token(
            connection, organization, ["metrics:read"], expires_us=None
        )
    return f"Bearer {secret}"


def test_callers_at_once_share_a_look_up(store: Store) -> None:
    """The database is asked once, however many calls come at once, with a token or without."""
    store.upgrade()
    authenticator = Authenticator(store, open_organization="default", cache_ms=60_000)

    async def organizations(authorization: str | None) -> set[str]:
        callers = await asyncio.gather(
            *(
                authenticator.authorize(Credentials(authorization), method=METHOD, scopes=SCOPES)
                for _ in range(CALLERS)
            )
        )
        return {caller.organization.name for caller in callers}

    with statements_of("access_token") as statements:
        assert asyncio.run(organizations(None)) == {"default"}
    assert len(statements) == 1
    authorization = token_of(store, "acme")
    with statements_of("access_token") as statements:
        assert asyncio.run(organizations(authorization)) == {"acme"}
    assert len(statements) == 1


def test_nobody_waits_for_a_writer(store: Store) -> None:
    """Once there is the open organization, callers without a token need not write."""
    store.upgrade()
    authenticator = Authenticator(store, open_organization="default", cache_ms=0)
    asyncio.run(authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES))
    with store.write():
        caller = asyncio.run(authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES))
    assert caller.organization.name == "default"


def test_nothing_is_kept_where_nothing_is_cached(store: Store) -> None:
    """Without the cache each call asks anew: an older look-up may know less."""
    store.upgrade()
    authenticator = Authenticator(store, open_organization="default", cache_ms=0)

    async def authorize() -> None:
        for _ in range(3):
            await authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES)

    with statements_of("access_token") as statements:
        asyncio.run(authorize())
    assert len(statements) == 3


def test_many_tokens_are_looked_up_at_once(store: Store) -> None:
    """All tokens that are wanted while a statement runs are in the next one."""
    store.upgrade()
    authenticator = Authenticator(store, open_organization="default", cache_ms=60_000)
    names = {f"organization {number}" for number in range(CALLERS)}
    tokens = [token_of(store, name) for name in names]

    async def authorize() -> set[str]:
        callers = await asyncio.gather(
            *(
                authenticator.authorize(Credentials(token), method=METHOD, scopes=SCOPES)
                for token in tokens
            )
        )
        return {caller.organization.name for caller in callers}

    with statements_of("access_token") as statements:
        assert asyncio.run(authorize()) == names
    assert len(statements) <= 2


def test_tokens_in_use_are_renewed_together(store: Store) -> None:
    """Statements follow the time of the cache, not the number of tokens, and a revoked token stops
    working within that time."""
    store.upgrade()
    authenticator = Authenticator(store, open_organization="default", cache_ms=400)
    tokens = [token_of(store, f"organization {number}") for number in range(CALLERS)]

    async def call_for(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for token in tokens:
                await authenticator.authorize(Credentials(token), method=METHOD, scopes=SCOPES)
                await asyncio.sleep(0)

    with statements_of("access_token") as statements:
        asyncio.run(call_for(2))
    # Each the first time, and all together every half of the time; one by one there would be five
    # for each.
    assert len(statements) <= 2 * CALLERS
    with store.write() as connection:
        identity.revoke_token(connection, identity.list_tokens(connection)[0].id)

    async def call_until_refused() -> None:
        while True:
            await authenticator.authorize(Credentials(tokens[0]), method=METHOD, scopes=SCOPES)
            await asyncio.sleep(0)

    with pytest.raises(UnauthenticatedError, match="was revoked at"):
        asyncio.run(asyncio.wait_for(call_until_refused(), timeout=5))


def test_a_caller_who_gives_up(store: Store) -> None:
    """A caller who gives up does not end the look-up for those who wait for it too."""
    store.upgrade()
    authenticator = Authenticator(store, open_organization="default", cache_ms=60_000)

    async def authorize() -> None:
        first = asyncio.create_task(
            authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES)
        )
        second = asyncio.create_task(
            authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES)
        )
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).organization.name == "default"
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(authorize())


def test_what_fails_is_not_remembered(store: Store) -> None:
    """A look-up that fails, or finds nothing, fails those who wait for it and nobody later."""
    authenticator = Authenticator(store, open_organization="default", cache_ms=60_000)
    with pytest.raises(sa.exc.OperationalError):
        asyncio.run(authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES))
    store.upgrade()
    assert (
        asyncio.run(
            authenticator.authorize(Credentials(), method=METHOD, scopes=SCOPES)
        ).organization.name
        == "default"
    )
    with statements_of("access_token") as statements:
        for _ in range(2):
            with pytest.raises(UnauthenticatedError):
                asyncio.run(
                    authenticator.authorize(
                        Credentials("Bearer ci_wrong"), method=METHOD, scopes=SCOPES
                    )
                )
    assert len(statements) == 2
