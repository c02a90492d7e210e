"""Shared by all commands: exit codes, output, and numbers from flags.

Answers go to stdout, so that they can be piped; everything else goes to stderr.
A command that fails raises `CommandError`, whose message is one line.
"""

import os
import re
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import rich.console
import typer

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_DENIED: Final = 4
EXIT_FILE: Final = 5
EXIT_FAULT: Final = 70
EXIT_INTERRUPTED: Final = 130

EXIT_CODES: Final = (
    "Exit codes: 0 all is well; 1 something was refused or differs; 2 wrong use; "
    "3 the service or the database cannot be reached or used; 4 the access token is missing, "
    "not valid or lacks a scope; 5 a file or the output cannot be read or written; "
    "70 a fault of the program or the service itself; 130 interrupted."
)

# What goes to a file or a pipe is not folded: a number stays in one piece.
_UNFOLDED_COLUMNS: Final = 400
PLOT_COLUMNS_MAX: Final = 100

if sys.stdout is None:
    # It was closed: whatever is written fails, and is not taken for written.
    sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
if sys.stderr is None:
    sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


class _Console(rich.console.Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to `main`, like every other error of an output."""
        raise  # noqa: PLE0704 (called where the error is handled)


out: Final = _Console(
    highlight=False,
    # Text is text: `:100:` is the number of a line and not a picture.
    emoji=False,
    width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _UNFOLDED_COLUMNS,
)
err: Final = _Console(stderr=True, highlight=False, emoji=False)


def plot_columns() -> int:
    """The width of the terminal, or 80 columns without one."""
    return 80 if out.width == _UNFOLDED_COLUMNS else min(out.width, PLOT_COLUMNS_MAX)


class CommandError(Exception):
    """Ends the command with one line on stderr and an exit code."""

    def __init__(self, message: str, *, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def printable(text: str) -> str:
    """Text that cannot move the cursor, change colors or begin a new line.

    What is printed may come from a file that somebody else wrote.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def say(text: str) -> None:
    """Writes a line to stdout, as it is."""
    out.print(printable(text), markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Writes a line to stderr, as it is."""
    err.print(printable(text), markup=False, soft_wrap=True)


def usage(message: str) -> CommandError:
    """The error for wrong use of a command."""
    return CommandError(message, exit_code=EXIT_USAGE)


def whole_number(lowest: int, highest: int) -> Callable[[str | int], int]:
    """Reads an option that is a whole number; the error names the value and the range."""

    def read(given: str | int) -> int:
        text = str(given)
        # The length is bounded first: to read a long number takes long.
        if len(text) <= 20 and re.fullmatch(r"-?[0-9]+", text, re.ASCII):
            number = int(text)
            if lowest <= number <= highest:
                return number
        raise typer.BadParameter(f"{text!r} is not a whole number from {lowest} to {highest}")

    return read


def seconds(lowest: float, highest: float) -> Callable[[str | float], float]:
    """Reads an option that is a time in seconds; the error names the value and the range."""

    def read(given: str | float) -> float:
        try:
            number = float(given)
        except ValueError:
            number = -1.0
        # NaN is not within any range.
        if lowest <= number <= highest:
            return number
        raise typer.BadParameter(
            f"{given!r} is not a number of seconds from {lowest:g} to {highest:g}"
        )

    return read


def exit_with(code: int) -> NoReturn:
    """Ends the command."""
    raise typer.Exit(code)
