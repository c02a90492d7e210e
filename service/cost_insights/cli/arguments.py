"""Keeping passwords out of the arguments of the process, which every user of a machine can list."""

import json
import os
import re
import sys
from typing import Final

_PASSWORD: Final = re.compile(r"(://[^:/@?]*:).+(?=@)|([?&](?:ssl)?password=)[^&]+")
_URL_FLAG: Final = "--database-url"
_VARIABLE: Final = "_COST_INSIGHTS_ARGUMENTS"


def hide_passwords() -> None:
    """Starts the program again without the passwords in its arguments, if there are any.

    The process stays the same; the true arguments are handed over in its environment, which only
    its user can read. They could be listed up to here, for some tenths of a second:
    COST_INSIGHTS_DATABASE_URL_FILE is the way that never shows them.
    """
    if (true_arguments := os.environ.pop(_VARIABLE, None)) is not None:
        sys.argv[1:] = json.loads(true_arguments)
        return
    arguments = sys.argv[1:]
    before = len(sys.orig_argv) - len(arguments)
    # A program that calls this one as a library has arguments of its own.
    if sys.orig_argv[before:] != arguments:
        return
    shown = [
        _PASSWORD.sub(r"\1\2***", argument) if _is_url(arguments, place) else argument
        for place, argument in enumerate(arguments)
    ]
    if shown != arguments:
        os.execve(  # noqa: S606 (this very program)
            sys.executable,
            [*sys.orig_argv[:before], *shown],
            {**os.environ, _VARIABLE: json.dumps(arguments)},
        )


def _is_url(arguments: list[str], place: int) -> bool:
    """Whether an argument is, or contains, the URL of a database."""
    is_value = place > 0 and arguments[place - 1] == _URL_FLAG
    return is_value or arguments[place].startswith(f"{_URL_FLAG}=")
