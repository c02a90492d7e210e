"""Server reflection under its current name and under the one that older tools ask for."""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

_OLD = reflection_pb2.DESCRIPTOR
_NEW_PACKAGE = "grpc.reflection.v1"
_NEW_SERVICE = f"{_NEW_PACKAGE}.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Lets tools such as grpcurl list and describe the services."""
    _describe_new_name()
    servicer = aio.ReflectionServicer([*services, _NEW_SERVICE, reflection.SERVICE_NAME])
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


def _describe_new_name() -> None:
    # The library ships the old name only; the messages are the same to the byte.
    file = descriptor_pb2.FileDescriptorProto()
    _OLD.CopyToProto(file)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = _NEW_PACKAGE
    for one in file.message_type:
        for field in one.field:
            # To set the name of a scalar's type to nothing would be to set it.
            if field.HasField("type_name"):
                field.type_name = field.type_name.replace(_OLD.package, _NEW_PACKAGE)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_OLD.package, _NEW_PACKAGE)
            method.output_type = method.output_type.replace(_OLD.package, _NEW_PACKAGE)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
