"""Reading the JSON bodies of the compatible API, and checking them."""

import json
from collections.abc import Mapping
from typing import Any

from cost_insights.api.reading import Checks
from cost_insights.errors import FieldFault


class Body:
    """The fields of a body that is a JSON object; faults are collected, so that all are named at
    once. Fields that nobody asks for are ignored."""

    def __init__(self, content: bytes) -> None:
        self.checks = Checks()
        self._fields: Mapping[str, Any] = {}
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            self._fields = fields
        else:
            self.fault("", "MALFORMED_REQUEST", "the body is not a JSON object")

    def finish(self) -> None:
        """Raises InvalidRequestError if there is any fault."""
        self.checks.finish()

    def text(
        self, name: str, *, chars_min: int, chars_max: int, stripped: bool = False
    ) -> str | None:
        """The value of a text field; None if it is absent or null."""
        value = self._fields.get(name)
        if value is None:
            return None
        return self._text(name, value, chars_min, chars_max, stripped=stripped)

    def is_null(self, name: str) -> bool:
        """Whether a field is present and null."""
        return name in self._fields and self._fields[name] is None

    def required(self, name: str, *, chars_min: int, chars_max: int) -> str:
        """The value of a required field."""
        value = self.text(name, chars_min=chars_min, chars_max=chars_max)
        if value is None and not self.checks.faults:
            self.fault(name, "FIELD_REQUIRED", f"{name} is absent; it is required")
        return value or ""

    def texts(self, name: str, *, values_max: int, chars_max: int) -> tuple[str, ...] | None:
        """The values of a field that is an array of texts; None if it is absent or null."""
        values = self._fields.get(name)
        if values is None:
            return None
        if not isinstance(values, list):
            self.fault(name, "TEXT_MALFORMED", f"{_shown(values)} is not an array", _shown(values))
            return ()
        return tuple(
            self._text(f"{name}[{place}]", one, 1, chars_max, stripped=False)
            for place, one in enumerate(self.checks.values(name, values, values_max=values_max))
        )

    def _text(
        self, path: str, value: Any, chars_min: int, chars_max: int, *, stripped: bool
    ) -> str:
        if not isinstance(value, str) or any("\ud800" <= one <= "\udfff" for one in value):
            self.fault(path, "TEXT_MALFORMED", f"{_shown(value)} is not a text", _shown(value))
            return ""
        text = value.strip() if stripped else value
        if len(text) < chars_min:
            message = f"the text has {len(text)} characters; at least {chars_min} are needed"
            self.fault(path, "TEXT_MALFORMED", message, text)
        return self.checks.text(path, text, chars_max=chars_max)

    def fault(self, path: str, reason: str, message: str, value: str = "") -> None:
        """Adds a fault of a field."""
        self.checks.faults.append(FieldFault(path, reason, message, value[:64]))


def _shown(value: Any) -> str:
    return json.dumps(value)[:64]
