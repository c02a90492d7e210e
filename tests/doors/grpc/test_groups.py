"""Metrics in groups: who is one, in which order, and that nothing is lost between them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2

from cost_insights.v1 import event_pb2, metrics_service_pb2
from tests.reference import costs as reference
from tests.support.service import Caller, Service, new_event, refused

SPAN = {"start_date": "2026-11-02", "end_date": "2026-11-03"}


def event(day: int, cost: str | None, customer: str, name: str = "a", llm: str = "") -> Any:
    """An event at noon of a day of November; an LLM call of `vendor/model` if given."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(f"2026-11-{day:02}T12:00:00Z")
    vendor, _, model = llm.partition("/")
    fields: dict[str, Any] = {"llm": {"vendor": vendor, "model": model}} if llm else {}
    return new_event(name=name, external_customer_id=customer, timestamp=stamp, cost=cost, **fields)


EVENTS: tuple[event_pb2.NewEvent, ...] = (
    event(1, "100", "c1"),
    event(2, "1", "c1", "a", "openai/gpt-4o"),
    event(2, "2", "c2", "b", "azure/gpt-4o"),
    event(3, "4", "c1", "b"),
    event(3, "-8", "c3", "c", "openai/o3"),
    event(3, None, "c4", "c"),
    event(4, "1000", "c5", "d"),
)


def shown(
    groups: Iterable[metrics_service_pb2.MetricsGroup],
) -> list[tuple[str, bool, int, str, int]]:
    """(value, others, members, costs, active customers) of each group."""
    return [
        (
            group.value,
            group.others,
            group.members,
            group.totals.costs,
            group.totals.active_user_by_event,
        )
        for group in groups
    ]


GROUPINGS: list[tuple[str, list[tuple[str, bool, int, str, int]]]] = [
    (
        "GROUP_BY_EVENT_NAME",
        [("b", False, 1, "6", 2), ("a", False, 1, "1", 1), ("c", False, 1, "-8", 2)],
    ),
    (
        "GROUP_BY_LLM_VENDOR",
        [("", False, 1, "4", 2), ("azure", False, 1, "2", 1), ("openai", False, 1, "-7", 2)],
    ),
    (
        "GROUP_BY_LLM_MODEL",
        [("", False, 1, "4", 2), ("gpt-4o", False, 1, "3", 2), ("o3", False, 1, "-8", 1)],
    ),
    (
        "GROUP_BY_CUSTOMER",
        [
            ("c1", False, 1, "5", 1),
            ("c2", False, 1, "2", 1),
            ("c4", False, 1, "0", 1),
            ("c3", False, 1, "-8", 1),
        ],
    ),
]


@pytest.mark.parametrize(("group_by", "groups"), GROUPINGS, ids=lambda given: str(given)[:19])
def test_groups_by_each_thing(
    caller: Caller, group_by: str, groups: list[tuple[str, bool, int, str, int]]
) -> None:
    """The group with the greatest costs comes first; a value with events but no costs is a group
    too."""
    caller.ingest(*EVENTS)
    answer = caller.get_metrics(
        **SPAN, group_by=group_by, metrics=["costs", "active_user_by_event"]
    )
    assert shown(answer.groups) == groups


def test_a_group_has_its_own_periods_and_totals(caller: Caller) -> None:
    """Each group has the metrics of the whole answer, history of its own included."""
    caller.ingest(*EVENTS)
    answer = caller.get_metrics(
        **SPAN,
        group_by="GROUP_BY_CUSTOMER",
        metrics=["costs", "cumulative_costs", "active_user_by_event", "cost_per_user"],
    )
    (customer,) = {one.customer_id for one in caller.list_events(external_customer_ids=["c1"])}
    assert answer.groups[0] == metrics_service_pb2.MetricsGroup(
        value="c1",
        customer_id=customer,
        members=1,
        periods=[
            metrics_service_pb2.MetricsPeriod(
                timestamp="2026-11-02T00:00:00+00:00",
                costs="1",
                cumulative_costs="101",
                active_user_by_event=1,
                cost_per_user="1",
            ),
            metrics_service_pb2.MetricsPeriod(
                timestamp="2026-11-03T00:00:00+00:00",
                costs="4",
                cumulative_costs="105",
                active_user_by_event=1,
                cost_per_user="4",
            ),
        ],
        totals=metrics_service_pb2.MetricsTotals(
            costs="5", cumulative_costs="105", active_user_by_event=1, cost_per_user="5"
        ),
    )


