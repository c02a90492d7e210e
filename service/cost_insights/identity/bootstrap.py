"""The first access token, from a secret that the operator provides in a file."""

from pathlib import Path

import sqlalchemy as sa

from cost_insights import clock
from cost_insights.identity.authenticator import any_token
from cost_insights.identity.organizations import ensure_organization
from cost_insights.identity.scopes import SCOPES
from cost_insights.identity.tokens import is_mistyped, store_token, token_sha256
from cost_insights.store import Store
from cost_insights.store.schema import access_token

SECRET_CHARS_MIN = 32
SECRET_CHARS_MAX = 256
_SECRET_BYTES_MAX = 4_096


class SecretError(Exception):
    """A file that holds no secret for an access token."""


def read_secret(file: Path) -> str:
    """The secret in a file, without blanks around it; raises SecretError if it is malformed.

    The message never repeats the contents of the file.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_SECRET_BYTES_MAX)
    except OSError as error:
        raise SecretError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    secret = content.decode("latin-1").strip()
    is_plain = secret.isascii() and secret.isprintable() and " " not in secret
    if not (is_plain and SECRET_CHARS_MIN <= len(secret) <= SECRET_CHARS_MAX):
        raise SecretError(
            f"{str(file)!r} holds no secret of {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} printable "
            "ASCII characters without blanks; `openssl rand -hex 32` makes one"
        )
    if is_mistyped(secret):
        raise SecretError(f"{str(file)!r} holds a secret that is not whole: its checksum is wrong")
    return secret


def bootstrap_token(store: Store, organization_name: str, secret: str) -> bool:
    """Creates the organization and a token with that secret and every scope, if the database
    holds no token yet.

    Returns whether the secret is that of a token which works, made now or before.
    """
    if not any_token(store):
        try:
            with store.write() as connection:
                owner = ensure_organization(connection, organization_name)
                store_token(connection, owner, SCOPES, secret, expires_us=None)
        except sa.exc.IntegrityError:
            # Another process was faster.
            pass
    known = sa.select(access_token.c.id).where(
        access_token.c.token_sha256 == token_sha256(secret),
        access_token.c.revoked_us.is_(None),
        sa.func.coalesce(access_token.c.expires_us, 2**62) > clock.now_us(),
    )
    with store.read() as connection:
        return connection.execute(known).first() is not None
