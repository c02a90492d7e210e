"""CSV becomes the events that its header names, and what cannot become one is named."""

import csv
import io
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.files.csv_records import (
    KNOWN_COLUMNS,
    RECORD_BYTES_MAX,
    HeaderError,
    read_records,
)
from cost_insights.files.ndjson import LineFault, Record
from cost_insights.v1.event_pb2 import NewEvent

FIELD = Path(__file__).parents[1] / "vectors" / "field"


def records(*chunks: bytes | str, first_line: int = 1) -> list[Record]:
    """All records of a file that comes in these pieces."""
    pieces = (chunk.encode() if isinstance(chunk, str) else chunk for chunk in chunks)
    return list(read_records(pieces, first_line=first_line))


def as_json(record: Record) -> dict[str, object]:
    """The event of a record in the documented form."""
    assert isinstance(record.event, NewEvent), record.event
    return json_format.MessageToDict(record.event, preserving_proto_field_name=True)


def fault(record: Record) -> tuple[int, str, str, str]:
    """The faults of a record."""
    assert isinstance(record.event, LineFault)
    return record.line, record.event.path, record.event.reason, record.event.message


def test_every_column() -> None:
    """Each column fills the field that it is named after; amounts keep their digits."""
    (record,) = records(
        "name,external_customer_id,customer_id,timestamp,external_id,parent_id,external_member_id,"
        "product_id,cost.amount,cost.currency,llm.vendor,llm.model,llm.input_tokens,"
        "llm.output_tokens,llm.total_tokens,llm.cached_input_tokens,llm.prompt,llm.response,"
        "metadata.region\n"
        "llm.call,user_1,,2026-11-23T12:00:00.5+01:00,e1,p1,m1,prod,99999.999999999999,USD,"
        "openai,gpt-4,57,123,180,0,hi,there,eu\n"
    )
    assert as_json(record) == {
        "name": "llm.call",
        "external_customer_id": "user_1",
        "timestamp": "2026-11-23T11:00:00.500Z",
        "external_id": "e1",
        "parent_id": "p1",
        "external_member_id": "m1",
        "product_id": "prod",
        "cost": {"amount": "99999.999999999999", "currency": "USD"},
        "llm": {
            "vendor": "openai",
            "model": "gpt-4",
            "input_tokens": "57",
            "output_tokens": "123",
            "total_tokens": "180",
            "cached_input_tokens": "0",
            "prompt": "hi",
            "response": "there",
        },
        "metadata": {"region": "eu"},
    }
    assert len(KNOWN_COLUMNS) == 20


def test_cost_is_an_amount_of_cents() -> None:
    """The short column means usd; an empty cell means no cost; a currency alone is none."""
    short = records("name,cost\na,0.025\nb,\n")
    assert [as_json(one) for one in short] == [
        {"name": "a", "cost": {"amount": "0.025", "currency": "usd"}},
        {"name": "b"},
    ]
    long = records("name,cost.amount,cost.currency\na,1,eur\nb,2,\nc,,usd\n")
    assert [as_json(one) for one in long] == [
        {"name": "a", "cost": {"amount": "1", "currency": "eur"}},
        {"name": "b", "cost": {"amount": "2", "currency": "usd"}},
        {"name": "c"},
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("0", 0),
        ("-12.50", -12.5),
        ("1e3", 1000),
        ("123456789012345", 123456789012345),
        ("1234567890123456", "1234567890123456"),
        ("9007199254740993", "9007199254740993"),
        ("0.1234567890123456", "0.1234567890123456"),
        ("1e-99", 1e-99),
        ("0e-99", 0),
        ("007", "007"),
        ("+1", "+1"),
        ("1e400", "1e400"),
        (".5", ".5"),
        ("NaN", "NaN"),
        ("null", "null"),
        (" 1", " 1"),
        ("١", "١"),
    ],
)
def test_metadata_is_what_it_looks_like(cell: str, value: object) -> None:
    """Booleans and numbers as JSON writes them, if a float keeps all digits; all else is text."""
    (record,) = records(f"name,metadata.key\na,{cell}\n")
    assert as_json(record)["metadata"] == {"key": value}


def test_a_product_in_metadata_is_text() -> None:
    """The id of a product is text, whatever it looks like."""
    (record,) = records("name,metadata.product_id\na,17\n")
    assert as_json(record)["metadata"] == {"product_id": "17"}


