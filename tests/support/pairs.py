"""The requests of `proto/examples`, each with its answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[2] / "proto" / "examples"


@dataclass(frozen=True)
class Pair:
    """A request and its answer, of a service that holds nothing but what was sent before."""

    name: str
    method: str
    """The full name of the RPC, such as `cost_insights.v1.EventService/IngestEvents`."""

    answer: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    """The `google.rpc.Status` of a request that is refused."""

    after: Sequence[str] = field(default_factory=list)
    """The names of requests to send before this one."""

    @property
    def path(self) -> Path:
        """The file of the request."""
        return _FOLDER / f"{self.name}.json"


def _pair(path: Path) -> Pair:
    name = str(path.relative_to(_FOLDER / "answers").with_suffix(""))
    return Pair(name, **json.loads(path.read_text()))


PAIRS = {pair.name: pair for pair in map(_pair, sorted((_FOLDER / "answers").rglob("*.json")))}

REQUESTS = frozenset(
    str(path.relative_to(_FOLDER).with_suffix(""))
    for path in _FOLDER.rglob("*.json")
    if not path.is_relative_to(_FOLDER / "answers")
)


def without_ids(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer without the UUIDs of customers, which differ from organization to organization."""
    groups = [
        {key: value for key, value in group.items() if key != "customer_id"}
        for group in answer.get("groups", [])
    ]
    return {**answer, "groups": groups} if groups else answer
