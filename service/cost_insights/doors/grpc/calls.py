"""The steps of every gRPC call: authenticate, decode, call, encode.

Requests arrive as bytes: the runtime would answer a message that it cannot decode with INTERNAL,
which is for faults of the service.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, cast

import grpc
from google.protobuf import message

from cost_insights.api.operations import (
    OPERATIONS,
    BidirectionalCall,
    BytesCall,
    Call,
    CallKind,
    Operation,
    ServerStreamCall,
    UnaryCall,
)
from cost_insights.api.reading import decode
from cost_insights.api.statuses import status_of
from cost_insights.errors import FAILURES, LimitExceededError
from cost_insights.identity import Authenticator, Caller

_Context = grpc.aio.ServicerContext[bytes, bytes]

_STATUS_TRAILER = "grpc-status-details-bin"

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def handlers(
    calls: Mapping[str, Call], *, authenticator: Authenticator, request_bytes_max: int
) -> list[grpc.GenericRpcHandler]:
    """Serves every operation; raises KeyError if `calls`, a mapping by path, lacks one."""
    methods: defaultdict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = defaultdict(dict)
    for path, operation in OPERATIONS.items():
        door = _Door(operation, calls[path], authenticator, request_bytes_max)
        methods[operation.service][operation.method] = door.handler()
    return [
        grpc.method_handlers_generic_handler(service, of_service)
        for service, of_service in methods.items()
    ]


class _Door:
    """The gRPC handler of one operation."""

    def __init__(
        self,
        operation: Operation,
        call: Call,
        authenticator: Authenticator,
        request_bytes_max: int,
    ) -> None:
        self._operation = operation
        self._call = call
        self._authenticator = authenticator
        self._request_bytes_max = request_bytes_max
        self._request_class = operation.request_class

    def handler(self) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The handler for the operation's kind."""
        match self._operation.kind:
            case CallKind.UNARY:
                unary = cast("UnaryCall", self._call)
                return grpc.unary_unary_rpc_method_handler(
                    self._unary(lambda caller, request: unary(caller, self._decode(request)))
                )
            case CallKind.BYTES:
                return grpc.unary_unary_rpc_method_handler(
                    self._unary(cast("BytesCall", self._call))
                )
            case CallKind.SERVER_STREAM:
                return grpc.unary_stream_rpc_method_handler(
                    self._server_stream(cast("ServerStreamCall", self._call))
                )
            case CallKind.BIDIRECTIONAL:
                return grpc.stream_stream_rpc_method_handler(
                    self._bidirectional(cast("BidirectionalCall", self._call))
                )

    def _unary(self, call: BytesCall) -> Callable[[bytes, _Context], Awaitable[bytes]]:
        async def handle(request: bytes, context: _Context) -> bytes:
            caller = None
            try:
                caller = await self._authorize(_authorization(context.invocation_metadata()))
                self._check_size(request)
                return (await call(caller, request)).SerializeToString()
            except asyncio.CancelledError:
                raise
            except FAILURES as error:  # no error leaves without a status
                await self._abort(context, error, caller)

        return handle

    def _server_stream(
        self, call: ServerStreamCall
    ) -> Callable[[bytes, _Context], Awaitable[None]]:
        async def handle(request: bytes, context: _Context) -> None:
            caller = None
            try:
                caller = await self._authorize(_authorization(context.invocation_metadata()))
                self._check_size(request)
                # The source of the responses is released at once, even if the caller went away.
                async with contextlib.aclosing(call(caller, self._decode(request))) as responses:
                    async for response in responses:
                        await context.write(response.SerializeToString())
            except asyncio.CancelledError:
                raise
            except FAILURES as error:  # no error leaves without a status
                await self._abort(context, error, caller)

        return handle

    def _bidirectional(
        self, call: BidirectionalCall
    ) -> Callable[[AsyncIterator[bytes], _Context], Awaitable[None]]:
        async def handle(requests: AsyncIterator[bytes], context: _Context) -> None:
            authorization = _authorization(context.invocation_metadata())

            caller = None

            async def authorize() -> Caller:
                nonlocal caller
                caller = await self._authorize(authorization)
                return caller

            async def checked() -> AsyncIterator[bytes]:
                async for request in requests:
                    self._check_size(request)
                    yield request

            try:
                await authorize()
                async for response in call(checked(), authorize):
                    await context.write(response.SerializeToString())
            except asyncio.CancelledError:
                raise
            except FAILURES as error:  # no error leaves without a status
                await self._abort(context, error, caller)

        return handle

    async def _authorize(self, authorization: str | None) -> Caller:
        return await self._authenticator.authorize(
            authorization, method=self._operation.path, scopes=self._operation.scopes
        )

    def _decode(self, request: bytes) -> message.Message:
        return decode(self._request_class, request)

    def _check_size(self, request: bytes) -> None:
        bytes_max = self._request_bytes_max
        if len(request) > bytes_max:
            raise LimitExceededError(
                f"the request holds {len(request)} bytes; at most {bytes_max} are allowed",
                reason="REQUEST_TOO_LARGE",
                facts={"bytes": str(len(request)), "bytes_max": str(bytes_max)},
            )

    async def _abort(
        self, context: _Context, error: BaseException, caller: Caller | None
    ) -> NoReturn:
        organization = None if caller is None else caller.organization.name
        status = status_of(error, method=self._operation.path, organization=organization)
        trailers = ((_STATUS_TRAILER, status.SerializeToString()),)
        await context.abort(_CODES[status.code], status.message, trailers)
        raise AssertionError("abort returned")


def _authorization(metadata: Iterable[Any] | None) -> str | None:
    for name, value in metadata or ():
        if name == "authorization":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return None
