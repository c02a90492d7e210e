"""Command lines for the reader to copy, as they work from the current folder."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from cost_insights.settings import Settings, demo_database_file

FIRST_EVENT: Final = {
    "name": "llm.inference",
    "external_customer_id": "user_123",
    "cost": {"amount": "0.025", "currency": "usd"},
}


def program() -> list[str]:
    """The command that calls this program."""
    called = Path(sys.argv[0])
    if called.name != "cost-insights":
        return [shown_path(sys.executable), "-m", "cost_insights.cli"]
    found = shutil.which("cost-insights")
    if found is not None and Path(found).resolve() == called.resolve():
        return ["cost-insights"]
    return [shown_path(str(called))]


def address_flags(address: str) -> list[str]:
    """The flags that lead a command to a service; none where it looks anyway."""
    return ["--address", address] if address != Settings().grpc_address else []


def first_event(address: str) -> str:
    """A command that sends an event to the service at an address."""
    ingest = shlex.join([*program(), "ingest", *address_flags(address), "-"])
    return f"echo {shlex.quote(json.dumps(FIRST_EVENT))} | {ingest}"


def serve_demo() -> str | None:
    """A command that serves what `demo` made, if it has made anything."""
    file = demo_database_file()
    if not file.exists():
        return None
    return shlex.join([*program(), "serve", "--database-url", f"sqlite:///{file}"])


def shown_path(path: str) -> str:
    """The path from the current folder if it lies below it."""
    absolute = Path(path).absolute()
    return str(
        absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
    )
