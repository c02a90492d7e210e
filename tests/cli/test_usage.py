"""What is said to someone who calls a command in a wrong way: one line, exit code 2."""

import re

import pytest

from tests.support.command_line import Command

COMMANDS = (
    "serve",
    "demo",
    "ingest",
    "metrics",
    "healthcheck",
    "organization create",
    "organization list",
    "token create",
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
         ("--database-url or COST_INSIGHTS_DATABASE_URL: not the URL of a database that is known "
         "(ArgumentError); sqlite:///FILE and postgresql+psycopg://USER:PASSWORD@HOST/DATABASE "
         "are")),
        (["token", "create", "--organization", "acme", "--scopes", "events:wrte"],
         ("--scopes: 'events:wrte' is no scope; allowed are events:read, events:write, "
         "metrics:read, revenue:read, revenue:write")),
        (["token", "create", "--organization", "a", "--scopes", "events:read", "--expires", "0d"],
         ("--expires: '0d' is not allowed; 1d to 36500d, a date to come such as 2030-01-01, or "
         "never is")),
        (["token", "create", "--organization", "a", "--scopes", "events:read", "--expires",
          "2020-01-01"],
         ("--expires: '2020-01-01' is not allowed; 1d to 36500d, a date to come such as "
         "2030-01-01, or never is")),
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
        done = quick(*arguments, "--database-url", url)
        assert done.returncode == 3
        assert done.stderr.startswith(
            "cost-insights: postgresql+psycopg://user:***@127.0.0.1:1/costs: "
            "the database cannot be used: "
        )
        assert "secret" not in done.stderr + done.stdout
        assert done.stderr.count("\n") == 1
