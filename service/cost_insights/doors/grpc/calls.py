"""The steps of every gRPC call: authenticate, read, decode, call, encode.

Requests arrive as bytes: the runtime would answer a message that it cannot decode with INTERNAL,
which is for faults of the service. To the runtime every request is a stream, because the message
of any other call is read before anybody is asked: so nothing of a request is read before its
caller is known and there is room for it.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NoReturn, TypeVar, cast

import grpc
from google.protobuf import message
from google.rpc import status_pb2

from cost_insights.api.admission import CALL_BYTES, COPIES, Budget, Reservation
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
from cost_insights.doors.compression import (
    DECOMPRESSION_ERRORS,
    ENCODINGS,
    GZIP,
    decompressed,
)
from cost_insights.doors.grpc.measuring import Handle, Metadata, measured, value_of
from cost_insights.doors.grpc.messages import Context, MessageReader, read, write
from cost_insights.doors.grpc.stream_watch import StreamWatch
from cost_insights.errors import FAILURES, malformed_request
from cost_insights.identity import (
    Authenticator,
    Caller,
    Credentials,
    Organization,
    certificate_sha256_of_pem,
)
from cost_insights.telemetry import REQUEST_ID, Calls, running_call

_T = TypeVar("_T")

_STATUS_TRAILER = "grpc-status-details-bin"

_REFUSAL_SECONDS: Final = 0.01
"""The time after which a call without a valid token is refused."""

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def handlers(
    calls: Mapping[str, Call],
    *,
    authenticator: Authenticator,
    budget: Budget,
    reader: MessageReader,
    stream_watch: StreamWatch,
    measured_calls: Calls,
    shows_certificates: bool,
) -> list[grpc.GenericRpcHandler]:
    """Serves every operation; raises KeyError if `calls`, a mapping by path, lacks one.

    `shows_certificates` says that callers show client certificates.
    """
    methods: defaultdict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = defaultdict(dict)
    for path, operation in OPERATIONS.items():
        door = _Door(
            operation,
            calls[path],
            authenticator,
            budget,
            reader=reader,
            stream_watch=stream_watch,
            measured_calls=measured_calls,
            shows_certificates=shows_certificates,
        )
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
        budget: Budget,
        *,
        reader: MessageReader,
        stream_watch: StreamWatch,
        measured_calls: Calls,
        shows_certificates: bool,
    ) -> None:
        self._measured_calls = measured_calls
        self._shows_certificates = shows_certificates
        self._operation = operation
        self._call = call
        self._authenticator = authenticator
        self._budget = budget
        self._reader = reader
        self._stream_watch = stream_watch
        self._request_class = operation.request_class
        self._request_name = operation.request_class.DESCRIPTOR.full_name

    def handler(self) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The handler for the operation's kind."""
        match self._operation.kind:
            case CallKind.UNARY:
                unary = cast("UnaryCall", self._call)
                return grpc.stream_unary_rpc_method_handler(
                    self._measured(
                        self._unary(lambda caller, request: unary(caller, self._decode(request)))
                    )
                )
            case CallKind.BYTES:
                return grpc.stream_unary_rpc_method_handler(
                    self._measured(self._unary(cast("BytesCall", self._call)))
                )
            case CallKind.SERVER_STREAM:
                return grpc.stream_stream_rpc_method_handler(
                    self._measured(self._server_stream(cast("ServerStreamCall", self._call)))
                )
            case CallKind.BIDIRECTIONAL:
                return grpc.stream_stream_rpc_method_handler(
                    self._measured(self._bidirectional(cast("BidirectionalCall", self._call)))
                )

    def _measured(self, handle: Handle[_T]) -> Callable[[object, Context], Awaitable[_T]]:
        return measured(handle, self._measured_calls, self._operation.method)

    # No error holds a request in memory: a status is made of each, and sent once the error and
    # the frames of its traceback are gone.

    def _unary(self, call: BytesCall) -> Handle[bytes]:
        budget, reader, ingests = self._budget, self._reader, self._operation.ingests

        async def handle(context: Context, metadata: Metadata) -> bytes:
            caller = None
            try:
                caller = await self._authorize(self._credentials(context, metadata))
                with await reader.room(budget, caller.organization, ingests=ingests) as room:
                    # Whoever takes the request can free it: it has no name here.
                    return (
                        await call(caller, await self._read(context, caller, room))
                    ).SerializeToString()
            except asyncio.CancelledError:
                raise
            except FAILURES as error:  # no error leaves without a status
                status = self._status(error, caller)
            return await abort(context, status)

        return handle

    def _server_stream(self, call: ServerStreamCall) -> Handle[None]:
        async def handle(context: Context, metadata: Metadata) -> None:
            caller = None
            try:
                caller = await self._authorize(self._credentials(context, metadata))
                with await self._reader.room(self._budget, caller.organization) as room:
                    request = self._decode(await self._read(context, caller, room))
                    # The source of the responses is released at once, even if the caller went away.
                    async with contextlib.aclosing(call(caller, request)) as responses:
                        async for response in responses:
                            await write(context, response.SerializeToString())
                return
            except asyncio.CancelledError:
                raise
            except FAILURES as error:  # no error leaves without a status
                status = self._status(error, caller)
            await abort(context, status)

        return handle

    async def _read(self, context: Context, caller: Caller, room: Reservation) -> bytes:
        request = await self._reader.read(context, room)
        if request is None:
            raise malformed_request(self._request_name)
        if request.startswith(GZIP):
            request = await self._decompressed(request, room.beside)
        self._budget.observe(caller.organization, len(request))
        room.resize(max(CALL_BYTES, COPIES * len(request)))
        return request

    async def _decompressed(
        self, request: bytes, room: Callable[[int], Awaitable[Reservation]]
    ) -> bytes:
        """The content of a compressed request, for which there must be room."""
        bytes_max = self._reader.bytes_max
        with await room(COPIES * ENCODINGS["gzip"].content_bytes(request, bytes_max)):
            try:
                return await asyncio.to_thread(decompressed, request, "gzip", bytes_max)
            except DECOMPRESSION_ERRORS:
                raise malformed_request(self._request_name) from None

    def _bidirectional(self, call: BidirectionalCall) -> Handle[None]:
        async def handle(context: Context, metadata: Metadata) -> None:
            credentials = self._credentials(context, metadata)
            caller = None

            async def authorize() -> Caller:
                # The stream counts its batches as requests itself.
                nonlocal caller
                caller = await self._authenticator.authenticate(
                    credentials, method=self._operation.path, scopes=self._operation.scopes
                )
                return caller

            async def messages(owner: Organization) -> AsyncIterator[bytes]:
                watch = self._stream_watch
                request = await watch.arrival(self._reader.read(context), owner)
                while request is not None:
                    if request.startswith(GZIP):
                        room = partial(self._budget.room, owner)
                        request = await self._decompressed(request, room)
                    yield request
                    # Nothing holds a request while the next one is awaited.
                    del request
                    request = await watch.arrival(read(context), owner)

            try:
                caller = await self._authorize(credentials)
                # What a stream holds is released at once, even if the caller went away. The
                # requests have no name here, by which they would live as long as the call.
                async with contextlib.aclosing(
                    call(messages(caller.organization), authorize)
                ) as responses:
                    async for response in responses:
                        await write(context, response.SerializeToString())
                return
            except asyncio.CancelledError:
                raise
            except FAILURES as error:  # no error leaves without a status
                status = self._status(error, caller)
            await abort(context, status)

        return handle

    def _credentials(self, context: Context, metadata: Metadata) -> Credentials:
        authorization = value_of("authorization", metadata)
        if authorization is None and self._shows_certificates:
            return Credentials(certificate=_certificate(context))
        return Credentials(authorization)

    async def _authorize(self, credentials: Credentials) -> Caller:
        if credentials == _NOTHING and self._authenticator.asks_for_tokens:
            # A call that is reset as soon as it is begun ends here: no status is made of it.
            await asyncio.sleep(_REFUSAL_SECONDS)
        return await self._authenticator.authorize(
            credentials, method=self._operation.path, scopes=self._operation.scopes
        )

    def _decode(self, request: bytes) -> message.Message:
        return decode(self._request_class, request)

    def _status(self, error: BaseException, caller: Caller | None) -> status_pb2.Status:
        organization = None if caller is None else caller.organization.name
        return status_of(error, method=self._operation.path, organization=organization)


async def abort(context: Context, status: status_pb2.Status) -> NoReturn:
    """Ends a call with a status."""
    trailers: tuple[tuple[str, str | bytes], ...] = ((_STATUS_TRAILER, status.SerializeToString()),)
    if (call := running_call()) is not None:
        call.failed(_CODES[status.code].name)
        trailers += ((REQUEST_ID, call.request_id),)
    await context.abort(_CODES[status.code], status.message, trailers)
    raise AssertionError("abort returned")


_NOTHING: Final = Credentials()


def _certificate(context: Context) -> bytes | None:
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return certificate_sha256_of_pem(pem)
    return None
