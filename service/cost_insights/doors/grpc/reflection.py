"""Server reflection under its current name and under the one that older tools ask for.

It describes every file that this process has loaded. A symbol is anything with a full name: a
service, a method, a message, a field, a oneof, an enum, one of its values or an extension.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from cost_insights.api.reading import decode
from cost_insights.api.statuses import status_of
from cost_insights.doors.grpc.calls import abort
from cost_insights.doors.grpc.measuring import Metadata, measured
from cost_insights.doors.grpc.messages import Context, read, write
from cost_insights.doors.grpc.open_calls import OpenCalls
from cost_insights.errors import FAILURES
from cost_insights.telemetry import Calls
from cost_insights.telemetry.measurements import REFLECTION
from cost_insights.v1 import error_reason_pb2

_OLD = reflection_pb2.DESCRIPTOR
_NEW_PACKAGE = "grpc.reflection.v1"
_NEW_SERVICE = f"{_NEW_PACKAGE}.ServerReflection"

_CALLS_MAX: Final = 4
"""The number of calls at a time; each is one tool that looks at the service."""

_CALL_SECONDS: Final = 60
"""The lifetime of a call."""


class ReflectionService:
    """The reflection service, by which tools such as grpcurl list and describe the services."""

    def __init__(self, services: Sequence[str], measured_calls: Calls) -> None:
        self._measured_calls = measured_calls
        _describe_new_name()
        self._servicer = aio.ReflectionServicer(
            [*services, _NEW_SERVICE, reflection.SERVICE_NAME], _Symbols(descriptor_pool.Default())
        )
        self._calls = OpenCalls("reflection calls", calls_max=_CALLS_MAX, seconds_max=_CALL_SECONDS)

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """The handlers of the service under both names."""
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            measured(self._call, self._measured_calls, REFLECTION)
        )
        return [
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
            for name in (_NEW_SERVICE, reflection.SERVICE_NAME)
        ]

    def close(self) -> None:
        """Ends the running calls."""
        self._calls.close()

    async def _call(self, context: Context, metadata: Metadata) -> None:
        del metadata

        async def messages() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            while (request := await read(context)) is not None:
                yield decode(reflection_pb2.ServerReflectionRequest, request)

        try:
            async with self._calls.call(context):
                async for response in self._servicer.ServerReflectionInfo(messages(), context):
                    await write(context, response.SerializeToString())
            return
        except asyncio.CancelledError:
            raise
        except FAILURES as error:  # no error leaves without a status
            status = status_of(
                error, method=f"/{_NEW_SERVICE}/ServerReflectionInfo", organization=None
            )
        await abort(context, status)


_IN_STATUSES = (error_details_pb2, error_reason_pb2, status_pb2)
"""Files that no service refers to: tools need them to print the details of a failed call."""


class _Symbols:
    """A pool of descriptors that finds every symbol by its full name."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, name: str) -> descriptor.FileDescriptor:  # noqa: N802
        """The file that declares a symbol; raises KeyError if none does."""
        try:
            return self._pool.FindFileContainingSymbol(name)
        except KeyError:
            # Methods are the only symbols that the pool does not find.
            return self._pool.FindMethodByName(name).containing_service.file


def _describe_new_name() -> None:
    # The library ships the old name only; the messages are the same to the byte.
    file = descriptor_pb2.FileDescriptorProto()
    _OLD.CopyToProto(file)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = _NEW_PACKAGE
    for one in file.message_type:
        for field in one.field:
            # Setting the type name of a scalar, even to an empty text, would count as setting it.
            if field.HasField("type_name"):
                field.type_name = field.type_name.replace(_OLD.package, _NEW_PACKAGE)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_OLD.package, _NEW_PACKAGE)
            method.output_type = method.output_type.replace(_OLD.package, _NEW_PACKAGE)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
