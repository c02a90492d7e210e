"""Every RPC over HTTP/1.1: as JSON or protobuf by the Connect protocol, and by gRPC-Web.

The library reads and writes the protocols. Messages pass through it as bytes, so that events are
decoded by native, as they are for gRPC, and long answers are written in a thread.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, cast

from connectrpc.code import Code
from connectrpc.compression import Compression
from connectrpc.errors import ConnectError, ErrorDetail
from connectrpc.interceptor import MetadataInterceptor
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf import json_format, message
from google.rpc import code_pb2
from protobuf.wkt import Any as AnyDetail
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from cost_insights.addresses import names_this_machine
from cost_insights.api.admission import CALL_BYTES, COPIES, Reservation
from cost_insights.api.operations import (
    OPERATIONS,
    BidirectionalCall,
    BytesCall,
    Call,
    CallKind,
    JsonRequest,
    Operation,
    ServerStreamCall,
    UnaryCall,
)
from cost_insights.api.reading import decode, decode_json
from cost_insights.api.statuses import status_of
from cost_insights.doors.compression import ENCODINGS
from cost_insights.doors.http.answers import HttpError, error_answer, retry_after
from cost_insights.doors.http.bodies import HttpLimits, announced_bytes, body_content
from cost_insights.doors.http.protocol import certificate_of
from cost_insights.doors.http.sessions import session_of
from cost_insights.errors import FAILURES, CostInsightsError
from cost_insights.identity import Authenticator, Caller, Credentials
from cost_insights.telemetry import Calls, running_call
from cost_insights.telemetry.measurements import CONNECT, GRPC_WEB

_LARGE_BYTES: Final = 64 * 1024
"""The size from which a message is read from JSON or written as JSON in a thread."""

_Context: TypeAlias = RequestContext[Any, Any]

_caller: ContextVar[Caller] = ContextVar("caller")
"""The caller of the request that the current task serves."""


def connect_routes(
    calls: Mapping[str, Call],
    authenticator: Authenticator,
    *,
    limits: HttpLimits,
    measured_calls: Calls,
) -> Sequence[BaseRoute]:
    """A route for each operation; raises KeyError if `calls`, a mapping by path, lacks one."""
    endpoints = {
        path: _Rpc(operation, calls[path], authenticator).endpoint()
        for path, operation in OPERATIONS.items()
    }
    rpcs = _Rpcs(
        service=None,
        endpoints=lambda _: endpoints,
        interceptors=[_Authentication(authenticator)],
        read_max_bytes=limits.bytes_max,
        compressions=[_Compression(name) for name in ENCODINGS],
        codecs=[_Codec("json"), _Codec("proto")],
    )
    guarded = _Guarded(rpcs, limits, measured_calls)
    return [Route(path, guarded, methods=["POST"]) for path in endpoints]


class _Rpcs(ConnectASGIApplication[None]):
    @property
    def path(self) -> str:
        """The path under which all RPCs are."""
        return "/"


class _Guarded:
    """Refuses requests that the library cannot answer, and bodies that arrive too slowly."""

    def __init__(self, rpcs: _Rpcs, limits: HttpLimits, measured_calls: Calls) -> None:
        self._rpcs = rpcs
        self._measured_calls = measured_calls
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        content_type = request.headers.get("content-type", "").lower()
        if (call := running_call()) is not None:
            door = GRPC_WEB if content_type.startswith("application/grpc-web") else CONNECT
            call.is_of(self._measured_calls.of(door, OPERATIONS[scope["path"]].method))
        is_known = _KNOWN.match(content_type) is not None
        if not is_known or not _is_ascii(scope):
            error = (
                HttpError(400, "a header holds characters that are not ASCII")
                if is_known
                else HttpError(
                    415,
                    f"the content-type {content_type!r} is not supported here; send "
                    "application/json, or what Connect or gRPC-Web send; gRPC has an address of "
                    "its own",
                    headers={"accept-post": "application/json, application/proto"},
                )
            )
            answer = error_answer(error, method=scope["path"], organization=None)
            await answer(scope, receive, send)
            return
        with _Room(self._limits, scope) as room:
            _room.set(room)
            await self._rpcs(
                cast("Any", scope), cast("Any", partial(room.receive, receive)), cast("Any", send)
            )


class _Room:
    """The reservation of a request, from before its body is read until it is answered."""

    def __init__(self, limits: HttpLimits, scope: Scope) -> None:
        self._limits = limits
        self._path: str = scope["path"]
        self.certificate = certificate_of(scope)
        self._announced = announced_bytes(dict(scope["headers"]), limits.bytes_max)
        self._received = 0
        self._reservation: Reservation | None = None

    def __enter__(self) -> "_Room":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._reservation is not None:
            self._reservation.release()

    async def receive(self, receive: Receive) -> Message:
        """The next part of the body, once there is room for it."""
        try:
            if self._reservation is None:
                # The library authenticates before it reads.
                self._reservation = await self._limits.budget.room(
                    _caller.get().organization,
                    max(CALL_BYTES, self._expected()),
                    ingests=OPERATIONS[self._path].ingests,
                )
            part = await receive()
            self._received += len(part.get("body", b""))
            if not self._is_stream:
                self._reservation.enlarge(COPIES * self._received)
        except FAILURES as error:
            raise _connect_error(error, self._path, _caller.get().organization.name) from None
        return part

    def decompressed(self, data: bytes, name: str, bytes_max: int) -> bytes:
        """The content of a compressed message, which is charged as well."""
        try:
            if self._reservation is not None and not self._is_stream:
                self._reservation.enlarge(COPIES * ENCODINGS[name].content_bytes(data, bytes_max))
            content = body_content(data, name, bytes_max)
            if self._reservation is not None and not self._is_stream:
                self._reservation.resize(max(CALL_BYTES, COPIES * len(content)))
        except HttpError as error:
            raise ConnectError(Code.INVALID_ARGUMENT, error.detail) from None
        except CostInsightsError as error:
            raise _connect_error(error, self._path, _caller.get().organization.name) from None
        return content

    @property
    def _is_stream(self) -> bool:
        return OPERATIONS[self._path].kind is CallKind.BIDIRECTIONAL

    def _expected(self) -> int:
        # Each message of a stream is charged where it is stored; here, the largest one is awaited.
        return self._limits.bytes_max if self._is_stream else COPIES * self._announced


_room: ContextVar[_Room] = ContextVar("room")
"""The room of the request that the current task serves."""

_KNOWN: Final = re.compile(r"application/((connect\+|grpc-web\+)?(json|proto)|grpc-web)\s*(;|$)")
"""The content-types of the protocols; gRPC itself needs trailers, which HTTP/1.1 servers lack."""


def _is_ascii(scope: Scope) -> bool:
    return all(value.isascii() for _, value in scope["headers"])


class _Authentication(MetadataInterceptor[None]):
    """Finds the caller before anything of the body is read."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def on_start(self, ctx: _Context) -> None:
        """Checks the access token, or the session of the page."""
        operation = OPERATIONS[f"/{ctx.method.service_name}/{ctx.method.name}"]
        try:
            caller = await self._authenticator.authorize(
                Credentials(
                    ctx.request_headers.get("authorization"),
                    _session(ctx, operation.kind),
                    _room.get().certificate,
                    names_this_machine(ctx.request_headers.get("host")),
                ),
                method=operation.path,
                scopes=operation.scopes,
            )
        except FAILURES as error:
            refusal = _connect_error(error, operation.path, None)
            _say_when(refusal, ctx)
            raise refusal from None
        _caller.set(caller)

    async def on_end(self, token: None, ctx: _Context, error: Exception | None, /) -> None:
        """Notes the error, which may be the library's own, and lets go of the request that it holds
        by the frames of its traceback.

        The library keeps the error where its own traceback leads to, in a reference cycle.
        """
        del token
        if error is not None:
            if isinstance(error, ConnectError):
                _say_when(error, ctx)
                if (call := running_call()) is not None:
                    call.failed("CANCELLED" if error.code is Code.CANCELED else error.code.name)
            error.__traceback__ = error.__context__ = error.__cause__ = None


