"""What every call goes through: authenticate, decode, call, encode.

Requests arrive as bytes: the runtime would answer a message that cannot be
decoded with INTERNAL, which is for faults of ours.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import descriptor, message, message_factory

from cost_insights.doors.grpc.status import status_of
from cost_insights.errors import FAILURES, LimitExceededError, malformed_request
from cost_insights.identity import Authenticator, Caller

Call = Callable[[Caller, Any], Awaitable[message.Message]]
"""What a service does for one method: (caller, request) to response."""

_Context = grpc.aio.ServicerContext[bytes, bytes]

_Message = TypeVar("_Message", bound=message.Message)

_STATUS_TRAILER = "grpc-status-details-bin"


class RawCall:
    """A call that takes the bytes of the request, not the message."""

    def __init__(self, call: Callable[[Caller, bytes], Awaitable[message.Message]]) -> None:
        self.call = call


Authorize = Callable[[], Awaitable[Caller]]


class StreamCall:
    """A call of many requests, as bytes, and many responses.

    It may ask who calls as often as it likes; each time the token is checked.
    """

    def __init__(
        self,
        call: Callable[[AsyncIterator[bytes], Authorize], AsyncIterator[message.Message]],
    ) -> None:
        self.call = call


class ServerStreamCall:
    """A call of one request and many responses."""

    def __init__(
        self, call: Callable[[Caller, Any], AsyncGenerator[message.Message, None]]
    ) -> None:
        self.call = call


AnyCall = Call | RawCall | StreamCall | ServerStreamCall


def service_handler(
    service: descriptor.ServiceDescriptor,
    calls: Mapping[str, AnyCall],
    *,
    authenticator: Authenticator,
    request_bytes_max: int,
) -> grpc.GenericRpcHandler:
    """Serves the methods of a service; raises KeyError if `calls` lacks one."""
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {
            method.name: _handler(method, calls[method.name], authenticator, request_bytes_max)
            for method in service.methods
        },
    )


def _handler(
    method: descriptor.MethodDescriptor,
    call: AnyCall,
    authenticator: Authenticator,
    request_bytes_max: int,
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    path = f"/{method.containing_service.full_name}/{method.name}"
    if isinstance(call, StreamCall):
        return grpc.stream_stream_rpc_method_handler(
            _stream(path, call, authenticator, request_bytes_max)
        )
    request_class = message_factory.GetMessageClass(method.input_type)
    if isinstance(call, ServerStreamCall):
        return grpc.unary_stream_rpc_method_handler(
            _server_stream(path, call, request_class, authenticator, request_bytes_max)
        )
    return grpc.unary_unary_rpc_method_handler(
        _unary(path, call, request_class, authenticator, request_bytes_max)
    )


def _unary(
    path: str,
    call: Call | RawCall,
    request_class: type[message.Message],
    authenticator: Authenticator,
    request_bytes_max: int,
) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def handle(request: bytes, context: _Context) -> bytes:
        try:
            caller = await authenticator.authorize(
                path, _authorization(context.invocation_metadata())
            )
            _check_size(request, request_bytes_max)
            if isinstance(call, RawCall):
                response = await call.call(caller, request)
            else:
                response = await call(caller, decode(request_class, request))
            return response.SerializeToString()
        except asyncio.CancelledError:
            raise
        except FAILURES as error:  # no error leaves without a status
            await _abort(context, error, path)

    return handle


def _stream(
    path: str, call: StreamCall, authenticator: Authenticator, request_bytes_max: int
) -> Callable[[AsyncIterator[bytes], _Context], Awaitable[None]]:
    async def handle(requests: AsyncIterator[bytes], context: _Context) -> None:
        authorization = _authorization(context.invocation_metadata())

        async def authorize() -> Caller:
            return await authenticator.authorize(path, authorization)

        async def checked() -> AsyncIterator[bytes]:
            async for request in requests:
                _check_size(request, request_bytes_max)
                yield request

        try:
            await authorize()
            async for response in call.call(checked(), authorize):
                await context.write(response.SerializeToString())
        except asyncio.CancelledError:
            raise
        except FAILURES as error:  # no error leaves without a status
            await _abort(context, error, path)

    return handle


def _server_stream(
    path: str,
    call: ServerStreamCall,
    request_class: type[message.Message],
    authenticator: Authenticator,
    request_bytes_max: int,
) -> Callable[[bytes, _Context], Awaitable[None]]:
    async def handle(request: bytes, context: _Context) -> None:
        try:
            caller = await authenticator.authorize(
                path, _authorization(context.invocation_metadata())
            )
            _check_size(request, request_bytes_max)
            # What the responses are read from is given back at once, also where the
            # caller went away.
            async with contextlib.aclosing(
                call.call(caller, decode(request_class, request))
            ) as responses:
                async for response in responses:
                    await context.write(response.SerializeToString())
        except asyncio.CancelledError:
            raise
        except FAILURES as error:  # no error leaves without a status
            await _abort(context, error, path)

    return handle


def _authorization(metadata: Iterable[Any] | None) -> str | None:
    for name, value in metadata or ():
        if name == "authorization":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return None


def decode(request_class: type[_Message], request: bytes) -> _Message:
    """The message that a request is; raises InvalidRequestError where it is none."""
    try:
        return request_class.FromString(request)
    except message.DecodeError:
        raise malformed_request(request_class.DESCRIPTOR.full_name) from None


def _check_size(request: bytes, request_bytes_max: int) -> None:
    if len(request) > request_bytes_max:
        raise LimitExceededError(
            f"the request holds {len(request)} bytes; at most {request_bytes_max} are allowed",
            reason="REQUEST_TOO_LARGE",
            facts={"bytes": str(len(request)), "bytes_max": str(request_bytes_max)},
        )


async def _abort(context: _Context, error: BaseException, path: str) -> NoReturn:
    code, words, details = status_of(error, method=path)
    await context.abort(code, words, ((_STATUS_TRAILER, details),))
    raise AssertionError("abort returned")