def test_the_others_are_one_group(caller: Caller) -> None:
    """Past `groups_max` the rest is one last group, of distinct customers and no identifier."""
    caller.ingest(*EVENTS)
    answer = caller.get_metrics(**SPAN, group_by="GROUP_BY_CUSTOMER", groups_max=2)
    assert shown(answer.groups) == [
        ("c1", False, 1, "5", 1),
        ("c2", False, 1, "2", 1),
        ("", True, 2, "-8", 2),
    ]
    assert answer.groups[-1].customer_id == ""
    by_name = caller.get_metrics(**SPAN, group_by="GROUP_BY_EVENT_NAME", groups_max=1)
    # c1 is in the first group and among the others.
    assert shown(by_name.groups) == [("b", False, 1, "6", 2), ("", True, 2, "-7", 3)]


def test_equal_costs_are_in_the_order_of_code_points(caller: Caller) -> None:
    """Values that cost the same are ordered as no locale has it, also where some are cut off."""
    names = ["a", "B", "z", "Ä", "_", "🤖", "\uffff"]
    caller.ingest(*[event(2, "1", f"of {name}", name) for name in names])
    for group_by, prefix in (("GROUP_BY_EVENT_NAME", ""), ("GROUP_BY_CUSTOMER", "of ")):
        answer = caller.get_metrics(**SPAN, group_by=group_by, groups_max=6)
        values = [group.value for group in answer.groups]
        assert values == [prefix + name for name in ("B", "_", "a", "z", "Ä", "\uffff")] + [""]


def added_up(answer: metrics_service_pb2.GetMetricsResponse, slug: str) -> None:
    """Holds an answer to its groups adding up to it, in each period and in total."""
    for place, period in enumerate(answer.periods):
        parts = [Decimal(getattr(group.periods[place], slug)) for group in answer.groups]
        assert reference.sum_amounts(parts) == Decimal(getattr(period, slug))
    parts = [Decimal(getattr(group.totals, slug)) for group in answer.groups]
    assert reference.sum_amounts(parts) == Decimal(getattr(answer.totals, slug))


@pytest.mark.parametrize("groups_max", [1, 2, 3, 10])
@pytest.mark.parametrize("group_by", [name for name, _ in GROUPINGS])
def test_groups_add_up(caller: Caller, group_by: str, groups_max: int) -> None:
    """Costs and cumulative costs of the groups are those of the whole, to the last digit."""
    caller.ingest(
        *EVENTS,
        event(1, "0.000000000001", "long gone", "once", "mistral/large"),
        event(2, "8999999.999999999", "c2", "b"),
    )
    answer = caller.get_metrics(**SPAN, group_by=group_by, groups_max=groups_max)
    added_up(answer, "costs")
    added_up(answer, "cumulative_costs")


def test_history_without_a_group_is_among_the_others(caller: Caller) -> None:
    """Earlier costs of values without an event in the span are a group without members."""
    caller.ingest(*EVENTS, event(1, "7", "gone"), event(1, "0.5", "gone too"))
    asked = {**SPAN, "group_by": "GROUP_BY_CUSTOMER"}
    others = caller.get_metrics(**asked).groups[-1]
    assert shown([others]) == [("", True, 0, "0", 0)]
    assert [period.cumulative_costs for period in others.periods] == ["7.5", "7.5"]
    assert (others.totals.cumulative_costs, others.totals.cost_per_user) == ("7.5", "0")
    # Beside others that have members it does not count as one.
    others = caller.get_metrics(**asked, groups_max=3).groups[-1]
    assert (others.members, others.totals.costs, others.totals.cumulative_costs) == (
        1,
        "-8",
        "-0.5",
    )


@pytest.mark.parametrize(
    ("metrics", "costs"), [(["costs"], ("7", "0.5")), ([], ("7", "-7"))], ids=["asked", "zero"]
)
def test_no_others_where_they_would_hold_nothing(
    caller: Caller, metrics: list[str], costs: tuple[str, str]
) -> None:
    """Without cumulative costs, or where history adds up to zero, there are no empty others."""
    caller.ingest(*EVENTS, event(1, costs[0], "gone"), event(1, costs[1], "gone too"))
    answer = caller.get_metrics(**SPAN, group_by="GROUP_BY_CUSTOMER", metrics=metrics)
    assert [group.value for group in answer.groups] == ["c1", "c2", "c4", "c3"]
    assert not any(group.others for group in answer.groups)


