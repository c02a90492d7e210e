"""The commands and programs of `docs/` work when they are copied."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights.store import Store
from tests.support.citus import make_coordinator
from tests.support.databases import Databases
from tests.support.documents import ROOT, Block, blocks
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import folder_for_cluster, libpq_url, programs
from tests.support.service import Caller, Service, event_of, new_event

DOCUMENTS = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}

GUIDES = {"python.md", "start.md"}
"""The pages that tests/test_guides.py runs, each on a service of its own."""

NOT_RUN = ("costs.example", "collector:4317", "make ")
"""What cannot be run: hosts of examples, which do not exist here, and targets of make; tests of TLS
and of OpenTelemetry run the like."""

COMMANDS = {"sh": ["sh", "-e", "-c"], "python": [sys.executable, "-c"]}


def code(document: str, *languages: str) -> list[Block]:
    """The blocks of code of a document in some languages that can be run here."""
    return [
        block
        for block in blocks(DOCUMENTS[document])
        if block.language in languages and not any(one in block.text for one in NOT_RUN)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [one for one in DOCUMENTS if one not in GUIDES and code(one, *COMMANDS)]
)
def test_commands(
    document: str,
    databases: Databases,
    start_server: Callable[..., AbstractContextManager[Service]],
    tmp_path: Path,
) -> None:
    """Every command and program of a document, one after the other, beside a service on a
    PostgreSQL that may be the coordinator of a cluster, with an organization that has an event."""
    for name in (".venv", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
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
            "COST_INSIGHTS_GRPC_ADDRESS": service.address,
            "DATABASE": libpq_url(url),
            "NEW_DATABASE": libpq_url(other_url),
            "PATH": os.pathsep.join([str(ROOT / ".venv/bin"), str(found), env["PATH"]]),
        }
        for language, text in code(document, *COMMANDS):
            block = text
            for documented, real in addresses.items():
                block = block.replace(documented, real)
            done = subprocess.run(
                [*COMMANDS[language], block],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    if document == "command-line.md":
        check_october(tmp_path)


def check_october(folder: Path) -> None:
    """Compares what the commands about files have written with the examples on paper."""
    header, *lines = (line.split(",") for line in (folder / "october.csv").read_text().splitlines())
    assert sum(Decimal(line[header.index("Costs")]) for line in lines) == Decimal("30.16")
    assert (folder / "faults.ndjson").read_text() == ""


def test_the_statement_about_events(
    database_url: str, start_server: Callable[..., AbstractContextManager[Service]]
) -> None:
    """The SQL that reads events gives the same exact sums on both databases."""
    with start_server(database_url) as service:
        Caller(service.channel()).ingest(
            *(
                event_of(
                    {
                        "name": "a",
                        "external_customer_id": customer,
                        **({"cost": {"amount": amount, "currency": "usd"}} if amount else {}),
                    }
                )
                for customer, amount in (
                    ("b", "0.1"),
                    ("b", "0.2"),
                    ("a", "0.000000000001"),
                    ("c", "9000000"),
                    ("d", ""),
                )
            )
        )
    [statement] = code("data.md", "sql")
    with closing(Store(database_url)) as store, store.read() as connection:
        rows = connection.execute(sa.text(statement.text.rstrip().rstrip(";"))).all()
    assert [(name, int(picocents)) for name, picocents, _ in rows] == [
        ("c", 9_000_000 * 10**12),
        ("b", 3 * 10**11),
        ("a", 1),
        ("d", 0),
    ]
    assert [float(cents) for *_, cents in rows] == pytest.approx([9e6, 0.3, 1e-12, 0])


def test_statements_of_a_cluster(databases: Databases) -> None:
    """The SQL that makes a cluster of several servers is SQL."""
    [statements] = code("scaling.md", "sql")
    with databases.fresh("postgresql") as url:
        make_coordinator(url, workers=0)
        with psycopg.connect(libpq_url(url)) as connection:
            connection.execute(statements.text.encode())
            nodes = connection.execute(
                "SELECT nodename FROM pg_dist_node WHERE shouldhaveshards AND noderole = 'primary'"
            ).fetchall()
    assert nodes == [("worker1.internal",), ("worker2.internal",)]


def test_the_settings_of_a_pooler(databases: Databases) -> None:
    """PgBouncer takes the documented settings, and the service starts behind it."""
    [settings] = code("operations.md", "ini")
    with databases.fresh("postgresql") as url, folder_for_cluster() as folder:
        pooler = PgBouncer(folder, url, settings.text)
        pooler.start()
        try:
            with closing(Store(pooler.url)) as store:
                store.check_pooler(processes=4, connections_max=12)
                store.upgrade()
        finally:
            pooler.stop()
