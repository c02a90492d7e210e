"""Commands on organizations, the tenants that everything belongs to."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Annotated, Final

import rich.box
import rich.markup
import rich.table
import typer

from cost_insights.cli.console import EXIT_CODES, CommandError, out, printable, say
from cost_insights.cli.limits import (
    OF_ORGANIZATIONS,
    changed_limits,
    limit_shown,
    limits_json,
)
from cost_insights.cli.opening import DatabaseOption, existing, opened
from cost_insights.cli.variables import settings_of
from cost_insights.errors import InvalidRequestError
from cost_insights.identity import (
    RATE_MAX,
    Organization,
    create_organization,
    ensure_organization,
    find_limits,
    find_organization,
    list_organizations,
    set_limits,
)

app: Final = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Creates, lists and limits organizations."
)


@app.command(epilog=EXIT_CODES)
def create(
    name: Annotated[
        str,
        typer.Argument(
            help="The name of the organization: 1 to 128 printable characters that no other "
            "organization has."
        ),
    ],
    if_missing: Annotated[
        bool,
        typer.Option(
            "--if-missing",
            help="If the organization exists, print its id. Default: refuse a name that is taken.",
        ),
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Creates an organization and prints its id.

    It also creates the database if needed, and waits for a PostgreSQL that is not running yet.

    Example: cost-insights organization create acme

    Example: cost-insights organization create --if-missing acme
    """
    with opened(settings_of(database_url=database_url)) as store:
        try:
            with store.write() as connection:
                make = ensure_organization if if_missing else create_organization
                created = make(connection, name)
        except InvalidRequestError as error:
            raise CommandError(error.message) from None
    say(str(created.id))


@app.command("list", epilog=EXIT_CODES)
def list_(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list. Default: a table.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Lists the organizations, in the order in which they were created.

    Example: cost-insights organization list
    """
    with existing(settings_of(database_url=database_url)) as store, store.read() as connection:
        _print(list_organizations(connection), as_json=as_json)


def _print(found: Sequence[Organization], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"id": str(one.id), "name": one.name, "created": time_shown(one.created_us)}
            for one in found
        ]
        say(json.dumps(rows, ensure_ascii=False))
        return
    table = list_table("id", "name", "created")
    for organization in found:
        table.add_row(
            str(organization.id),
            rich.markup.escape(printable(organization.name)),
            day_shown(organization.created_us),
        )
    out.print(table)


_LimitOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|unlimited|default",
        help=f"1 to {RATE_MAX}, unlimited, or what the service is set to. Default: no change.",
    ),
]


@app.command(epilog=EXIT_CODES)
def limits(
    *,
    name: Annotated[str, typer.Argument(help="The name of the organization.")],
    events_per_second: _LimitOption = None,
    requests_per_second: _LimitOption = None,
    customers_max: _LimitOption = None,
    series_max: _LimitOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object. Default: a table.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Changes limits of an organization, and shows all of them.

    Rates are those of all its tokens together; a token can have lower ones of its own. Services
    follow a change of them within COST_INSIGHTS_TOKEN_CACHE_MS, by default a second. Events and
    revenue of new customers beyond the limit are refused. A series is a combination of event name,
    LLM vendor, LLM model and product; those beyond the limit are counted together, as the event
    name `other`.

    Example: cost-insights organization limits acme

    Example: cost-insights organization limits acme --events-per-second 2000
    """
    changes = changed_limits(
        OF_ORGANIZATIONS,
        {
            "events_per_second": events_per_second,
            "requests_per_second": requests_per_second,
            "customers_max": customers_max,
            "series_max": series_max,
        },
    )
    with (
        existing(settings_of(database_url=database_url)) as store,
        store.write() if changes else store.read() as connection,
    ):
        owner = find_organization(connection, name)
        if owner is None:
            raise CommandError(f"NAME: there is no organization {name!r}")
        if changes:
            set_limits(connection, owner, changes)
        found = find_limits(connection, owner)
    if as_json:
        say(json.dumps(limits_json(found)))
        return
    table = list_table("limit", "value")
    for limit, value in vars(found).items():
        table.add_row(limit.removesuffix("_max").replace("_", " "), limit_shown(value))
    out.print(table)


def list_table(*headings: str) -> rich.table.Table:
    """An empty table that fits into 80 columns: only names are folded, never an id."""
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    for heading in headings:
        is_name = heading in {"name", "organization"}
        table.add_column(heading, overflow="fold", no_wrap=not is_name)
    return table


def day_shown(time_us: int) -> str:
    """The day of a time, in UTC."""
    return time_shown(time_us).partition("T")[0]


def time_shown(time_us: int) -> str:
    """A time in UTC, to the second."""
    moment = dt.datetime.fromtimestamp(time_us // 1_000_000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
