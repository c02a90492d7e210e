"""Credentials: all by which a caller can be known, as the doors find it."""

from typing import NamedTuple


class Credentials(NamedTuple):
    """The credentials of a call. The first of them counts; a session only if it was made here."""

    authorization: str | None = None
    """The value of the header or metadata `authorization`."""

    session: str | None = None
    """The value of the session of a page."""

    certificate: bytes | None = None
    """The `certificate_sha256` of the client certificate."""

    names_this_machine: bool = True
    """Whether the call came by a name that leads to this machine and nowhere else. By another name
    nobody acts as the open organization without showing something."""
