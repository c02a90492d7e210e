"""Lines of JSON become events without losing a digit, or a fault that names the place."""

import json
from decimal import Decimal

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.files.ndjson import (
    DEPTH_MAX,
    LINE_BYTES_MAX,
    LINE_TOO_LONG,
    LineFault,
    Lines,
    Record,
    read_event,
    read_records,
)
from cost_insights.v1.event_pb2 import NewEvent


def read(line: str | bytes) -> NewEvent:
    """The event of a line that is one."""
    event = read_event(line.encode() if isinstance(line, str) else line)
    assert isinstance(event, NewEvent), event
    return event


def fault(line: str | bytes) -> LineFault:
    """The fault of a line that is no event."""
    found = read_event(line.encode() if isinstance(line, str) else line)
    assert isinstance(found, LineFault), found
    return found


def test_reads_every_field() -> None:
    """The documented form is read field by field, as the JSON form of the message is."""
    line = json.dumps(
        {
            "name": "llm.completion",
            "external_customer_id": "user_123",
            "timestamp": "2026-11-23T12:00:00.25+01:00",
            "external_id": "call-17",
            "parent_id": "call-16",
            "external_member_id": "member-1",
            "cost": {"amount": "0.025", "currency": "usd"},
            "llm": {
                "vendor": "openai",
                "model": "gpt-4",
                "input_tokens": 57,
                "output_tokens": 1.2e2,
                "total_tokens": "180",
                "cached_input_tokens": 0,
                "prompt": "Grüße",
                "response": "",
            },
            "product_id": "pro",
            "metadata": {"feature": "chatbot", "tokens": 1000, "streamed": True},
        }
    )
    expected = json_format.Parse(line, NewEvent())
    assert read(line) == expected
    assert read(line).timestamp.ToJsonString() == "2026-11-23T11:00:00.250Z"


def test_reads_the_other_spelling_of_the_json_form() -> None:
    """Field names in lowerCamelCase mean the same, as in every JSON form of a message."""
    line = '{"name": "x", "externalCustomerId": "u", "externalId": "e", "llm": {"inputTokens": 1}}'
    assert read(line) == json_format.Parse(line, NewEvent())


def test_null_means_absent() -> None:
    """A field that is null is absent, so that exports with empty columns can be sent."""
    assert read('{"name": "x", "cost": null, "metadata": null}') == NewEvent(name="x")


def test_customer_id_is_read() -> None:
    """The other way to name a customer sets the other field."""
    assert read('{"customer_id": "cus_abc123"}') == NewEvent(customer_id="cus_abc123")


@pytest.mark.parametrize(
    "number",
    [
        "0.025",
        "45.5",
        "0.0001",
        "0.000125",
        "99999.999999999999",
        "12345678901234567",
        "0.000000000001",
        "-0.000000000001",
        "1e-7",
        "1E+2",
        "150",
        "0.10",
        "1.5000000000000000000000000",
        "0",
        "-0",
        "9000000.01",
        "1e400",
    ],
)
def test_a_number_that_fits_keeps_its_digits(number: str) -> None:
    """A number of at most 17 digits and 12 decimals is passed on as it is written."""
    line = f'{{"metadata": {{"_cost": {{"amount": {number}, "currency": "usd"}}}}}}'
    amount = read(line).metadata.fields["_cost"].struct_value.fields["amount"]
    assert amount.WhichOneof("kind") == "string_value"
    assert amount.string_value == number
    assert read(f'{{"cost": {{"amount": {number}}}}}').cost.amount == number


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        ("0.30000000000000004", "0.3"),
        ("0.045000000000000005", "0.045"),
        ("1e-13", "0"),
        ("0.1234567890125", "0.123456789012"),
        ("0.1234567890135", "0.123456789014"),
        ("123456789.123456789", "123456789.123456789"),
    ],
)
def test_a_number_with_more_digits_is_the_double_it_stands_for(number: str, rounded: str) -> None:
    """A computed price carries noise; it goes as a double, or rounded where only text fits."""
    line = f'{{"metadata": {{"_cost": {{"amount": {number}, "currency": "usd"}}}}}}'
    amount = read(line).metadata.fields["_cost"].struct_value.fields["amount"]
    assert amount.WhichOneof("kind") == "number_value"
    assert amount.number_value == float(number)
    sent = read(f'{{"cost": {{"amount": {number}}}}}').cost.amount
    # One that is out of range is left to the service, which names it as it is written.
    assert sent == (rounded if float(number) < 9_000_000 else number)


