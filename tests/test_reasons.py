"""The reasons of errors: the same set in the contract, in Python and in Rust."""

from pathlib import Path

from cost_insights._native import faults
from cost_insights.api.statuses import WIRE
from cost_insights.errors import DOMAIN, REASONS, CostInsightsError
from cost_insights.v1 import error_reason_pb2


def documented() -> frozenset[str]:
    """The reasons of the contract."""
    prefix = "ERROR_REASON_"
    names = error_reason_pb2.ErrorReason.keys()
    assert all(name.startswith(prefix) for name in names)
    return frozenset(name.removeprefix(prefix) for name in names) - {"UNSPECIFIED"}


def test_every_reason_is_in_the_contract_and_given() -> None:
    """The reasons of Python and Rust are those of the contract, no more and no less."""
    assert documented() == REASONS | faults.REASONS


def test_every_reason_has_a_cause_and_a_cure() -> None:
    """The page of errors names each reason of the contract once, with a cause and a cure."""
    page = Path(__file__).parents[1] / "docs/errors.md"
    table = page.read_text().partition("<!-- reasons -->")[2].partition("<!-- /reasons -->")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| `")
    ]
    assert sorted(row[0].strip("`") for row in rows) == sorted(documented())
    assert [row[0] for row in rows if not all(cell.endswith(".") for cell in row[-2:])] == []


def test_the_domain_is_the_documented_one() -> None:
    """The contract's comments show the domain that the service sends."""
    proto = Path(__file__).parents[1] / "proto/cost_insights/v1/error_reason.proto"
    assert f'"domain": "{DOMAIN}"' in proto.read_text()


def test_every_error_has_its_place_on_the_wire() -> None:
    """The one table knows every error that a caller can act on."""

    def subclasses(kind: type[CostInsightsError]) -> set[type[CostInsightsError]]:
        return {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))

    ours = {one for one in subclasses(CostInsightsError) if one.__module__.startswith("cost_")}
    assert WIRE.keys() == ours - {CostInsightsError}