def _session(ctx: _Context, kind: CallKind) -> str | None:
    """The session that counts for a request: pages send one message of JSON, and nothing else."""
    headers = ctx.request_headers
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return session_of(headers) if content_type == _PAGE_TYPES.get(kind) else None


_PAGE_TYPES: Final = {
    CallKind.UNARY: "application/json",
    CallKind.BYTES: "application/json",
    CallKind.SERVER_STREAM: "application/connect+json",
}
"""The content-types of what a page calls. Pages of other origins can send each only after a
preflight, as they can the header by which the page is known."""


class _Codec:
    """A codec that leaves requests as they came, and responses as they were encoded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """The name of the codec in a content-type."""
        return self._name

    def encode(self, message: bytes) -> bytes:
        """The bytes of a response."""
        return message

    def decode(self, data: bytes | bytearray, message_class: type[bytes]) -> bytes:
        """The bytes of a request, which remember whether they are JSON."""
        return JsonRequest(data) if self._name == "json" else message_class(data)


class _Compression(Compression):
    """A compression of requests, with a limit on their decompressed size, and of responses."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """The name of the compression in a header."""
        return self._name

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """Compresses a response."""
        return ENCODINGS[self._name].compress(bytes(data))

    def decompress(
        self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None
    ) -> bytes:
        """Decompresses a request."""
        return _room.get().decompressed(bytes(data), self._name, read_max_bytes or 0)


@dataclass(frozen=True)
class _Rpc:
    """The endpoint of one operation."""

    operation: Operation
    call: Call
    authenticator: Authenticator

    def endpoint(self) -> Any:
        """The `Endpoint` for the operation's kind."""
        method = MethodInfo(
            name=self.operation.method,
            service_name=self.operation.service,
            input=bytes,
            output=bytes,
            idempotency_level=IdempotencyLevel.UNKNOWN,
            stream_type=_STREAM_TYPES[self.operation.kind],
        )
        match self.operation.kind:
            case CallKind.UNARY | CallKind.BYTES:
                return Endpoint.unary(method, self._unary)
            case CallKind.SERVER_STREAM:
                return Endpoint.server_stream(method, self._server_stream)
            case CallKind.BIDIRECTIONAL:
                return Endpoint.bidi_stream(method, self._bidirectional)

    async def _unary(self, request: bytes, ctx: _Context) -> bytes:
        caller = _caller.get()
        try:
            if self.operation.kind is CallKind.UNARY:
                unary = cast("UnaryCall", self.call)
                answer = await unary(caller, await self._message(request))
            else:
                answer = await cast("BytesCall", self.call)(caller, await self._bytes(request))
            return await _written(answer, ctx)
        except FAILURES as error:
            raise self._error(error, caller) from None

    async def _server_stream(self, request: bytes, ctx: _Context) -> AsyncIterator[bytes]:
        caller = _caller.get()
        try:
            call = cast("ServerStreamCall", self.call)
            async with aclosing(call(caller, await self._message(request))) as answers:
                async for answer in answers:
                    yield await _written(answer, ctx)
        except FAILURES as error:
            raise self._error(error, caller) from None

    async def _bidirectional(
        self, requests: AsyncIterator[bytes], ctx: _Context
    ) -> AsyncIterator[bytes]:
        caller = _caller.get()
        credentials = Credentials(
            ctx.request_headers.get("authorization"), certificate=_room.get().certificate
        )

        async def authorize() -> Caller:
            # The stream counts its batches as requests itself.
            return await self.authenticator.authenticate(
                credentials, method=self.operation.path, scopes=self.operation.scopes
            )

        async def encoded() -> AsyncIterator[bytes]:
            async for request in requests:
                yield (
                    (await self._message(request)).SerializeToString()
                    if isinstance(request, JsonRequest)
                    else request
                )

        try:
            call = cast("BidirectionalCall", self.call)
            async with aclosing(call(encoded(), authorize)) as answers:
                async for answer in answers:
                    yield await _written(answer, ctx)
        except FAILURES as error:
            raise self._error(error, caller) from None

    async def _message(self, request: bytes) -> message.Message:
        request_class = self.operation.request_class
        if not isinstance(request, JsonRequest):
            return decode(request_class, request)
        if len(request) < _LARGE_BYTES:
            return decode_json(request_class, request)
        return await asyncio.to_thread(decode_json, request_class, request)

    async def _bytes(self, request: bytes) -> bytes:
        if not isinstance(request, JsonRequest) or self.operation.reads_json:
            return request
        return (await self._message(request)).SerializeToString()

    def _error(self, error: BaseException, caller: Caller) -> ConnectError:
        if isinstance(error, ConnectError):
            return error
        return _connect_error(error, self.operation.path, caller.organization.name)


