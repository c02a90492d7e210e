"""What is wrong with an event, a request or an amount, as data."""

from typing import Final, final

__all__ = [
    "REASONS",
    "Fault",
]

REASONS: Final[frozenset[str]]
"""Every reason that a `Fault` can have."""

@final
class Fault:
    """One thing that is wrong with one event, or with the whole request."""

    @property
    def index(self) -> int:
        """Where the event stands in the request; -1 where it is the request's."""
    @property
    def path(self) -> str:
        """Such as `events[3].metadata._cost.amount`; empty where it is the whole request."""
    @property
    def reason(self) -> str:
        """One of `REASONS`, such as `AMOUNT_TOO_PRECISE`."""
    @property
    def message(self) -> str:
        """What was found and what is allowed, in words; every variable part is in `facts` too."""
    @property
    def value(self) -> str:
        """What was found, shortened to 64 characters."""
    @property
    def facts(self) -> dict[str, str]:
        """The limits and other variable parts of `message`, without path and value."""
