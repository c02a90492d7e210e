"""Answers as notebooks show them."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from decimal import Decimal

from cost_insights.client.answers import metrics_answer
from cost_insights.v1 import metrics_service_pb2 as messages

COSTS = messages.Metric(slug="costs", display_name="Costs")
USERS = messages.Metric(slug="active_user_by_event", display_name="Active Users")


def answer_of(
    costs: Sequence[str], groups: Sequence[messages.MetricsGroup] = ()
) -> messages.GetMetricsResponse:
    """An answer with a period of an hour for each amount."""
    total = sum(map(Decimal, costs), Decimal(0))
    return messages.GetMetricsResponse(
        periods=periods_of(costs),
        totals=messages.MetricsTotals(costs=f"{total:f}", active_user_by_event=7),
        metrics=[COSTS, USERS],
        groups=groups,
    )


def periods_of(costs: Sequence[str]) -> list[messages.MetricsPeriod]:
    """Periods of an hour."""
    return [
        messages.MetricsPeriod(
            timestamp=f"2026-11-{1 + n // 24:02}T{n % 24:02}:00+00:00", costs=cost
        )
        for n, cost in enumerate(costs)
    ]


def shown(
    response: messages.GetMetricsResponse,
    group_by: messages.GroupBy.ValueType = messages.GROUP_BY_UNSPECIFIED,
) -> tuple[str, ET.Element]:
    """The HTML of an answer, as a text and as a tree: it is well-formed XML, too."""
    request = messages.GetMetricsRequest(timezone="UTC", group_by=group_by)
    text = metrics_answer(request, response)._repr_html_()
    return text, ET.fromstring(f"<div>{text.replace('<br>', '<br/>')}</div>")


def rows_of(tree: ET.Element) -> list[list[str]]:
    """The texts of a table."""
    return [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]


def test_periods() -> None:
    """A row for each period and the total have every digit; the line begins and ends at the
    edges."""
    _, tree = shown(answer_of(["0.1", "-0.000000000001", "1234567890.5"]))
    assert rows_of(tree) == [
        ["UTC", "Costs", "Active Users"],
        ["2026-11-01 00:00+00:00", "0.1", ""],
        ["2026-11-01 01:00+00:00", "-0.000000000001", ""],
        ["2026-11-01 02:00+00:00", "1234567890.5", ""],
        ["total", "1234567890.599999999999", "7"],
    ]
    (line,) = tree.iter("polyline")
    assert [point.partition(",")[0] for point in line.attrib["points"].split()] == [
        "0.0",
        "320.0",
        "640.0",
    ]


def test_long_tables_are_shortened() -> None:
    """The first and the last rows are shown, between them the number of the others."""
    _, tree = shown(answer_of(["1"] * 500))
    rows = rows_of(tree)
    assert len(rows) == 1 + 60 + 1
    assert rows[31] == ["441 of 501 rows are not shown"]
    assert rows[-1] == ["total", "500", "7"]


def test_names_are_escaped() -> None:
    """No name of a group makes a notebook run or load anything."""
    name = "</svg><script src='https://evil.example'>alert(1)</script>&\""
    group = messages.MetricsGroup(
        value=name,
        members=1,
        periods=periods_of(["1", "2"]),
        totals=messages.MetricsTotals(costs="3"),
    )
    others = messages.MetricsGroup(
        others=True,
        members=9,
        periods=periods_of(["0", "0"]),
        totals=messages.MetricsTotals(costs="0"),
    )
    _, tree = shown(answer_of(["1", "2"], [group, others]), messages.GROUP_BY_EVENT_NAME)
    tags = {element.tag for element in tree.iter()}
    assert tags == {
        "div",
        "figure",
        "figcaption",
        "br",
        "span",
        "svg",
        "polyline",
        "title",
        "line",
    } | {
        "table",
        "tr",
        "th",
        "td",
    }
    attributes = {name for element in tree.iter() for name in element.attrib}
    assert attributes.isdisjoint({"src", "href", "onload"})
    assert rows_of(tree)[1:] == [[name, "3", ""], ["9 others", "0", ""], ["total", "3", "7"]]
    assert [line.findtext("title") for line in tree.iter("polyline")] == [name, "9 others"]


def test_an_answer_of_nothing() -> None:
    """A single period has no plot, and neither have periods without a value."""
    text, _ = shown(answer_of(["1"]))
    assert "<svg" not in text
    response = answer_of([])
    response.periods.add(timestamp="2026-11-01T00:00:00+00:00")
    response.periods.add(timestamp="2026-11-02T00:00:00+00:00")
    text, _ = shown(response)
    assert "<svg" not in text
