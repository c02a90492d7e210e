"""The vectors that Rust and Python share."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> list[Any]:
    """The lines of a file of vectors, each with a name to show."""
    lines = (FOLDER / name).read_text().splitlines()
    assert lines
    return [
        pytest.param(case, id=case["why"]) for case in (json.loads(line) for line in lines if line)
    ]
