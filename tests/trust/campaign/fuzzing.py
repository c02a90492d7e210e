"""Inputs that coverage leads to, for decoding, cells and the ledger: libFuzzer on `native/fuzz`.

The inputs that reached new code are kept in `.cache/fuzz`, from which the next campaign goes on.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from google.protobuf import json_format

from cost_insights.v1 import event_service_pb2
from tests.support.samples import EVENTS, SAMPLES
from tests.support.vectors import vectors
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

ROOT: Final = Path(__file__).parents[3]
KEPT: Final = ROOT / ".cache" / "fuzz"

TARGETS: Final[Mapping[str, float]] = {
    "protobuf": 3,
    "json": 3,
    "agreement": 2,
    "cells": 3,
    "sums": 1,
    "ledger": 1,
}
"""The targets, and the share of the time that each gets."""

_INPUT_BYTES_MAX = 4_096
_INPUT_SECONDS_MAX = 30


def check(seconds: float, watch: Watch = QUIET, *, workers: int | None = None) -> Outcome:
    """Runs every target for its share of the time; a panic, a hang or a leak is a failure."""
    watch.says("building the targets")
    built = subprocess.run(
        ["sh", ROOT / "native" / "fuzz" / "build.sh"], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        return Outcome(failures=[f"the targets do not build: {built.stderr[-2_000:]}"])
    programs = Path(built.stdout.strip())
    outcome = Outcome()
    done = 0.0
    for target, share in TARGETS.items():
        began = time.monotonic()
        watch.says(target, done)
        part = share / sum(TARGETS.values())
        count = workers or os.cpu_count() or 1
        _run(programs / target, max(1, int(seconds * part)), count, outcome)
        done += part
        elapsed = time.monotonic() - began
        watch.says(f"{target}: {outcome.counts.get(target, 0):,} in {elapsed:.0f} s", done)
    return outcome


def _run(program: Path, seconds: int, workers: int, outcome: Outcome) -> None:
    """Runs one target by several processes, which share what they keep."""
    corpus, seeds = KEPT / program.name, KEPT / f"{program.name}-seeds"
    findings = KEPT / "findings"
    for folder in (corpus, seeds, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(_seeds(program.name)):
        (seeds / str(number)).write_bytes(seed)
    command = [
        str(program),
        str(corpus),
        str(seeds),
        f"-max_total_time={seconds}",
        f"-max_len={_INPUT_BYTES_MAX}",
        f"-timeout={_INPUT_SECONDS_MAX}",
        "-reload=10",
        "-print_final_stats=1",
        f"-artifact_prefix={findings}/{program.name}-",
    ]
    logs = [KEPT / f"{program.name}-{number}.log" for number in range(workers)]
    processes = []
    for log in logs:
        with log.open("wb") as file:
            processes.append(subprocess.Popen(command, stdout=file, stderr=file))
    for process, log in zip(processes, logs, strict=True):
        code = process.wait()
        said = log.read_text(errors="replace")
        executed = re.search(r"number_of_executed_units:\s*(\d+)", said)
        outcome.count(program.name, int(executed[1]) if executed else 0)
        if code != 0:
            panic = re.search(r"panicked at .*(?:\n.*){0,3}", said)
            words = panic[0] if panic else said[-1_000:]
            outcome.failures.append(
                f"{program.name}: {words}; the input is in {findings}, the log is {log}"
            )


def _seeds(target: str) -> Iterator[bytes]:
    """Inputs to begin with: the shared vectors and the samples."""
    if target not in {"json", "protobuf"}:
        yield b""
        return
    for case in (vector.values[0] for vector in vectors("json_request.jsonl")):
        body = case["body"].encode() if "body" in case else bytes.fromhex(case["body_hex"])
        if target == "json":
            yield body
            continue
        request = event_service_pb2.IngestEventsRequest()
        try:
            json_format.Parse(body, request)
        except (json_format.ParseError, UnicodeDecodeError):
            continue
        yield request.SerializeToString()
    sample = SAMPLES[f"{EVENTS}/IngestEvents"]
    as_json = json_format.MessageToJson(sample, preserving_proto_field_name=True)
    yield as_json.encode() if target == "json" else sample.SerializeToString()
    yield b""
