"""Commands on the database itself."""

import datetime as dt
import json
import re
import sys
import time
from contextlib import closing
from typing import Annotated, Final

import sqlalchemy as sa
import typer

from cost_insights.cli.advising import advise
from cost_insights.cli.backups import backup, restore
from cost_insights.cli.checking import Findings, in_words, mend, month_shown, progress
from cost_insights.cli.checking import check as check_cells
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_REFUSED,
    CommandError,
    exit_with,
    note,
    printable,
    say,
    usage,
    whole_number,
)
from cost_insights.cli.distributing import distribute_events
from cost_insights.cli.opening import (
    DatabaseOption,
    cause_of,
    damage_told,
    database_errors,
    database_shown,
    existing,
    opened,
    store_of,
)
from cost_insights.cli.salvaging import in_words as in_words_of_table
from cost_insights.cli.salvaging import mended, salvage_tables
from cost_insights.cli.variables import settings_of
from cost_insights.events import count_events_before, prune_events
from cost_insights.identity import Organization, find_organization, list_organizations
from cost_insights.store import Store
from cost_insights.store.salvage import is_empty

app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Upgrades, checks, backs up, salvages, prunes, distributes and tunes the database.",
)

OrganizationOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only this organization. Default: every organization."),
]

_DAY_US = 86_400_000_000


app.command(epilog=EXIT_CODES)(backup)
app.command(epilog=EXIT_CODES)(restore)
app.command(epilog=EXIT_CODES)(advise)
app.command("distribute", epilog=EXIT_CODES)(distribute_events)


@app.command(epilog=EXIT_CODES)
def upgrade(database_url: DatabaseOption = None) -> None:
    """Brings the schema of the database up to date.

    Several processes may do so at once, and `serve` does so by itself unless
    COST_INSIGHTS_DATABASE_UPGRADE is false. A PostgreSQL that is not up yet is waited
    for, up to COST_INSIGHTS_DATABASE_WAIT_SECONDS.

    Example: cost-insights db upgrade --database-url sqlite:///costs.db
    """
    settings = settings_of(database_url=database_url)
    with opened(settings.model_copy(update={"database_upgrade": True})):
        pass
    say(f"{database_shown(settings)}: the schema is up to date")


