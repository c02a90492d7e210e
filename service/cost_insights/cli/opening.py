"""How commands open the database that flags and the environment name."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import sqlalchemy as sa
import typer

from cost_insights.cli.console import (
    EXIT_FILE,
    EXIT_UNREACHABLE,
    CommandError,
    note,
    printable,
    usage,
)
from cost_insights.errors import FAILURES, CostInsightsError, StoreUnavailableError
from cost_insights.settings import Settings
from cost_insights.store import PoolerError, SchemaError, ServedElsewhereError, Store, parse_url

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The database: sqlite:///FILE, or postgresql+psycopg:// and then "
        "USER:PASSWORD@HOST/DATABASE. "
        "Default: COST_INSIGHTS_DATABASE_URL, or else a SQLite file in the user's data folder.",
    ),
]


@contextmanager
def database_errors(settings: Settings) -> Iterator[None]:
    """Turns what goes wrong with the database into the end of the command."""
    try:
        yield
    except (
        StoreUnavailableError,
        sa.exc.DBAPIError,
        SchemaError,
        ServedElsewhereError,
        PoolerError,
    ) as error:
        raise CommandError(
            f"{database_shown(settings)}: the database cannot be used: {cause_of(error)}",
            exit_code=EXIT_UNREACHABLE,
        ) from error


def cause_of(error: Exception) -> str:
    """The message of the driver, if the error came from the driver; else that of the error."""
    cause = error.__cause__ if isinstance(error, StoreUnavailableError) else error
    return printable(" ".join(str(getattr(cause, "orig", None) or cause or error).split()))


_CHECK_FIRST = "if `cost-insights db check` finds damage, "


@contextmanager
def damage_told(settings: Settings, *, advice: str = _CHECK_FIRST) -> Iterator[None]:
    """Turns whatever comes of unreadable contents into the end of the command: damage may raise
    any error, in the database, in its driver or here."""
    try:
        yield
    except (CommandError, CostInsightsError, SchemaError, OSError, typer.Exit, typer.Abort):
        raise
    except FAILURES as error:
        words = printable(f"{type(error).__name__}: {error}")
        if isinstance(error, sa.exc.DBAPIError):
            words = cause_of(error)
        raise CommandError(
            f"{database_shown(settings)}: the contents of the database cannot be read: {words}; "
            f"{advice}restore a backup, or copy what is intact with `cost-insights db salvage`",
            exit_code=EXIT_UNREACHABLE,
        ) from error


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The database, created if need be, its schema brought up to date unless the settings
    forbid it; one that is not up yet is waited for."""
    with database_errors(settings), closing(store_of(settings)) as store:
        prepare(store, settings)
        with damage_told(settings):
            yield store


@contextmanager
def existing(settings: Settings, *, wait: bool = False) -> Iterator[Store]:
    """The database as it is; nothing is created or brought up to date."""
    with database_errors(settings), closing(store_of(settings)) as store:
        if wait:
            wait_for(store, settings)
        store.check_schema()
        with damage_told(settings):
            yield store


def prepare(store: Store, settings: Settings) -> None:
    """Makes the database ready for whoever writes to it."""
    wait_for(store, settings)
    if not settings.database_upgrade:
        store.check_schema()
        return
    try:
        store.upgrade()
    except OSError as error:
        raise not_created(settings, error) from None


def not_created(settings: Settings, error: OSError) -> CommandError:
    """The end of a command that could not make the file of a database or its folder."""
    return CommandError(
        f"{database_shown(settings)}: the database cannot be created: {error.filename}: "
        f"{error.strerror}",
        exit_code=EXIT_FILE,
    )


def wait_for(store: Store, settings: Settings) -> None:
    """Waits for a database that is not up yet, and says so once for each cause."""
    told: set[str] = set()

    def tell(error: sa.exc.DBAPIError) -> None:
        if (cause := cause_of(error)) not in told:
            told.add(cause)
            note(
                f"waiting up to {settings.database_wait_seconds:g} seconds for the database "
                f"{database_shown(settings)}: {cause}"
            )

    store.wait(settings.database_wait_seconds, tell)


def database_shown(settings: Settings) -> str:
    """The database without its passwords, which a URL may also give as parameters."""
    url = parse_url(settings.database_url)
    secret = {name: "hidden" for name in ("password", "sslpassword") if name in url.query}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def store_of(settings: Settings, *, is_damaged: bool = False) -> Store:
    """The database as the settings name it, not yet connected."""
    try:
        return Store(
            settings.database_url,
            connections_max=settings.database_connections_max,
            is_damaged=is_damaged,
        )
    except sa.exc.ArgumentError:
        # The text may hold a password, so it is not repeated.
        why = (
            "not the URL of a database; write sqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        )
    except ValueError as error:
        why = str(error)
    raise usage(f"--database-url or COST_INSIGHTS_DATABASE_URL: {why}")
