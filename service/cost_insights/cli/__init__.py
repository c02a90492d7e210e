"""The command line `cost-insights`.

One module a family of commands; `console` holds what they share, `client` the service
that they call. Nothing here decides anything about events or sums.
"""

import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
import typer.core

from cost_insights.cli.arguments import hide_passwords
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_FAULT,
    EXIT_FILE,
    EXIT_INTERRUPTED,
    CommandError,
    note,
    printable,
    say,
)
from cost_insights.errors import FAILURES

__all__ = ["app", "main"]

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": (
        "serve",
        "Runs the service until SIGTERM or Ctrl-C, then finishes the running calls.",
    ),
    "demo": (
        "demo",
        "Shows the service at work on the documented examples and a generated month.",
    ),
    "ingest": (
        "ingest",
        "Sends events from a file: one JSON object per line, or CSV, in UTF-8 or UTF-16.",
    ),
    "metrics": (
        "metrics",
        "Shows costs and revenue: a row for each period, the totals, and a plot.",
    ),
    "proto": (
        "protos",
        "Writes the protos with everything they import, for clients in any language.",
    ),
    "healthcheck": (
        "healthcheck",
        "Checks whether a service is serving, by the standard gRPC health protocol.",
    ),
    "organization": (
        "organizations",
        "Creates, lists and limits organizations.",
    ),
    "token": (
        "tokens",
        "Creates, lists, limits, rotates and revokes access tokens.",
    ),
    "db": (
        "databases",
        "Upgrades, checks, backs up, salvages, prunes, distributes and tunes the database.",
    ),
}
"""The module that has each command as `app`, and the first sentence of the command's help."""


class _Commands(typer.core.TyperGroup):
    """Imports a command when it is called: a health check every few seconds should not
    load the database driver each time, nor should a list of the commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command as the list shows it."""
        if cmd_name not in _COMMANDS:
            return None
        _, summary = _COMMANDS[cmd_name]
        return typer.core.TyperCommand(name=cmd_name, help=summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself."""
        name, shown, rest = super().resolve_command(ctx, args)
        if name is None or shown is None:
            return name, shown, rest
        module, _ = _COMMANDS[name]
        command = typer.main.get_command(importlib.import_module(f"{__name__}.{module}").app)
        command.name = name
        return name, command, rest


app: Final = typer.Typer(
    name="cost-insights",
    cls=_Commands,
    help="Computes what each customer costs, exact to 10⁻¹² of a cent. Settings come from flags "
    "and from COST_INSIGHTS_… variables.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        # It loads the parser of e-mails, which takes as long as all of the rest.
        import importlib.metadata  # noqa: PLC0415

        say(f"cost-insights {importlib.metadata.version('cost-insights')}")
        raise typer.Exit


@app.callback()
def _every_command(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Does nothing: what commands share is set where it is used."""


def main() -> int:
    """Runs the command that the arguments name and returns its exit code.

    An error is one line on stderr. What is not expected keeps its traceback.
    """
    hide_passwords()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    try:
        code = _run()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # Whoever reads has seen enough, such as `head`; what prints the help exits then.
        _drop_output()
        return EXIT_INTERRUPTED
    except OSError as error:
        _drop_output()
        with contextlib.suppress(OSError):
            note(f"cost-insights: {printable(_place(error))}: {error.strerror}")
        return EXIT_FILE
    except FAILURES:
        traceback.print_exc()
        return EXIT_FAULT
    return code


def _run() -> int:
    try:
        if any(name.upper().startswith("COST_INSIGHTS_") for name in os.environ):
            # To know which there are takes as long as most commands.
            from cost_insights.cli.variables import warn_of_unknown_variables  # noqa: PLC0415

            warn_of_unknown_variables()
        code = typer.main.get_command(app)(prog_name="cost-insights", standalone_mode=False)
    except CommandError as error:
        note(f"cost-insights: {error}")
        return error.exit_code
    except typer.TyperException as error:
        # Without arguments the help was printed, and there is nothing to add.
        if words := error.format_message().replace("Value error, ", ""):
            note(f"cost-insights: {words}")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


def _place(error: OSError) -> str:
    return "the output cannot be written" if error.filename is None else str(error.filename)


def _drop_output() -> None:
    """Keeps what is still buffered from being written, and failing again, at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
