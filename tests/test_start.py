"""Programs load no more than they need, so that they start at once."""

import importlib
import json
import subprocess
import sys

import pytest
import typer

from cost_insights import cli

SERVER = {"alembic", "psycopg", "pydantic", "sqlalchemy", "sqlite3", "uvloop"}
"""The packages that only a service, or a command on a database, needs."""


def loaded_by(program: str) -> set[str]:
    """The packages that a program has loaded at its end."""
    program += (
        "\nimport json, sys"
        "\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={}
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_client_loads_no_server() -> None:
    """A program that only sends events loads neither the service nor a database driver."""
    loaded = loaded_by("from cost_insights.client import BackgroundClient, Client")
    assert {"cost_insights", "grpc"} <= loaded
    assert loaded & SERVER == set()


def test_help_loads_no_command() -> None:
    """A list of the commands needs neither gRPC nor messages nor settings."""
    loaded = loaded_by(
        "import sys; sys.argv = ['cost-insights', '--help']"
        "\nfrom cost_insights.cli import main"
        "\nmain()"
    )
    assert "typer" in loaded
    assert loaded & (SERVER | {"google", "grpc", "plotext"}) == set()


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_the_list_says_what_commands_say_of_themselves(name: str) -> None:
    """The sentence in the list is the first one of the help of the command."""
    module, summary = cli._COMMANDS[name]
    loaded = importlib.import_module(f"cost_insights.cli.{module}")
    text = typer.main.get_command(loaded.app).help or ""
    assert text.split("\n\n")[0].replace("\n", " ") == summary
