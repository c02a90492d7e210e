"""The command line `cost-insights`.

One module a family of commands; `console` holds what they share, `client` how
they call a service. Nothing here decides anything about events or sums.
"""

import importlib
import io
import sys
from collections.abc import Mapping
from typing import Any, Final

import typer
import typer.core

from cost_insights.cli.console import EXIT_CODES, EXIT_INTERRUPTED, CommandError, note

__all__ = ["app", "main"]

_COMMANDS: Final[Mapping[str, str]] = {
    "serve": "serve",
    "demo": "demo",
    "ingest": "ingest",
    "metrics": "metrics",
    "healthcheck": "healthcheck",
    "organization": "organizations",
    "token": "tokens",
    "db": "databases",
}
"""Each command, with the module that has it as `app`."""


class _Commands(typer.core.TyperGroup):
    """Imports a command when it is asked for: a health check every few seconds
    should not load the database driver each time."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{_COMMANDS[cmd_name]}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app: Final = typer.Typer(
    name="cost-insights",
    cls=_Commands,
    help="What each customer costs, exact to 10⁻¹² of a cent. Settings come from flags and "
    "from COST_INSIGHTS_… variables.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def _every_command() -> None:
    """Does nothing: what commands share is set where it is used."""


def main() -> int:
    """Runs the command that the arguments name and returns its exit code.

    An error is one line on stderr. What is not expected keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    try:
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