@app.command(epilog=EXIT_CODES)
def check(
    *,
    organization: OrganizationOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Rewrite the cells that differ. Default: only report them."),
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="With --repair: rewrite cells also where events are damaged or missing, so that "
            "metrics lose them. Default: stop and say what would be lost.",
        ),
    ] = False,
    differences_max: Annotated[
        int,
        typer.Option(
            parser=whole_number(0, 100_000),
            metavar="N",
            help="The greatest number of differences to show, 0 to 100000.",
        ),
    ] = 20,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON list. Default: a line for each difference."),
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Checks that the database is intact and that the cells that metrics are answered from agree
    with the events.

    Lets the database check itself, verifies the checksum of every event, counts the events again,
    in one snapshot of the database and month by month, and compares every stored cell. Cells of
    events that `db prune` has deleted are only compared with each other, and the number of these
    events is printed. Nothing is locked: events and questions keep coming.

    With --repair the cells that differ are rewritten, one month per transaction, and the exit code
    is 0 if nothing is wrong afterwards. Cells whose checksum is right are never replaced by events
    whose checksum is wrong or absent: where events are damaged or missing, cells that still hold
    them stay, unless --accept-loss says otherwise. Where such cells are damaged too, nothing is
    rewritten without it, nor ever where the database itself is damaged: `db salvage` copies what is
    intact. On SQLite new events wait while a month is written. A pruning that reached into the
    future, which earlier versions allowed, is set back to the end of today.

    Example: cost-insights db check

    Example: cost-insights db check --organization acme --repair
    """
    if accept_loss and not repair:
        raise usage("--accept-loss: give --repair too")
    settings = settings_of(database_url=database_url)
    with existing(settings) as store, damage_told(settings, advice=""):
        started = time.monotonic()
        faults = list(store.integrity_faults())
        for fault in faults:
            note(f"the database is damaged: {printable(fault)}")
        found = check_cells(
            store, _organizations(store, organization), differences_max=differences_max
        )
        summary = _summary(found, seconds=time.monotonic() - started)
        if as_json:
            say(json.dumps(_as_json(found), ensure_ascii=False))
        else:
            _print(found)
            _print_pruned(found)
            say(summary)
        wrong = [one for one in found if not one.is_right]
        if faults and repair:
            raise CommandError(
                "the database itself is damaged, so nothing was rewritten; restore a backup, or "
                "copy what is intact with `cost-insights db salvage`"
            )
        if not repair and (faults or wrong):
            exit_with(EXIT_REFUSED)
        if wrong:
            _repair(store, wrong, accept_loss=accept_loss)


def _repair(store: Store, wrong: list[Findings], *, accept_loss: bool) -> None:
    losses = [(one.organization.name, loss) for one in wrong for loss in one.losses]
    if losses and not accept_loss:
        for name, loss in losses:
            note(f"{name}, {loss}")
        raise CommandError(
            "events are lost, and the cells that held them are damaged, so nothing was rewritten; "
            "restore a backup, or give --accept-loss to go on with the events that are left"
        )
    for one in wrong:
        if mend(store, one, accept_loss=accept_loss):
            continue
        if one.kept_months and one.pruned_before_us is None:
            months = ", ".join(map(month_shown, one.kept_months))
            raise CommandError(
                f"{one.organization.name}: of {months}, cells with a right checksum differ from "
                "events that have none, because an earlier version stored them; these cells stay "
                "as they are"
            )
        raise CommandError(
            f"{one.organization.name}: the events behind the wrong cells were pruned, so "
            "the right values are not known here; look for them in a backup"
        )
    note("the cells that differed are rewritten")
    if any(one.damaged_events for one in wrong):
        raise CommandError("damaged events cannot be mended; look for them in a backup")
    if any(one.missing_events for one in wrong) and not accept_loss:
        raise CommandError(
            "missing events cannot be mended, and the cells that hold them stay; look for them in "
            "a backup, or give --accept-loss to take them out of the cells"
        )


@app.command(epilog=EXIT_CODES)
def salvage(
    *,
    new_url: Annotated[
        str,
        typer.Argument(
            metavar="NEW_URL", help="The new database, which must be empty or a file that is not."
        ),
    ],
    database_url: DatabaseOption = None,
) -> None:
    """Copies what is intact of a damaged database into a new one, and reports the rest.

    Reads every row by its place in the file, whatever has become of indexes, and leaves out rows
    that cannot be read, and events and cells whose checksum is wrong. Cells that are damaged are
    then computed anew, where events or other cells are whole. The old database is not changed; stop
    the service first. The exit code is 1 if something was lost.

    Example: cost-insights db salvage sqlite:///salvaged.db --database-url sqlite:///damaged.db
    """
    settings = settings_of(database_url=database_url)
    target = settings_of(database_url=new_url)
    started = time.monotonic()
    with (
        database_errors(settings),
        closing(store_of(settings, is_damaged=True)) as old,
        opened(target.model_copy(update={"database_upgrade": True})) as new,
        old.serving(),
    ):
        _check_schema_if_readable(old)
        if not is_empty(new):
            raise CommandError(f"{database_shown(target)}: the new database must be empty")
        with damage_told(settings):
            results = salvage_tables(old, new)
        for one in results:
            if one.copied or not one.is_whole:
                say(in_words_of_table(one))
        found = mended(new)
        _print(found)
        say(_summary(found, seconds=time.monotonic() - started))
    if not all(one.is_whole for one in results) or not all(one.is_right for one in found):
        exit_with(EXIT_REFUSED)


def _check_schema_if_readable(store: Store) -> None:
    try:
        store.check_schema()
    except sa.exc.DBAPIError as error:
        note(f"the version of the schema cannot be read: {cause_of(error)}")


@app.command(epilog=EXIT_CODES)
def prune(
    *,
    before: Annotated[
        str,
        typer.Option(
            metavar="DATE", help="The first day (UTC) whose events are kept; today at the latest."
        ),
    ],
    organization: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The organization to prune. Default: none."),
    ] = None,
    all_organizations: Annotated[
        bool,
        typer.Option(
            "--all-organizations", help="Prune every organization. Default: the named one."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Check the cells of the events first, because it cannot be done afterwards.",
        ),
    ] = True,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before events are deleted. Default: ask.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Deletes old events and keeps their cells, so metrics stay the same to the last digit.

    Deleted events can no longer be listed or fetched. An event that has an external_id, or came by
    a stream, still counts once, however often it is sent again. Filters, groups and all intervals
    still work; only a period that does not begin at a quarter of an hour in UTC, as in historical
    time zones, misses deleted events.

    The command may be interrupted and run again. SQLite reuses the free space for new events.

    Example: cost-insights db prune --before 2025-01-01 --organization acme
    """
    day = _day_to_prune(before)
    if (organization is None) != all_organizations:
        raise usage("give either --organization NAME or --all-organizations")
    settings = settings_of(database_url=database_url)
    with existing(settings) as store:
        organizations = _organizations(store, organization)
        if check:
            _refuse_differences(store, organizations, day)
        before_us = (day - dt.date(1970, 1, 1)).days * _DAY_US
        with store.read() as connection:
            counts = {
                one: count_events_before(connection, one.number, before_us) for one in organizations
            }
        events = sum(counts.values())
        owners = ", ".join(f"{one.name} ({count})" for one, count in counts.items())
        plan = f"{events} events before {day} of {owners or 'no organization'}"
        if not yes:
            _ask(f"{database_shown(settings)}: delete {plan}?")
        with progress() as bar:
            for one, count in counts.items():
                bar.begin(one.name, count)
                prune_events(
                    store,
                    one.number,
                    before_us,
                    on_pruned=lambda pruned: bar.update("events deleted", steps=pruned),
                )
    say(f"{database_shown(settings)}: deleted {plan}; their cells stay")