def test_a_record_is_named_by_the_line_where_it_begins() -> None:
    """Quoted line ends belong to the record; blank lines are counted; so is a last line alone."""
    text = (
        "\ufeffname , metadata.note\r\n"
        'a,"one\n\ntwo ""2"""\r\n'
        "\r\n"
        'b,"x,y"\n'
        '"b"c,1\n'
        "c\n"
        "d,1,2\n"
        'e,"open'
    )
    found = records(text)
    assert [record.line for record in found] == [2, 6, 7, 8, 9, 10]
    assert as_json(found[0]) == {"name": "a", "metadata": {"note": 'one\n\ntwo "2"'}}
    assert found[0].text == b'a,"one\n\ntwo ""2"""'
    assert as_json(found[1]) == {"name": "b", "metadata": {"note": "x,y"}}
    assert [fault(record) for record in found[2:]] == [
        (7, "", "MALFORMED_REQUEST", "not CSV: ',' expected after '\"'"),
        (8, "", "MALFORMED_REQUEST", "not CSV: the row has 1 fields and the header 2"),
        (9, "", "MALFORMED_REQUEST", "not CSV: the row has 3 fields and the header 2"),
        (10, "", "MALFORMED_REQUEST", "not CSV: a quote is not closed"),
    ]
    assert [found_.line for found_ in records(text, first_line=3)] == [6, 7, 8, 9, 10]


def test_faults_carry_the_name_of_the_column() -> None:
    """A cell that cannot be in an event is a fault that names its column."""
    found = records(
        b"name,customer_id,external_customer_id,timestamp,llm.input_tokens\n"
        b"a,1,2,,\na,1,,yesterday,\na,1,,,many\n\xff,1,,,\nb,1,,,\n"
    )
    assert [fault(record)[:3] for record in found[:4]] == [
        (2, "external_customer_id", "FIELDS_CONFLICT"),
        (3, "timestamp", "MALFORMED_REQUEST"),
        (4, "llm.input_tokens", "TYPE_UNSUPPORTED"),
        (5, "", "TEXT_MALFORMED"),
    ]
    assert as_json(found[4]) == {"name": "b", "customer_id": "1"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"name,color", "line 1: there is no column 'color'; the known ones are name, "),
        (b"\n\n,name", "line 3: there is no column ''; the known ones are "),
        (b"name,metadata._cost.amount", "line 1: there is no column 'metadata._cost.amount'"),
        (b"name,metadata.", "line 1: there is no column 'metadata.'"),
        (b"name,llm", "line 1: there is no column 'llm'"),
        (b"cost,cost.amount", "line 1: the column 'cost.amount' occurs more than once"),
        (b'"name"x', "line 1: not CSV: ',' expected after '\"'"),
        (b"\x1f\x8b\x08", "line 1: byte 2 of line 1, 0x8b, is not UTF-8"),
    ],
)
def test_a_header_must_be_understood(header: bytes, message: str) -> None:
    """A file is refused unless its whole header is understood."""
    with pytest.raises(HeaderError) as refused:
        records(header + b"\na,b\n")
    assert str(refused.value).startswith(message)


def stored(found: list[Record]) -> list[int]:
    """The lines of the records that are events."""
    return [record.line for record in found if isinstance(record.event, NewEvent)]


@pytest.mark.parametrize(("file", "damaged"), [("unclosed", [5]), ("two_unclosed", [5, 102])])
def test_an_unclosed_quote_costs_its_own_line(file: str, damaged: list[int]) -> None:
    """The range of lines that is left out is named and counted, and what follows is read."""
    content = (FIELD / f"{file}.csv").read_bytes()
    found = records(content)
    assert [fault(record)[0] for record in found if record.line in damaged] == damaged
    assert stored(found) == [line for line in range(2, 202) if line not in damaged]
    untils = [*damaged[1:], 201]
    whys = [*["',' expected after '\"'"] * (len(damaged) - 1), "a quote is not closed"]
    for line, until, why in zip(damaged, untils, whys, strict=True):
        (record,) = (record for record in found if record.line == line)
        assert record.lines == 1
        assert record.text == content.splitlines()[line - 1]
        assert fault(record)[3] == (
            f"not CSV: {why}, in the record from line {line} to line {until}; perhaps a quote is "
            f"not closed; line {line} (1 line) is left out, and reading "
            f"goes on at line {line + 1}"
        )


HEADER = "name,external_customer_id,cost,metadata.note\n"


