"""Calls the compatible API with an SDK of Python, as it is published.

    python sdk.py MODULE

MODULE is what a program would import: `polar.v2026_10` or `polar_sdk`. Each line of standard
input is a call: {"url", "token", "call", "arguments"}, where names and times are those of HTTP;
they are turned into what the SDK takes. Prints a line for each: {"answer"}, or {"error"} with
what the SDK raised.

Runs in an environment of its own, which holds the SDK and nothing of the service.
"""

import dataclasses
import importlib
import json
import sys
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

MODULE = sys.argv[1]
sdk = importlib.import_module(MODULE)


def called_1(step: Mapping[str, Any]) -> Any:
    """The answer by version 1: names are those of HTTP, and times are text."""
    given = step["arguments"]
    with sdk.Polar(step["token"], base_url=step["url"]) as client:
        match step["call"]:
            case "customers.every":
                return list(client.customers.iter_list(**given))
            case "event_types.every":
                return list(client.event_types.iter_list(**given))
            case "events.every_name":
                return list(client.events.iter_list_names(**given))
            case call:
                return method(client, call)(**given)


def called_0(step: Mapping[str, Any]) -> Any:
    """The answer by version 0.x: times are dates, bodies stand apart, and some lists are pages."""
    given = {key: taken_0(key, value) for key, value in step["arguments"].items()}
    with sdk.Polar(access_token=step["token"], server_url=step["url"]) as client:
        match step["call"]:
            case "customers.every":
                return every_item(client.customers.list(**given))
            case "event_types.every":
                return every_item(client.event_types.list(**given))
            case "events.every_name":
                return every_item(client.events.list_names(**given))
            case "events.list":
                return client.events.list(**renamed(given, "filter", "filter_"))
            case "events.ingest" | "customers.create" | "metrics.create_dashboard" as call:
                return method(client, call)(request=given)
            case "event_types.update":
                return client.event_types.update(id=given.pop("id"), event_type_update=given)
            case "metrics.update_dashboard":
                dashboard_id = given.pop("id")
                return client.metrics.update_dashboard(
                    id=dashboard_id, metric_dashboard_update=given
                )
            case call:
                answer = method(client, call)(**given)
                return getattr(answer, "result", answer)


def method(client: Any, call: str) -> Any:
    """The method of a call such as `events.list`."""
    service, name = call.split(".")
    return getattr(getattr(client, service), name)


def taken_0(key: str, value: Any) -> Any:
    """An argument as version 0.x takes it."""
    match key:
        case "start_timestamp" | "end_timestamp":
            return datetime.fromisoformat(value)
        case "start_date" | "end_date":
            return date.fromisoformat(value)
        case _:
            return value


def renamed(given: Mapping[str, Any], name: str, other: str) -> Mapping[str, Any]:
    """The arguments, one of them under another name."""
    return {other if key == name else key: value for key, value in given.items()}


def every_item(page: Any) -> list[Any]:
    """The items of this page and of all that follow it."""
    items: list[Any] = []
    while page is not None:
        items += page.result.items
        page = page.next()
    return items


def plain(value: Any) -> Any:
    """What the SDK made of an answer, as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def raised(error: Exception) -> Mapping[str, Any]:
    """What is to be read of an error."""
    body = plain(getattr(error, "error", getattr(error, "body", None)))
    typed = getattr(error, "data", body)
    headers = getattr(error, "headers", {})
    return {
        "class": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "body": body,
        "detail": plain(typed).get("detail") if not isinstance(typed, str | None) else None,
        "retry_after": getattr(error, "retry_after", headers.get("retry-after")),
    }


def outcome(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer or the error of a call."""
    try:
        return {"answer": plain(called_0(step) if MODULE == "polar_sdk" else called_1(step))}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what the test looks at
        return {"error": raised(error)}


for line in sys.stdin:
    print(json.dumps(outcome(json.loads(line))), flush=True)
