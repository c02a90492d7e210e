"""Commands on organizations, the tenants that everything belongs to."""

import datetime as dt
from typing import Annotated, Final

import rich.box
import rich.table
import typer

from cost_insights.cli.console import EXIT_CODES, CommandError, out, printable, say, settings_of
from cost_insights.cli.databases import DatabaseOption, opened
from cost_insights.errors import InvalidRequestError
from cost_insights.identity import create_organization, list_organizations

app: Final = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Creates and lists organizations."
)


@app.command(epilog=EXIT_CODES)
def create(
    name: Annotated[
        str,
        typer.Argument(
            help="What to call it: 1 to 128 printable characters that no organization has yet."
        ),
    ],
    database_url: DatabaseOption = None,
) -> None:
    """Creates an organization and prints its id.

    Example: cost-insights organization create acme
    """
    with opened(settings_of(database_url=database_url)) as store:
        try:
            with store.write() as connection:
                created = create_organization(connection, name)
        except InvalidRequestError as error:
            raise CommandError(error.message) from None
    say(str(created.id))


@app.command("list", epilog=EXIT_CODES)
def list_(database_url: DatabaseOption = None) -> None:
    """Lists the organizations, in the order in which they were created.

    Example: cost-insights organization list
    """
    with opened(settings_of(database_url=database_url)) as store, store.read() as connection:
        found = list_organizations(connection)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("id", "name", "created"):
        table.add_column(heading, overflow="fold")
    for organization in found:
        table.add_row(
            str(organization.id),
            rich.markup.escape(printable(organization.name)),
            time_shown(organization.created_us),
        )
    out.print(table)


def time_shown(time_us: int) -> str:
    """A time in UTC, to the second."""
    moment = dt.datetime.fromtimestamp(time_us // 1_000_000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
