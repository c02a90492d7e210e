"""Reflection: whatever has a name is found by it, under both names of the service."""

from collections.abc import Iterable, Iterator

import pytest
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cost_insights.v1 import cost_pb2, error_reason_pb2, event_pb2, revenue_pb2
from tests.support.service import SERVICES, Service

FILES: tuple[descriptor.FileDescriptor, ...] = (
    *(service.file for service in SERVICES),
    cost_pb2.DESCRIPTOR,
    event_pb2.DESCRIPTOR,
    revenue_pb2.DESCRIPTOR,
    error_reason_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
    status_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
)


def symbols(file: descriptor.FileDescriptor) -> Iterator[str]:
    """The full name of whatever a file declares."""
    for service in file.services_by_name.values():
        yield service.full_name
        yield from (method.full_name for method in service.methods)
    yield from (extension.full_name for extension in file.extensions_by_name.values())
    yield from enum_symbols(file.enum_types_by_name.values(), file.package)
    for message in file.message_types_by_name.values():
        yield from message_symbols(message)


def message_symbols(message: descriptor.Descriptor) -> Iterator[str]:
    """The full names of a message and of what it holds."""
    yield message.full_name
    yield from (field.full_name for field in message.fields)
    yield from (oneof.full_name for oneof in message.oneofs)
    yield from enum_symbols(message.enum_types, message.full_name)
    for nested in message.nested_types:
        yield from message_symbols(nested)


def enum_symbols(enums: Iterable[descriptor.EnumDescriptor], scope: str) -> Iterator[str]:
    """The full names of enums and of their values, which are siblings of their enum."""
    for enum in enums:
        yield enum.full_name
        yield from (f"{scope}.{value.name}" for value in enum.values)


def answers_of(
    server: Service, service: str, *requests: reflection_pb2.ServerReflectionRequest
) -> list[reflection_pb2.ServerReflectionResponse]:
    """The answers of reflection to each request, asked under one of its names."""
    ask = server.channel().stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(ask(iter(requests), timeout=60))


NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


@pytest.mark.parametrize("service", NAMES)
def test_every_symbol_is_found(server: Service, service: str) -> None:
    """Services, methods, messages, fields, oneofs, enums and their values, those of error
    details among them: each is answered with the file that declares it and all it imports."""
    declared = {
        **{symbol: file.name for file in FILES for symbol in symbols(file)},
        "google.api.field_behavior": "google/api/field_behavior.proto",
        "google.protobuf.Struct.fields": "google/protobuf/struct.proto",
        "google.protobuf.NULL_VALUE": "google/protobuf/struct.proto",
        f"{NAMES[0]}.ServerReflectionInfo": "grpc/reflection/v1/reflection.proto",
        f"{NAMES[1]}.ServerReflectionInfo": reflection_pb2.DESCRIPTOR.name,
    }
    for expected in (
        "cost_insights.v1.EventService.IngestEvents",
        "cost_insights.v1.NewEvent.external_customer_id",
        "cost_insights.v1.NewEvent.customer",
        "cost_insights.v1.INTERVAL_MONTH",
        "cost_insights.v1.ERROR_REASON_AMOUNT_TOO_PRECISE",
        "google.rpc.ErrorInfo.MetadataEntry.key",
        "google.rpc.BadRequest.FieldViolation",
        "google.rpc.RetryInfo.retry_delay",
        "grpc.health.v1.HealthCheckResponse.NOT_SERVING",
    ):
        assert expected in declared
    answers = answers_of(
        server,
        service,
        *(
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
            for symbol in declared
        ),
    )
    for (symbol, file_name), answer in zip(declared.items(), answers, strict=True):
        assert answer.HasField("file_descriptor_response"), f"{symbol} is not found"
        files = {
            file.name: file
            for file in map(
                descriptor_pb2.FileDescriptorProto.FromString,
                answer.file_descriptor_response.file_descriptor_proto,
            )
        }
        assert file_name == next(iter(files)), symbol
        assert {name for file in files.values() for name in file.dependency} <= files.keys()


@pytest.mark.parametrize(
    "symbol",
    ["", "cost_insights.v1", "cost_insights.v1.EventService.Nothing", "cost_insights.v1.Nothing"],
)
def test_what_does_not_exist_is_not_found(server: Service, symbol: str) -> None:
    """A name that nothing has is answered as not found, and the next question is answered."""
    unknown, known = answers_of(
        server,
        NAMES[0],
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol),
        reflection_pb2.ServerReflectionRequest(file_by_filename="cost_insights/v1/cost.proto"),
    )
    assert unknown.error_response.error_code == 5
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(known.file_descriptor_response.file_descriptor_proto):
        pool.AddSerializedFile(file)
    assert pool.FindMessageTypeByName("cost_insights.v1.Cost")
