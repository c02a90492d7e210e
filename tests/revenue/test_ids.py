"""Ids of records: what is stored for ever must be computed the same for ever."""

from typing import Any

import pytest

from cost_insights.revenue.ids import derived_refund_id, state_id, statement_id
from tests.support.vectors import vectors


@pytest.mark.parametrize("case", vectors("refund_id.jsonl"))
def test_refund_ids(case: dict[str, Any]) -> None:
    """A refund without an id of its own keeps the id that its content was stored under."""
    content = {name: value for name, value in case.items() if name not in {"refund_id", "why"}}
    assert derived_refund_id(**content) == case["refund_id"]


@pytest.mark.parametrize("case", vectors("statement_id.jsonl"))
def test_statement_ids(case: dict[str, Any]) -> None:
    """A statement keeps the id that its content was stored under."""
    content = {name: value for name, value in case.items() if name not in {"statement_id", "why"}}
    assert statement_id(**content) == case["statement_id"]


@pytest.mark.parametrize("case", vectors("state_id.jsonl"))
def test_state_ids(case: dict[str, Any]) -> None:
    """A state of a checkout or a seat keeps the id that its content was stored under."""
    assert state_id(case["external_customer_id"], case["stated"]) == case["state_id"]
