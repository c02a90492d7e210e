"""Blank text is the same in Rust, in Python and in the vectors."""

import sys
from typing import Any

import pytest

from cost_insights._native.events import is_blank
from tests.reference import decoding
from tests.support.vectors import vectors


@pytest.mark.parametrize("vector", vectors("blank.jsonl"))
def test_like_the_vectors(vector: Any) -> None:
    """Text is blank or not as its vector says, for the module and for its slow twin."""
    text, expected = vector["text"], vector["is_blank"]
    assert (is_blank(text), decoding.is_blank(text)) == (expected, expected)


def test_every_character_like_its_category() -> None:
    """Each character that Unicode has, by the categories of Python's own database."""
    surrogates = range(0xD800, 0xE000)
    differ = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if code not in surrogates and is_blank(chr(code)) != decoding.is_blank(chr(code))
    ]
    assert differ == []
