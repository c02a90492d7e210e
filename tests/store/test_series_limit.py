"""Series beyond the limit are counted together; nothing of their events is lost."""

import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from cost_insights import identity
from cost_insights.customers import numbering
from cost_insights.logs import RepeatedLines
from cost_insights.store import Store
from tests.reference.costs import Tokens
from tests.support.events import event
from tests.support.facts import sent_call
from tests.support.segments import checked, compact
from tests.support.service import Caller, Service, StartServer

SPAN = {"start_date": "2026-11-01", "end_date": "2026-11-03"}
TIMES = ("2026-11-02T12:00:00Z", "2026-11-02T23:59:59Z", "2026-11-03T00:10:00Z")


CALL: dict[str, Any] = {"llm": sent_call("openai", "gpt-4o", Tokens(10, 3, 0, 1))}


def sent(caller: Caller, names: Iterable[str], *, run: str = "", **fields: Any) -> None:
    """Sends an event of 1 cent at each of the times with each of the names."""
    events = [
        event(
            at,
            "1",
            f"c{place % 2}",
            name,
            external_id=f"{run} {name} {place}",
            **fields,
        )
        for name in names
        for place, at in enumerate(TIMES)
    ]
    answer = caller.ingest(*events)
    assert (answer.inserted, answer.refused) == (len(events), 0)


def costs(caller: Caller, **filters: Any) -> dict[str, Decimal]:
    """The costs by event name."""
    answer = caller.get_metrics(
        **SPAN, metrics=["costs"], group_by="GROUP_BY_EVENT_NAME", groups_max=100, **filters
    )
    by_name = {group.value: Decimal(group.totals.costs) for group in answer.groups}
    # An exact sum, however it is divided.
    total = caller.get_metrics(**SPAN, metrics=["costs"], **filters).totals.costs
    assert Decimal(total) == sum(by_name.values())
    return by_name


def are_tokens_right(caller: Caller, expected: Mapping[str, Decimal], **filters: Any) -> bool:
    """Whether each event of 1 cent has the tokens of `CALL`."""
    answer = caller.get_metrics(
        **SPAN,
        metrics=["input_tokens", "cached_input_tokens", "total_tokens"],
        group_by="GROUP_BY_EVENT_NAME",
        groups_max=100,
        **filters,
    )
    found = {
        group.value: (
            group.totals.input_tokens,
            group.totals.cached_input_tokens,
            group.totals.total_tokens,
        )
        for group in answer.groups
    }
    return found == {
        name: (10 * int(cost), int(cost), 13 * int(cost)) for name, cost in expected.items()
    }


def names(caller: Caller) -> Mapping[str, int]:
    """How often each name occurs, as the list of names says."""
    return {one.name: one.occurrences for one in caller.list_names_page(page_size=100).names}


def limit(store: Store, series_max: int | None) -> None:
    """Sets the limit of the only organization."""
    with store.write() as connection:
        [owner] = identity.list_organizations(connection)
        identity.set_limits(connection, owner, {"series_max": series_max})


def listed(service: Service, **query: Any) -> tuple[int, list[str]]:
    """The total and the names of a list of the compatible API."""
    answer = httpx.get(f"{service.url}/v1/events/", params={"limit": 100, **query}, timeout=60)
    found = answer.raise_for_status().json()
    return found["pagination"]["total_count"], [one["name"] for one in found["items"]]


def test_series_beyond_the_limit(
    start_http: StartServer,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """New combinations are counted as `other`, exactly, whatever is cached, compacted or started
    anew; every event keeps its name and is found by it; the check of cells agrees."""
    # Lines that others have caused are not repeated.
    lines = RepeatedLines(logging.getLogger(numbering.__name__), logging.WARNING)
    monkeypatch.setattr(numbering, "_folding", lines)
    expected = {"a": Decimal(3), "b": Decimal(3), "other": Decimal(9)}
    with start_http(
        database_url, compact=False, organization_series_max=2, admin_address="127.0.0.1:0"
    ) as service:
        caller = service.stranger()
        sent(caller, "abcde", **CALL)
        assert "has reached its limit of 2 series" in caplog.text
        metrics = httpx.get(f"http://{service.server.admin_address}/metrics", timeout=60).text
        assert "cost_insights_folded_series_total 3.0" in metrics.splitlines()
        assert costs(caller) == expected
        # From memory, by the same process.
        sent(caller, "cde", run="again", **CALL)
        expected["other"] += 9
        assert costs(caller) == expected
        again = event(TIMES[0], "1", "c0", "c", external_id=" c 0", **CALL)
        assert caller.ingest(again).duplicates == 1
    with start_http(database_url, compact=False, organization_series_max=2) as service:
        caller = service.stranger()
        sent(caller, "cdf", run="anew", **CALL)
        expected["other"] += 9
        for step in (lambda _: None, compact):
            step(service.store)
            assert costs(caller) == expected
            of_customer = {name: cost / 3 for name, cost in expected.items()}
            assert costs(caller, external_customer_ids=["c1"]) == of_customer
            assert are_tokens_right(caller, expected)
            assert are_tokens_right(caller, of_customer, external_customer_ids=["c1"])
            assert costs(caller, event_names=["other"]) == {"other": 27}
            assert not any(costs(caller, event_names=["c"]).values())
            findings = checked(service.store)
            assert (findings.events, findings.is_right) == (33, True)
            assert names(caller) == {"a": 3, "b": 3, "other": 27}
            events = caller.list_events()
            assert sorted({one.name for one in events}) == list("abcdef")
            assert [one.name for one in caller.list_events(event_names=["c"])] == ["c"] * 9
            assert listed(service) == (33, [one.name for one in events])
            assert listed(service, name=["c", "a"], external_customer_id="c1")[0] == 4
            assert listed(service, name="f") == (3, ["f"] * 3)


def test_limits_change(start_server: StartServer, database_url: str) -> None:
    """A limit of an organization counts instead of the default and can be raised; series that were
    beyond it stay together, and a name of the caller's own that is `other` is counted there."""
    with start_server(database_url, compact=False, organization_series_max=1) as service:
        caller = service.stranger()
        caller.list_names_page()
        limit(service.store, 2)
        sent(caller, ["other", "a", "b"])
        assert costs(caller) == {"other": 6, "a": 3}
        limit(service.store, 0)
        sent(caller, ["b", "c", "d"], run="later")
        assert costs(caller) == {"other": 9, "a": 3, "c": 3, "d": 3}
        assert checked(service.store).is_right
        limit(service.store, None)
        sent(caller, ["c", "e"], run="again")
        assert costs(caller) == {"other": 12, "a": 3, "c": 6, "d": 3}
        assert sorted(one.name for one in caller.list_events() if one.name not in "acd") == [
            *(["b"] * 6),
            *(["e"] * 3),
            *(["other"] * 3),
        ]


def test_organizations_do_not_mix(start_server: StartServer, database_url: str) -> None:
    """One that folds does not change what another is counted by, in the same process."""
    with start_server(database_url, organization_series_max=1, token_cache_ms=0) as service:
        one, other = service.caller(), service.caller()
        with service.store.write() as connection:
            found = identity.find_organization(connection, other.organization)
            assert found is not None
            identity.set_limits(connection, found, {"series_max": 0})
        for run in ("first", "second"):
            sent(one, "abc", run=run)
            sent(other, "abc", run=run)
        assert costs(one) == {"a": 6, "other": 12}
        assert costs(other) == {"a": 6, "b": 6, "c": 6}
