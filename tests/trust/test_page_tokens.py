"""Page tokens that somebody made up or changed: they are refused, through either door."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.protobuf.message_factory import GetMessageClass

from tests.support.members import Member
from tests.support.service import METHODS, Caller, Service, StartServer, new_event, refused

LISTS = {
    path: GetMessageClass(method.input_type)
    for path, method in METHODS.items()
    if "page_token" in method.input_type.fields_by_name
}
"""Every RPC that lists something, with the type of its request."""

LIST_EVENTS = "/cost_insights.v1.EventService/ListEvents"

FORGED_PLACES: list[list[Any]] = [
    [],
    [True],
    [True, True],
    [True, "00000000-0000-0000-0000-000000000000"],
    [0, "a"],
    [1 << 63, "a"],
    [0, None],
    [{}, []],
    [0.5, "\0"],
    ["\ud800", "\ud800"],
]


def encoded(content: bytes) -> str:
    """Bytes in the form of a token."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged_tokens() -> Iterator[str]:
    """Tokens without a code, and with one that was made without the key."""
    for place in FORGED_PLACES:
        content = json.dumps(place).encode()
        yield encoded(content)
        for code in (bytes(16), hashlib.sha256(content).digest()[:16]):
            yield encoded(code + content)
    # The form of earlier versions: a digest of the question, and no code.
    digest = hashlib.sha256(repr(("names", "")).encode()).hexdigest()[:16]
    yield encoded(json.dumps([digest, True]).encode())
    yield from ("AA", "=", "🤖", "A" * 1_000, "W1tb" * 300)


def changed(token: str) -> Iterator[str]:
    """A valid token with one change each."""
    content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        yield encoded(bytes(flipped))
    for other in (content[:-1], content + b" ", b"\0" + content, content[:16]):
        yield encoded(other)
    yield from (f"{token}=", f" {token}", f"{token}A", token.swapcase())


@pytest.fixture
def member(web: Service) -> Iterator[Member]:
    """A caller with events, through both doors."""
    caller = web.caller()
    caller.ingest(*(new_event(name=f"n{n}") for n in range(4)))
    headers = {"authorization": f"Bearer {caller.token}"}
    with httpx.Client(base_url=web.url, headers=headers, timeout=60) as client:
        yield Member(client, caller)


@pytest.mark.parametrize("path", LISTS)
def test_forged_tokens(member: Member, path: str) -> None:
    """A token that is made up is refused as the caller's mistake, whatever is in it."""
    for token in forged_tokens():
        with refused("PAGE_TOKEN_INVALID") as call:
            member.grpc.call(path, LISTS[path](page_token=token))
        assert call.refusal.code.name == "INVALID_ARGUMENT"
        assert call.refusal.paths == ["page_token"]


def test_changed_tokens(member: Member) -> None:
    """Not a bit of a token can be changed."""
    token = member.grpc.list_page(page_size=2).next_page_token
    for other in changed(token):
        with refused("PAGE_TOKEN_INVALID"):
            member.grpc.list_page(page_token=other)
    assert len(member.grpc.list_page(page_size=2, page_token=token).events) == 2


def test_cursors(member: Member) -> None:
    """Cursors of the compatible API and tokens of RPCs over HTTP are refused alike."""
    page = member.get("/v1/events/", limit=2, cursor_pagination=True)
    cursor = page["pagination"]["next_cursor"]
    for other in [*forged_tokens(), *changed(cursor)]:
        assert member.faults("/v1/events/", cursor=other)[0][0] == ["query", "cursor"]
        answer = member.http.post(LIST_EVENTS, json={"pageToken": other})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert member.get("/v1/events/", cursor=cursor, limit=2)["items"]


def test_tokens_outlive_the_process(start_server: StartServer, database_url: str) -> None:
    """A token works in every process on its database."""
    with start_server(database_url) as one:
        caller = one.caller()
        caller.ingest(*(new_event(name=f"n{n}") for n in range(4)))
        token = caller.list_page(page_size=2).next_page_token
    with start_server(database_url) as other:
        again = Caller(other.channel(), caller.token, caller.organization)
        assert len(again.list_page(page_size=2, page_token=token).events) == 2