@pytest.mark.parametrize(
    ("text", "left_out", "good"),
    [
        # The fields are as many as they must be, but a customer has no line breaks.
        ('a,"u,1,n\na,u,1,n\nb,v",2,n\nc,u,3,n\n', [(2, 1)], [3, 4, 5]),
        # A cell of several lines with text behind its end goes as a whole.
        ('a,u,1,"one\ntwo\n\nthree"x\nb,u,2,n\n', [(2, 4)], [6]),
        # So does a record with too few fields.
        ('a,u,"one\ntwo"\nb,u,2,n\n', [(2, 2)], [4]),
        # Each damaged record is told, also one that begins within another.
        ('a,u,1,"one\nb,u,2,"two\nc,u,3,n\n', [(2, 2)], [4]),
        ('a,u,1,"one\nb,u,2,n\nc,u,3,"two\nd,u,3,n\n', [(2, 1), (4, 1)], [3, 5]),
        # A byte that is no text is found behind a quote that is not closed, too.
        ('a,u,1,"one\nb,u,2,n\n\udcff,u,1,n\nc,u,3,n\n', [(2, 1), (4, 1)], [3, 5]),
        # A cell that is right may hold what it likes, but not records of this file.
        ('a,u,1,"one, two\nthree, four, one, five\n,,,"\nb,u,2,n\n', [], [2, 5]),
        ('a,u,1,"one\nb,u,2,n\nc,u,3,two"\nd,u,4,n\n', [(2, 3)], [5]),
    ],
)
def test_lines_that_are_left_out_are_counted(
    text: str, left_out: list[tuple[int, int]], good: list[int]
) -> None:
    """Each line is read or counted in a fault, however quotes are damaged."""
    found = records((HEADER + text).encode(errors="surrogateescape"))
    bad = [record for record in found if isinstance(record.event, LineFault)]
    assert [(record.line, record.lines) for record in bad] == left_out
    assert stored(found) == good
    for record in bad:
        last = record.line + record.lines - 1
        if record.lines > 1:
            words = f"lines {record.line} to {last} ({record.lines} lines) are left out"
            assert words in fault(record)[3]
    # A run that goes on behind any record sees what the whole run saw.
    for place, record in enumerate(found):
        rest = records((HEADER + text).encode(errors="surrogateescape"), first_line=record.line + 1)
        assert rest == found[place + 1 :]


def test_a_record_that_does_not_end_is_left_out() -> None:
    """A quote that is not closed swallows nothing, however much follows it."""
    line = f"{'b' * 1_021},1\n"
    until = 2 + RECORD_BYTES_MAX // len(line)
    first, *rest = records('name,external_customer_id\na,"1\n', line * 1_100, line)
    assert fault(first)[0] == 2
    assert fault(first)[3] == (
        "the record is longer than 1048576 bytes, the most that an event may take, in the record "
        f"from line 2 to line {until}; perhaps a quote is not closed; "
        "line 2 (1 line) is left out, and reading goes on at line 3"
    )
    assert stored(rest) == [record.line for record in rest] == list(range(3, 1_104))


@pytest.mark.slow
def test_a_file_of_unclosed_quotes_is_read_in_linear_time() -> None:
    """Lines each of which opens a quote up to the end are not read over and over again.

    Read without a bound, these would be 100,000 million characters.
    """
    lines = 200_000
    began = time.process_time()
    found = records("name,external_customer_id\n", 'x",",\n' * lines, "a,b\n")
    assert time.process_time() - began < 30
    assert found[0].line == 2
    assert sum(record.lines for record in found if isinstance(record.event, LineFault)) == lines
    assert stored(found) == [lines + 2]


def test_a_line_that_does_not_end_is_not_held() -> None:
    """A line of any length is dropped as it comes, and those around it are read."""
    piece = b"x" * 2**18
    found = records("name\na\n", *[piece] * 16, b"\nb\n")
    assert [record.line for record in found] == [2, 3, 4]
    assert found[1].text is None
    assert fault(found[1])[2] == "EVENT_TOO_LARGE"
    assert records("name\n", *[piece] * 5)[0].text is None


# A letter first: what looks like a number or a truth in metadata is one.
def field(name: str) -> list[Record]:
    """The records of a file that somebody had."""
    return records((FIELD / name).read_bytes())


