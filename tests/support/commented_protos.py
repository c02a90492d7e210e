"""The protos of the contract with their comments, from a `FileDescriptorSet` that holds these."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from google.protobuf import descriptor_pb2

PACKAGE = "cost_insights.v1"

_INDENTED = "     "
"""The start of a line of code in a comment; other lines have one space after their slashes."""


class Paragraph(NamedTuple):
    """A paragraph of a comment, in one line."""

    words: str
    is_code: bool


class CommentedProtos:
    """The files of the package, and what the comment of each of their elements says."""

    def __init__(self, path: Path) -> None:
        read = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
        self.files = [file for file in read.file if file.package == PACKAGE]
        self._comments = {
            (file.name, tuple(location.path)): location.leading_comments
            for file in self.files
            for location in file.source_code_info.location
        }

    def comment(
        self, file: descriptor_pb2.FileDescriptorProto, path: Sequence[int]
    ) -> Sequence[Paragraph]:
        """The comment of an element, which is given by its path in the descriptor of the file."""
        paragraphs = self._comments.get((file.name, tuple(path)), "").split("\n\n")
        return [
            Paragraph(words, paragraph.startswith(_INDENTED))
            for paragraph in paragraphs
            if (words := " ".join(paragraph.split()))
        ]
