"""The answer to wrong use of a command: one line and exit code 2."""

import importlib.metadata
import os
import re
import subprocess

import pytest

from tests.support.command_line import SECONDS_MAX, Command, program

COMMANDS = (
    "serve",
    "demo",
    "ingest",
    "metrics",
    "healthcheck",
    "proto",
    "organization create",
    "organization limits",
    "organization list",
    "token create",
    "token limits",
    "token list",
    "token revoke",
    "db upgrade",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(quick: Command, name: str) -> None:
    """Help has a sentence, an example, the exit codes and the default of every option."""
    done = quick(*name.split(), "--help")
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stdout).split())
    assert done.returncode == 0
    assert f"Usage: cost-insights {name}" in words
    assert "Example: " in words
    assert f"cost-insights {name}" in words.partition("Example: ")[2]
    assert "Exit codes: 0 " in words
    options = re.split(r" --(?=[a-z])", words.partition("Options")[2])[1:]
    assert options
    for option in options:
        explained = "efault: " in option or "[required]" in option
        assert explained or option.startswith("help "), option


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nope"], "No such command 'nope'."),
        (["ingest"], "Missing argument 'FILE'."),
        (["ingest", "x", "--colour"], "No such option: --colour"),
        (["ingest", "x", "--batch-events", "0"],
         "Invalid value for '--batch-events': '0' is not a whole number from 1 to 10000"),
        (["ingest", "x", "--batch-events", "1.5"],
         "Invalid value for '--batch-events': '1.5' is not a whole number from 1 to 10000"),
        (["ingest", "x", "--batch-events", "9" * 5_000],
         (f"Invalid value for '--batch-events': '{'9' * 5_000}' is not a whole number "
         "from 1 to 10000")),
        (["ingest", "x", "--retry-seconds", "nan"],
         "Invalid value for '--retry-seconds': 'nan' is not a number of seconds from 0 to 86400"),
        (["ingest", "x", "--format", "xml"],
         "Invalid value for '--format': 'xml' is not one of 'ndjson', 'csv'."),
        (["ingest", "no such\nfile"],
         r"FILE: 'no such\nfile' cannot be read: No such file or directory"),
        (["ingest", ":100:"], "FILE: ':100:' cannot be read: No such file or directory"),
        (["ingest", "/"], "FILE: '/' is a folder; a file or - is allowed"),
        (["ingest", "x", "--address", "localhost"],
         ("--address: 'localhost' is not HOST:PORT with a port from 1 to 65535, such as "
         "127.0.0.1:50051")),
        (["ingest", "x", "--address", "localhost:0"],
         ("--address: 'localhost:0' is not HOST:PORT with a port from 1 to 65535, such as "
         "127.0.0.1:50051")),
        (["ingest", "x", "--token", "a\nb"],
         "--token: holds characters that no token has; printable ASCII is allowed"),
        (["metrics", "--interval", "decade"],
         ("Invalid value for '--interval': 'decade' is not one of 'hour', 'day', 'week', 'month', "
         "'year'.")),
        (["metrics", "--group-by", "planet"],
         ("Invalid value for '--group-by': 'planet' is not one of 'event-name', 'llm-vendor', "
         "'llm-model', 'customer', 'product'.")),
        (["metrics", "--group-by", "customer", "--groups-max", "0"],
         "Invalid value for '--groups-max': '0' is not a whole number from 1 to 1000"),
        (["metrics", "--timezone", "Europe/Berln"],
         ("--timezone: 'Europe/Berln' is not in the IANA database; names such as Europe/Berlin "
         "are")),
        (["metrics", "--end", "2026-02-30"],
         "--end: '2026-02-30' is not a day such as 2026-11-30"),
        (["metrics", "--end", "0001-01-05"],
         "--end: '0001-01-05' is not a day such as 2026-11-30"),
        (["serve", "--database-url", "secret@host"],
         ("--database-url or COST_INSIGHTS_DATABASE_URL: not the URL of a database; write "
          "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")),
        (["serve", "--database-url", "postgresql+psycopg2://u:secret@host/d"],
         ("--database-url or COST_INSIGHTS_DATABASE_URL: the database 'postgresql+psycopg2' is "
         "not supported; use sqlite:///FILE or "
         "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")),
        (["serve", "--open-organization", " acme"],
         ("--open-organization or COST_INSIGHTS_OPEN_ORGANIZATION: ' acme' is not a name for an "
          "organization; allowed are 1 to 128 printable characters without blanks around them")),
        (["serve", "--database-url", "sqlite://"],
         ("--database-url or COST_INSIGHTS_DATABASE_URL: a database in memory is not supported; "
         "use sqlite:///FILE")),
        (["token", "create", "--organization", "acme", "--scopes", "events:wrte"],
         ("--scopes: there is no scope 'events:wrte'; allowed are events:read, events:write, "
         "metrics:read, metrics:write, revenue:read, revenue:write")),
        (["token", "create", "--organization", "a", "--scopes", "events:read", "--expires", "0d"],
         ("--expires: '0d' is not allowed; write 1d to 36500d, a future date such as 2030-01-01, "
          "or never")),
        (["token", "create", "--organization", "a", "--scopes", "events:read", "--expires",
          "2020-01-01"],
         ("--expires: '2020-01-01' is not allowed; write 1d to 36500d, a future date such as "
          "2030-01-01, or never")),
        (["token", "revoke", "17"],
         "ID: '17' is not a UUID such as 1dbfc517-0bbf-4301-9ba8-555ca42b9737"),
        (["demo", "--seed", "-1"],
         "Invalid value for '--seed': '-1' is not a whole number from 0 to 4294967295"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(quick: Command, arguments: list[str], line: str) -> None:
    """The line names the input, its value and what is allowed."""
    done = quick(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"cost-insights: {line}\n")


def test_a_setting_that_is_wrong_is_named(quick: Command) -> None:
    """A variable that holds no valid setting is named with what it holds."""
    done = quick("healthcheck", env={"COST_INSIGHTS_TOKEN_CACHE_MS": "soon"})
    assert done.returncode == 2
    assert done.stderr == (
        "cost-insights: COST_INSIGHTS_TOKEN_CACHE_MS: 'soon': Input should be a valid integer, "
        "unable to parse string as an integer\n"
    )


def test_without_a_command_the_help_is_printed(command: Command) -> None:
    """Calling it without anything shows what there is, and is wrong use."""
    done = command()
    assert done.returncode == 2
    assert "healthcheck" in done.stdout
    assert done.stderr == ""


def test_a_service_that_is_not_there(quick: Command) -> None:
    """Every command that calls a service says that it cannot be reached, with exit code 3."""
    for arguments in (["healthcheck"], ["metrics"], ["ingest", "/dev/null"]):
        done = quick(*arguments, "--address", "127.0.0.1:1")
        assert done.returncode == 3
        assert "cost-insights: 127.0.0.1:1: the service cannot be reached: " in done.stderr
        assert "refused" in done.stderr
        assert "; `cost-insights serve` starts it, --address or " in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_database_that_is_not_there(quick: Command) -> None:
    """Every command that opens a database says that it cannot be used, without its password."""
    url = "postgresql+psycopg://user:secret@127.0.0.1:1/costs"
    for arguments in (["db", "upgrade"], ["organization", "list"], ["demo"]):
        env = {"COST_INSIGHTS_DATABASE_WAIT_SECONDS": "0"}
        done = quick(*arguments, "--database-url", url, env=env)
        assert done.returncode == 3
        assert done.stderr.startswith(
            "cost-insights: postgresql+psycopg://user:***@127.0.0.1:1/costs: "
            "the database cannot be used: "
        )
        assert "secret" not in done.stderr + done.stdout
        assert done.stderr.count("\n") == 1


def test_the_version(quick: Command) -> None:
    """The program tells which version it is."""
    done = quick("--version")
    version = importlib.metadata.version("cost-insights")
    assert (done.returncode, done.stdout) == (0, f"cost-insights {version}\n")


def test_variables_that_set_nothing_are_named(quick: Command) -> None:
    """A variable that is misspelled is named with the one that may be meant, but not what it
    holds; those that Kubernetes makes for a service are passed over."""
    done = quick(
        "--version",
        env={
            "COST_INSIGHTS_DATABSE_URL": "secret",
            "cost_insights_no_such_thing_at_all_x": "1",
            "COST_INSIGHTS_SERVICE_PORT_GRPC": "50051",
            "COST_INSIGHTS_PORT_50051_TCP_ADDR": "10.0.0.1",
            "COST_INSIGHTS_TOKEN": "x",
            "cost_insights_drain_seconds": "1",
        },
    )
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == (
        "cost-insights: COST_INSIGHTS_DATABSE_URL is not a setting and is ignored; did you mean "
        "COST_INSIGHTS_DATABASE_URL?"
    )
    assert "cost_insights_no_such_thing_at_all_x is not a setting and is ignored" in done.stderr
    assert done.stderr.count("\n") == 2


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["--version", "--help", "organization create --if-missing x"])
def test_an_output_that_cannot_be_written(clean_env: dict[str, str], arguments: str) -> None:
    """A full disk and a closed output are told in one line, also where the end writes."""
    for redirection, why in (
        (">/dev/full", "No space left on device"),
        (">&-", "Bad file descriptor"),
    ):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *program(*arguments.split())],
            env=clean_env,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 5
        assert done.stderr == f"cost-insights: the output cannot be written: {why}\n"


def test_a_reader_that_is_gone(clean_env: dict[str, str]) -> None:
    """Every command that prints into a pipe that nobody reads ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in ("--version", "--help"):
        done = subprocess.run(
            program(arguments),
            env=clean_env,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert (done.returncode, done.stderr) == (130, b"")
    os.close(writer)
