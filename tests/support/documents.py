"""Documents, whose blocks of code tests run."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """A block of code."""

    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    """The blocks of code of a document, also those in lists, in order."""
    found = re.findall(
        r"^( *)```(\w+)\n(.*?)^ *```$", document.read_text(), re.MULTILINE | re.DOTALL
    )
    return [
        Block(language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, text in found
    ]
