"""Lines that come over and over: the first at once, the others by their number."""

import logging
import time

import pytest

from cost_insights.logs import RepeatedLines, repeated

_log = logging.getLogger("tests.logs")


def written(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that were logged."""
    return [record.getMessage() for record in caplog.records if record.name == _log.name]


def test_what_nobody_repeats_is_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """The number of lines that were only counted is written though no other one comes."""
    lines = RepeatedLines(_log, logging.WARNING)
    for _ in range(10):
        lines.write("it rains", key="rain")
    lines.write("it snows", key="snow")
    assert written(caplog) == ["it rains", "it snows"]
    until = time.monotonic() + 10
    while len(written(caplog)) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    assert written(caplog)[2].startswith("it rains (9 more in ")
    lines.close()
    assert len(written(caplog)) == 3


def test_kinds_are_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number of kinds all others are one kind, and every line is counted."""
    monkeypatch.setattr(repeated, "_KEYS_MAX", 3)
    lines = RepeatedLines(_log, logging.WARNING)
    for number in range(10):
        lines.write(f"kind {number}", key=number)
    lines.close()
    *first, others, more = written(caplog)
    assert first == ["kind 0", "kind 1", "kind 2"]
    assert others == "much more than can be told apart"
    assert more.startswith(f"{others} (6 more in ")
