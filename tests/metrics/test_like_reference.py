"""Metrics over a real socket equal those of the slow twin, for any events and questions."""

from datetime import date, timedelta
from decimal import Decimal

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights import cells, identity
from tests.reference import costs as reference
from tests.support.cost_questions import CostQuestion, check, cost_questions, events_around
from tests.support.examples import examples
from tests.support.facts import sent, zone_of
from tests.support.service import Service


@hypothesis.settings(
    max_examples=examples(1.2),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_question_about_any_events(service: Service, data: st.DataObject) -> None:
    """Every answer is the one on paper, whatever was stored in whatever batches."""
    caller = service.caller()
    events: list[reference.Event] = []
    for _ in range(data.draw(st.integers(1, 3))):
        question = data.draw(cost_questions())
        more = data.draw(events_around(question))
        events += more
        place = data.draw(st.integers(0, len(more)))
        for batch in (more[:place], more[place:]):
            caller.ingest(*map(sent, batch))
        check(caller, events, question)
    caller.channel.close()


@pytest.mark.parametrize("interval", [reference.HOUR, reference.DAY])
@pytest.mark.parametrize("group_by", [None, "event_name", "customer"])
def test_clocks_that_change_beside_the_quarters(
    service: Service, interval: str, group_by: str | None
) -> None:
    """A minute past midnight cuts a quarter of an hour in two: its events are told apart."""
    # In autumn midnight came twice there, the second time 61 minutes after the first.
    zone = "America/St_Johns"
    first, last = date(2006, 10, 28), date(2006, 10, 29)
    periods = reference.periods_of(first, last, zone_of(zone), interval)
    assert any(bound.minute % 15 for bound in reference.bounds_of(periods)) == (
        interval == reference.HOUR
    )
    events = [
        reference.Event(bound + timedelta(microseconds=us), customer, name, Decimal(f"{place}.5"))
        for place, bound in enumerate(reference.bounds_of(periods), start=1)
        for us, customer, name in [(-1, "c1", "a"), (0, "c2", "b"), (1, "c1", "b")]
    ]
    caller = service.caller()
    caller.ingest(*map(sent, events))
    question = CostQuestion(
        first, last, zone, interval, [], [], [], [], group_by=group_by, groups_max=1
    )
    check(caller, events, question)
    with service.store.read() as connection:
        owner = identity.find_organization(connection, caller.organization)
    assert owner is not None
    cells.compact(service.store, [owner.number])
    check(caller, events, question)
