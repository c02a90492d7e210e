"""The licences of what the product is linked with and what it imports."""

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

ALLOWED = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "PSF-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
"""Licences under which anybody may use and pass on a program whose own is Apache 2.0."""

ALLOWED_PACKAGES = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
"""Packages that are imported as they are and can be replaced by those who use the product."""

SAID_OTHERWISE = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
}
"""What packages say that do not use the terms of SPDX."""


def is_allowed(expression: str) -> bool:
    """Whether one of the alternatives of a licence is allowed as a whole."""
    text = re.sub(r"\s*/\s*", " OR ", expression)
    parts = [part.strip("() ") for part in re.split(r"\s+AND\s+", text)]
    return all(any(one.strip("() ") in ALLOWED for one in part.split(" OR ")) for part in parts)


def installed() -> Iterator[tuple[str, str]]:
    """Each package that the product needs, and its licence."""
    seen: set[str] = set()
    # With those of the extra, which is in the image.
    left = ["cost-insights", "psycopg-binary", "opentelemetry-exporter-otlp-proto-grpc"]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # It is for other systems or versions of Python.
            continue
        yield name, _licence(found)
        for needed in found.requires or []:
            if "extra ==" not in needed:
                written = re.match(r"[\w.-]+", needed)
                assert written is not None
                left.append(re.sub(r"[-_.]+", "-", written[0]).lower())


def _licence(found: importlib.metadata.Distribution) -> str:
    said: dict[str, Any] = dict(found.metadata.json)
    if expression := said.get("license_expression"):
        return str(expression)
    classified = [
        one.rpartition("::")[2].strip()
        for one in said.get("classifier", [])
        if one.startswith("License")
    ]
    return " OR ".join(SAID_OTHERWISE.get(one, one) for one in classified or [said["license"]])


def test_python() -> None:
    """Every package is under a licence that is allowed."""
    packages = dict(installed())
    assert len(packages) > 40
    wrong = {
        name: licence
        for name, licence in packages.items()
        if not is_allowed(licence) and ALLOWED_PACKAGES.get(name) != licence
    }
    assert wrong == {}


def test_rust() -> None:
    """Every crate is under a licence that is allowed."""
    ran = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--locked", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    crates = {one["name"]: one["license"] for one in json.loads(ran.stdout)["packages"]}
    assert len(crates) > 20
    assert {name: said for name, said in crates.items() if not is_allowed(said or "")} == {}


def test_libraries_of_the_dashboard() -> None:
    """Every library that the dashboard is shipped with is under a licence that is allowed."""
    lock = json.loads((ROOT / "tests/interop/node/package-lock.json").read_text())["packages"]
    folder = ROOT / "service/cost_insights/doors/http/dashboard/vendor"
    shipped = [file.name.partition(".")[0] for file in folder.glob("*.LICENSE.txt")]
    assert len(shipped) == 3
    assert all(is_allowed(lock[f"node_modules/{name}"]["license"]) for name in shipped)


def test_what_is_not_allowed_is_found() -> None:
    """Alternatives may hold what is not allowed, and parts may not."""
    assert is_allowed("MIT OR GPL-3.0-only")
    assert is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0")
    assert is_allowed("MIT/Apache-2.0")
    assert not is_allowed("GPL-3.0-only")
    assert not is_allowed("MIT AND GPL-3.0-only")
    assert not is_allowed("")
