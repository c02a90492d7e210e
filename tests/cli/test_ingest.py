"""`ingest` stores the good lines of a file, names the others, and can be run again."""

import datetime as dt
import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import BinaryIO, cast

import grpc
import pytest

from cost_insights.files.checkpoint import State
from cost_insights.files.sender import BATCH_BYTES_MAX
from cost_insights.files.source import Content, Format
from tests.support.command_line import SECONDS_MAX, Command, Serve, program
from tests.support.databases import Databases
from tests.support.service import Caller, Service
from tests.support.waiting import wait_until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FIELD = Path(__file__).parents[1] / "vectors" / "field"


def written(folder: Path, *lines: str) -> str:
    """A file of lines."""
    file = folder / "events.ndjson"
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


def test_stores_what_is_valid_and_names_the_rest(
    command: Command, server: Service, tmp_path: Path
) -> None:
    """Each fault is printed with its line; the good lines between them are stored exactly."""
    file = written(
        tmp_path,
        '{"name": "a", "external_customer_id": "u", "external_id": "1", '
        '"metadata": {"_cost": {"amount": 99999.999999999999, "currency": "usd"}}}',
        "",
        '{"name": "a", "external_customer_id": "u", "external_id": "1", '
        '"cost": {"amount": 7, "currency": "usd"}}',
        '{"name": "", "external_customer_id": "u"}',
        '{"name": "a"',
        '{"name": "a", "external_customer_id": "u", '
        '"metadata": {"_cost": {"amount": 9000000.01, "currency": "eur"}}}',
        '{"name": "a", "external_customer_id": "u", "color": "\\u001b[31mred"}',
        '{"name": "a", "external_customer_id": "u", "cost": {"amount": 1e-12, "currency": "USD"}}',
        '{"name": "a", "external_customer_id": "u", "external_id": "1", '
        '"metadata": {"_cost": {"amount": "99999.999999999999", "currency": "usd"}}}',
    )
    done = command("ingest", file, "--address", server.address)
    assert done.stdout == "inserted 2, duplicates 1, conflicts 1, refused 4\n"
    assert done.returncode == 1
    faults = done.stderr.splitlines()
    assert [fault.removeprefix(f"{file}:").split(":")[0] for fault in faults] == [
        "3", "4", "5", "6", "6", "7",
    ]  # fmt: skip
    assert faults[0].startswith(
        f"{file}:3: external_id: 1 is already stored with other content, which does not change "
        "(event "
    )
    assert faults[1].startswith(f"{file}:4: name: ")
    assert faults[2] == f"{file}:5: not JSON: Expecting ',' delimiter at column 13"
    assert faults[3].startswith(f"{file}:6: metadata._cost.amount: ")
    assert "9000000.01" in faults[3]
    assert faults[4].startswith(f"{file}:6: metadata._cost.currency: ")
    assert faults[5].startswith(
        f"{file}:7: color: there is no such field; the known ones are name, "
    )
    stored = Caller(server.channel()).list_events()
    assert sorted(event.cost.amount for event in stored) == [
        "0.000000000001",
        "99999.999999999999",
    ]


def test_an_empty_input_is_no_error(command: Command, sqlite_server: Service) -> None:
    """A file without events is sent without an error."""
    done = command("ingest", "-", "--address", sqlite_server.address)
    assert (done.returncode, done.stdout) == (
        0,
        "inserted 0, duplicates 0, conflicts 0, refused 0\n",
    )


