"""`/v1/metrics/dashboards`: created, listed, changed, deleted, and each organization's own."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.members import Member
from tests.support.service import Service

PATH = "/v1/metrics/dashboards"


def test_a_dashboard(member: Member) -> None:
    """A dashboard is created, read, changed and deleted; its slugs are not looked at."""
    answer = member.http.post(PATH, json={"name": "Ours", "metrics": ["costs", "to come"]})
    assert answer.status_code == 201
    created = answer.json()
    one = created["id"]
    assert uuid.UUID(one)
    assert created == {
        "id": one,
        "created_at": created["created_at"],
        "modified_at": None,
        "name": "Ours",
        "metrics": ["costs", "to come"],
        "organization_id": member.get("/v1/metrics/dashboards")[0]["organization_id"],
    }
    assert member.get(f"{PATH}/{one}") == created
    empty = member.http.post(PATH, json={"name": "Empty"}).json()
    assert empty["metrics"] == []
    assert member.get(PATH) == [created, empty]
    changed = member.http.patch(f"{PATH}/{one}", json={"name": "Yours"}).json()
    assert changed["modified_at"] is not None
    assert changed == {**created, "name": "Yours", "modified_at": changed["modified_at"]}
    changed = member.http.patch(f"{PATH}/{one}", json={"metrics": []}).json()
    assert (changed["name"], changed["metrics"]) == ("Yours", [])
    deleted = member.http.delete(f"{PATH}/{one}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert member.get(PATH) == [empty]
    assert member.http.get(f"{PATH}/{one}").status_code == 404


@pytest.mark.parametrize(
    ("content", "loc", "message"),
    [
        ({}, ["body", "name"], "name is absent; it is required"),
        ({"name": ""}, ["body", "name"], "the text has 0 characters; at least 1 are needed"),
        (
            {"name": "x", "metrics": ["m"] * 11},
            ["body", "metrics"],
            "there are 11 values; at most 10 are allowed",
        ),
        ({"name": "x", "metrics": "costs"}, ["body", "metrics"], '"costs" is not an array'),
        ({"name": "x", "metrics": ["a", 1]}, ["body", "metrics", 1], "1 is not a text"),
        ([], ["body"], "the body is not a JSON object"),
    ],
)
def test_malformed(member: Member, content: Any, loc: list[str | int], message: str) -> None:
    """A dashboard that cannot be meant is refused, and the answer says where and why."""
    answer = member.http.post(PATH, json=content)
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert (fault["loc"], fault["msg"]) == (loc, message)


def test_isolation(member: Member, new_member: Callable[[], Member]) -> None:
    """A dashboard of another organization, or of nobody, is not found, changed or deleted."""
    other = new_member()
    theirs = other.http.post(PATH, json={"name": "Theirs"}).json()
    assert member.get(PATH) == []
    for one in (theirs["id"], "nonsense"):
        for answer in (
            member.http.get(f"{PATH}/{one}"),
            member.http.patch(f"{PATH}/{one}", json={"name": "Ours"}),
            member.http.delete(f"{PATH}/{one}"),
        ):
            assert answer.status_code == 404
            assert answer.json() == {
                "error": "ResourceNotFound",
                "detail": f"there is no dashboard '{one}'",
            }
    assert other.get(PATH) == [theirs]


def test_scopes(web: Service) -> None:
    """Reading needs `metrics:read` and changing `metrics:write`."""
    owner = web.organization()
    for scope, may_read, may_write in (
        ("metrics:read", True, False),
        ("metrics:write", False, True),
    ):
        headers = {"authorization": f"Bearer {web.token(owner, frozenset({scope}))}"}
        with httpx.Client(base_url=web.url, headers=headers, timeout=60) as client:
            assert client.get(PATH).status_code == (200 if may_read else 403)
            answer = client.post(PATH, json={"name": "x"})
            assert answer.status_code == (201 if may_write else 403)