@given(
    st.decimals(min_value=-9_000_000, max_value=9_000_000, allow_nan=False, allow_infinity=False)
)
def test_no_number_changes_its_value_on_the_way(number: Decimal) -> None:
    """A number that is passed on as text equals what was written; any other has too many digits."""
    text = str(number)
    amount = (
        read(f'{{"metadata": {{"_cost": {{"amount": {text}}}}}}}')
        .metadata.fields["_cost"]
        .struct_value.fields["amount"]
    )
    stripped = number.normalize() if number else Decimal(0)
    _, digits, exponent = stripped.as_tuple()
    assert isinstance(exponent, int)
    fits = len(digits) <= 17 and exponent >= -12
    assert amount.WhichOneof("kind") == ("string_value" if fits else "number_value")
    if fits:
        assert Decimal(amount.string_value) == number


def test_other_numbers_are_doubles() -> None:
    """Numbers elsewhere in metadata are what a Struct can hold."""
    fields = read('{"metadata": {"a": 0.1, "_cost": 7, "b": {"amount": 2}}}').metadata.fields
    assert fields["a"].number_value == 0.1
    assert fields["_cost"].number_value == 7
    assert fields["b"].struct_value.fields["amount"].number_value == 2


def test_shapes_that_are_not_allowed_reach_the_service() -> None:
    """Lists, objects and null in metadata are passed on: the service says what is wrong."""
    line = '{"metadata": {"tags": ["a", null], "nested": {"deep": [1]}, "none": null}}'
    assert read(line) == json_format.Parse(line, NewEvent())


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
        ("2026-11-23t12:00:00.5z", 1_795_435_200, 500_000_000),
        ("2026-11-23 12:00:00+00:00", 1_795_435_200, 0),
        ("2026-11-23T17:45:00+05:45", 1_795_435_200, 0),
        ("2026-11-23T08:30:00-03:30", 1_795_435_200, 0),
        ("2024-02-29T00:00:00-00:00", 1_709_164_800, 0),
        ("0001-01-01T00:00:00+23:59", -62_135_596_800 - 86_340, 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
    ],
)
def test_times_with_an_offset_are_read(text: str, seconds: int, nanos: int) -> None:
    """A time is read with any offset, down to the nanosecond; its range is the service's."""
    time = read(json.dumps({"timestamp": text})).timestamp
    assert (time.seconds, time.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00",
        "2026-11-23",
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T12:60:00Z",
        "2026-11-23T12:00:60Z",
        "2026-11-23T12:00:00.1234567890Z",
        "2026-11-23T12:00:00+24:00",
        "2026-11-23T12:00:00+00:60",
        "2026-11-23T12:00:00+000",
        "٢٠٢٦-11-23T12:00:00Z",
        "",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    """A time without an offset, or that no calendar has, is refused with an example."""
    assert fault(json.dumps({"timestamp": text})) == LineFault(
        "timestamp",
        "MALFORMED_REQUEST",
        f"{text} is not a time with an offset, such as 2026-11-23T12:00:00Z "
        "or 2026-11-23T07:00:00.5-05:00",
        text,
    )


@pytest.mark.parametrize("written", ["1795435200", '"1795435200"'])
def test_a_number_is_no_time_unless_an_option_says_so(written: str) -> None:
    """A number as a time is ambiguous, so the fault names the option that says what it counts."""
    assert fault(f'{{"timestamp": {written}}}') == LineFault(
        "timestamp",
        "MALFORMED_REQUEST",
        "1795435200 is not a time with an offset, such as 2026-11-23T12:00:00Z or "
        "2026-11-23T07:00:00.5-05:00; --timestamps reads seconds or milliseconds since 1970",
        "1795435200",
    )


KNOWN = (
    "name, external_customer_id, customer_id, timestamp, external_id, parent_id, "
    "external_member_id, cost, llm, product_id, metadata"
)


@pytest.mark.parametrize(
    ("line", "path", "reason", "message"),
    [
        ("{", "", "MALFORMED_REQUEST", ("not JSON: Expecting property name enclosed in double "
         "quotes at column 2")),
        ('{"name": "a"} {}', "", "MALFORMED_REQUEST", "not JSON: Extra data at column 15"),
        ('{"name": NaN}', "", "MALFORMED_REQUEST", "not JSON: NaN is not a number that JSON knows"),
        ('{"metadata": {"a": -Infinity}}', "", "MALFORMED_REQUEST",
         "not JSON: -Infinity is not a number that JSON knows"),
        ("[]", "", "MALFORMED_REQUEST",
         "a list is not an event; one JSON object a line is allowed"),
        ("17", "", "MALFORMED_REQUEST",
         "a number is not an event; one JSON object a line is allowed"),
        ("null", "", "MALFORMED_REQUEST",
         "null is not an event; one JSON object a line is allowed"),
        ('{"name": "a", "name": "a"}', "name", "FIELDS_CONFLICT",
         "the key occurs more than once"),
        ('{"metadata": {"_cost": {"amount": 1, "amount": 1}}}', "metadata._cost.amount",
         "FIELDS_CONFLICT", "the key occurs more than once"),
        ('{"cost": {"amount": 1, "amount": 1}}', "cost.amount", "FIELDS_CONFLICT",
         "the key occurs more than once"),
        ('{"externalId": "a", "external_id": "a"}', "external_id", "FIELDS_CONFLICT",
         "means the same as external_id, which is also given"),
        ('{"customer_id": "a", "external_customer_id": "a"}', "external_customer_id",
         "FIELDS_CONFLICT", "customer_id is also given; exactly one of the two is allowed"),
        ('{"colour": 1}', "colour", "VALUE_UNKNOWN",
         f"there is no such field; the known ones are {KNOWN}"),
        ('{"events": []}', "events", "VALUE_UNKNOWN",
         f"there is no such field; the known ones are {KNOWN}"),
        ('{"cost": {"value": 1}}', "cost.value", "VALUE_UNKNOWN",
         "there is no such field; the known ones are amount, currency"),
        ('{"llm": {"tokens": 1}}', "llm.tokens", "VALUE_UNKNOWN",
         ("there is no such field; the known ones are vendor, model, input_tokens, output_tokens, "
         "total_tokens, cached_input_tokens, prompt, response")),
        ('{"name": 5}', "name", "TYPE_UNSUPPORTED", "a number is not allowed; expected a text"),
        ('{"external_id": true}', "external_id", "TYPE_UNSUPPORTED",
         "true or false is not allowed; expected a text"),
        ('{"cost": "0.025"}', "cost", "TYPE_UNSUPPORTED",
         "a text is not allowed; expected an object"),
        ('{"cost": {"amount": [1]}}', "cost.amount", "TYPE_UNSUPPORTED",
         "a list is not allowed; expected a text or a number"),
        ('{"metadata": []}', "metadata", "TYPE_UNSUPPORTED",
         "a list is not allowed; expected an object"),
        ('{"timestamp": {"seconds": 1795435200}}', "timestamp", "TYPE_UNSUPPORTED",
         "an object is not allowed; expected a text such as 2026-11-23T12:00:00Z"),
        ('{"llm": {"input_tokens": "many"}}', "llm.input_tokens", "TYPE_UNSUPPORTED",
         "a text is not allowed; expected a whole number"),
        ('{"llm": {"input_tokens": 1.5}}', "llm.input_tokens", "NUMBER_OUT_OF_RANGE",
         "1.5 is not a whole number from 0 to 9007199254740992"),
        ('{"llm": {"input_tokens": 1e999999999}}', "llm.input_tokens", "NUMBER_OUT_OF_RANGE",
         "1e999999999 is not a whole number from 0 to 9007199254740992"),
        ('{"llm": {"input_tokens": 1e99999999999999999999}}', "llm.input_tokens",
         "NUMBER_OUT_OF_RANGE",
         "1e99999999999999999999 is not a whole number from 0 to 9007199254740992"),
        ('{"llm": {"input_tokens": 9223372036854775808}}', "llm.input_tokens",
         "NUMBER_OUT_OF_RANGE",
         "9223372036854775808 is not a whole number from 0 to 9007199254740992"),
        ('{"metadata": {"a": 1e400}}', "metadata.a", "NUMBER_OUT_OF_RANGE",
         "1e400 is further from zero than a 64-bit float reaches"),
        ('{"name": "\\ud83d"}', "name", "TEXT_MALFORMED",
         "half of a surrogate pair is not a character"),
        ('{"metadata": {"\\udc00": 1}}', "metadata", "TEXT_MALFORMED",
         "half of a surrogate pair is not a character"),
        ('{"metadata": {"a": "\\udc00"}}', "metadata.a", "TEXT_MALFORMED",
         "half of a surrogate pair is not a character"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_named(line: str, path: str, reason: str, message: str) -> None:
    """A line that no event can be made of says where, why and what is allowed."""
    found = fault(line)
    assert (found.path, found.reason, found.message) == (path, reason, message)


def test_bytes_that_are_not_utf8_are_named() -> None:
    """A line in another encoding is refused, with the first byte that is wrong."""
    assert fault(b'{"name": "caf\xe9"}') == LineFault(
        "", "TEXT_MALFORMED", "byte 14 of the line, 0xe9, is not UTF-8"
    )


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"metadata":', '{"metadata": {"a": [[['])
def test_depth_bombs_are_refused(opening: str) -> None:
    """Nesting without end takes no stack and no time."""
    found = fault(opening * 20_000)
    assert found.message == (
        f"objects and lists nest deeper than {DEPTH_MAX} levels; deeper values are not read"
    )


def test_nesting_up_to_the_limit_is_read() -> None:
    """The limit on depth counts the event and its metadata."""
    levels = DEPTH_MAX - 2
    allowed = '{"metadata": {"a": ' + "[" * levels + "]" * levels + "}}"
    assert read(allowed) == json_format.Parse(allowed, NewEvent())
    found = fault('{"metadata": {"a": [' + "[" * levels + "]" * levels + "]}}")
    assert found.path == "metadata.a" + "[0]" * levels


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(line: bytes) -> None:
    """Every line is an event or has a fault; nothing is raised."""
    assert isinstance(read_event(line), NewEvent | LineFault)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "cost", "llm", "metadata", "_cost", "amount", "vendor", "x"]),
            inner,
            max_size=5,
        )
    ),
)


@given(JSON_VALUES)
def test_any_json_has_an_answer(value: object) -> None:
    """Every line of JSON is an event or has a fault; nothing is raised."""
    assert isinstance(read_event(json.dumps(value).encode()), NewEvent | LineFault)


def cut(content: bytes, chunk_bytes: int) -> list[tuple[int, bytes | None]]:
    """The lines of some content that arrives in chunks."""
    lines = Lines()
    found: list[tuple[int, bytes | None]] = []
    for at in range(0, len(content), chunk_bytes):
        found += lines.feed(content[at : at + chunk_bytes])
    return found + list(lines.finish())


@given(st.binary(max_size=300).map(lambda b: b.replace(b"\x00", b"\n")), st.integers(1, 400))
def test_lines_do_not_depend_on_chunks(content: bytes, chunk_bytes: int) -> None:
    """Lines and their numbers are the same however the bytes arrive."""
    expected = [
        (number, line)
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
        if line and not line.isspace()
    ]
    assert cut(content, chunk_bytes) == expected


def test_line_ends_blank_lines_and_the_byte_order_mark() -> None:
    """Marks that editors and spreadsheets leave behind do no harm, and are counted."""
    assert cut(b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"b":2}', 4) == [
        (1, b'{"a":1}\r'),
        (4, b'{"b":2}'),
    ]


@pytest.mark.parametrize("chunk_bytes", [1_000_000, 300_000, 64 * 1024, 5_000_000])
def test_a_line_that_is_too_long_is_dropped_as_it_arrives(chunk_bytes: int) -> None:
    """A line may take its limit to the byte; a longer one is one fault and is not held."""
    longest = b"x" * LINE_BYTES_MAX
    content = b"\n".join([b"a", longest, longest + b"y", b"b", b"z" * (4 * LINE_BYTES_MAX), b"c"])
    assert cut(content, chunk_bytes) == [
        (1, b"a"),
        (2, longest),
        (3, None),
        (4, b"b"),
        (5, None),
        (6, b"c"),
    ]


def test_a_line_without_an_end_is_not_held() -> None:
    """Bytes without a line end do not pile up."""
    lines = Lines()
    found = [one for _ in range(64) for one in lines.feed(b"x" * 1_000_000)]
    assert found == [(1, None)]
    assert lines._rest == b""
    assert list(lines.feed(b"x\nnext\n")) == [(2, b"next")]
    assert list(lines.finish()) == []


def test_records_have_their_line_and_their_text() -> None:
    """A record keeps what stands in the file; blank lines are none; reading may begin later."""
    chunks = [b'{"name": "a"}\r\n\n{"na', b'me": "b"}\n', b"x" * (LINE_BYTES_MAX + 1), b"\n[1"]
    found = list(read_records(chunks))
    assert found == [
        Record(1, b'{"name": "a"}', NewEvent(name="a")),
        Record(3, b'{"name": "b"}', NewEvent(name="b")),
        Record(4, None, LINE_TOO_LONG),
        Record(5, b"[1", read_event(b"[1")),
    ]
    assert list(read_records(chunks, first_line=4)) == found[2:]


@pytest.mark.parametrize(
    "number",
    [
        "0", "-0", "7", "-7.5", "9007199254740992", "-9007199254740994", "1e22", "1E+3",
        "0.1", "0.30000000000000004", "0.10000000000000001", "1234567890123456.8", "5e-324",
        "123456789012345680000", "1.7976931348623157e308", "1.50000000000000000000000",
    ],
)  # fmt: skip
def test_a_number_of_metadata_that_is_a_double_is_kept(number: str) -> None:
    """A number is kept if its digits are those that a double is written with."""
    fields = read(f'{{"metadata": {{"key": {number}, "deep": [{number}]}}}}').metadata.fields
    assert fields["key"].number_value == float(number)
    assert fields["deep"].list_value.values[0].number_value == float(number)


@pytest.mark.parametrize(
    "number",
    [
        "9007199254740993", "-9007199254740993", "12345678901234567890", "1234567890123456.7",
        "3.14159265358979323846", "0.1000000000000000055511151231257827", "1e-400", "1e23456789012",
        "9007199254740993.0", "1.000000000000000000000001",
    ],
)  # fmt: skip
def test_a_number_of_metadata_that_would_change_is_refused(number: str) -> None:
    """No number becomes another one silently: the fault says what keeps its digits."""
    found = fault(f'{{"name": "x", "metadata": {{"order_ref": {number}}}}}')
    assert (found.path, found.reason, found.value) == (
        "metadata.order_ref", "NUMBER_OUT_OF_RANGE", number,
    )  # fmt: skip
    assert found.message == (
        f"{number} is further from zero than a 64-bit float reaches"
        if number == "1e23456789012"
        else f"{number} has more digits than a 64-bit float keeps; written as a text, "
        f'"{number}", it keeps them'
    )
    text = read(f'{{"name": "x", "metadata": {{"order_ref": "{number}"}}}}')
    assert text.metadata.fields["order_ref"].string_value == number


def test_a_whole_number_is_a_product() -> None:
    """A product whose id is a number is the one whose id is its digits."""
    assert read('{"product_id": 7}') == NewEvent(product_id="7")
    assert read('{"product_id": -0}') == NewEvent(product_id="0")
    for number in ("7.5", "7.0", "1e3", "9007199254740993"):
        found = fault(f'{{"product_id": {number}}}')
        assert (found.path, found.reason) == ("product_id", "TYPE_UNSUPPORTED")
        assert found.message == (
            f"the number {number} is not allowed; expected a text, or a whole number of at most "
            "15 digits"
        )
