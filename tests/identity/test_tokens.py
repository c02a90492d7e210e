"""Secrets of access tokens, and when a token was last used."""

import asyncio
import re
import zlib
from pathlib import Path

import pytest

from cost_insights import identity
from cost_insights.errors import UnauthenticatedError
from cost_insights.identity import Authenticator, Credentials, SecretError, read_secret
from cost_insights.identity.tokens import is_mistyped, new_secret, store_token
from cost_insights.store import Store

METHOD = "/cost_insights.v1.MetricsService/GetMetricsLimits"
SCOPES = frozenset({"metrics:read"})

OLD_SECRETS = ["ci_" + "A" * 43, "ci_-_" + "a" * 41, "0123456789abcdef" * 2]
"""Secrets as earlier versions made them, and as operators make them."""


def authorized(authenticator: Authenticator, secret: str) -> None:
    """Calls with a token once."""
    header = f"Bearer {secret}"
    asyncio.run(authenticator.authorize(Credentials(header), method=METHOD, scopes=SCOPES))


def test_the_form_of_secrets() -> None:
    """A secret matches the documented pattern, and its checksum is the documented one."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    secrets = {new_secret() for _ in range(200)}
    assert len(secrets) == 200
    for secret in secrets:
        assert re.fullmatch(r"ci_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", secret)
        number = 0
        for digit in secret[-6:]:
            number = 62 * number + digits.index(digit)
        assert number == zlib.crc32(secret[:-6].encode())
        assert not is_mistyped(secret)


def test_every_slip_is_noticed() -> None:
    """A secret with one other character, or two in the wrong order, is mistyped."""
    secret = new_secret()
    for place in range(3, len(secret)):
        other = "a" if secret[place] != "a" else "b"
        assert is_mistyped(secret[:place] + other + secret[place + 1 :])
    for place in range(3, len(secret) - 1):
        if secret[place] != secret[place + 1]:
            swapped = secret[place + 1] + secret[place]
            assert is_mistyped(secret[:place] + swapped + secret[place + 2 :])
    assert not any(is_mistyped(old) for old in OLD_SECRETS)


def test_a_mistyped_secret_is_not_looked_up(tmp_path: Path) -> None:
    """A wrong checksum is refused before the database is asked, which has no tables here."""
    store = Store(f"sqlite:///{tmp_path / 'costs.db'}")
    secret = new_secret()
    slipped = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    with pytest.raises(UnauthenticatedError) as raised:
        authorized(Authenticator(store, open_organization="default", cache_ms=0), slipped)
    assert raised.value.reason == "TOKEN_UNKNOWN"
    assert raised.value.message == (
        "the access token is not whole or mistyped: its checksum is wrong"
    )
    store.close()
    file = tmp_path / "secret"
    file.write_text(slipped)
    with pytest.raises(SecretError, match="its checksum is wrong"):
        read_secret(file)


def test_last_uses(store: Store) -> None:
    """Old and new tokens work, and what was used is written in bulk, not by the call."""
    with store.write() as connection:
        owner = identity.ensure_organization(connection, "acme")
        for secret in OLD_SECRETS:
            store_token(connection, owner, SCOPES, secret, expires_us=None)
        _, made = identity.create_token(connection, owner, SCOPES, expires_us=None)
        _, unused = identity.create_token(connection, owner, SCOPES, expires_us=None)
    authenticator = Authenticator(store, open_organization="default", cache_ms=0)
    authenticator.uses.start()
    for secret in [*OLD_SECRETS, made]:
        authorized(authenticator, secret)
    with pytest.raises(UnauthenticatedError):
        authorized(authenticator, "unknown")
    with store.read() as connection:
        assert {one.last_used_us for one in identity.list_tokens(connection)} == {None}
    authenticator.uses.stop()
    with store.read() as connection:
        tokens = identity.list_tokens(connection)
    assert [one.hint for one in tokens if one.last_used_us is None] == [unused[-4:]]
    assert all(one.last_used_us >= one.created_us for one in tokens if one.last_used_us)
