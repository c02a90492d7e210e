"""Sessions of browsers: an access token, exchanged for a value that a cookie can hold.

A session is not stored anywhere. Its value names the token by its hash, says when the session
ends, and has an authentication code over both. It gives what its token gives, and ends with it.
"""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SESSION_SECONDS_MAX: Final = 12 * 60 * 60
"""The time for which a session lasts, unless its token expires before."""

_CODE_BYTES: Final = 32
_TOKEN_BYTES: Final = 32
_TIME_BYTES: Final = 8
_LABEL: Final = b"cost-insights sessions"


@dataclass(frozen=True)
class Session:
    """The token that a browser acts with, and the time at which the session ends."""

    token_sha256: bytes
    expires_us: int


class Sessions:
    """Makes and reads the values of sessions, with a key that every process on a database shares.

    The key follows from another one by a label, so that neither says anything about the other.
    """

    def __init__(self, key: Callable[[], bytes]) -> None:
        """`key` returns the other key; it is called once, in a thread, and may block."""
        self._origin = key
        self._key: bytes | None = None

    async def encode(self, session: Session) -> str:
        """The value of a session."""
        content = session.token_sha256 + session.expires_us.to_bytes(_TIME_BYTES, "big")
        return _base64(await self._code(content) + content)

    async def decode(self, value: str) -> Session | None:
        """The session with this value, whether it has ended or not; None if it was not made
        here."""
        try:
            decoded = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except (binascii.Error, ValueError):
            return None
        code, content = decoded[:_CODE_BYTES], decoded[_CODE_BYTES:]
        # A value has one form, so characters that base64 skips make it another one.
        if len(content) != _TOKEN_BYTES + _TIME_BYTES or _base64(decoded) != value:
            return None
        if not hmac.compare_digest(code, await self._code(content)):
            return None
        expires_us = int.from_bytes(content[_TOKEN_BYTES:], "big")
        return Session(content[:_TOKEN_BYTES], expires_us)

    async def _code(self, content: bytes) -> bytes:
        if self._key is None:
            self._key = hmac.digest(await asyncio.to_thread(self._origin), _LABEL, "sha256")
        return hmac.digest(self._key, content, "sha256")


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
