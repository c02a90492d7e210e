"""Whether recorded answers are possible: a model of what a service may answer to whom and when.

Each writer sends its events one batch after the other, with costs above zero, and goes on only when
a batch is acknowledged. So what is stored of a writer is always the first of its batches, and the
sum of their costs tells how many. All processes read one clock.
"""

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate


@dataclass(frozen=True)
class Batch:
    """A batch of one writer that was sent, perhaps several times."""

    cost: int
    sent: float
    """The time before it was sent first."""

    acknowledged: float | None
    """The time after it was acknowledged first; None if it never was."""


@dataclass(frozen=True)
class Answer:
    """An answer to a question for the costs of each writer."""

    asked: float
    """The time before the question was sent."""

    answered: float
    costs: Mapping[str, int]


@dataclass
class _Writer:
    batches: Sequence[Batch]
    sums: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.sums = [0, *accumulate(batch.cost for batch in self.batches)]

    def count(self, cost: int) -> int | None:
        """The number of batches whose costs add up to this; None if no number does."""
        place = bisect.bisect_left(self.sums, cost)
        return place if place < len(self.sums) and self.sums[place] == cost else None

    def acknowledged(self, before: float) -> int:
        """The number of batches that were acknowledged before a time."""
        return sum(
            one.acknowledged is not None and one.acknowledged < before for one in self.batches
        )

    def sent(self, before: float) -> int:
        """The number of batches that were sent before a time."""
        return sum(one.sent < before for one in self.batches)


def violations(batches: Mapping[str, Sequence[Batch]], answers: Iterable[Answer]) -> Iterator[str]:
    """What is wrong with the answers, in words; nothing if a service that loses nothing, counts
    nothing twice and shows what it has acknowledged could have given them."""
    writers = {name: _Writer(of_writer) for name, of_writer in batches.items()}
    counts: list[tuple[Answer, dict[str, int]]] = []
    for answer in answers:
        for unknown in answer.costs.keys() - writers.keys():
            yield f"{unknown}: never sent anything, but has costs"
        seen: dict[str, int] = {}
        for name, writer in writers.items():
            cost = answer.costs.get(name, 0)
            count = writer.count(cost)
            if count is None:
                yield f"{name}: no batches add up to {cost}"
                continue
            seen[name] = count
            least, most = writer.acknowledged(answer.asked), writer.sent(answer.answered)
            if count < least:
                yield f"{name}: {count} batches shown after {least} were acknowledged"
            if count > most:
                yield f"{name}: {count} batches shown before more than {most} were sent"
        counts.append((answer, seen))
    yield from _steps_back(counts)


def _steps_back(counts: Sequence[tuple[Answer, Mapping[str, int]]]) -> Iterator[str]:
    """Whatever one answer has shown, each question that is asked later must find, whoever asks."""
    by_end = sorted(counts, key=lambda one: one[0].answered)
    shown: dict[str, int] = {}
    place = 0
    for answer, seen in sorted(counts, key=lambda one: one[0].asked):
        while place < len(by_end) and by_end[place][0].answered < answer.asked:
            for name, count in by_end[place][1].items():
                shown[name] = max(shown.get(name, 0), count)
            place += 1
        for name, count in seen.items():
            if count < shown.get(name, 0):
                yield f"{name}: {count} batches shown after an answer had shown {shown[name]}"
