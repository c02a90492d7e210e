"""Page tokens: where the next page begins, and of which question of which organization.

A token holds the place after which the next page starts, and an authentication code over it, the
organization and the question. Its contents are read only once the code is found to be right, so
whatever a caller makes up is refused, as are tokens of other organizations and questions.
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from cost_insights.errors import FieldFault, InvalidRequestError

_CODE_BYTES = 16


class PageTokens:
    """Makes and reads page tokens with one key, which every process on a database shares."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        """`key` is called when a token is made or read, and may block."""
        self._key = key

    def encode(self, organization_id: uuid.UUID, question: object, place: Sequence[Any]) -> str:
        """The token of the page after a place."""
        content = json.dumps(place, separators=(",", ":")).encode()
        return _base64(self._code(organization_id, question, content) + content)

    def decode(
        self,
        token: str,
        organization_id: uuid.UUID,
        question: object,
        parts: Sequence[Callable[[object], Any]],
    ) -> Sequence[Any] | None:
        """The place that a token was made with, None for the first page.

        Each of `parts` checks and reads one part of the place, raising ValueError or
        TypeError. Raises InvalidRequestError if the token was not made for the same
        organization and question.
        """
        if not token:
            return None
        try:
            padded = token + "=" * (-len(token) % 4)
            decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
            code, content = decoded[:_CODE_BYTES], decoded[_CODE_BYTES:]
            is_ours = hmac.compare_digest(code, self._code(organization_id, question, content))
            # Bits beyond the last byte must be zero, so that a token has one form.
            if not is_ours or _base64(decoded) != token:
                raise ValueError(token)
            place = json.loads(content)
            return [read(part) for read, part in zip(parts, place, strict=True)]
        except (ValueError, TypeError):
            raise InvalidRequestError(
                [
                    FieldFault(
                        "page_token",
                        "PAGE_TOKEN_INVALID",
                        "the page token does not belong to this call with these fields; start "
                        "again without one",
                        token[:64],
                    )
                ]
            ) from None

    def _code(self, organization_id: uuid.UUID, question: object, content: bytes) -> bytes:
        # What is variable is hashed first, so that nothing of it can pass for its neighbour.
        asked = hashlib.sha256(repr(question).encode()).digest()
        message = organization_id.bytes + asked + content
        return hmac.digest(self._key(), message, "sha256")[:_CODE_BYTES]


def _base64(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def int64_part(part: object) -> int:
    """A part of a place that is a number."""
    if type(part) is not int or not -(1 << 63) <= part < 1 << 63:
        raise ValueError(part)
    return part


def uuid_part(part: object) -> uuid.UUID:
    """A part of a place that is a UUID."""
    if not isinstance(part, str):
        raise TypeError(part)
    return uuid.UUID(part)


def text_part(part: object) -> str:
    """A part of a place that is a text."""
    if not isinstance(part, str):
        raise TypeError(part)
    return part
