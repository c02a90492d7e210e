"""Keeps what callers send out of the log of the gRPC runtime."""

import logging
from typing import Final

_METADATA: Final = logging.getLogger("grpc._cython.cygrpc")


def keep_metadata_out() -> None:
    """Makes the runtime log no metadata that it cannot decode.

    It would write the whole value, which may hold an access token, with a traceback for each call.
    The call itself is refused and logged as any other.
    """
    _METADATA.addFilter(_is_about_something_else)


def _is_about_something_else(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Invalid encoding on")
