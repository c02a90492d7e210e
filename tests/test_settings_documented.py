"""Every setting, scope, table and metric is documented."""

import ast
import enum
import re
from pathlib import Path

import pytest
from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from cost_insights.api.operations import OPERATIONS
from cost_insights.cli.variables import OF_CLIENTS
from cost_insights.identity import SCOPES
from cost_insights.metrics import METRICS, Metric, Total
from cost_insights.settings import Settings
from cost_insights.store import schema

ROOT = Path(__file__).parents[1]


def setting_row(name: str, field: FieldInfo) -> str:
    """The row of a setting in the table of all: its variable, default, range and meaning."""
    default = "none" if field.default is None else f"`{_shown(field.default)}`"
    if name == "database_url":
        default = "SQLite in the user's data folder"
    lowest = [f"from {one.ge}" for one in field.metadata if isinstance(one, Ge)]
    highest = [f"to {one.le}" for one in field.metadata if isinstance(one, Le)]
    meaning = " ".join((field.description or "").split())
    variable = f"`COST_INSIGHTS_{name.upper()}`"
    return f"| {variable} | {default} | {' '.join(lowest + highest)} | {meaning} |"


def _shown(default: object) -> object:
    """A default as the variable has it."""
    if isinstance(default, enum.Enum):
        return default.value
    if isinstance(default, bool):
        return str(default).lower()
    return "[]" if default == () else default


def test_every_setting_is_documented() -> None:
    """The table of settings has each setting as the code has it; to change it, copy the rows that
    this test expects."""
    table = (ROOT / "docs/settings.md").read_text().partition("<!-- settings -->")[2]
    rows = table.partition("<!-- /settings -->")[0].strip().splitlines()[2:]
    assert [setting_row(*one) for one in Settings.model_fields.items()] == rows


def test_every_scope_is_documented() -> None:
    """The table of scopes has each with the RPCs that it allows; to change it, copy the rows that
    this test expects."""
    table = (ROOT / "docs/security.md").read_text().partition("<!-- scopes -->")[2]
    rows = table.partition("<!-- /scopes -->")[0].strip().splitlines()[2:]
    allowed = {
        scope: [f"`{one.method}`" for one in OPERATIONS.values() if scope in one.scopes]
        for scope in sorted(SCOPES)
    }
    assert rows == [
        f"| `{scope}` | {', '.join(rpcs)} |".replace("  ", " ") for scope, rpcs in allowed.items()
    ]


def test_every_table_is_documented() -> None:
    """The page about the data says of each table of the schema what it holds."""
    rows = re.findall(r"^\| (`.*`) \|", (ROOT / "docs/data.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(schema.metadata.tables)


def test_every_setting_says_what_it_is_for() -> None:
    """Each setting has a sentence of its own in the code."""
    tree = ast.parse((ROOT / "service/cost_insights/settings.py").read_text())
    (settings,) = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    ]
    for statement, following in zip(settings.body, [*settings.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign):
            assert isinstance(statement.target, ast.Name)
            assert isinstance(following, ast.Expr), statement.target.id
            assert isinstance(following.value, ast.Constant), statement.target.id


@pytest.mark.parametrize(
    "document",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda path: path.name,
)
def test_documents_set_nothing_that_does_not_exist(document: Path) -> None:
    """Every variable in a document is a setting, or one of the command line's own."""
    known = {f"COST_INSIGHTS_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"COST_INSIGHTS_[A-Z_]+[A-Z]", document.read_text()))
    assert named <= known | set(OF_CLIENTS)


def test_every_metric_is_documented() -> None:
    """The table of metrics has each in the order of answers, with its name, type and total."""
    words = {Total.SUM: "sum", Total.LAST: "last", Total.DISTINCT: "those of the span"}

    def total(metric: Metric) -> str:
        if isinstance(metric.total, Total):
            return words[metric.total]
        if metric.total == metric.inputs:
            return "formula of totals"
        return " / ".join(f"`{slug}`" for slug in metric.total)

    table = (ROOT / "docs/metrics.md").read_text().partition("<!-- metrics -->")[2]
    rows = table.partition("<!-- /metrics -->")[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [(slug, name, kind, last) for slug, name, kind, _, last in cells] == [
        (f"`{one.slug}`", one.display_name, one.type.value, total(one)) for one in METRICS.values()
    ]
