"""Callers that use both doors as one organization."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.service import Caller


@dataclass(frozen=True)
class Member:
    """Someone who calls as one organization through both doors, with every scope."""

    http: httpx.Client
    grpc: Caller

    def get(self, path: str, **parameters: Any) -> Any:
        """The content of an answer that is no error."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def faults(self, path: str, **parameters: Any) -> list[tuple[list[str | int], str]]:
        """Where and what the faults of a refused question are."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"] == "RequestValidationError"
        return [(one["loc"], one["msg"]) for one in answer.json()["detail"]]
