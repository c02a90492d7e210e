"""Page tokens: where the next page begins, and of which question.

A token holds the place after which the next page starts and a digest of the
question. It is no secret and gives no rights: whoever makes one up sees nothing
but another page of what it may see anyway.
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from cost_insights.errors import FieldFault, InvalidRequestError


def encode_page_token(question: object, place: Sequence[Any]) -> str:
    """The token of the page after a place."""
    text = json.dumps([_digest(question), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_page_token(
    token: str, question: object, parts: Sequence[Callable[[object], Any]]
) -> Sequence[Any] | None:
    """The place that a token was made with, None for the first page.

    Each of `parts` checks and reads one part of the place, raising ValueError or
    TypeError. Raises InvalidRequestError if the token was not made of the same
    question.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        digest, *place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if digest != _digest(question):
            raise ValueError(digest)
        return [read(part) for read, part in zip(parts, place, strict=True)]
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequestError(
            [
                FieldFault(
                    "page_token",
                    "PAGE_TOKEN_INVALID",
                    "the page token does not belong to this call with these fields; start again "
                    "without one",
                    token[:64],
                )
            ]
        ) from None


def int64_part(part: object) -> int:
    """A part of a place that is a number."""
    if not isinstance(part, int) or not -(1 << 63) <= part < 1 << 63:
        raise ValueError(part)
    return part


def uuid_part(part: object) -> uuid.UUID:
    """A part of a place that is a UUID."""
    if not isinstance(part, str):
        raise TypeError(part)
    return uuid.UUID(part)


def text_part(part: object) -> str:
    """A part of a place that is a text."""
    if not isinstance(part, str) or "\0" in part:
        raise ValueError(part)
    part.encode()  # a lone surrogate is a ValueError too
    return part


def _digest(question: object) -> str:
    return hashlib.sha256(repr(question).encode()).hexdigest()[:16]
