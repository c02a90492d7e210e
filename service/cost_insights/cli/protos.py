"""The command that writes the contract of the service: protos, with everything they import."""

import importlib
import importlib.metadata
import importlib.resources
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2

import cost_insights.v1
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_FILE,
    EXIT_REFUSED,
    CommandError,
    printable,
    say,
)

app: Final = typer.Typer(add_completion=False)

_DESCRIPTOR_SET: Final = "cost_insights.binpb"
_README: Final = "README.md"


@app.command(epilog=EXIT_CODES)
def proto(
    *,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder; it is made if it does not exist.")
    ],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write into a folder that is not empty, over files of the same names. Default: "
            "refuse it.",
        ),
    ] = False,
) -> None:
    """Writes the protos with everything they import, for clients in any language.

    Beside them stand a FileDescriptorSet, cost_insights.binpb, and a README that says how to
    generate code for each language.

    Example: cost-insights proto protos

    Example: cost-insights proto --force protos
    """
    files = _contents()
    try:
        if not force and folder.is_dir() and any(folder.iterdir()):
            raise CommandError(
                f"{_shown(folder)} is not empty; name another folder, or add --force to write over "
                "files of the same names",
                exit_code=EXIT_REFUSED,
            )
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise CommandError(
            f"DIR: {_shown(folder)} cannot be written: {error.strerror}", exit_code=EXIT_FILE
        ) from None
    say(f"{_shown(folder)}: wrote {len(files)} files; how to use them is in {folder / _README}")


def _shown(folder: Path) -> str:
    return printable(str(folder))


def _contents() -> dict[str, bytes]:
    """The files to write, by name."""
    descriptors = _descriptors()
    files = {descriptor.name: _source_of(descriptor.name) for descriptor in descriptors}
    descriptor_set = FileDescriptorSet()
    for descriptor in descriptors:
        descriptor.CopyToProto(descriptor_set.file.add())
    files[_DESCRIPTOR_SET] = descriptor_set.SerializeToString(deterministic=True)
    files[_README] = (importlib.resources.files(__package__) / "protos.md").read_bytes()
    return files


def _descriptors() -> list[FileDescriptor]:
    """The protos of the service and the details of its errors, each import before its importer."""
    found: dict[str, FileDescriptor] = {}

    def visit(descriptor: FileDescriptor) -> None:
        if descriptor.name not in found:
            for imported in descriptor.dependencies:
                visit(imported)
            found[descriptor.name] = descriptor

    for module in _generated():
        visit(importlib.import_module(module).DESCRIPTOR)
    visit(error_details_pb2.DESCRIPTOR)
    return list(found.values())


def _generated() -> Iterator[str]:
    for file in sorted(importlib.resources.files(cost_insights.v1).iterdir(), key=str):
        if file.name.endswith(".proto"):
            yield f"{cost_insights.v1.__name__}.{file.name.removesuffix('.proto')}_pb2"


def _source_of(name: str) -> bytes:
    """The text of a proto, from the package that holds it."""
    ours = importlib.resources.files(cost_insights.v1)
    if name.startswith("cost_insights/v1/"):
        return (ours / name.rpartition("/")[2]).read_bytes()
    if name.startswith("google/protobuf/"):
        return (ours / "imports" / name).read_bytes()
    common = importlib.metadata.distribution("googleapis-common-protos")
    return Path(str(common.locate_file(name))).read_bytes()