def test_only_history_and_nothing_at_all(caller: Caller) -> None:
    """If nothing happened in the span, only what was before it is grouped."""
    asked = {**SPAN, "group_by": "GROUP_BY_EVENT_NAME"}
    assert list(caller.get_metrics(**asked).groups) == []
    caller.ingest(event(1, "7", "c"))
    assert shown(caller.get_metrics(**asked).groups) == [("", True, 0, "0", 0)]


def test_groups_are_of_what_the_filters_leave(caller: Caller) -> None:
    """A value whose events are all filtered out is no group, and lends it no costs."""
    caller.ingest(*EVENTS)
    answer = caller.get_metrics(
        **SPAN, group_by="GROUP_BY_EVENT_NAME", external_customer_ids=["c1"], llm_vendors=["", "x"]
    )
    assert shown(answer.groups) == [("b", False, 1, "4", 1), ("", True, 0, "0", 0)]
    assert answer.groups[-1].totals.cumulative_costs == "100"


def test_the_metrics_asked_for_do_not_choose_the_groups(caller: Caller) -> None:
    """Without `costs` the groups and their order are the same, and hold what was asked for."""
    caller.ingest(*EVENTS)
    asked = {**SPAN, "group_by": "GROUP_BY_CUSTOMER", "groups_max": 2}
    answer = caller.get_metrics(**asked, metrics=["active_user_by_event"])
    assert [group.value for group in answer.groups] == ["c1", "c2", ""]
    (c1, *_) = answer.groups
    assert c1.totals == metrics_service_pb2.MetricsTotals(active_user_by_event=1)
    assert not c1.periods[0].HasField("costs")


def test_without_group_by_there_are_no_groups(caller: Caller) -> None:
    """Groups are there only where they were asked for."""
    caller.ingest(*EVENTS)
    assert list(caller.get_metrics(**SPAN, groups_max=1_000).groups) == []


def test_ten_groups_unless_told_otherwise(caller: Caller) -> None:
    """0 means 10; 1000 is the most."""
    caller.ingest(*[event(2, "1", f"c{n:02}") for n in range(12)])
    asked = {**SPAN, "group_by": "GROUP_BY_CUSTOMER"}
    for groups_max, count, members in ((0, 11, 2), (11, 12, 1), (12, 12, 1), (1_000, 12, 1)):
        groups = caller.get_metrics(**asked, groups_max=groups_max).groups
        assert (len(groups), groups[-1].members) == (count, members)
        assert groups[-1].others == (groups_max < 12)


@pytest.mark.parametrize("groups_max", [-1, 1_001, 2**31 - 1])
def test_too_many_groups(caller: Caller, groups_max: int) -> None:
    """A number of groups outside the range is refused, with the range."""
    with refused("NUMBER_OUT_OF_RANGE") as call:
        caller.get_metrics(**SPAN, group_by="GROUP_BY_CUSTOMER", groups_max=groups_max)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.message == (
        f"groups_max: the number of groups {groups_max} is not from 0 to 1000"
    )
    assert call.refusal.facts == {
        "path": "groups_max",
        "value": str(groups_max),
        "min": "0",
        "max": "1000",
    }


def test_a_grouping_that_does_not_exist(caller: Caller) -> None:
    """A number that the enum does not have is refused, with those that it has."""
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**SPAN, group_by=9)
    allowed = "GROUP_BY_EVENT_NAME, GROUP_BY_LLM_VENDOR, GROUP_BY_LLM_MODEL, GROUP_BY_CUSTOMER"
    assert call.refusal.message == (
        f"group_by: 9 is not a grouping; allowed are {allowed}, GROUP_BY_PRODUCT"
    )
    assert call.refusal.facts["path"] == "group_by"
    assert call.refusal.facts["value"] == "9"


def test_groups_of_two_organizations(service: Service) -> None:
    """The same customers and names in two organizations are groups of each."""
    red, blue = service.caller(), service.caller()
    red.ingest(event(1, "5", "gone"), event(2, "1", "c1"))
    blue.ingest(event(2, "10", "c1"), event(2, "20", "c2"))
    asked = {**SPAN, "group_by": "GROUP_BY_CUSTOMER"}
    reds, blues = red.get_metrics(**asked).groups, blue.get_metrics(**asked).groups
    assert shown(reds) == [("c1", False, 1, "1", 1), ("", True, 0, "0", 0)]
    assert shown(blues) == [("c2", False, 1, "20", 1), ("c1", False, 1, "10", 1)]
    assert not {group.customer_id for group in reds} & {group.customer_id for group in blues}
