"""Every operation, through every door, with every credential that must not let a caller in."""

import base64
import contextlib
import json
import logging
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import httpx
import sqlalchemy as sa
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cost_insights.api.compatible import ENDPOINTS, Endpoint
from cost_insights.api.operations import OPERATIONS
from tests.support.samples import EVENTS, SAMPLES
from tests.support.service import EVERY_SCOPE, METHODS, Service, new_event, raw_call, refusal_of
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

MARK: Final = "a secret of the victim"
"""A text in each event of the organization that others must not see."""

CUSTOMER: Final = "a customer of the victim"

LONG_AGO_US: Final = 1_795_000_000_000_000


@dataclass(frozen=True)
class Answer:
    """What a call came to, in the words of gRPC whatever the door."""

    code: str
    reason: str | None
    """The reason of the error, where the door says it."""
    content: bytes = b""


@dataclass(frozen=True)
class Credential:
    """A credential, and what must come of a call with it."""

    name: str
    headers: Mapping[str, bytes]
    code: str
    reason: str
    is_unreadable: bool = False
    """Whether the protocol itself may refuse the header, each in its own words."""


@dataclass(frozen=True)
class Way:
    """An operation by one of the doors."""

    name: str
    scopes: frozenset[str]
    call: Callable[[Mapping[str, bytes]], Answer]
    """Calls it with these headers."""


_HTTP_CODES: Final = {
    200: "OK",
    201: "OK",
    204: "OK",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}

