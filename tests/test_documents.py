"""The commands of `docs/` work when they are copied."""

import os
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import psycopg
import pytest

from cost_insights import identity
from cost_insights.store import Store
from tests.support.citus import make_coordinator
from tests.support.databases import Databases
from tests.support.documents import ROOT, blocks
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import folder_for_cluster, libpq_url, programs
from tests.support.service import Service, new_event

DOCUMENTS = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}

GUIDE = "start.md"
"""The one page here that tests/test_guides.py runs, on a service of its own."""

NOT_RUN = ("costs.example", "collector:4317")
"""Hosts of examples, which do not exist here; tests of TLS and of OpenTelemetry run the like."""


def code(document: str, language: str) -> list[str]:
    """The blocks of code of a document in a language that can be run here."""
    return [
        block.text
        for block in blocks(DOCUMENTS[document])
        if block.language == language and not any(host in block.text for host in NOT_RUN)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one != GUIDE and code(one, "sh")])
def test_commands(
    document: str,
    databases: Databases,
    start_server: Callable[..., AbstractContextManager[Service]],
    tmp_path: Path,
) -> None:
    """Every command of a document, one after the other, beside a service on a PostgreSQL that may
    be the coordinator of a cluster, with an organization that has an event."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    found = programs()
    assert found is not None
    with (
        databases.fresh("postgresql") as url,
        databases.fresh("postgresql") as other_url,
        start_server(
            url, http_address="127.0.0.1:0", admin_address="127.0.0.1:0", token_cache_ms=0
        ) as service,
        closing(Store(f"sqlite:///{tmp_path / 'costs.db'}")) as file,
    ):
        service.stranger().ingest(new_event(external_customer_id="c", external_id="k"))
        with service.store.write() as connection:
            identity.create_organization(connection, "acme")
        if document == "scaling.md":
            make_coordinator(url)
        file.upgrade()
        server = service.server
        addresses = {
            "127.0.0.1:50051": service.address,
            "127.0.0.1:8080": server.http_address,
            "127.0.0.1:9464": server.admin_address,
        }
        env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
        env |= {
            "COST_INSIGHTS_DATABASE_URL": url,
            "DATABASE": libpq_url(url),
            "NEW_DATABASE": libpq_url(other_url),
            "PATH": os.pathsep.join([str(ROOT / ".venv/bin"), str(found), env["PATH"]]),
        }
        for block in code(document, "sh"):
            for documented, real in addresses.items():
                block = block.replace(documented, real)  # noqa: PLW2901 (the same block)
            done = subprocess.run(
                ["sh", "-e", "-c", block],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_statements_of_a_cluster(databases: Databases) -> None:
    """The SQL that makes a cluster of several servers is SQL."""
    [statements] = code("scaling.md", "sql")
    with databases.fresh("postgresql") as url:
        make_coordinator(url, workers=0)
        with psycopg.connect(libpq_url(url)) as connection:
            connection.execute(statements.encode())
            nodes = connection.execute(
                "SELECT nodename FROM pg_dist_node WHERE shouldhaveshards AND noderole = 'primary'"
            ).fetchall()
    assert nodes == [("worker1.internal",), ("worker2.internal",)]


def test_the_settings_of_a_pooler(databases: Databases) -> None:
    """PgBouncer takes the documented settings, and the service starts behind it."""
    [settings] = code("operations.md", "ini")
    with databases.fresh("postgresql") as url, folder_for_cluster() as folder:
        pooler = PgBouncer(folder, url, settings)
        pooler.start()
        try:
            with closing(Store(pooler.url)) as store:
                store.check_pooler(processes=4, connections_max=12)
                store.upgrade()
        finally:
            pooler.stop()