_STREAM_TYPES: Final = {
    CallKind.UNARY: StreamType.UNARY,
    CallKind.BYTES: StreamType.UNARY,
    CallKind.SERVER_STREAM: StreamType.SERVER_STREAM,
    CallKind.BIDIRECTIONAL: StreamType.BIDI_STREAM,
}


async def _written(answer: message.Message, ctx: _Context) -> bytes:
    """The answer in the form in which the request came."""
    if "json" not in ctx.request_headers.get("content-type", ""):
        return answer.SerializeToString()
    if answer.ByteSize() < _LARGE_BYTES:
        return _as_json(answer)
    return await asyncio.to_thread(_as_json, answer)


def _as_json(answer: message.Message) -> bytes:
    return json_format.MessageToJson(answer, indent=None, ensure_ascii=False).encode()


class _ServiceError(ConnectError):
    """An error of the service, which may say when to try again."""

    retry_after_ms: int | None = None


def _connect_error(error: BaseException, path: str, organization: str | None) -> _ServiceError:
    """The error with the code and the details that gRPC answers; it is logged."""
    status = status_of(error, method=path, organization=organization)
    name = code_pb2.Code.Name(status.code)
    refusal = _ServiceError(
        Code.CANCELED if name == "CANCELLED" else Code[name],
        status.message,
        [
            ErrorDetail(AnyDetail(type_url=detail.type_url, value=detail.value))
            for detail in status.details
        ],
    )
    if isinstance(error, CostInsightsError):
        refusal.retry_after_ms = error.retry_after_ms
    return refusal


def _say_when(error: ConnectError, ctx: _Context) -> None:
    """Says in a header, which any client of HTTP knows, when to try again."""
    if isinstance(error, _ServiceError) and error.retry_after_ms is not None:
        ctx.response_headers["retry-after"] = retry_after(error.retry_after_ms)
