"""A recorded history: several processes ingest and ask at once while services are killed, and every
answer holds what was acknowledged before its question was sent, and nothing that was never sent."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from cost_insights.store import Store
from tests.reference.history import Answer, Batch, violations
from tests.support.databases import Databases
from tests.support.history import clients, recorded
from tests.support.processes import ServiceProcess
from tests.support.segments import checked

SECONDS = 8.0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], scope="module")
def test_a_recorded_history(databases: Databases, tmp_path: Path, engine: str) -> None:
    """Answers are possible, whoever asks, also while a service is killed and comes back; with
    PostgreSQL two services share the database."""
    with databases.fresh(engine) as url, ExitStack() as stack:
        services = []
        for number in range(1 if engine == "sqlite" else 2):
            folder = tmp_path / str(number)
            folder.mkdir()
            services.append(stack.enter_context(closing(ServiceProcess(url, folder))))
            services[-1].start()
            services[-1].wait_until_serving()
        processes = [
            process
            for number, service in enumerate(services)
            for process in clients(
                service.address, f"client {number}", writers=2, readers=2, seconds=SECONDS
            )
        ]
        for _ in range(2):
            time.sleep(SECONDS / 3)
            services[0].end(signal.SIGKILL)
            services[0].start()
            services[0].wait_until_serving()
        batches, answers = recorded(processes)
        assert list(violations(batches, answers)) == []
        assert min(len(of_writer) for of_writer in batches.values()) > 3
        assert len(answers) > 10
        for service in services:
            assert service.end(signal.SIGTERM) == 0
        with closing(Store(url)) as store:
            assert checked(store).is_right


BATCHES = {
    "a": [Batch(5, 0.0, 1.0), Batch(7, 2.0, 3.0), Batch(11, 4.0, None)],
    "b": [Batch(1, 0.0, 9.0)],
}
ANSWER = Answer(3.5, 5.0, {"a": 12})

IMPOSSIBLE = [
    ([replace(ANSWER, costs={"a": 13})], "a: no batches add up to 13"),
    ([replace(ANSWER, costs={"a": 5})], "a: 1 batches shown after 2 were acknowledged"),
    ([replace(ANSWER, answered=3.9, costs={"a": 23})], "a: 3 batches shown before more than 2"),
    ([replace(ANSWER, costs={"a": 12, "c": 1})], "c: never sent anything, but has costs"),
    (
        [Answer(3.5, 5.0, {"a": 23}), Answer(5.5, 6.0, {"a": 12})],
        "a: 2 batches shown after an answer had shown 3",
    ),
]


@pytest.mark.parametrize(("answers", "words"), IMPOSSIBLE)
def test_impossible_answers_are_found(answers: list[Answer], words: str) -> None:
    """The model refuses answers that lack, repeat, foresee or take back something."""
    (found,) = violations(BATCHES, answers)
    assert found.startswith(words)


def possible() -> Iterator[list[Answer]]:
    """Answers while batches are under way."""
    yield []
    yield [ANSWER]
    yield [replace(ANSWER, costs={"a": 23, "b": 1})]
    # Of two questions at once either may be earlier.
    yield [Answer(3.5, 6.0, {"a": 23}), Answer(5.0, 7.0, {"a": 12})]
    yield [Answer(0.5, 0.6, {})]


@pytest.mark.parametrize("answers", list(possible()))
def test_possible_answers_are_accepted(answers: list[Answer]) -> None:
    """What is sent and not yet acknowledged may be in an answer or not."""
    assert list(violations(BATCHES, answers)) == []
