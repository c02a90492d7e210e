"""Copying what is intact of a damaged database into a new one: with a bar, and in words."""

from typing import Any

import sqlalchemy as sa

from cost_insights.cells.check import is_sound_batch, is_sound_row
from cost_insights.cli.checking import Findings, check, mend, progress
from cost_insights.cli.console import note
from cost_insights.identity import list_organizations
from cost_insights.store import Store
from cost_insights.store.salvage import (
    Salvaged,
    finish,
    restore_organizations,
    salvage_table,
    tables_to_salvage,
)
from cost_insights.store.schema import batch, organization, segment


def salvage_tables(old: Store, new: Store) -> list[Salvaged]:
    """Copies every table into a database that holds nothing yet."""
    results: list[Salvaged] = []
    with progress() as bar:
        for table in tables_to_salvage():
            bar.begin(table.name, 1)

            def tell(done: int, total: int) -> None:
                bar.bar.update(bar.task, completed=done, total=total)

            results.append(salvage_table(old, new, table, is_sound=_soundness(table), on_read=tell))
            if table is organization and not results[-1].is_whole:
                for name in restore_organizations(old, new):
                    note(
                        f"an organization cannot be read; what belongs to it is copied to {name!r}"
                    )
    finish(new)
    return results


def mended(new: Store) -> list[Findings]:
    """The findings of a check of the new database, after cells that can be mended were."""
    with new.read() as connection:
        organizations = list_organizations(connection)
    for one in check(new, organizations, differences_max=0):
        if not one.is_right and not one.losses:
            mend(new, one)
    return check(new, organizations, differences_max=0)


def in_words(salvaged: Salvaged) -> str:
    """The result of a table, as one line."""
    words = [f"{salvaged.copied} rows copied"]
    if salvaged.unverified:
        words.append(f"{salvaged.unverified} of them without a checksum to verify them by")
    if salvaged.damaged:
        words.append(f"{salvaged.damaged} damaged")
    if salvaged.refused:
        words.append(f"{salvaged.refused} left out, because they contradict others")
    if salvaged.unreadable:
        words.append(f"up to {salvaged.unreadable} unreadable")
    return f"{salvaged.table}: {', '.join(words)}"


def _soundness(table: sa.Table) -> Any:
    return {segment: is_sound_row, batch: is_sound_batch}.get(table, lambda row: True)