def _organizations(store: Store, name: str | None) -> list[Organization]:
    with store.read() as connection:
        if name is None:
            return list_organizations(connection)
        found = find_organization(connection, name)
    if found is None:
        raise CommandError(f"--organization: there is no organization {name!r}")
    return [found]


def _day_to_prune(text: str) -> dt.date:
    day = _day(text)
    today = dt.datetime.now(dt.UTC).date()
    if day > today:
        raise usage(f"--before: {day} is in the future; today, {today} in UTC, is the latest")
    return day


def _day(text: str) -> dt.date:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            pass
    raise usage(f"--before: {text!r} is not a date such as 2025-01-01")


def _refuse_differences(store: Store, organizations: list[Organization], day: dt.date) -> None:
    # The month of the day is pruned in part, unless it begins with it.
    months_end = 12 * (day.year - 1970) + day.month - (day.day == 1)
    found = check_cells(store, organizations, differences_max=20, months_end=months_end)
    if not all(one.is_right for one in found):
        _print(found)
        raise CommandError(
            "cells differ from the events that would be deleted; nothing was deleted: "
            "run db check --repair first"
        )


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise usage("--yes is required here, because nobody can be asked")
    typer.confirm(printable(question), abort=True, err=True)


def _print(found: list[Findings]) -> None:
    for one in found:
        for damaged in one.damaged:
            say(f"{one.organization.name}, {damaged}: damaged")
        for difference in one.differences:
            say(in_words(difference))
        if one.damaged_events:
            say(f"{one.organization.name}: {one.damaged_events} events are damaged")
        if one.missing_events:
            say(f"{one.organization.name}: {one.missing_events} events that cells hold are missing")
        if one.unverified:
            say(
                f"{one.organization.name}: {one.unverified} events have no checksum, because an "
                "earlier version stored them"
            )
        if one.is_pruned_ahead:
            say(
                f"{one.organization.name}: events before {one.pruned_before}, which is in the "
                "future, count as pruned, so that nothing is proven until then; "
                "db check --repair sets this right"
            )


def _print_pruned(found: list[Findings]) -> None:
    for one in found:
        if one.pruned_before_us is not None:
            say(
                f"{one.organization.name}: {one.events_before} events lie before "
                f"{one.pruned_before}, up to which events were pruned; their cells are only "
                "compared with each other"
            )


def _summary(found: list[Findings], *, seconds: float) -> str:
    differing = sum(one.differing for one in found)
    damaged = sum(len(one.damaged) for one in found)
    verdict = "all cells agree with the events"
    if any(one.events_before for one in found):
        verdict = "all cells agree with the events that are left"
    if any(one.is_pruned_ahead for one in found):
        verdict = "not everything can be proven"
    if any(one.damaged_events or one.missing_events for one in found):
        verdict = "all cells are intact, but not all events"
    if differing or damaged:
        verdict = f"{differing} cells differ, {damaged} segments or batches are damaged"
    return (
        f"{verdict}: {sum(one.events for one in found)} events, "
        f"{sum(one.cells for one in found)} cells, {seconds:.1f} seconds"
    )


def _as_json(found: list[Findings]) -> list[dict[str, object]]:
    return [
        {
            "organization": one.organization.name,
            "events": one.events,
            "cells": one.cells,
            "events_unverified": one.unverified,
            "events_damaged": one.damaged_events,
            "events_missing": one.missing_events,
            "differing": one.differing,
            "damaged": one.damaged,
            "pruned_before": None if one.pruned_before_us is None else one.pruned_before,
            "pruned_ahead": one.is_pruned_ahead,
            "events_before": one.events_before,
            "differences": one.differences,
        }
        for one in found
    ]
