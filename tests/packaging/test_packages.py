"""The wheel and the source distribution, made as for a release."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.command_line import Serve
from tests.support.user_programs import check_types

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
    assert names == {
        f"cost_insights-{VERSION}.tar.gz",
        f"cost_insights-{VERSION}.cdx.json",
        f"cost_insights-{VERSION}-protos.zip",
    }


def test_the_protos(packages: Path) -> None:
    """The folder that `cost-insights proto` writes is a file of the release, too."""
    folder = f"cost_insights-{VERSION}-protos"
    names = set(zipfile.ZipFile(packages / f"{folder}.zip").namelist())
    assert {
        f"{folder}/README.md",
        f"{folder}/cost_insights.binpb",
        f"{folder}/cost_insights/v1/event_service.proto",
        f"{folder}/google/api/annotations.proto",
    } <= names


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
    for proto in (ROOT / "proto").rglob("*.proto"):
        inside = proto.relative_to(ROOT / "proto").as_posix()
        assert zipfile.ZipFile(wheel).read(inside) == proto.read_bytes()


def test_the_description(wheel: Path) -> None:
    """PyPI shows the README of the package, whose links work there: they lead to the web."""
    (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    description = (ROOT / "service/README.md").read_text()
    assert "Description-Content-Type: text/markdown" in text
    assert text.rstrip().endswith(description.rstrip())
    links = re.findall(r"\]\(([^)]*)\)|<(\S+:\S+)>", description)
    assert [
        link for link, url in links if not (link or url).startswith(("http://", "https://"))
    ] == []


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
    assert {"Cargo.lock", "pyproject.toml", "LICENSE"} <= names


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


@pytest.fixture(scope="module")
def env(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which pipx has installed the wheel, and no setting is made."""
    folder = tmp_path_factory.mktemp("pipx")
    env = {
        **{name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name},
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIPX_HOME": str(folder / "pipx"),
        "PIPX_BIN_DIR": str(folder / "bin"),
        "PIP_CONSTRAINT": str(ROOT / "requirements.lock"),
        "XDG_DATA_HOME": str(folder / "data"),
        "COST_INSIGHTS_GRPC_ADDRESS": "127.0.0.1:0",
        "COST_INSIGHTS_HTTP_ADDRESS": "127.0.0.1:0",
        "COST_INSIGHTS_ADMIN_ADDRESS": "",
    }
    pipx = [sys.executable, "-m", "pipx", "install", "--python", sys.executable, str(wheel)]
    subprocess.run(pipx, cwd=folder, env=env, check=True, capture_output=True)
    return env


def test_it_works_in_an_empty_folder(env: dict[str, str], tmp_path: Path) -> None:
    """Installed by pipx, the demo shows its answer where there is nothing else."""
    done = subprocess.run(
        ["cost-insights", "demo"],
        cwd=tmp_path,
        env=env,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "exact: equals the sum on paper" in done.stdout
    assert not list(tmp_path.iterdir())


def test_its_types_are_installed(env: dict[str, str], tmp_path: Path) -> None:
    """Programs of users are checked by the types of the wheel, where no types of its dependencies
    are installed."""
    check_types(Path(env["PIPX_HOME"]) / "venvs" / "cost-insights" / "bin" / "python", tmp_path)


@pytest.fixture
def protos(env: dict[str, str], tmp_path: Path) -> Path:
    """The folder that the installed command writes, of a stranger who has a protoc."""
    (tmp_path / "bin").mkdir()
    protoc = tmp_path / "bin" / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    folder = tmp_path / "protos"
    subprocess.run(["cost-insights", "proto", folder], env=env, check=True, capture_output=True)
    return folder


QUICK_STARTS = {"Go": ("go", "main.go"), "Node": ("npm", "main.js")}
"""The tool and the program of the languages that a stranger tries."""


@pytest.mark.parametrize("language", QUICK_STARTS)
def test_a_quick_start(language: str, env: dict[str, str], protos: Path, serve: Serve) -> None:
    """The commands and the program of the README that comes with the protos, word for word."""
    tool, file = QUICK_STARTS[language]
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool}")
    if tool == "go":
        caches = ["go", "env", "GOMODCACHE"]
        done = subprocess.run(caches, check=True, capture_output=True, text=True)
        env = env | {"GOPATH": str(protos.parent / "go"), "GOMODCACHE": done.stdout.strip()}
    env = env | {"PATH": f"{protos.parent / 'bin'}{os.pathsep}{env['PATH']}"}
    section = (protos / "README.md").read_text().partition(f"\n## {language}\n")[2]
    section = section.partition("\n## ")[0]
    found = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in found] == ["sh", file.partition(".")[2], "sh"]
    with serve() as serving:
        (before, program, after) = (
            text.replace("127.0.0.1:50051", serving.address) for _, text in found
        )
        (protos / file).write_text(program)
        for commands in (before, after):
            done = subprocess.run(
                ["sh", "-e", "-c", commands],
                cwd=protos,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    assert done.stdout == "inserted: 1\n"
