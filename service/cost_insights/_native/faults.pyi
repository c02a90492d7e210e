"""Faults of an event, a request or an amount, as data."""

from typing import Final, final

__all__ = [
    "REASONS",
    "Fault",
]

REASONS: Final[frozenset[str]]
"""Every reason that a `Fault` can have."""

@final
class Fault:
    """A fault of one event, or of the whole request."""

    @property
    def index(self) -> int:
        """The index of the event in the request; -1 for a fault of the request."""
    @property
    def path(self) -> str:
        """The path, such as `events[3].metadata._cost.amount`; empty for the whole request."""
    @property
    def reason(self) -> str:
        """The reason, one of `REASONS`, such as `AMOUNT_TOO_PRECISE`."""
    @property
    def message(self) -> str:
        """The found value and the allowed ones, in words; every variable part is in `facts` too."""
    @property
    def value(self) -> str:
        """The value that was found, shortened to 64 characters."""
    @property
    def facts(self) -> dict[str, str]:
        """The limits and other variable parts of `message`, without path and value."""
