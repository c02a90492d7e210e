"""The parameters, bodies and answers of the compatible API, as schemas of OpenAPI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cost_insights.metrics import METRICS, Interval, MetricType

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Description:
    """The description of an endpoint: its parameters, body and answer."""

    summary: str
    tag: str
    words: str = ""
    parameters: Sequence[Schema] = ()
    body: Schema | None = None
    answer: Schema | None = None
    """The schema of the answer; None where it has no content."""

    status: int = 200
    media_type: str = "application/json"
    errors: Sequence[int] = field(default=(422,))
    """The error statuses of the endpoint, besides those that every endpoint has."""


def _parameter(name: str, words: str, schema: Schema, *, required: bool = False) -> Schema:
    return {
        "name": name,
        "in": "query",
        "description": words,
        "required": required,
        "schema": schema,
    }


def _many(name: str, words: str, items: Schema | None = None) -> Schema:
    """A parameter that may be repeated."""
    schema = {"type": "array", "items": items or _TEXT, "maxItems": 1_000}
    return {**_parameter(name, words, schema), "style": "form", "explode": True}


def _object(required: Sequence[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _list_of(items: Schema) -> Schema:
    return _object(
        ["items", "pagination"],
        items={"type": "array", "items": items},
        pagination=_reference("Pagination"),
    )


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


_TEXT: Final[Schema] = {"type": "string", "maxLength": 256}
_ID: Final[Schema] = {"type": "string", "format": "uuid"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_DATE: Final[Schema] = {"type": "string", "format": "date"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_METRIC_TYPES: Final = [kind.value for kind in MetricType]

_ORGANIZATION: Final = _many(
    "organization_id", "The organization of the access token; no other is allowed."
)
_PAGE: Final = (
    _parameter(
        "page",
        "The number of the page.",
        {"type": "integer", "minimum": 1, "maximum": 1_000_000_000, "default": 1},
    ),
    _parameter(
        "limit",
        "The size of a page; more than 100 means 100.",
        {"type": "integer", "minimum": 1, "maximum": 1_000_000_000, "default": 10},
    ),
)

_CUSTOMERS: Final = (
    _many("customer_id", "Events of these customers, by id or by the caller's own identifiers."),
    _many("external_customer_id", "Events of these customers, by the caller's own identifiers."),
)
_SOURCE: Final = _many(
    "source",
    "System events are recorded as revenue, and no event is stored of them.",
    {"type": "string", "enum": ["user", "system"]},
)
_PARENT: Final = _parameter(
    "parent_id", "The children of this event, by its id or its external id.", _TEXT
)

_EVENTS: Final = (
    *_PAGE,
    _parameter("start_timestamp", "Events after this time, with its offset.", _TIME),
    _parameter("end_timestamp", "Events before this time, with its offset.", _TIME),
    *_CUSTOMERS,
    _many("name", "Events with these names."),
    _SOURCE,
    _parameter("event_type_id", "Events of this type.", _TEXT),
    _parameter(
        "query",
        "A text in the name, the external id of the event or the customer, or the metadata; ASCII "
        "letters match in any case.",
        {"type": "string", "minLength": 3, "maxLength": 256},
    ),
    _PARENT,
    _parameter(
        "depth",
        "The number of levels below the parent; without one, of ancestors at most.",
        {"type": "integer", "minimum": 0, "maximum": 5},
    ),
    {
        **_parameter(
            "metadata",
            "Values of properties, as in `metadata[feature]=chat`: any value of a key, all keys.",
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
        "style": "deepObject",
        "explode": True,
    },
    _parameter(
        "filter",
        'JSON such as `{"conjunction": "and", "clauses": [{"property": "_cost.amount", '
        '"operator": "gt", "value": "0.1"}]}`. Operators are eq, ne, gt, gte, lt, lte, like and '
        "not_like; a clause may be a filter itself.",
        {"type": "string", "maxLength": 16_384},
    ),
    _many(
        "aggregate_fields",
        "Properties whose sums over the event and its descendants take the place of its own.",
        {"type": "string", "pattern": "^[a-zA-Z0-9_.]{1,255}$"},
    ),
    _parameter(
        "sorting",
        "The latest first, or the earliest.",
        {"type": "string", "enum": ["-timestamp", "timestamp"], "default": "-timestamp"},
    ),
    _parameter(
        "cursor_pagination",
        "Whether the answer holds a cursor of the next page.",
        {"type": "boolean", "default": False},
    ),
    _parameter(
        "cursor", "The `next_cursor` of another page.", {"type": "string", "maxLength": 1_000}
    ),
    _ORGANIZATION,
)

_NAMES: Final = (
    *_PAGE,
    *_CUSTOMERS,
    _SOURCE,
    _parameter("query", "A text in the name, in any letter case.", _TEXT),
    _parameter(
        "sorting",
        "The order, descending after a `-`.",
        {
            "type": "string",
            "enum": [
                f"{sign}{key}"
                for key in ("name", "occurrences", "first_seen", "last_seen")
                for sign in ("", "-")
            ],
            "default": "-last_seen",
        },
    ),
    _ORGANIZATION,
)

_OF_BODIES: Final = (400, 408, 413, 415, 422)
"""The error statuses of endpoints with a body."""

_QUESTION: Final = (
    _parameter("start_date", "The first day, in `timezone`.", _DATE, required=True),
    _parameter("end_date", "The last day, included.", _DATE, required=True),
    _parameter(
        "interval",
        "The length of a period.",
        {"type": "string", "enum": [one.value for one in Interval]},
        required=True,
    ),
    _parameter(
        "timezone", "A time zone of the IANA database.", {"type": "string", "default": "UTC"}
    ),
    _many("metrics", "The metrics to answer; all of them if none is given."),
    _many("customer_id", "Only these customers, by id or by the caller's own identifiers."),
    _many("external_customer_id", "Only these customers, by the caller's own identifiers."),
    _many("product_id", "Only these products."),
    _many(
        "billing_type",
        "Only products of these billing types.",
        {"type": "string", "enum": ["one_time", "recurring"]},
    ),
    _ORGANIZATION,
)

_NUMBERS: Final[Schema] = {
    "type": "object",
    "description": "A number for each metric. Money is in cents and exact; percentages are "
    "fractions.",
    "properties": {
        slug: {"type": "number", "description": metric.display_name}
        for slug, metric in METRICS.items()
    },
}

_NAME_FIELDS: Final[Mapping[str, Schema]] = {
    "name": {"type": "string"},
    "label": {"type": "string"},
    "source": {"type": "string", "enum": ["user"]},
    "occurrences": _COUNT,
    "first_seen": _TIME,
    "last_seen": _TIME,
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "NewEventJson": {
        "type": "object",
        "description": "An event to store. It names its customer by `external_customer_id` or "
        "`customer_id`; null means absent.",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 128},
            "external_customer_id": {
                "type": ["string", "null"],
                "maxLength": 256,
                "description": "The caller's own identifier of the customer, who is registered "
                "by their first event.",
            },
            "customer_id": {
                "type": ["string", "null"],
                "maxLength": 256,
                "description": "The id of a customer. Any text but a UUID is the caller's own "
                "identifier.",
            },
            "timestamp": {
                "type": ["string", "number", "null"],
                "format": "date-time",
                "description": "RFC 3339 with an offset, or seconds since 1970; now if absent.",
            },
            "external_id": {
                "type": ["string", "null"],
                "maxLength": 256,
                "description": "The idempotency key: an event with it counts once.",
            },
            "parent_id": {
                "type": ["string", "null"],
                "maxLength": 256,
                "description": "The id or external id of the event that this one belongs to.",
            },
            "external_member_id": {"type": ["string", "null"], "maxLength": 256},
            "product_id": {"type": ["string", "null"], "maxLength": 128},
            "metadata": {
                "type": "object",
                "description": "Texts, numbers and booleans by key, and what an event cost.",
                "properties": {
                    "_cost": _object(
                        ["amount", "currency"],
                        amount={
                            "type": ["number", "string"],
                            "description": "Cents: at most 17 digits, of which 12 after the "
                            "point. More digits of a number are rounded half-even.",
                        },
                        currency={"type": "string", "description": "`usd`, in any case."},
                    ),
                    "_llm": _object(
                        ["vendor", "model", "input_tokens", "output_tokens", "total_tokens"],
                        vendor={"type": "string"},
                        model={"type": "string"},
                        input_tokens=_COUNT,
                        output_tokens=_COUNT,
                        total_tokens=_COUNT,
                        cached_input_tokens=_COUNT,
                        prompt={"type": "string"},
                        response={"type": "string"},
                    ),
                },
                "additionalProperties": {"type": ["string", "number", "boolean"]},
            },
        },
    },
    "StoredEventJson": _object(
        [
            "id",
            "timestamp",
            "organization_id",
            "customer_id",
            "customer",
            "external_customer_id",
            "label",
            "source",
            "name",
            "metadata",
        ],
        id=_ID,
        timestamp=_TIME,
        organization_id=_ID,
        customer_id=_or_null(_ID),
        customer=_reference("Customer"),
        external_customer_id={"type": ["string", "null"]},
        member_id={"type": ["string", "null"]},
        external_member_id={"type": ["string", "null"]},
        external_id={"type": ["string", "null"]},
        product_id={"type": ["string", "null"]},
        child_count=_COUNT,
        parent_id=_or_null(_ID),
        label={"type": "string"},
        source={"type": "string", "enum": ["user", "system"]},
        name={"type": "string"},
        metadata={
            "type": "object",
            "description": "As it was sent; `_cost.amount` is a text with the exact amount.",
        },
    ),
    "IngestAnswer": _object(
        ["inserted", "duplicates"],
        inserted=_COUNT,
        duplicates={
            **_COUNT,
            "description": "Events whose external id was stored already, also with other content.",
        },
        conflicts={
            "type": "array",
            "description": "The duplicates whose content differs from what is stored.",
            "items": _object(
                ["index", "external_id", "event_id"],
                index=_COUNT,
                external_id={"type": "string"},
                event_id={"type": "string"},
            ),
        },
        refused=_COUNT,
        faults_total=_COUNT,
        faults={
            "type": "array",
            "items": _object(
                ["index", "path", "reason", "message"],
                index=_COUNT,
                path={"type": "string"},
                reason={"type": "string"},
                message={"type": "string"},
            ),
        },
    ),
    "Metrics": _object(
        ["periods", "totals", "metrics"],
        periods={
            "type": "array",
            "items": {
                "allOf": [_object(["timestamp"], timestamp=_TIME), _reference("MetricNumbers")]
            },
        },
        totals=_reference("MetricNumbers"),
        metrics={
            "type": "object",
            "additionalProperties": _object(
                ["slug", "display_name", "type"],
                slug={"type": "string"},
                display_name={"type": "string"},
                type={"type": "string", "enum": _METRIC_TYPES},
            ),
        },
    ),
    "MetricNumbers": _NUMBERS,
    "MetricsLimits": _object(
        ["min_date", "intervals"],
        min_date=_DATE,
        intervals={
            "type": "object",
            "additionalProperties": _object(
                ["min_days", "max_days"], min_days=_COUNT, max_days=_COUNT
            ),
        },
    ),
    "EventName": _object(
        ["name", "label", "source", "occurrences", "first_seen", "last_seen"], **_NAME_FIELDS
    ),
    "EventType": _object(
        ["id", "created_at", "modified_at", "organization_id", *_NAME_FIELDS],
        id=_ID,
        created_at=_TIME,
        modified_at=_or_null(_TIME),
        label_property_selector={"type": ["string", "null"]},
        organization_id=_ID,
        **_NAME_FIELDS,
    ),
    "Dashboard": _object(
        ["id", "created_at", "modified_at", "name", "metrics", "organization_id"],
        id=_ID,
        created_at=_TIME,
        modified_at=_or_null(_TIME),
        name={"type": "string"},
        metrics={"type": "array", "items": {"type": "string"}},
        organization_id=_ID,
    ),
    "Customer": {
        **_object(
            ["id", "created_at", "external_id", "email", "organization_id", "avatar_url"],
            id=_ID,
            created_at=_TIME,
            external_id={"type": "string"},
            email={"type": "string"},
            organization_id=_ID,
            avatar_url={"type": "string"},
        ),
        "description": "Nothing but the external id is kept of a customer: `email` and "
        "`avatar_url` are made up, under a domain that does not exist.",
    },
    "Pagination": _object(
        ["total_count", "max_page", "has_next_page"],
        total_count=_COUNT,
        max_page=_COUNT,
        has_next_page={"type": "boolean"},
        next_cursor={"type": ["string", "null"]},
    ),
    "ValidationError": {
        **_object(
            ["error", "detail"],
            error={"type": "string", "const": "RequestValidationError"},
            detail={
                "type": "array",
                "minItems": 1,
                "items": _object(
                    ["type", "loc", "msg"],
                    type={"type": "string"},
                    loc={"type": "array", "items": {"type": ["string", "integer"]}},
                    msg={"type": "string"},
                    input={"type": "string"},
                ),
            },
        ),
        "description": "Every fault of the request, each with its place.",
    },
    "Error": {
        **_object(
            ["detail"],
            error={"type": "string"},
            error_description={"type": "string"},
            detail={"type": "string"},
        ),
        "description": "What went wrong, and what to do.",
    },
}
"""The schemas that descriptions refer to."""

_DASHBOARD: Final[Mapping[str, Schema]] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 256},
    "metrics": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 128},
        "maxItems": 10,
    },
}

DESCRIPTIONS: Final[Mapping[str, Description]] = {
    "events.ingest": Description(
        "Stores events, all of them or none",
        "events",
        "Once this answers, the events are on disk and every answer contains them. Safe to repeat: "
        "an event with an `external_id` that is stored is counted in `duplicates`. With "
        "`accept_valid` the valid events are stored although others are malformed. Bodies may be "
        "compressed by gzip or zstd.",
        body=_object(
            ["events"],
            events={"type": "array", "items": _reference("NewEventJson")},
            accept_valid={"type": "boolean"},
        ),
        answer=_reference("IngestAnswer"),
        errors=(400, 408, 413, 415, 422, 429),
    ),
    "events.get": Description(
        "Returns one event",
        "events",
        answer=_reference("StoredEventJson"),
        errors=(404,),
    ),
    "events.list": Description(
        "Lists events",
        "events",
        "`total_count` is exact where only times, names and customers are chosen, else at least so "
        "great.",
        parameters=_EVENTS,
        answer=_list_of(_reference("StoredEventJson")),
        errors=(422, 504),
    ),
    "events.names": Description(
        "Lists the names of events",
        "events",
        parameters=_NAMES,
        answer=_list_of(_reference("EventName")),
        errors=(422, 504),
    ),
    "event_types.list": Description(
        "Lists the names of events with their labels",
        "events",
        parameters=(
            *_NAMES,
            _PARENT,
            _parameter(
                "root_events",
                "Whether only events without a parent count.",
                {"type": "boolean", "default": False},
            ),
        ),
        answer=_list_of(_reference("EventType")),
        errors=(422, 504),
    ),
    "event_types.change": Description(
        "Changes the label of a name of events",
        "events",
        body=_object(
            [],
            label={"type": ["string", "null"], "minLength": 1, "maxLength": 128},
            label_property_selector={
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": 256,
                "description": "The property of an event that is its label, if it is a text.",
            },
        ),
        answer=_reference("EventType"),
        errors=(*_OF_BODIES, 404, 429, 504),
    ),
    "dashboards.list": Description(
        "Lists the saved dashboards",
        "metrics",
        parameters=(_ORGANIZATION,),
        answer={"type": "array", "items": _reference("Dashboard")},
    ),
    "dashboards.create": Description(
        "Saves a dashboard",
        "metrics",
        "Slugs are not looked at.",
        body=_object(["name"], **_DASHBOARD),
        answer=_reference("Dashboard"),
        status=201,
        errors=(*_OF_BODIES, 429),
    ),
    "dashboards.get": Description(
        "Returns a saved dashboard",
        "metrics",
        answer=_reference("Dashboard"),
        errors=(404,),
    ),
    "dashboards.change": Description(
        "Changes a saved dashboard",
        "metrics",
        body=_object([], **_DASHBOARD),
        answer=_reference("Dashboard"),
        errors=(*_OF_BODIES, 404, 429),
    ),
    "dashboards.delete": Description(
        "Deletes a saved dashboard", "metrics", status=204, errors=(404, 429)
    ),
    "customers.list": Description(
        "Lists customers",
        "customers",
        parameters=(
            *_PAGE,
            {
                **_many("external_id", "Only these, by the caller's own identifiers."),
                "schema": {"type": "array", "items": _TEXT, "maxItems": 100},
            },
            _ORGANIZATION,
        ),
        answer=_list_of(_reference("Customer")),
    ),
    "customers.create": Description(
        "Registers a customer, unless there is one with the external id",
        "customers",
        "Events register customers too. Fields but `external_id` are not kept.",
        body=_object(
            ["external_id"], external_id={"type": "string", "minLength": 1, "maxLength": 256}
        ),
        answer=_reference("Customer"),
        status=201,
        errors=(*_OF_BODIES, 429),
    ),
    "customers.get_external": Description(
        "Returns the customer with an external id",
        "customers",
        answer=_reference("Customer"),
        errors=(404,),
    ),
    "customers.get": Description(
        "Returns a customer", "customers", answer=_reference("Customer"), errors=(404,)
    ),
    "metrics.get": Description(
        "Returns metrics per period and in total",
        "metrics",
        parameters=_QUESTION,
        answer=_reference("Metrics"),
        errors=(422, 504),
    ),
    "metrics.limits": Description(
        "Returns the longest span of each interval",
        "metrics",
        answer=_reference("MetricsLimits"),
        errors=(),
    ),
    "metrics.export": Description(
        "Returns metrics per period as CSV",
        "metrics",
        parameters=_QUESTION,
        answer={"type": "string"},
        media_type="text/csv",
        errors=(422, 504),
    ),
}
"""The description of every endpoint, by its name."""
