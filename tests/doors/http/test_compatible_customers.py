"""`/v1/customers/`: those that events name, looked up by id and by external id."""

from collections.abc import Callable

from tests.support.members import Member

PATH = "/v1/customers/"


def test_customers_of_events(member: Member) -> None:
    """A customer that an event names is found by its id, by its external id and in the list."""
    member.grpc.ingest_json(
        *({"name": "n", "externalCustomerId": one} for one in ("a", "team/ü b", "c"))
    )
    event = member.get("/v1/events/", external_customer_id="team/ü b")["items"][0]
    one = event["customer"]
    assert one["external_id"] == "team/ü b"
    assert member.get(f"{PATH}{one['id']}") == one
    assert member.get(f"{PATH}external/team%2F%C3%BC%20b") == one
    page = member.get(PATH)
    assert {item["external_id"] for item in page["items"]} == {"a", "team/ü b", "c"}
    assert page["pagination"] == {"total_count": 3, "max_page": 1, "has_next_page": False}
    pages = [member.get(PATH, limit=2, page=number) for number in (1, 2, 3)]
    assert [item for page in pages for item in page["items"]] == page["items"]
    assert [page["pagination"]["has_next_page"] for page in pages] == [True, False, False]
    assert member.get(PATH, external_id="team/ü b")["items"] == [one]


def test_create(member: Member) -> None:
    """A customer is registered once, whether by a call or by an event."""
    created = member.http.post(PATH, json={"external_id": "new", "email": "a@example.com"})
    assert created.status_code == 201
    again = member.http.post(PATH, json={"external_id": "new", "email": "a@example.com"})
    assert (again.status_code, again.json()) == (201, created.json())
    member.grpc.ingest_json({"name": "n", "externalCustomerId": "new"})
    (event,) = member.get("/v1/events/")["items"]
    assert event["customer"] == created.json()
    answer = member.http.post(PATH, json={"email": "a@example.com"})
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["body", "external_id"]
    assert fault["msg"] == "external_id is absent; it is required"


def test_isolation(member: Member, new_member: Callable[[], Member]) -> None:
    """A customer of another organization, or of nobody, is not found."""
    other = new_member()
    theirs = other.http.post(PATH, json={"external_id": "theirs"}).json()
    assert member.get(PATH)["items"] == []
    for path in (theirs["id"], "nonsense", "external/theirs"):
        answer = member.http.get(f"{PATH}{path}")
        assert answer.status_code == 404
        assert answer.json()["error"] == "ResourceNotFound"


def test_a_page_far_behind_the_last(member: Member) -> None:
    """A page that no organization fills is empty, or refused where it would cost a walk."""
    for path in (PATH, "/v1/events/", "/v1/events/names", "/v1/event-types/"):
        for query in ({}, {"external_id": "a"}):
            answer = member.http.get(path, params={"page": 1_000_000_000, "limit": 100, **query})
            assert answer.status_code in {200, 422}, answer.text
            if answer.status_code == 200:
                assert answer.json()["items"] == []