@pytest.mark.parametrize(
    "name", ["case.csv", "cr_only.csv", "trailing_comma_row.csv", "sep.csv", "tab.csv"]
)
def test_files_as_the_world_writes_them(name: str) -> None:
    """Delimiters, line ends, upper case and blank cells at the end are understood."""
    found = field(name)
    llm = {
        "name": "llm",
        "external_customer_id": "acme",
        "cost": {"amount": "0.5", "currency": "usd"},
    }
    assert [as_json(record) for record in found] == [llm] * (2 if name == "cr_only.csv" else 1)
    assert [record.line for record in found] == {"cr_only.csv": [2, 3], "sep.csv": [3]}.get(
        name, [2]
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_header_tells_the_delimiter(delimiter: str, said: bool, end: str) -> None:
    """Cells are cut at what the header or a line `sep=` has, also in damaged records."""
    lines = [
        *(["sep=;"] if said else []),
        'NAME;externalCustomerId;Metadata.Key;"metadata.x;y";;',
        'a;u;",;\t|";2;;',
        ";;;;;",
        ";;",
        'b;"v;2;3',
        "c;w;4;5",
    ]
    found = records(end.join(lines).replace(";", delimiter))
    assert as_json(found[0]) == {
        "name": "a",
        "external_customer_id": "u",
        "metadata": {"Key": f",{delimiter}\t|", f"x{delimiter}y": 2},
    }
    assert [(record.line - said, isinstance(record.event, NewEvent)) for record in found] == [
        (2, True),
        (5, False),
        (6, True),
    ]


def test_blank_records_are_none() -> None:
    """Records without anything in them are neither events nor faults."""
    assert (
        stored(field("blank_rows.csv"))
        == [record.line for record in field("blank_rows.csv")]
        == [2, 3, 4, 5, 6]
    )
    assert [record.line for record in records("name,cost\n , \n,,,\n\na,1\n")] == [5]


def test_computed_amounts_and_counts() -> None:
    """An amount with more digits than it can have is rounded as in JSON; 10.0 is a count."""
    amounts = [record.event.cost.amount for record in field("float_noise.csv")]  # type: ignore[union-attr]
    assert amounts == ["3.5e-7", "0.00012", "0.3", "1E-05", "0.1", "0", "3"]
    exact = ["0.100000000000", "99999.999999999999", " 1 ", "+1", ".5", "1.", "007", "1e-12"]
    found = records("name,cost\n" + "".join(f"a,{amount}\n" for amount in exact))
    assert [record.event.cost.amount for record in found] == [  # type: ignore[union-attr]
        amount.strip() for amount in exact
    ]
    tokens = field("tokens.csv")
    assert [record.event.llm.input_tokens for record in tokens] == [10, 10, 10]  # type: ignore[union-attr]
    (half,) = records("name,llm.input_tokens\na,10.5\n")
    assert fault(half)[1:] == (
        "llm.input_tokens",
        "NUMBER_OUT_OF_RANGE",
        "10.5 is not a whole number from 0 to 9007199254740992",
    )


def test_times_as_databases_write_them() -> None:
    """Offsets without minutes, without a colon, and UTC by name are read; the rest is named."""
    assert [
        record.event.timestamp.ToJsonString()  # type: ignore[union-attr]
        for record in field("pg_copy.csv")
    ] == ["2025-11-30T23:59:59.123Z"] * 3
    found = {record.line - 2: record for record in field("times.csv")}
    read = [4, 5, 6, 7, 8, 13, 18, 19, 20, 21, 23, 24, 26, 27, 28, 29, 30, 32, 33]
    assert [n for n, record in found.items() if isinstance(record.event, NewEvent)] == read
    assert {found[n].event.timestamp.seconds for n in (4, 5, 6, 7, 28, 29, 30)} == {  # type: ignore[union-attr]
        1_764_547_200
    }
    assert {fault(found[n])[1:3] for n in found.keys() - read} == {
        ("timestamp", "MALFORMED_REQUEST")
    }


texts = st.just("") | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
).map(lambda text: f"x{text}")


@given(
    st.lists(st.tuples(texts, texts), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 20),
)
def test_reads_what_python_writes(rows: list[tuple[str, str]], end: str, size: int) -> None:
    """Any text survives, however the file is cut into pieces."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("metadata.note", "llm.prompt"), *rows])
    content = stream.getvalue().encode()
    pieces: Iterable[bytes] = [
        content[start : start + size] for start in range(0, len(content), size)
    ]
    assert [
        (record.event.metadata.fields["note"].string_value, record.event.llm.prompt)
        for record in records(*pieces)
        if isinstance(record.event, NewEvent)
    ] == [row for row in rows if any(row)]
