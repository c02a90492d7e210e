"""Writes the pages of the API reference: `rpcs.md` and `http.md`.

    python -m tests.tools.api_reference PROTOS.binpb FOLDER

The first is made of a `FileDescriptorSet` that holds its comments, the second of the OpenAPI
document that the service itself gives out.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

from cost_insights.api.operations import OPERATIONS
from cost_insights.doors.http.openapi import document
from tests.support.commented_protos import PACKAGE, CommentedProtos

Field = descriptor_pb2.FieldDescriptorProto
Schema = Mapping[str, Any]

_RPCS = """# RPCs

Generated from the comments of the protos. Every RPC is called over gRPC, over HTTP as JSON by the
Connect protocol at `/cost_insights.v1.SERVICE/RPC`, and from browsers by gRPC-Web. Fields have the
names of the protos; in JSON they are written in camel case (`externalCustomerId`), and read in both
forms.
"""

_HTTP = """# HTTP

Generated from the OpenAPI document that the service gives out at `/openapi.json`, and shows at
`/docs`. Endpoints under `/v1/` are the [compatible API](../compatibility.md). Every
[RPC](rpcs.md) that is no stream can be called as JSON, too.

An access token is sent as `Authorization: Bearer TOKEN`, once the service has one.
"""


class ProtoPage:
    """The page of the services, messages and enums of a set of files."""

    def __init__(self, protos: CommentedProtos) -> None:
        self._protos = protos

    def text(self) -> str:
        """The whole page."""
        return "\n".join([_RPCS, *self._services(), *self._messages(), *self._enums()])

    def _services(self) -> Iterator[str]:
        for file in self._protos.files:
            for place, service in enumerate(file.service):
                yield f"## {service.name} {{: #{service.name} }}\n"
                yield self._words(file, 6, place)
                for number, method in enumerate(service.method):
                    yield f"### {method.name} {{: #{service.name}.{method.name} }}\n"
                    yield _signature(method)
                    yield self._words(file, 6, place, 2, number)
                    yield _scopes(f"/{file.package}.{service.name}/{method.name}")

    def _messages(self) -> Iterator[str]:
        yield "## Messages\n"
        for file in self._protos.files:
            for place, message in enumerate(file.message_type):
                yield f"### {message.name} {{: #{message.name} }}\n"
                yield self._words(file, 4, place)
                yield from _table(
                    ("field", "type", "meaning"),
                    [
                        (
                            f"`{field.name}`",
                            _type(message, field),
                            self._cell(file, 4, place, 2, number),
                        )
                        for number, field in enumerate(message.field)
                    ],
                )

    def _enums(self) -> Iterator[str]:
        yield "## Enums\n"
        for file in self._protos.files:
            for place, enum in enumerate(file.enum_type):
                yield f"### {enum.name} {{: #{enum.name} }}\n"
                yield self._words(file, 5, place)
                yield from _table(
                    ("value", "number", "meaning"),
                    [
                        (
                            f"`{value.name}`",
                            str(value.number),
                            self._cell(file, 5, place, 2, number),
                        )
                        for number, value in enumerate(enum.value)
                    ],
                )

    def _paragraphs(
        self, file: descriptor_pb2.FileDescriptorProto, path: tuple[int, ...]
    ) -> Iterator[str]:
        """The comment of an element: its paragraphs, and its indented lines as code."""
        for words, is_code in self._protos.comment(file, path):
            yield f"`{words}`" if is_code else words

    def _words(self, file: descriptor_pb2.FileDescriptorProto, *path: int) -> str:
        return "\n\n".join(self._paragraphs(file, path)) + "\n"

    def _cell(self, file: descriptor_pb2.FileDescriptorProto, *path: int) -> str:
        return "<br>".join(self._paragraphs(file, path))


def _signature(method: descriptor_pb2.MethodDescriptorProto) -> str:
    """The messages of an RPC."""
    takes = _link(method.input_type, stream=method.client_streaming)
    returns = _link(method.output_type, stream=method.server_streaming)
    return f"{takes} → {returns}\n"


def _scopes(path: str) -> str:
    """The scopes that allow a call."""
    scopes = " or ".join(f"`{scope}`" for scope in sorted(OPERATIONS[path].scopes))
    return f"Scope: {scopes}.\n"


def _link(type_name: str, *, stream: bool = False) -> str:
    """A link to a message or enum of ours, or the name of one of others."""
    name = type_name.removeprefix(f".{PACKAGE}.")
    link = f"[{name}](#{name})" if name != type_name else f"`{name.removeprefix('.')}`"
    return f"a stream of {link}" if stream else link


def _type(
    message: descriptor_pb2.DescriptorProto, field: descriptor_pb2.FieldDescriptorProto
) -> str:
    """The type of a field, and whether it is required or one of several."""
    entries = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
    name = field.type_name.rpartition(".")[2]
    if name in entries:
        key, value = entries[name].field
        text = f"map of {_plain(key)} to {_plain(value)}"
    elif field.label == Field.LABEL_REPEATED:
        text = f"list of {_plain(field)}"
    else:
        text = _plain(field)
    if field.HasField("oneof_index") and not field.proto3_optional:
        text += f", one of `{message.oneof_decl[field.oneof_index].name}`"
    behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
    return f"{text}, required" if field_behavior_pb2.REQUIRED in behaviors else text


def _plain(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type in {Field.TYPE_MESSAGE, Field.TYPE_ENUM}:
        return _link(field.type_name)
    return Field.Type.Name(field.type).removeprefix("TYPE_").lower()


def http_page(openapi: Schema) -> str:
    """The page of the endpoints that are no RPCs, and of their schemas."""
    return "\n".join([_HTTP, *_endpoints(openapi), *_schemas(openapi["components"]["schemas"])])


def _endpoints(openapi: Schema) -> Iterator[str]:
    tags: dict[str, list[tuple[str, str, Schema]]] = {}
    for path, methods in openapi["paths"].items():
        if not path.startswith(f"/{PACKAGE}."):
            for method, operation in methods.items():
                tags.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    for tag, operations in tags.items():
        yield f"## {tag.capitalize()}\n"
        for method, path, operation in operations:
            yield f"### `{method} {path}` {{: #{operation['operationId']} }}\n"
            yield f"{operation['summary']}.\n"
            yield f"{operation.get('description', '')}\n"
            yield from _table(
                ("parameter", "in", "type", "meaning"),
                [
                    (
                        f"`{one['name']}`",
                        one["in"],
                        _shown(one["schema"]) + (", required" if one.get("required") else ""),
                        _one_line(one.get("description", "")),
                    )
                    for one in operation.get("parameters", ())
                ],
            )
            if body := operation.get("requestBody"):
                (media,) = body["content"].values()
                if "properties" in media["schema"]:
                    yield "The body is a JSON object:\n"
                    yield from _members(media["schema"])
                else:
                    yield f"The body is JSON: {_shown(media['schema'])}.\n"
            yield from _table(
                ("status", "answer", "meaning"),
                [
                    (status, _content(answer), _one_line(answer["description"]))
                    for status, answer in sorted(operation["responses"].items())
                ],
            )


def _content(answer: Schema) -> str:
    """The schema of an answer, or its media type where that says more."""
    for media_type, media in answer.get("content", {}).items():
        return _shown(media["schema"]) if media_type == "application/json" else f"`{media_type}`"
    return ""


def _schemas(schemas: Schema) -> Iterator[str]:
    yield "## Schemas\n"
    for name, schema in schemas.items():
        if name.startswith(f"{PACKAGE}."):
            continue
        yield f"### {name} {{: #{name} }}\n"
        yield schema.get("description", "") + "\n"
        yield from _members(schema)
        if "properties" not in schema:
            yield f"{_shown(schema)}\n"


def _members(schema: Schema) -> Iterator[str]:
    """The members of an object, if the schema itself says what it holds."""
    required = set(schema.get("required", ()))
    rows = [
        (
            f"`{name}`",
            _shown(one) + (", required" if name in required else ""),
            _one_line(one.get("description", "")),
        )
        for name, one in schema.get("properties", {}).items()
    ]
    yield from _table(("member", "type", "meaning"), rows)


def _shown(schema: Schema) -> str:
    """The type that a schema allows, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        page = "rpcs.md" if name.startswith(f"{PACKAGE}.") else ""
        name = name.removeprefix(f"{PACKAGE}.")
        return f"[{name}]({page}#{name})"
    for several, word in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if several in schema:
            return word.join(_shown(one) for one in schema[several])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(kind)
    if "properties" in schema:
        members = (f"`{name}`: {_shown(one)}" for name, one in schema["properties"].items())
        return f"{kind} ({', '.join(members)})"
    if kind == "array":
        return f"list of {_shown(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table, if it has rows, without a last column that is empty."""
    if rows:
        if not any(row[-1] for row in rows):
            head, rows = head[:-1], [row[:-1] for row in rows]
        for row in (head, ["---"] * len(head), *rows):
            cells = (cell.replace("|", "\\|") for cell in row)
            yield f"| {' | '.join(cells)} |"
        yield ""


def main() -> None:
    """Reads the set that the first argument names and writes into the folder of the second."""
    protos = CommentedProtos(Path(sys.argv[1]))
    folder = Path(sys.argv[2])
    (folder / "rpcs.md").write_text(ProtoPage(protos).text())
    (folder / "http.md").write_text(http_page(json.loads(document())))


if __name__ == "__main__":
    main()
