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


def _described(words: str, schema: Schema) -> Schema:
    """A schema of a member, with what the member means."""
    return {**schema, "description": words}


def _list_of(items: Schema) -> Schema:
    return _object(
        ["items", "pagination"],
        items=_described("The items of the page.", {"type": "array", "items": items}),
        pagination=_described("The place of the page in the list.", _reference("Pagination")),
    )


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


_TEXT: Final[Schema] = {"type": "string", "maxLength": 256}
_STRING: Final[Schema] = {"type": "string"}
_STRING_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
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
    "name": _described("The name of the events.", _STRING),
    "label": _described("The label of the name, which is the name unless it was changed.", _STRING),
    "source": _described("Where the events come from.", {"type": "string", "enum": ["user"]}),
    "occurrences": _described("The number of events.", _COUNT),
    "first_seen": _described("The time of the earliest event.", _TIME),
    "last_seen": _described("The time of the latest event.", _TIME),
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "NewEventJson": {
        "type": "object",
        "description": "An event to store. It names its customer by `external_customer_id` or "
        "`customer_id`; null means absent.",
        "required": ["name"],
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 128,
                "description": "The kind of event, such as `llm.inference`.",
            },
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
            "external_member_id": {
                "type": ["string", "null"],
                "maxLength": 256,
                "description": "The member of the customer who acted, by the caller's own "
                "identifier.",
            },
            "product_id": {
                "type": ["string", "null"],
                "maxLength": 128,
                "description": "The product that the event was made for; `metadata.product_id` "
                "means the same.",
            },
            "metadata": {
                "type": "object",
                "description": "Texts, numbers and booleans by key, and what an event cost.",
                "properties": {
                    "_cost": _described(
                        "The cost of the event; without it the event counts as activity.",
                        _object(
                            ["amount", "currency"],
                            amount={
                                "type": ["number", "string"],
                                "description": "Cents: at most 17 digits, of which 12 after the "
                                "point. More digits of a number are rounded half-even.",
                            },
                            currency={"type": "string", "description": "`usd`, in any case."},
                        ),
                    ),
                    "_llm": _described(
                        "The LLM call that the event is about.",
                        _object(
                            ["vendor", "model", "input_tokens", "output_tokens", "total_tokens"],
                            vendor=_described("The vendor, such as `openai`.", _STRING),
                            model=_described("The model, such as `gpt-4`.", _STRING),
                            input_tokens=_described("The number of tokens of the prompt.", _COUNT),
                            output_tokens=_described(
                                "The number of tokens of the response.", _COUNT
                            ),
                            total_tokens=_described("The number of all tokens.", _COUNT),
                            cached_input_tokens=_described(
                                "The number of tokens of the prompt that came from a cache.", _COUNT
                            ),
                            prompt=_described("The prompt, kept as it is.", _STRING),
                            response=_described("The response, kept as it is.", _STRING),
                        ),
                    ),
                },
                "additionalProperties": {"type": ["string", "number", "boolean"]},
            },
        },
    },
    "StoredEventJson": {
        **_object(
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
            id=_described("The id that the service gave the event.", _ID),
            timestamp=_described("The time at which it happened.", _TIME),
            organization_id=_described("The organization that the event belongs to.", _ID),
            customer_id=_described("The id of the customer.", _or_null(_ID)),
            customer=_described("The customer.", _reference("Customer")),
            external_customer_id=_described(
                "The caller's own identifier of the customer.", _STRING_OR_NULL
            ),
            member_id=_described("Always null: members are not registered.", _STRING_OR_NULL),
            external_member_id=_described(
                "The member of the customer who acted, by the caller's own identifier.",
                _STRING_OR_NULL,
            ),
            external_id=_described("The idempotency key.", _STRING_OR_NULL),
            product_id=_described("The product that the event was made for.", _STRING_OR_NULL),
            child_count=_described("The number of direct children.", _COUNT),
            parent_id=_described("The id of the event that this one belongs to.", _or_null(_ID)),
            label=_described(
                "The label of the event's type, or the property of the event that the type names.",
                _STRING,
            ),
            source=_described(
                "Always `user`: system events are not stored as events.",
                {"type": "string", "enum": ["user", "system"]},
            ),
            name=_described("The kind of event.", _STRING),
            metadata={
                "type": "object",
                "description": "As it was sent; `_cost.amount` is a text with the exact amount.",
            },
        ),
        "description": "A stored event.",
    },
    "IngestAnswer": {
        **_object(
            ["inserted", "duplicates"],
            inserted=_described("The number of events that were stored by this request.", _COUNT),
            duplicates={
                **_COUNT,
                "description": "Events whose external id was stored already, also with other "
                "content.",
            },
            conflicts={
                "type": "array",
                "description": "The duplicates whose content differs from what is stored.",
                "items": _object(
                    ["index", "external_id", "event_id"],
                    index=_described("The place of the event in the request, from 0.", _COUNT),
                    external_id=_described("The external id of both events.", _STRING),
                    event_id=_described("The id of the stored event.", _STRING),
                ),
            },
            refused=_described("With `accept_valid`: the number of events not stored.", _COUNT),
            faults_total=_described(
                "With `accept_valid`: the number of all faults, also of those that are not listed.",
                _COUNT,
            ),
            faults={
                "type": "array",
                "description": "With `accept_valid`: what is wrong with the events not stored.",
                "items": _object(
                    ["index", "path", "reason", "message"],
                    index=_described("The place of the event in the request, from 0.", _COUNT),
                    path=_described(
                        "The field, such as `events[3].metadata._cost.amount`.", _STRING
                    ),
                    reason=_described("The reason, such as `AMOUNT_MALFORMED`.", _STRING),
                    message=_described("What is wrong and what is allowed, for people.", _STRING),
                ),
            },
        ),
        "description": "What became of the events of a request.",
    },
    "Metrics": {
        **_object(
            ["periods", "totals", "metrics"],
            periods={
                "type": "array",
                "description": "The metrics of each period, in order.",
                "items": {
                    "allOf": [
                        _object(
                            ["timestamp"],
                            timestamp=_described("The beginning of the period.", _TIME),
                        ),
                        _reference("MetricNumbers"),
                    ]
                },
            },
            totals=_described("The metrics of the whole span.", _reference("MetricNumbers")),
            metrics={
                "type": "object",
                "description": "What the answered metrics are, by slug.",
                "additionalProperties": _object(
                    ["slug", "display_name", "type"],
                    slug=_described("The name of the metric for programs.", _STRING),
                    display_name=_described("The name of the metric for people.", _STRING),
                    type=_described("What is counted.", {"type": "string", "enum": _METRIC_TYPES}),
                ),
            },
        ),
        "description": "Metrics per period and in total.",
    },
    "MetricNumbers": _NUMBERS,
    "MetricsLimits": {
        **_object(
            ["min_date", "intervals"],
            min_date=_described(
                "The earliest day worth offering; earlier ones are answered too.", _DATE
            ),
            intervals={
                "type": "object",
                "description": "The limits by interval.",
                "additionalProperties": _object(
                    ["min_days", "max_days"],
                    min_days=_described("The shortest span.", _COUNT),
                    max_days=_described("The longest span.", _COUNT),
                ),
            },
        ),
        "description": "How long spans may be.",
    },
    "EventName": {
        **_object(
            ["name", "label", "source", "occurrences", "first_seen", "last_seen"], **_NAME_FIELDS
        ),
        "description": "A name of events.",
    },
    "EventType": {
        **_object(
            ["id", "created_at", "modified_at", "organization_id", *_NAME_FIELDS],
            id=_described("The id, which follows from the organization and the name.", _ID),
            created_at=_described("The time of the earliest event.", _TIME),
            modified_at=_described(
                "The time at which the label was last changed.", _or_null(_TIME)
            ),
            label_property_selector=_described(
                "The property of an event that is its label, if it is a text.", _STRING_OR_NULL
            ),
            organization_id=_described("The organization that the type belongs to.", _ID),
            **_NAME_FIELDS,
        ),
        "description": "A name of events, with its label.",
    },
    "Dashboard": {
        **_object(
            ["id", "created_at", "modified_at", "name", "metrics", "organization_id"],
            id=_described("The id of the dashboard.", _ID),
            created_at=_described("The time at which it was saved first.", _TIME),
            modified_at=_described("The time at which it was last changed.", _or_null(_TIME)),
            name=_described("The name, for people.", _STRING),
            metrics=_described(
                "The slugs of the metrics to show.", {"type": "array", "items": {"type": "string"}}
            ),
            organization_id=_described("The organization that the dashboard belongs to.", _ID),
        ),
        "description": "A saved dashboard.",
    },
    "Customer": {
        **_object(
            ["id", "created_at", "external_id", "email", "organization_id", "avatar_url"],
            id=_described("The id that the service gave the customer.", _ID),
            created_at=_described("The time at which the customer was registered.", _TIME),
            external_id=_described("The caller's own identifier.", _STRING),
            email=_described("An address that leads nowhere.", _STRING),
            organization_id=_described("The organization that the customer belongs to.", _ID),
            avatar_url=_described("A picture that is nowhere.", _STRING),
        ),
        "description": "Nothing but the external id is kept of a customer: `email` and "
        "`avatar_url` are made up, under a domain that does not exist.",
    },
    "Pagination": {
        **_object(
            ["total_count", "max_page", "has_next_page"],
            total_count=_described("The number of items of all pages.", _COUNT),
            max_page=_described("The number of the last page.", _COUNT),
            has_next_page=_described(
                "Whether there is a page after this one.", {"type": "boolean"}
            ),
            next_cursor=_described("The `cursor` of the next page.", _STRING_OR_NULL),
        ),
        "description": "The place of a page in a list.",
    },
    "ValidationError": {
        **_object(
            ["error", "detail"],
            error=_described(
                "The kind of error.", {"type": "string", "const": "RequestValidationError"}
            ),
            detail={
                "type": "array",
                "description": "The faults.",
                "minItems": 1,
                "items": _object(
                    ["type", "loc", "msg"],
                    type=_described("The reason in small letters.", _STRING),
                    loc=_described(
                        "The path of the field, from `body` or `query` on.",
                        {"type": "array", "items": {"type": ["string", "integer"]}},
                    ),
                    msg=_described("What is wrong and what is allowed, for people.", _STRING),
                    input=_described("The value that was sent.", _STRING),
                ),
            },
        ),
        "description": "Every fault of the request, each with its place.",
    },
    "Error": {
        **_object(
            ["detail"],
            error=_described("The kind of error, such as `ResourceNotFound`.", _STRING),
            error_description=_described(
                "The same as `detail`, where a token is refused.", _STRING
            ),
            detail=_described("What went wrong, for people.", _STRING),
        ),
        "description": "What went wrong, and what to do.",
    },
}
"""The schemas that descriptions refer to."""

_DASHBOARD: Final[Mapping[str, Schema]] = {
    "name": {
        "type": "string",
        "minLength": 1,
        "maxLength": 256,
        "description": "The name, for people.",
    },
    "metrics": {
        "type": "array",
        "description": "The slugs of the metrics to show.",
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
            events=_described(
                "The events.", {"type": "array", "items": _reference("NewEventJson")}
            ),
            accept_valid=_described(
                "Whether valid events are stored although others are malformed.",
                {"type": "boolean", "default": False},
            ),
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
            label={
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": 128,
                "description": "The label, for people.",
            },
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
            ["external_id"],
            external_id={
                "type": "string",
                "minLength": 1,
                "maxLength": 256,
                "description": "The caller's own identifier.",
            },
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