_UNREADABLE: Final = {"UNAUTHENTICATED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
"""The codes by which a protocol refuses a header that it cannot take."""


def credentials(service: Service, scopes: frozenset[str]) -> Iterator[Credential]:
    """Every bad credential for an operation that needs one of these scopes."""
    owner = service.organization()

    def bearer(secret: str) -> dict[str, bytes]:
        return {"authorization": b"Bearer " + secret.encode()}

    missing = "UNAUTHENTICATED", "TOKEN_MISSING"
    unknown = "UNAUTHENTICATED", "TOKEN_UNKNOWN"
    valid = service.token(owner)
    yield Credential("none", {}, *missing)
    for name, text in {
        "empty": "",
        "a scheme alone": "Bearer",
        "a token alone": valid,
        "another scheme": "Basic dXNlcjpwYXNz",
        "a token after another scheme": f"Basic {valid}",
        "no blank after the scheme": f"Bearer:{valid}",
    }.items():
        yield Credential(name, {"authorization": text.encode()}, *missing)
    blank = {"authorization": b"Bearer "}
    yield Credential("a scheme and a blank", blank, *missing, is_unreadable=True)
    yield Credential("a token in another header", {"x-access-token": valid.encode()}, *missing)
    for name, secret in {
        "an unknown token": "ci_" + "A" * 43,
        "a token without its last character": valid[:-1],
        "a token with one more character": valid + "A",
        "a token in the other letter case": valid.swapcase(),
        "two tokens": f"{valid} {valid}",
        "SQL": "' OR 1=1 --",
        "a long token": "ci_" + "A" * 6_000,
    }.items():
        yield Credential(name, bearer(secret), *unknown)
    yield Credential(
        "a revoked token",
        bearer(service.token(owner, revoked=True)),
        "UNAUTHENTICATED",
        "TOKEN_REVOKED",
    )
    yield Credential(
        "an expired token",
        bearer(service.token(owner, expires_us=LONG_AGO_US)),
        "UNAUTHENTICATED",
        "TOKEN_EXPIRED",
    )
    yield Credential(
        "a token without the scope",
        bearer(service.token(owner, EVERY_SCOPE - scopes)),
        "PERMISSION_DENIED",
        "SCOPE_MISSING",
    )
    yield Credential("a huge token", bearer("A" * 100_000), *unknown, is_unreadable=True)
    binary = {"authorization": b"Bearer \xff\xfe\x80\xc3\xa9" + valid.encode()}
    yield Credential("a binary token", binary, *unknown, is_unreadable=True)


def ways(service: Service, client: httpx.Client, victim: "Victim") -> Iterator[Way]:
    """Every operation by gRPC, Connect and gRPC-Web, and every endpoint of the compatible API."""
    channel = service.channel()
    for path, operation in OPERATIONS.items():
        request = victim.request(path)
        streams = METHODS[path].client_streaming or METHODS[path].server_streaming
        scopes = operation.scopes

        def by_grpc(
            headers: Mapping[str, bytes], path: str = path, request: Message = request
        ) -> Answer:
            if not all(value.isascii() for value in headers.values()):
                return _by_raw_http2(service.address, path, headers)
            return _by_grpc(channel, path, request, headers)

        yield Way(f"gRPC {path}", scopes, by_grpc)

        def by_connect(
            headers: Mapping[str, bytes],
            path: str = path,
            request: Message = request,
            streams: bool = streams,
        ) -> Answer:
            return _by_connect(client, path, request, headers, streams=streams)

        yield Way(f"Connect {path}", scopes, by_connect)

        def by_grpc_web(
            headers: Mapping[str, bytes], path: str = path, request: Message = request
        ) -> Answer:
            return _by_grpc_web(client, path, request, headers)

        yield Way(f"gRPC-Web {path}", scopes, by_grpc_web)
    for endpoint in ENDPOINTS:

        def by_http(headers: Mapping[str, bytes], endpoint: Endpoint = endpoint) -> Answer:
            return _by_http(client, endpoint, victim, headers)

        yield Way(f"{endpoint.method} {endpoint.path}", endpoint.scopes, by_http)


class Victim:
    """An organization with data, which nobody else may see or change."""

    def __init__(self, service: Service) -> None:
        self.caller = service.caller()
        self.caller.ingest(
            new_event(external_customer_id=CUSTOMER, metadata={"text": MARK}, cost="1")
        )
        (self.event,) = self.caller.list_events()

    def request(self, path: str) -> Message:
        """A valid request that names what belongs to this organization."""
        request = type(SAMPLES[path])()
        request.CopyFrom(SAMPLES[path])
        if path == f"{EVENTS}/GetEvent":
            request.id = self.event.id  # type: ignore[attr-defined]
        return request

    def seen(self) -> list[bytes]:
        """What this organization sees of itself, in all its lists."""
        paths = [path for path in OPERATIONS if "/List" in path or path.endswith("/GetEvent")]
        return [self.caller.call(path, self.request(path)) for path in paths]


def check(service: Service, watch: Watch = QUIET) -> Outcome:
    """Calls every operation through every door with every bad credential, and as another
    organization. The service must need a token and remember none."""
    outcome = Outcome()
    victim = Victim(service)
    with (
        httpx.Client(base_url=service.url, timeout=60) as client,
        _errors_logged() as errors,
    ):
        every_way = list(ways(service, client, victim))
        # Tokens are made first, so that the tables must hold the same rows afterwards.
        bad = {
            scopes: list(credentials(service, scopes))
            for scopes in {way.scopes for way in every_way}
        }
        before, seen_before = _rows(service), victim.seen()
        for number, way in enumerate(every_way):
            watch.says(way.name, number / len(every_way))
            for credential in bad[way.scopes]:
                answer = way.call(credential.headers)
                outcome.count("refused calls")
                _judge(outcome, way, credential, answer)
        after = _rows(service)
        outcome.check(after == before, f"refused calls changed tables: {before} became {after}")

        other = service.token(service.organization())
        for way in every_way:
            answer = way.call({"authorization": b"Bearer " + other.encode()})
            outcome.count("calls of another organization")
            outcome.check(answer.code in {"OK", "NOT_FOUND"}, f"{way.name}: {answer}")
            outcome.check(
                MARK.encode() not in answer.content,
                f"{way.name} shows another organization's data: {answer.content!r}",
            )
        outcome.check(victim.seen() == seen_before, "another organization's calls changed data")
    outcome.failures += [f"the service logged: {line}" for line in errors]
    return outcome


def _judge(outcome: Outcome, way: Way, credential: Credential, answer: Answer) -> None:
    if credential.is_unreadable and answer.reason is None:
        holds = answer.code in _UNREADABLE
    else:
        holds = (answer.code, answer.reason) == (credential.code, credential.reason)
    outcome.check(
        holds,
        f"{way.name} with {credential.name}: {answer.code} {answer.reason}, not "
        f"{credential.code} {credential.reason}",
    )


_DERIVED: Final = {"compaction", "batch", "segment"}
"""Tables that the compactor changes at any time, and that follow from the others."""


def _rows(service: Service) -> dict[str, int]:
    """The number of rows of each table that holds what callers sent."""
    with service.store.read() as connection:
        return {
            name: connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()
            for name in sorted(sa.inspect(connection).get_table_names())
            if name not in _DERIVED
        }


@contextlib.contextmanager
def _errors_logged() -> Iterator[list[str]]:
    """What the service logs as errors in the time of the block."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Keep(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(handler)


# How each door is called.


def _by_grpc(
    channel: grpc.Channel, path: str, request: Message, headers: Mapping[str, bytes]
) -> Answer:
    options: Any = {"metadata": [(name, value.decode()) for name, value in headers.items()]}
    options["timeout"] = 60
    content = request.SerializeToString()
    try:
        if METHODS[path].client_streaming:
            stream: Callable[..., Iterator[bytes]] = channel.stream_stream(path)
            return Answer("OK", None, b"".join(stream(iter([content]), **options)))
        if METHODS[path].server_streaming:
            answers: Callable[..., Iterator[bytes]] = channel.unary_stream(path)
            return Answer("OK", None, b"".join(answers(content, **options)))
        return Answer("OK", None, raw_call(channel, path)(content, **options))
    except grpc.RpcError as error:
        try:
            return Answer(error.code().name, refusal_of(error).reason)
        except AssertionError:
            return Answer(error.code().name, None)


def _by_raw_http2(address: str, path: str, headers: Mapping[str, bytes]) -> Answer:
    """Sends headers that clients of gRPC refuse to send, and reads the status if there is one."""
    host, _, port = address.rpartition(":")
    fields = {
        ":method": b"POST",
        ":scheme": b"http",
        ":path": path.encode(),
        ":authority": address.encode(),
        "te": b"trailers",
        "content-type": b"application/grpc",
        **headers,
    }
    # Literal fields, neither indexed nor compressed.
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value
        for name, value in fields.items()
    )
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
        connection.sendall(_frame(1, 0x4, 1, block) + _frame(0, 0x1, 1, bytes(5)))
        with connection.makefile("rb") as received:
            while head := received.read(9):
                payload = received.read(int.from_bytes(head[:3]))
                kind, stream = head[3], int.from_bytes(head[5:9])
                if kind == 1 and (status := _status_of(payload)) is not None:
                    return status
                if kind in {3, 7} and stream in {0, 1}:
                    # A reset, or the end of the connection: the protocol refused it.
                    return Answer("INVALID_ARGUMENT", None)
    return Answer("INVALID_ARGUMENT", None)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def _status_of(block: bytes) -> Answer | None:
    """The status in the first block of headers of a connection, where its name is written out."""
    name = b"\x0bgrpc-status"
    if name not in block:
        return None
    rest = block.partition(name)[2]
    number = int(rest[1 : 1 + rest[0]])
    code = next(code.name for code in grpc.StatusCode if code.value[0] == number)
    reason = next(
        (one for one in ("TOKEN_MISSING", "TOKEN_UNKNOWN") if one.encode() in block), None
    )
    return Answer(code, reason)


def _by_connect(
    client: httpx.Client,
    path: str,
    request: Message,
    headers: Mapping[str, bytes],
    *,
    streams: bool,
) -> Answer:
    body = json_format.MessageToJson(request).encode()
    if not streams:
        answer = _post(client, path, body, {"content-type": b"application/json", **headers})
        if answer is None or answer.status_code == 200:
            return _of(answer)
        return _of_connect_error(answer.json(), answer)
    kind = {"content-type": b"application/connect+json"}
    answer = _post(client, path, _enveloped(body), {**kind, **headers})
    if answer is None or answer.status_code != 200:
        return _of(answer)
    for flags, message in _envelopes(answer.content):
        if flags & 2 and "error" in (end := json.loads(message)):
            return _of_connect_error(end["error"], answer)
    return Answer("OK", None, answer.content)


def _of_connect_error(error: Any, answer: httpx.Response) -> Answer:
    if "code" not in error:
        return _of(answer)
    for detail in error.get("details", ()):
        if detail["type"] == "google.rpc.ErrorInfo":
            content = base64.b64decode(detail["value"] + "==")
            info = error_details_pb2.ErrorInfo.FromString(content)
            return Answer(error["code"].upper(), info.reason)
    return Answer(error["code"].upper(), None)


def _by_grpc_web(
    client: httpx.Client, path: str, request: Message, headers: Mapping[str, bytes]
) -> Answer:
    kind = {"content-type": b"application/grpc-web+proto"}
    body = _enveloped(request.SerializeToString())
    answer = _post(client, path, body, {**kind, **headers})
    if answer is None or answer.status_code != 200:
        return _of(answer)
    trailers = dict(answer.headers)
    for flags, message in _envelopes(answer.content):
        if flags & 0x80:
            lines = message.decode().strip().split("\r\n")
            trailers |= {
                name.lower().strip(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
    number = int(trailers["grpc-status"])
    code = next(code.name for code in grpc.StatusCode if code.value[0] == number)
    if number == 0:
        return Answer(code, None, answer.content)
    packed = base64.b64decode(trailers.get("grpc-status-details-bin", "") + "==")
    for detail in status_pb2.Status.FromString(packed).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return Answer(code, info.reason)
    return Answer(code, None)


_BODIES: Final[Mapping[str, Any]] = {
    "events.ingest": {"events": [{"name": "a", "external_customer_id": "c"}]},
    "event_types.change": {"label": "a label"},
    "dashboards.create": {"name": "a dashboard", "metrics": ["costs"]},
    "dashboards.change": {"name": "another name"},
    "customers.create": {"email": "a@example.com", "external_id": "c"},
}


def _by_http(
    client: httpx.Client, endpoint: Endpoint, victim: Victim, headers: Mapping[str, bytes]
) -> Answer:
    parts = {"id": victim.event.id, "external_id": CUSTOMER}
    if endpoint.name.startswith("customers."):
        parts["id"] = victim.event.customer_id
    path = endpoint.path.format(**{part: parts[part] for part in endpoint.path_parts})
    query = {}
    if endpoint.name in {"metrics.get", "metrics.export"}:
        query = {"start_date": "2026-11-01", "end_date": "2026-11-23", "interval": "day"}
    try:
        answer = client.request(
            endpoint.method,
            path,
            params=query,
            headers=_encoded(headers),
            json=_BODIES[endpoint.name] if endpoint.has_body else None,
        )
    except httpx.TransportError:
        return _of(None)
    return _of(answer)


def _post(
    client: httpx.Client, path: str, body: bytes, headers: Mapping[str, bytes]
) -> httpx.Response | None:
    """The answer, or nothing where the connection was closed instead."""
    try:
        return client.post(path, content=body, headers=_encoded(headers))
    except httpx.TransportError:
        return None


def _of(answer: httpx.Response | None) -> Answer:
    """The answer in the words of gRPC; closing the connection refuses what cannot be read."""
    if answer is None:
        return Answer("INVALID_ARGUMENT", None)
    code = _HTTP_CODES.get(answer.status_code, "INTERNAL")
    reason = None
    if answer.status_code in {401, 403}:
        said = answer.json()["detail"]
        reason = next((reason for words, reason in _WORDS.items() if words in said), None)
    return Answer(code, reason, answer.content)


_WORDS: Final = {
    "carries no access token": "TOKEN_MISSING",
    "not of the form": "TOKEN_MISSING",
    "unknown access token": "TOKEN_UNKNOWN",
    "was revoked at": "TOKEN_REVOKED",
    "expired at": "TOKEN_EXPIRED",
    "needs the scope": "SCOPE_MISSING",
}
"""Words of the messages by which the compatible API tells reasons apart."""


def _encoded(headers: Mapping[str, bytes]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value) for name, value in headers.items()]


def _enveloped(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def _envelopes(content: bytes) -> Iterator[tuple[int, bytes]]:
    while content:
        flags, size = struct.unpack(">BI", content[:5])
        yield flags, content[5 : 5 + size]
        content = content[5 + size :]
