"""The commands of the README work when they are copied."""

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from cost_insights.store import Store
from tests.support.databases import Databases
from tests.support.service import Caller, Service, event_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GRPC_ADDRESS = "127.0.0.1:50051"
HTTP_ADDRESS = "127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    """The blocks of code in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_its_commands_work(
    databases: Databases,
    start_server: Callable[..., AbstractContextManager[Service]],
    tmp_path: Path,
) -> None:
    """Every command but those of make, one after the other, from a folder as the repository's."""
    for name in (".venv", "examples", "proto"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = [block for block in blocks("sh") if not re.search(r"^make ", block, re.MULTILINE)]
    assert len(commands) >= 6
    assert sum(block.count("grpcurl ") for block in commands) >= 4
    assert sum(block.count("curl --fail") for block in commands) >= 3
    with (
        databases.fresh("sqlite") as url,
        start_server(url, http_address="127.0.0.1:0") as service,
    ):
        env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
        env |= {
            "COST_INSIGHTS_DATABASE_URL": url,
            "COST_INSIGHTS_GRPC_ADDRESS": service.address,
            "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{env['PATH']}",
        }
        for block in commands:
            line = block.replace(GRPC_ADDRESS, service.address)
            done = subprocess.run(
                ["sh", "-e", "-c", line.replace(HTTP_ADDRESS, service.server.http_address)],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    # What the examples add up to, in the file that the last but one export made.
    october = (tmp_path / "october.csv").read_text().splitlines()
    header = october[0].split(",")
    costs = [Decimal(line.split(",")[header.index("Costs")]) for line in october[1:]]
    assert sum(costs) == Decimal("30.16")
    assert (tmp_path / "faults.ndjson").read_text() == ""


def test_its_sql_runs(
    database_url: str, start_server: Callable[..., AbstractContextManager[Service]]
) -> None:
    """The one statement gives the same exact sums on both databases."""
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
    [statement] = blocks("sql")
    store = Store(database_url)
    try:
        with store.read() as connection:
            rows = connection.execute(sa.text(statement.rstrip().rstrip(";"))).all()
    finally:
        store.close()
    assert [(name, int(picocents)) for name, picocents, _ in rows] == [
        ("c", 9_000_000 * 10**12),
        ("b", 3 * 10**11),
        ("a", 1),
        ("d", 0),
    ]
    assert [float(cents) for *_, cents in rows] == pytest.approx([9e6, 0.3, 1e-12, 0])
