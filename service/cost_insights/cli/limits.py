"""Limits on the command line: read from options, and shown."""

from collections.abc import Mapping
from typing import Final

from cost_insights.cli.console import usage
from cost_insights.identity import RATE_MAX, OrganizationLimits

DEFAULT: Final = "default"
NONE: Final = "none"
UNLIMITED: Final = "unlimited"

OF_ORGANIZATIONS: Final[Mapping[str, int | None]] = {UNLIMITED: 0, DEFAULT: None}
OF_TOKENS: Final[Mapping[str, int | None]] = {NONE: None}
"""The words that an option takes besides numbers, with what they stand for."""


def changed_limits(
    words: Mapping[str, int | None], given: Mapping[str, str | None]
) -> dict[str, int | None]:
    """The values of the limits that are given, by their names, which are those of the options."""
    return {name: _limit(name, text, words) for name, text in given.items() if text is not None}


def _limit(name: str, text: str, words: Mapping[str, int | None]) -> int | None:
    if text in words:
        return words[text]
    if text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= RATE_MAX:
        return int(text)
    option = f"--{name.replace('_', '-')}"
    raise usage(
        f"{option}: {text!r} is not allowed; write 1 to {RATE_MAX}, or {' or '.join(words)}"
    )


def limit_shown(value: int | None) -> str:
    """A limit of an organization, as its option is written."""
    if value is None:
        return DEFAULT
    return str(value) if value else UNLIMITED


def limits_json(limits: OrganizationLimits) -> dict[str, int | str]:
    """Limits as JSON has them, by their names."""
    return {name: value or limit_shown(value) for name, value in vars(limits).items()}
