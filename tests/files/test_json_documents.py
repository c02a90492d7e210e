"""JSON of any layout becomes its events, and what is damaged in it is named."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.files.json_documents import CutOffError, read_records
from cost_insights.files.ndjson import LINE_BYTES_MAX, LineFault, Record
from cost_insights.v1.event_pb2 import NewEvent

FIELD = Path(__file__).parents[1] / "vectors" / "field"
EXAMPLES = Path(__file__).parents[2] / "proto" / "examples"


def records(content: bytes | str, *, size: int = 2**18, first: int = 1) -> list[Record]:
    """The records of a file that comes in pieces of a size."""
    whole = content.encode() if isinstance(content, str) else content
    pieces = (whole[start : start + size] for start in range(0, len(whole), size))
    return list(read_records(pieces, first=first))


def told(found: list[Record]) -> list[tuple[int, int | None, str]]:
    """The number, the line, and the external id or the fault of each."""
    return [
        (
            record.line,
            record.begins,
            record.event.message
            if isinstance(record.event, LineFault)
            else record.event.external_id,
        )
        for record in found
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("array.ndjson", [(1, 1, "q4"), (2, 1, "q5")]),
        ("arraylines.ndjson", [(1, 2, "q7"), (2, 3, "q8")]),
        ("pretty.json", [(1, 1, "q6")]),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 2**18])
def test_files_as_the_world_writes_them(
    name: str, expected: list[tuple[int, int | None, str]], size: int
) -> None:
    """Lists and documents over several lines are their events, with their numbers and lines."""
    assert told(records((FIELD / name).read_bytes(), size=size)) == expected


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_requests_can_be_read(path: Path) -> None:
    """The documented request of a call can be read from a file, too."""
    expected = json.loads(path.read_bytes())["events"]
    found = [record.event for record in records(path.read_bytes())]
    assert [event.name for event in found if isinstance(event, NewEvent)] == [
        event["name"] for event in expected
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\\", "[{", "}]", "\n{", '{"events": [']
)
events_of_files = st.lists(
    st.fixed_dictionaries({"external_id": texts, "llm": st.fixed_dictionaries({"prompt": texts})}),
    max_size=5,
)


@given(
    events_of_files,
    st.sampled_from(["list", "request", "documents"]),
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.booleans(),
    st.integers(1, 30),
)
def test_any_layout_is_read(
    events: list[dict[str, object]], form: str, indent: int | str | None, plain: bool, size: int
) -> None:
    """Events come out of any text, layout and cut of a file."""
    if form == "documents":
        content = "\n".join(json.dumps(one, indent=indent, ensure_ascii=plain) for one in events)
    else:
        document = events if form == "list" else {"events": events, "accept_valid": True}
        content = json.dumps(document, indent=indent, ensure_ascii=plain)
    found = records(content, size=size)
    assert [
        (record.event.external_id, record.event.llm.prompt)
        for record in found
        if isinstance(record.event, NewEvent)
    ] == [(one["external_id"], one["llm"]["prompt"]) for one in events]  # type: ignore[index]
    for place, record in enumerate(found):
        assert records(content, first=record.line + 1) == found[place + 1 :]


GOOD = '{\n  "name": "x",\n  "external_id": "%s"\n}'


@pytest.mark.parametrize(
    ("damaged", "lines", "why"),
    [
        ('{\n  "name": "x\n}', "lines 5 to 7 are", "a text is not closed in its line"),
        ('{\n  "name": "x"', "lines 5 to 6 are", "another event begins before this one is closed"),
        ('{\n  "tags": ["x"\n}', "lines 5 to 7 are", "} closes nothing"),
    ],
)
@pytest.mark.parametrize("size", [1, 2**18])
@pytest.mark.parametrize("in_list", [False, True])
def test_a_damaged_event_costs_itself_alone(
    damaged: str, lines: str, why: str, size: int, in_list: bool
) -> None:
    """Reading goes on where the next event begins, and the lines left out are named."""
    separator = ",\n" if in_list else "\n"
    content = separator.join([GOOD % "a", damaged, GOOD % "b", GOOD % "c"])
    found = records("[" * in_list + content + "]" * in_list, size=size)
    assert found[1].text is not None
    assert damaged.startswith(found[1].text.decode())
    assert told(found)[1:] == [
        (2, 5, f"not JSON: {why}; {lines} left out"),
        (3, 5 + damaged.count("\n") + 1, "b"),
        (4, 5 + damaged.count("\n") + 5, "c"),
    ]


def test_a_malformed_event_is_a_fault_like_any_other() -> None:
    """Balanced text that is not JSON, or stands between events, is a fault with its place."""
    found = records(
        '[\n{"external_id": "a"},\n{\n  "name": x\n},\n7, null, "a{b", [1],\n{"color": 1}\n]'
    )
    assert [(number, line) for number, line, _ in told(found)] == [
        (1, 2), (2, 3), (3, 6), (4, 6), (5, 6), (6, 6), (7, 7),
    ]  # fmt: skip
    assert told(found)[1][2] == "not JSON: Expecting value at line 2 of the event, column 11"
    assert told(found)[2][2] == "7 is not an event; a JSON object is allowed"
    assert told(found)[4][2] == '"a{b" is not an event; a JSON object is allowed'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[\n" + GOOD % "a" + ",\n", "the list that line 1 begins is not closed"),
        ('{"events": [' + GOOD % "a", "the list that line 1 begins is not closed"),
        (GOOD % "a" + "\n" + GOOD[:15], "the event that line 5 begins is not closed"),
        ("[" + GOOD % "a" + ',\n{"name": "', "the event that line 5 begins is not closed"),
    ],
)
def test_a_file_that_is_cut_off_says_so(content: str, message: str) -> None:
    """Everything before is read, and the end that is missing is no end."""
    reader = read_records([content.encode()])
    assert told([next(reader)])[0][2] == "a"
    with pytest.raises(CutOffError, match=f"^{message}; the file seems to be cut off$"):
        next(reader)


@pytest.mark.parametrize(
    "line",
    ['{"name": "x"}', '{"name": "x', '{"name": "x"}}', "no event", "", '{"name": "x"} trailing'],
)
def test_a_file_of_lines_is_read_by_lines(line: str) -> None:
    """A first line that is an event alone, or damaged within a text, makes a file of lines."""
    found = records(line + '\n{"external_id": "a"}\nx\n')
    assert [record.begins for record in found] == [None] * len(found)
    assert told(found)[-2][:3] == (2, None, "a")


def test_a_list_of_any_length_is_read_in_bounded_memory() -> None:
    """Events come out while a list of one line is being read; too long ones are dropped."""
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for piece in (b"[", *[b'{"external_id": "a"},' * 1_000] * 50, b'{"name": "'):
            read += len(piece)
            yield piece
        for _ in range(40):
            read += 2**18
            yield b"x" * 2**18
        yield b'"},\n{"external_id": "b"}]'

    reader = read_records(chunks())
    assert next(reader).line == 1
    assert read < 2**21
    rest = list(reader)
    assert len(rest) == 49_999 + 2
    assert isinstance(rest[-2].event, LineFault)
    assert rest[-2].event.message == (
        f"the event is longer than {LINE_BYTES_MAX} bytes, the most that an event may take; line 1 "
        "is left out"
    )
    assert told(rest)[-1] == (50_002, 2, "b")
