"""The wheel and the source distribution, made as for a release."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "native/Cargo.toml").read_text())["package"]["version"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the packages."""
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run(["sh", "tests/tools/package.sh", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    """The only wheel."""
    (wheel,) = packages.glob("*.whl")
    return wheel


def test_names(packages: Path, wheel: Path) -> None:
    """One wheel serves every Python from 3.11 on; the version is that of the native module."""
    assert wheel.name.startswith(f"cost_insights-{VERSION}-cp311-abi3-")
    names = {file.name for file in packages.iterdir()} - {wheel.name}
    assert names == {f"cost_insights-{VERSION}.tar.gz", f"cost_insights-{VERSION}.cdx.json"}


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    """Types, licence, migrations and the assets of pages are in it, and nothing else."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {
        "cost_insights",
        f"cost_insights-{VERSION}.dist-info",
    }
    tracked = subprocess.run(
        ["git", "ls-files", "cost_insights"],
        cwd=ROOT / "service",
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(tracked.stdout.split()) <= names
    assert f"cost_insights-{VERSION}.dist-info/licenses/LICENSE" in names


def test_the_source_distribution_is_complete(packages: Path) -> None:
    """Everything that the package is built from is in it."""
    (file,) = packages.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files", "service", "native/src", "native/Cargo.toml", "Cargo.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(tracked.stdout.split()) <= names
    assert {"Cargo.lock", "pyproject.toml", "README.md", "LICENSE"} <= names


def test_the_bills_of_materials(packages: Path, wheel: Path) -> None:
    """They name each Python package that is installed, and each crate that is linked."""
    (file,) = packages.glob("*.cdx.json")
    components = json.loads(file.read_text())["components"]
    named = {one["name"].lower().replace("_", "-") for one in components}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for needed in project["dependencies"]:
        name = needed.split(">")[0].split("[")[0].strip().lower()
        assert name in named or "python_version" in needed, name
    assert not {"pytest", "ruff", "maturin"} & named
    archive = zipfile.ZipFile(wheel)
    (inside,) = (name for name in archive.namelist() if name.endswith(".cyclonedx.json"))
    crates = {one["name"] for one in json.loads(archive.read(inside))["components"]}
    assert {"pyo3", "sha2", "roaring"} <= crates


def test_it_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """Installed by pipx, the demo shows its answer where there is nothing else."""
    env = {
        **{name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name},
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIP_CONSTRAINT": str(ROOT / "requirements.lock"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "COST_INSIGHTS_GRPC_ADDRESS": "127.0.0.1:0",
        "COST_INSIGHTS_HTTP_ADDRESS": "127.0.0.1:0",
        "COST_INSIGHTS_ADMIN_ADDRESS": "",
    }
    empty = tmp_path / "empty"
    empty.mkdir()
    pipx = [sys.executable, "-m", "pipx", "install", "--python", sys.executable, str(wheel)]
    subprocess.run(pipx, cwd=empty, env=env, check=True, capture_output=True)
    done = subprocess.run(
        [tmp_path / "bin/cost-insights", "demo"],
        cwd=empty,
        env=env,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "exact: equals the sum on paper" in done.stdout
    assert not list(empty.iterdir())
