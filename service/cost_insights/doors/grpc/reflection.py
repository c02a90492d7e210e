"""Server reflection under its current name and under the one that older tools ask for.

It describes every file that this process has loaded. A symbol is anything with a full name: a
service, a method, a message, a field, a oneof, an enum, one of its values or an extension.
"""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from cost_insights.v1 import error_reason_pb2

_OLD = reflection_pb2.DESCRIPTOR
_NEW_PACKAGE = "grpc.reflection.v1"
_NEW_SERVICE = f"{_NEW_PACKAGE}.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """The reflection service, by which tools such as grpcurl list and describe the services."""
    _describe_new_name()
    servicer = aio.ReflectionServicer(
        [*services, _NEW_SERVICE, reflection.SERVICE_NAME], _Symbols(descriptor_pool.Default())
    )
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
            for name in (_NEW_SERVICE, reflection.SERVICE_NAME)
        ]
    )


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