def test_quiet_prints_faults_only(command: Command, sqlite_server: Service) -> None:
    """With --quiet there is no summary; faults and the exit code remain."""
    lines = '{"name": "a", "external_customer_id": "u"}\n{"name": "a"}'
    done = command("ingest", "-", "--quiet", "--address", sqlite_server.address, stdin=lines)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("<stdin>:2: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_shows_its_token(command: Command, sqlite_server: Service) -> None:
    """The token comes from the flag or the variable; a wrong one is refused with the reason."""
    caller = sqlite_server.caller()
    assert caller.token is not None
    line = '{"name": "a", "external_customer_id": "u"}'
    arguments = ["ingest", "-", "--address", sqlite_server.address]
    by_variable = command(*arguments, stdin=line, env={"COST_INSIGHTS_TOKEN": caller.token})
    by_flag = command(*arguments, "--token", caller.token, stdin=line)
    without = command(*arguments, stdin=line)
    assert [by_variable.returncode, by_flag.returncode, without.returncode] == [0, 0, 4]
    assert without.stderr.endswith(
        "(TOKEN_MISSING); --token or COST_INSIGHTS_TOKEN give an access token\n"
    )
    assert len(caller.list_events()) == 2


def test_events_of_a_slow_pipe_do_not_wait_for_its_end(
    clean_env: dict[str, str], sqlite_server: Service
) -> None:
    """Piped events are stored within moments, however few they are."""
    arguments = program("ingest", "-", "--address", sqlite_server.address)
    with subprocess.Popen(
        arguments, env=clean_env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"name": "drip", "external_customer_id": "u"}\n{"name": "dr')
        process.stdin.flush()
        caller = Caller(sqlite_server.channel())
        wait_until(lambda: bool(caller.list_events()))
        assert [event.name for event in caller.list_events()] == ["drip"]
        out, _ = process.communicate(b'op", "external_customer_id": "u"}', SECONDS_MAX)
    assert process.returncode == 0
    assert out == b"inserted 2, duplicates 0, conflicts 0, refused 0\n"


def test_an_interrupt_says_what_is_done(clean_env: dict[str, str], sqlite_server: Service) -> None:
    """Ctrl-C ends with exit code 130, the summary, and the line to go on from."""
    arguments = program("ingest", "-", "--address", sqlite_server.address)
    with subprocess.Popen(
        arguments,
        env=clean_env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"name": "a", "external_customer_id": "u"}\n')
        process.stdin.flush()
        caller = Caller(sqlite_server.channel())
        wait_until(lambda: bool(caller.list_events()))
        # The answer reaches the sender a moment after the event can be read.
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        # Standard input stays open until it has ended.
        process.wait(SECONDS_MAX)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == b"inserted 1, duplicates 0, conflicts 0, refused 0\n"
    assert err == (
        b"cost-insights: <stdin>: stopped: interrupted; every line up to 1 is stored or "
        b"reported; nothing from line 2 on was stored\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_memory_does_not_grow_with_the_file(
    clean_env: dict[str, str], sqlite_server: Service, tmp_path: Path, suffix: str
) -> None:
    """A line of 64 MiB and many lines without an event are read with a few MiB, also where they
    come out of a small compressed file."""
    file = tmp_path / f"events.ndjson{suffix}"
    with COMPRESSED[suffix](file) as stream:
        for _ in range(64):
            stream.write(b"x" * 2**20)
        stream.write(b"\n")
        stream.write(b"\n" * 2**20)
        stream.write(b'{"name": "a", "external_customer_id": "u"}')
    # The peak of a child is that of all children, so it is measured by a child that has one.
    measure = (
        "import resource, subprocess, sys; "
        "code = subprocess.run(sys.argv[1:]).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )

    def peak_kib(path: Path) -> tuple[str, int]:
        arguments = program("ingest", str(path), "--address", sqlite_server.address)
        done = subprocess.run(
            [sys.executable, "-c", measure, *arguments],
            env=clean_env,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        summary, peak = done.stdout.splitlines()
        return summary, int(peak)

    small = tmp_path / "small.ndjson"
    small.write_text('{"name": "b", "external_customer_id": "u"}')
    summary, peak = peak_kib(file)
    assert summary == "inserted 1, duplicates 0, conflicts 0, refused 1"
    assert peak - peak_kib(small)[1] < 24 * 1024


COMPRESSED: Mapping[str, Callable[[Path], BinaryIO]] = {
    "": lambda path: path.open("wb"),
    ".gz": lambda path: cast("BinaryIO", gzip.GzipFile(path, "wb", 1)),
    ".zst": lambda path: cast("BinaryIO", zstd.ZstdFile(path, "wb")),
}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_reads_csv_and_what_is_compressed(
    quick: Command, sqlite_server: Service, tmp_path: Path, suffix: str
) -> None:
    """The name of a file says what it is; --format overrules it."""
    for name in (f"events.csv{suffix}", f"events.txt{suffix}"):
        with COMPRESSED[suffix](tmp_path / name) as stream:
            stream.write(b"name,external_customer_id,external_id,cost,metadata.seats\n")
            stream.write(b"".join(b"a,u,%d,0.000000000001,3\n" % n for n in range(2_500)))
    file = str(tmp_path / f"events.csv{suffix}")
    done = quick("ingest", file, "--address", sqlite_server.address)
    assert (done.stdout, done.returncode, done.stderr) == (
        "inserted 2500, duplicates 0, conflicts 0, refused 0\n", 0, "",
    )  # fmt: skip
    assert costs(Caller(sqlite_server.channel())) == "0.0000000025"
    other = str(tmp_path / f"events.txt{suffix}")
    again = quick("ingest", other, "--format", "csv", "--address", sqlite_server.address)
    assert again.stdout == "inserted 0, duplicates 2500, conflicts 0, refused 0\n"
    assert sorted(path.name for path in tmp_path.glob("events*")) == [
        f"events.csv{suffix}", f"events.txt{suffix}",
    ]  # fmt: skip


def test_numbers_stay_what_they_are(quick: Command, server: Service, tmp_path: Path) -> None:
    """A number that a double does not hold is refused, and a product may be a number, in JSON
    and in CSV."""
    done = quick("ingest", str(FIELD / "bigint.ndjson"), *state(tmp_path, server))
    assert done.stdout == "inserted 0, duplicates 0, conflicts 0, refused 1\n"
    assert "bigint.ndjson:1: metadata.order_ref: 9007199254740993 has more digits" in done.stderr
    head = '{"name": "x", "external_customer_id": "c", "cost": {"amount": "1", "currency": "usd"}, '
    json_file = written(
        tmp_path,
        head + '"metadata": {"product_id": 7, "order_ref": "9007199254740993"}}',
        head + '"product_id": 7}',
        head + '"metadata": {"product_id": "7"}}',
        head + '"metadata": {"product_id": 7.5}}',
        head + '"metadata": {"product_id": 9007199254740992}}',
    )
    csv_file = tmp_path / "events.csv"
    csv_file.write_text(
        "name,external_customer_id,cost,metadata.product_id,metadata.order_ref\n"
        "x,c,1,7,9007199254740993\n"
    )
    for file in (json_file, str(csv_file)):
        assert quick("ingest", file, "--address", server.address).returncode == 0
    caller = Caller(server.channel())
    products = [event.product_id for event in caller.list_events()]
    assert sorted(products) == ["", "", "7", "7", "7", "7"]
    references = [
        event.metadata.fields["order_ref"].string_value
        for event in caller.list_events()
        if "order_ref" in event.metadata.fields
    ]
    assert references == ["9007199254740993"] * 2


@pytest.mark.parametrize(("file", "damaged"), [("unclosed", [5]), ("two_unclosed", [5, 102])])
def test_an_unclosed_quote_swallows_nothing(
    quick: Command, server: Service, tmp_path: Path, file: str, damaged: list[int]
) -> None:
    """Every line but the damaged ones is stored, and these are named and counted."""
    path = tmp_path / f"{file}.csv"
    path.write_bytes((FIELD / path.name).read_bytes())
    done = quick("ingest", str(path), "--address", server.address)
    stored = 200 - len(damaged)
    assert done.stdout == f"inserted {stored}, duplicates 0, conflicts 0, refused {len(damaged)}\n"
    assert [
        f"{path}:{line}: " in told and f"; line {line} (1 line) is left out" in told
        for line, told in zip(damaged, done.stderr.splitlines(), strict=True)
    ] == [True] * len(damaged)
    assert len({event.external_id for event in Caller(server.channel()).list_events()}) == stored


def test_each_damaged_line_counts(quick: Command, sqlite_server: Service, tmp_path: Path) -> None:
    """A fault that leaves several lines out refuses as many."""
    path = tmp_path / "events.csv"
    path.write_text('name,external_customer_id,metadata.note\na,u,"x\ny\nz"z\nb,u,\n')
    done = quick("ingest", str(path), "--address", sqlite_server.address)
    assert done.stdout == "inserted 1, duplicates 0, conflicts 0, refused 3\n"
    assert "; lines 2 to 4 (3 lines) are left out, and reading goes on at line 5\n" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd.compress])
def test_content_says_how_it_is_written(
    command: Command, sqlite_server: Service, compress: Callable[[bytes], bytes]
) -> None:
    """Compressed input and UTF-16 are recognized on standard input."""
    arguments = ["ingest", "-", "--address", sqlite_server.address]
    lines = b"".join(
        b'{"name": "\xc3\xa4", "external_customer_id": "u", "external_id": "%d"}\n' % n
        for n in range(1_000)
    )
    sheet = (FIELD / "utf16.csv").read_bytes()
    for content, options, stored in (
        (lines, [], 1_000),
        (b"\xfe\xff" + lines.decode().replace("\n", "\r\n").encode("utf-16-be"), [], 0),
        (sheet, ["--format", "csv"], 1),
    ):
        done = command(*arguments, *options, stdin=compress(content))
        assert done.returncode == 0, done.stderr
        assert counts_of(done.stdout)["inserted"] == stored
    for content, why in (
        (sheet[:-1], "it is not UTF-16, which it begins as: truncated data"),
        (sheet[2:], "it is neither UTF-8 nor UTF-16 with a byte order mark; iconv -t UTF-8 writes"),
    ):
        done = command(*arguments, "--format", "csv", stdin=compress(content))
        assert done.returncode == 1
        assert f"<stdin>: stopped: {why}" in done.stderr


def test_a_header_that_is_not_understood(
    quick: Command, sqlite_server: Service, tmp_path: Path
) -> None:
    """A column that is not known ends the run before anything is sent, and leaves no state."""
    file = tmp_path / "events.csv"
    file.write_text("name,colour\na,red\n")
    done = quick("ingest", str(file), "--address", sqlite_server.address)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"cost-insights: {file}: stopped: line 1: there is no column 'colour'; the known ones are "
        "name, "
    )
    assert done.stderr.endswith(
        "metadata.KEY; --map colour=COLUMN names one; nothing from line 1 on was stored\n"
    )
    assert list(tmp_path.glob("events*")) == [file]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut off", "overwritten"])
def test_a_damaged_file_is_stored_as_far_as_it_goes(
    quick: Command, sqlite_server: Service, tmp_path: Path, suffix: str, damage: str
) -> None:
    """Whole lines before the damage are stored; then the error says what is wrong and where."""
    file = tmp_path / f"events.ndjson{suffix}"
    random = Random(0)
    with COMPRESSED[suffix](file) as stream:
        for _ in range(20_000):
            line = {"name": random.randbytes(12).hex(), "external_customer_id": "u"}
            stream.write(json.dumps(line).encode() + b"\n")
    content = bytearray(file.read_bytes())
    if damage == "cut off":
        del content[-len(content) // 4 :]
    else:
        content[-len(content) // 4 :] = b"\xff" * (len(content) // 4)
    file.write_bytes(content)
    done = quick("ingest", str(file), "--address", sqlite_server.address)
    assert done.returncode == 1
    inserted = int(done.stdout.split(",")[0].removeprefix("inserted "))
    assert 5_000 < inserted < 20_000
    assert done.stdout == f"inserted {inserted}, duplicates 0, conflicts 0, refused 0\n"
    assert done.stderr.startswith(
        f"cost-insights: {file}: stopped: the compressed file is damaged or cut off: "
    )
    assert done.stderr.endswith(
        f"; every line up to {inserted} is stored or reported; nothing from line {inserted + 1} "
        "on was stored; --resume goes on from there, and nothing counts twice\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_was_cut_off_is_gone_on_with(
    quick: Command, sqlite_server: Service, tmp_path: Path, suffix: str
) -> None:
    """Once the whole file is there, --resume stores the rest of it; another file is refused."""
    file = tmp_path / f"events.ndjson{suffix}"
    lines = [b'{"name": "%d", "external_customer_id": "u"}\n' % n for n in range(20_000)]
    with COMPRESSED[suffix](file) as stream:
        stream.writelines(lines)
    whole = file.read_bytes()
    other = tmp_path / f"other{suffix}"
    with COMPRESSED[suffix](other) as stream:
        stream.writelines([lines[0], lines[0], *lines[2:]])
    kept = tmp_path / "state"
    arguments = ["ingest", str(file), "--address", sqlite_server.address, "--state", str(kept)]
    file.write_bytes(whole[: len(whole) * 3 // 4])
    stored = counts_of(quick(*arguments).stdout)["inserted"]
    assert 0 < stored < 20_000
    file.write_bytes(other.read_bytes())
    changed = quick(*arguments, "--resume")
    assert changed.returncode == 2
    assert "are not those that the earlier run read, so it is unknown" in changed.stderr
    file.write_bytes(whole)
    done = quick(*arguments, "--resume")
    assert done.stdout == "inserted 20000, duplicates 0, conflicts 0, refused 0\n"
    names = Caller(sqlite_server.channel()).list_names_page().names
    assert {name.occurrences for name in names} == {1}
    assert not kept.exists()


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_a_time_that_was_not_written(
    quick: Command, sqlite_server: Service, tmp_path: Path, suffix: str
) -> None:
    """1970-01-01T00:00:00Z in a file is what a program wrote that had no time; it is refused."""
    file = tmp_path / f"events.{suffix}"
    zero = "1970-01-01T00:00:00Z"
    file.write_text(
        f"name,external_customer_id,timestamp\na,u,{zero}\n"
        if suffix == "csv"
        else json.dumps({"name": "a", "external_customer_id": "u", "timestamp": zero})
    )
    done = quick("ingest", str(file), "--address", sqlite_server.address)
    assert done.stdout == "inserted 0, duplicates 0, conflicts 0, refused 1\n"
    assert f"timestamp: the time {zero} is 0 seconds and 0 nanoseconds" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("batch_events", [1_000, 10_000])
@pytest.mark.parametrize("name", ["two_faults_a_line.csv", "three_faults.ndjson"])
def test_every_refused_line_is_counted_and_named(
    quick: Command,
    sqlite_server: Service,
    tmp_path: Path,
    name: str,
    batch_events: int,
) -> None:
    """Each line that is not stored is in the faults file, however many there are."""
    inserted, refused = (200, 800) if name.endswith(".csv") else (0, 1_000)
    content = (FIELD / name).read_bytes()
    header = content[: content.index(b"\n") + 1] if name.endswith(".csv") else b""
    repeats = batch_events // 1_000
    file = tmp_path / name
    file.write_bytes(header + content.removeprefix(header) * repeats)
    faults = tmp_path / "faults.ndjson"
    done = quick(
        *("ingest", str(file), "--faults", str(faults), "--batch-events", str(batch_events)),
        *("--address", sqlite_server.address),
    )
    assert done.returncode == 1
    # Lines that come again are duplicates: their external ids are the same.
    assert done.stdout == (
        f"inserted {inserted}, duplicates {inserted * (repeats - 1)}, conflicts 0, "
        f"refused {refused * repeats}\n"
    )
    rows = [json.loads(line) for line in faults.read_text().splitlines()]
    assert len({row["line"] for row in rows}) == refused * repeats
    assert all(row["reason"] and row["message"] and row["text"] for row in rows)
    printed = done.stderr.splitlines()
    assert printed[-1] == f"{file}: {len(rows) - 20} more faults are in {faults}"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("form", ["list", "request", "documents"])
def test_json_of_any_layout_is_stored_and_gone_on_with(
    quick: Command, sqlite_server: Service, tmp_path: Path, form: str, indent: int | None
) -> None:
    """Events in a list, a request or one after the other are stored once, and a file that was
    cut off is gone on with."""
    events = [{"name": str(n), "external_customer_id": "u"} for n in range(2_500)]
    if form == "documents":
        events.insert(0, {"name": "", "external_customer_id": "u"})
        whole = json.dumps(events[0], indent=2)
        whole += "".join("\n" + json.dumps(event, indent=indent) for event in events[1:])
    else:
        whole = json.dumps(events if form == "list" else {"events": events}, indent=indent)
    file = tmp_path / "events.json"
    file.write_text(whole[: len(whole) // 2])
    arguments = ["ingest", str(file), "--address", sqlite_server.address]
    first = quick(*arguments)
    assert first.returncode == 1
    assert "; the file seems to be cut off; every event up to 1" in first.stderr
    refused = int(form == "documents")
    if refused:
        assert f"{file}:1: event 1: name: " in first.stderr
    file.write_text(whole)
    done = quick(*arguments, "--resume")
    assert done.stdout == f"inserted 2500, duplicates 0, conflicts 0, refused {refused}\n"
    names = [event.name for event in Caller(sqlite_server.channel()).list_events()]
    assert sorted(names) == sorted(str(n) for n in range(2_500))


def test_options_say_what_a_file_means(quick: Command, server: Service, tmp_path: Path) -> None:
    """Names, times and amounts of another program are read as the options say."""
    file = tmp_path / "export.csv"
    file.write_text("User;Amount;At;Model\nacme;0.005;1764547200;x\n")
    arguments = [
        "ingest", str(file), "--address", server.address, "--timestamps", "seconds",
        "--unit", "dollars", "--map", "User=external_customer_id, Amount=cost,At=timestamp",
        "--map", "Model=name",
    ]  # fmt: skip
    done = quick(*arguments)
    assert (done.returncode, done.stdout) == (
        0,
        "inserted 1, duplicates 0, conflicts 0, refused 0\n",
    )
    (event,) = Caller(server.channel()).list_events()
    assert (event.name, event.cost.amount) == ("x", "0.5")
    assert event.timestamp.ToJsonString() == "2025-12-01T00:00:00Z"
    for given, why in (
        ("amount", "'amount' does not name a field"),
        ("a=color", "'a=color' does not name a field"),
        ("a=cost,a=name", "'a' occurs more than once"),
    ):
        refused = quick("ingest", str(file), "--map", given, "--address", server.address)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"cost-insights: --map: {why}")


def test_a_dry_run_stores_nothing(quick: Command, sqlite_server: Service, tmp_path: Path) -> None:
    """Everything is read and checked as the service would, and nothing is sent or left behind."""
    file = Path(
        written(
            tmp_path,
            '{"name": "a", "external_customer_id": "u"}',
            '{"name": "", "external_customer_id": "u", "cost": {"amount": "x", "currency": "usd"}}',
            '{"name": "a"',
            '{"name": "order.paid", "external_customer_id": "u"}',
        )
    )
    real = ["ingest", str(file), "--address", sqlite_server.address]
    done = quick("ingest", str(file), "--dry-run", "--address", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "valid 1, refused 3; nothing was sent\n")
    *faults, unknown = done.stderr.splitlines()
    assert unknown.startswith("not known without the service: which events are stored already")
    assert list(tmp_path.glob("events*")) == [file]
    assert Caller(sqlite_server.channel()).list_events() == []
    assert quick(*real).stderr.splitlines() == faults


def test_faults_go_to_a_file(quick: Command, sqlite_server: Service, tmp_path: Path) -> None:
    """Every fault is there with its line, and twenty are printed; the lines can be sent again."""
    good = '{"name": "ä", "external_customer_id": "u", "external_id": "1"}'
    other = '{"name": "b", "external_customer_id": "u", "external_id": "1"}'
    bad = '{"name": "ä", "external_customer_id": "u", "cost": {"amount": "1e-13"}}'
    file = written(tmp_path, good, other, "[1]", *[bad] * 30)
    with (tmp_path / "events.ndjson").open("ab") as stream:
        stream.write(b"\xff\n")
    faults = tmp_path / "faults.ndjson"
    faults.write_text("what an earlier run left")
    done = quick("ingest", file, "--faults", str(faults), "--address", sqlite_server.address)
    assert done.stdout == "inserted 1, duplicates 0, conflicts 1, refused 32\n"
    rows = [json.loads(line) for line in faults.read_text().splitlines()]
    assert [row["line"] for row in rows] == [2, 3, *(4 + n // 2 for n in range(60)), 34]
    assert (rows[0]["path"], rows[0]["reason"], rows[0]["text"]) == (
        "external_id", "CONFLICT", other,
    )  # fmt: skip
    assert rows[1] == {
        "line": 3,
        "path": "",
        "reason": "MALFORMED_REQUEST",
        "message": "a list is not an event; one JSON object a line is allowed",
        "text": "[1]",
    }
    assert {(row["path"], row["reason"], row["text"]) for row in rows[2:-1]} == {
        ("cost.amount", "AMOUNT_TOO_PRECISE", bad),
        ("cost.currency", "FIELD_REQUIRED", bad),
    }
    assert rows[-1]["text"] == "\\xff"
    printed = done.stderr.splitlines()
    assert len(printed) == 21
    assert printed[0].startswith(f"{file}:2: external_id: 1 is already stored")
    assert printed[-1] == f"{file}: 43 more faults are in {faults}"


def test_what_cannot_be_gone_on_with(
    quick: Command, sqlite_server: Service, tmp_path: Path
) -> None:
    """An unfinished run is neither begun again by mistake nor continued on other ground."""
    file = Path(written(tmp_path, '{"name": "a", "external_customer_id": "u"}'))
    kept = tmp_path / "events.ndjson.cost-insights"
    state = State(
        format=Format.NDJSON,
        batch_events=10,
        batch_bytes=BATCH_BYTES_MAX,
        options="--timestamps text --unit cents",
        content=Content(5, "0"),
    )

    def refused(*options: str) -> str:
        done = quick("ingest", str(file), "--address", sqlite_server.address, *options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        return done.stderr.removeprefix("cost-insights: ").rstrip("\n")

    assert refused("--resume") == (
        f"--resume: there is no {kept}, so no run of this input is unfinished"
    )
    assert refused("--resume", "--restart") == (
        "--resume and --restart exclude each other: the first goes on, the second begins anew"
    )
    assert refused("--faults", str(file)) == f"--faults: {str(file)!r} is the input"
    assert refused("--state", str(file)) == f"--state: {str(file)!r} is the input"
    assert refused("--faults", "/no/f") == (
        "--faults: '/no/f' cannot be written: No such file or directory"
    )
    kept.write_text(state.model_dump_json())
    assert refused() == (
        f"{kept}: an earlier run did not finish; --resume goes on behind 0 lines or events, and "
        "--restart begins anew, and every event without an external_id then counts again"
    )
    assert refused("--resume", "--batch-events", "11") == (
        "--batch-events: the run was begun with 10; --restart begins anew"
    )
    assert refused("--resume", "--unit", "dollars") == (
        "--resume: the run was begun with --timestamps text --unit cents; --restart begins anew"
    )
    assert refused("--resume", "--format", "csv") == (
        "--format: the run was begun with ndjson; --restart begins anew"
    )
    size = file.stat().st_size
    for content, why in (
        (Content(5, "0"), f"the first 5 bytes of {file} are not those that the earlier run read"),
        (
            Content(1_000, "0"),
            (
                f"{file} is shorter than it was in the earlier run: "
                f"it has {size} bytes instead of 1000"
            ),
        ),
    ):
        kept.write_text(state.model_copy(update={"content": content}).model_dump_json())
        done = quick("ingest", str(file), "--address", sqlite_server.address, "--resume", "--quiet")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"cost-insights: --resume: {why}, so it is unknown which events are stored; --restart "
            "begins anew\n"
        )
    kept.write_text('{"version": 1, "input_bytes": 5}')
    assert refused("--resume") == (
        f"{kept}: left by an earlier version of cost-insights, and only that version can go on "
        "with "
        "it; --restart begins anew, and every event without an external_id then counts again"
    )
    kept.write_text("{")
    assert refused() == (f"{kept}: not the state of an ingest; --restart begins anew in its place")
    assert Caller(sqlite_server.channel()).list_events() == []
    done = quick("ingest", str(file), "--restart", "--address", sqlite_server.address)
    assert done.stdout == "inserted 1, duplicates 0, conflicts 0, refused 0\n"
    assert not kept.exists()


@pytest.mark.slow
def test_standard_input_can_be_resumed(
    clean_env: dict[str, str], command: Command, sqlite_server: Service, tmp_path: Path
) -> None:
    """With --state the lines that are done are left out when the same input comes again."""
    state = str(tmp_path / "state")
    arguments = ["ingest", "-", "--address", sqlite_server.address, "--state", state]
    lines = [b'{"name": "%d", "external_customer_id": "u"}\n' % n for n in range(25)]
    with subprocess.Popen(
        program(*arguments, "--batch-events", "10"),
        env=clean_env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        process.stdin.writelines(lines[:24])
        process.stdin.flush()
        caller = Caller(sqlite_server.channel())
        wait_until(lambda: len(caller.list_events()) == 20)
        process.kill()
    nameless = command("ingest", "-", "--resume", "--address", sqlite_server.address)
    assert (nameless.returncode, nameless.stderr) == (
        2,
        "cost-insights: --resume: the progress of <stdin> is only kept if --state names a file\n",
    )
    done = command(*arguments, "--resume", stdin=b"".join(lines))
    assert done.returncode == 0
    counts = counts_of(done.stdout)
    assert counts["inserted"] + counts["duplicates"] == 25
    assert sorted(int(event.name) for event in caller.list_events()) == list(range(25))
    assert not Path(state).exists()


class Nameless:
    """A file of events without external ids, each worth 10⁻¹² cents, with a fault here and there.

    It is read through the commands that a user has.
    """

    events = 6_000
    refused = events // 500

    def __init__(self, file: Path) -> None:
        self.file = file
        with file.open("w") as stream:
            for number in range(self.events):
                event = {"name": "a", "external_customer_id": f"customer {number % 100}"}
                cost = {"amount": 0.000000000001, "currency": "usd"}
                stream.write(json.dumps(event | {"metadata": {"_cost": cost, "n": number}}) + "\n")
                if number % 500 == 499:
                    stream.write("no event\n")

    @property
    def state(self) -> Path:
        return self.file.with_name(f"{self.file.name}.cost-insights")

    @property
    def faults(self) -> Path:
        return self.file.with_name("faults")

    def ingest(self, address: str, *options: str) -> list[str]:
        """The arguments that send it in small batches."""
        return [
            "ingest", str(self.file), "--address", address, "--faults", str(self.faults), *options,
        ]  # fmt: skip

    def check(self, caller: Caller, out: str) -> None:
        """Every event is stored once, and every fault is told once."""
        counts = counts_of(out)
        assert counts["inserted"] + counts["duplicates"] == self.events
        assert (counts["conflicts"], counts["refused"]) == (0, self.refused)
        assert costs(caller) == "0.000000006"
        (name,) = caller.list_names_page().names
        assert name.occurrences == self.events
        lines = [json.loads(line)["line"] for line in self.faults.read_text().splitlines()]
        assert lines == [501 * (1 + n) for n in range(self.refused)]
        assert not self.state.exists()


@pytest.mark.slow
def test_a_killed_ingest_is_resumed_exactly(
    clean_env: dict[str, str], quick: Command, server: Service, tmp_path: Path
) -> None:
    """Killed in the middle, again and again, a file without external ids is stored once."""
    nameless = Nameless(tmp_path / "events.ndjson")
    caller = Caller(server.channel())

    def stored() -> int:
        return sum(name.occurrences for name in caller.list_names_page().names)

    options = ["--batch-events", "20"]
    for _ in range(3):
        before = stored()
        with subprocess.Popen(
            program(*nameless.ingest(server.address, *options)),
            env=clean_env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            wait_until(lambda before=before: stored() > before)  # type: ignore[misc]
            assert process.poll() is None, "the file was through before the command was killed"
            process.kill()
        assert nameless.state.exists()
        options = ["--resume"]
    assert stored() < nameless.events
    done = quick(*nameless.ingest(server.address, "--resume"))
    nameless.check(caller, done.stdout)


@pytest.mark.slow
def test_a_killed_service_loses_and_doubles_nothing(
    clean_env: dict[str, str], serve: Serve, database_url: str, tmp_path: Path
) -> None:
    """A file without external ids gets through although the service is killed in the middle of
    it."""
    nameless = Nameless(tmp_path / "events.ndjson")
    with serve("--database-url", database_url, "--grpc-address", "127.0.0.1:0") as first:
        address = first.address
        ingesting = subprocess.Popen(
            program(*nameless.ingest(address, "--batch-events", "20")),
            env=clean_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: bool(Caller(channel).list_page(page_size=1).events))
        first.process.kill()
    assert ingesting.poll() is None, "the file was through before the service was killed"
    with serve("--database-url", database_url, "--grpc-address", address):
        out, _ = ingesting.communicate(timeout=SECONDS_MAX)
        with grpc.insecure_channel(address) as channel:
            nameless.check(Caller(channel), out)


def test_a_run_that_gave_up_is_resumed(
    quick: Command,
    databases: Databases,
    start_server: Callable[..., AbstractContextManager[Service]],
    tmp_path: Path,
) -> None:
    """If the service does not come back the command ends with exit code 3 and says how to go on."""
    nameless = Nameless(tmp_path / "events.ndjson")
    with databases.fresh("sqlite") as url:
        with start_server(url) as first, ThreadPoolExecutor(1) as threads:
            caller = Caller(first.channel())

            def stop_once_some_are_stored() -> None:
                wait_until(lambda: bool(caller.list_page(page_size=1).events))
                first.begin_stop().result(SECONDS_MAX)

            stopping = threads.submit(stop_once_some_are_stored)
            stopped = quick(
                *nameless.ingest(first.address, "--batch-events", "20", "--retry-seconds", "0.5")
            )
            stopping.result()
        assert stopped.returncode == 3
        assert stopped.stderr.endswith("; --resume goes on from there, and nothing counts twice\n")
        with start_server(url) as second:
            done = quick(*nameless.ingest(second.address, "--resume"))
            assert done.returncode == 1
            nameless.check(Caller(second.channel()), done.stdout)


def state(folder: Path, server: Service) -> list[str]:
    """The options for a file in whose folder nothing is to be written."""
    return ["--address", server.address, "--state", str(folder / "state")]


def counts_of(out: str) -> dict[str, int]:
    """The text of the summary."""
    pairs = (part.rsplit(" ", 1) for part in out.strip().split(", "))
    return {name: int(count) for name, count in pairs}


def costs(caller: Caller) -> str:
    """The sum of all costs of the last days, in cents."""
    today = dt.datetime.now(dt.UTC).date()
    yesterday = today - dt.timedelta(days=1)
    answer = caller.get_metrics(
        start_date=str(yesterday), end_date=str(today), interval="INTERVAL_DAY", metrics=["costs"]
    )
    return answer.totals.costs


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_names_that_nobody_can_see_are_refused(
    quick: Command, sqlite_server: Service, tmp_path: Path, suffix: str
) -> None:
    """A line whose name or customer is blank is named with the reason; the others are stored."""
    rows = [("a", "c"), (" ", "c"), ("a", "\u200b"), ("a", "\u3164"), ("b", "c")]
    if suffix == "csv":
        lines = ["name,external_customer_id", *(f"{name},{customer}" for name, customer in rows)]
    else:
        keys = ("name", "external_customer_id")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    file = tmp_path / f"blank.{suffix}"
    file.write_text("\n".join(lines) + "\n")
    done = quick("ingest", str(file), "--address", sqlite_server.address)
    assert done.stdout == "inserted 2, duplicates 0, conflicts 0, refused 3\n"
    assert done.stderr.count(" has no visible character; at least 1 is required\n") == 3
