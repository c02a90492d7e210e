"""Writes the OpenAPI document of the RPCs, from a `FileDescriptorSet` that holds its comments.

    python -m tests.tools.openapi PROTOS.binpb > rpcs.openapi.json

RPCs are described as the Connect protocol takes them, with the JSON form of messages that protobuf
defines. Streams are left out: OpenAPI has no words for them.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

from tests.support.commented_protos import PACKAGE, CommentedProtos

Field = descriptor_pb2.FieldDescriptorProto
Schema = dict[str, Any]

_PLAIN: Mapping[int, Schema] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_BYTES: {"type": "string", "format": "byte"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 4_294_967_295},
    # Numbers of 64 bits are texts in the JSON form, because many languages read numbers as doubles.
    Field.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"},
    Field.TYPE_UINT64: {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"},
}

_WELL_KNOWN: Mapping[str, Schema] = {
    ".google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.rpc.Status": {"type": "object", "additionalProperties": True},
}

_ERROR: Schema = {
    "type": "object",
    "description": "An error, as the Connect protocol writes it.",
    "required": ["code"],
    "properties": {
        "code": {"type": "string", "description": "The code, such as `invalid_argument`."},
        "message": {"type": "string", "description": "What went wrong, for people."},
        "details": {
            "type": "array",
            "description": "A `google.rpc.ErrorInfo`, and for malformed requests a "
            "`google.rpc.BadRequest` with every fault.",
            "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": {
                        "type": "string",
                        "description": "The message's full name, such as `google.rpc.ErrorInfo`.",
                    },
                    "value": {"type": "string", "description": "The message in base64."},
                },
            },
        },
    },
}


class RpcDocument:
    """The part of the document about RPCs."""

    def __init__(self, protos: CommentedProtos) -> None:
        self._protos = protos
        self._messages = dict(_all_messages(protos.files))
        self._enums = {
            f".{PACKAGE}.{enum.name}": (file, (5, place), enum)
            for file in protos.files
            for place, enum in enumerate(file.enum_type)
        }
        self._needed: dict[str, Schema] = {}

    def document(self) -> Schema:
        """The paths and schemas of every RPC that is no stream."""
        paths: dict[str, Schema] = {}
        for file in self._protos.files:
            for place, service in enumerate(file.service):
                for number, method in enumerate(service.method):
                    if not method.server_streaming:
                        path = f"/{PACKAGE}.{service.name}/{method.name}"
                        words = self._words(file, (6, place, 2, number))
                        paths[path] = {"post": self._operation(service.name, method, words)}
        return {"paths": paths, "schemas": {"ConnectError": _ERROR, **self._needed}}

    def _operation(
        self, service: str, method: descriptor_pb2.MethodDescriptorProto, words: str
    ) -> Schema:
        return {
            "operationId": f"{service}.{method.name}",
            "tags": [service],
            "summary": _first_sentence(words),
            "description": words,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": self._schema_of(method.input_type)}},
            },
            "responses": {
                "200": {
                    "description": "The answer.",
                    "content": {
                        "application/json": {"schema": self._schema_of(method.output_type)}
                    },
                }
            },
        }

    def _schema_of(self, name: str) -> Schema:
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        full_name = name.removeprefix(".")
        if full_name not in self._needed:
            # Entered first, because a message may hold itself.
            self._needed[full_name] = {}
            self._needed[full_name] = (
                self._enum(name) if name in self._enums else self._message(name)
            )
        return {"$ref": f"#/components/schemas/{full_name}"}

    def _message(self, name: str) -> Schema:
        file, path, message = self._messages[name]
        properties = {}
        required = []
        for place, field in enumerate(message.field):
            schema = self._field(field)
            if words := self._words(file, (*path, 2, place)):
                schema = {"allOf": [schema], "description": words} if "$ref" in schema else schema
                schema["description"] = words
            properties[field.json_name] = schema
            behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
            if field_behavior_pb2.REQUIRED in behaviors:
                required.append(field.json_name)
        schema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if words := self._words(file, path):
            schema["description"] = words
        return schema

    def _field(self, field: descriptor_pb2.FieldDescriptorProto) -> Schema:
        if field.type in {Field.TYPE_MESSAGE, Field.TYPE_ENUM}:
            schema = self._schema_of(field.type_name)
        else:
            schema = dict(_PLAIN[field.type])
        if field.label == Field.LABEL_REPEATED:
            return {"type": "array", "items": schema}
        return schema

    def _enum(self, name: str) -> Schema:
        file, path, enum = self._enums[name]
        schema: Schema = {"type": "string", "enum": [value.name for value in enum.value]}
        if words := self._words(file, path):
            schema["description"] = words
        return schema

    def _words(self, file: descriptor_pb2.FileDescriptorProto, path: tuple[int, ...]) -> str:
        """The comment of an element: its paragraphs, each in one line."""
        return "\n\n".join(words for words, _ in self._protos.comment(file, path))


def _all_messages(
    files: Sequence[descriptor_pb2.FileDescriptorProto],
) -> Iterator[
    tuple[
        str,
        tuple[descriptor_pb2.FileDescriptorProto, tuple[int, ...], descriptor_pb2.DescriptorProto],
    ]
]:
    for file in files:
        for place, message in enumerate(file.message_type):
            yield f".{PACKAGE}.{message.name}", (file, (4, place), message)


def _first_sentence(words: str) -> str:
    return re.split(r"(?<=\.)\s", words, maxsplit=1)[0].rstrip(".")


def main() -> None:
    """Reads the file named by the first argument and prints the document."""
    protos = CommentedProtos(Path(sys.argv[1]))
    print(json.dumps(RpcDocument(protos).document(), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
