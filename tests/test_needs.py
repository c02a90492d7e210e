"""`make` says what is missing, and how to get it, before it builds anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tests" / "tools"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the repository's, with programs of its own in `bin` and nothing else."""
    for name in ("pyproject.toml", "Cargo.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name in ("sed", "cut"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    says(tmp_path / "bin" / "python3", "3.11.0")
    says(tmp_path / "bin" / "rustc", "rustc 1.90.0 (1159e78c4 2025-09-14)")
    says(tmp_path / "bin" / "cargo", "cargo 1.90.0 (840b83a10 2025-07-30)")
    says(tmp_path / "bin" / "cc", "")
    return tmp_path


def says(program: Path, words: str, *, code: int = 0) -> None:
    """Makes a program that prints the words, whatever it is asked, and ends."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho '{words}'\nexit {code}\n")
    program.chmod(0o755)


def needs(folder: Path, kind: str, **env: str) -> tuple[int, str]:
    """The output of the check in a folder where only its own programs are found."""
    done = subprocess.run(
        ["/bin/sh", str(TOOLS / "needs.sh"), kind],
        cwd=folder,
        env={"PATH": str(folder / "bin")} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_here_nothing_is_missing() -> None:
    """The check finds everything that these tests were built with."""
    env = os.environ | {"PYTHON": str(ROOT / ".venv/bin/python")}
    for kind in ("build", "venv", "go"):
        command = ["sh", str(TOOLS / "needs.sh"), kind]
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_least_versions_are_enough(folder: Path) -> None:
    """The versions that pyproject.toml and Cargo.toml name, and any later ones."""
    assert needs(folder, "build") == (0, "")
    says(folder / "bin" / "python3", "3.100.1")
    says(folder / "bin" / "rustc", "rustc 2.0.0-nightly (abc 2030-01-01)")
    assert needs(folder, "build") == (0, "")


def test_everything_that_is_missing_is_named_at_once(folder: Path) -> None:
    """A single run names everything that is missing, each with a way to get it."""
    for name in ("python3", "rustc", "cargo", "cc"):
        (folder / "bin" / name).unlink()
    code, said = needs(folder, "build")
    assert code == 1
    lines = said.splitlines()
    assert [line for line in lines if not line.startswith("    ")] == [
        "Python: there is no python3 that runs; 3.11 or newer is needed",
        "Rust: there is no rustc that runs; 1.90 or newer is needed",
        "C linker: there is no cc, which Rust links with",
    ]
    assert "https://www.python.org/downloads/" in lines[1]
    assert "https://rustup.rs" in lines[3]
    assert "apt install gcc" in lines[5]


@pytest.mark.parametrize("version", ["3.10.14", "2.7.18"])
def test_an_old_python(folder: Path, version: str) -> None:
    """The version is named, and a newer Python that is there, too."""
    says(folder / "bin" / "python3", version)
    code, said = needs(folder, "build")
    assert code == 1
    assert said.startswith(f"Python: python3 is {version}; 3.11 or newer is needed\n    install")
    says(folder / "bin" / "python3.12", "3.12.4")
    assert needs(folder, "build")[1].endswith(
        "\n    run make with PYTHON=python3.12, which is there\n"
    )
    assert needs(folder, "build", PYTHON="python3.12") == (0, "")


def test_a_python_without_venv(folder: Path) -> None:
    """Debian's Python comes without what makes a virtual environment."""
    (folder / "bin" / "python3").write_text(
        "#!/bin/sh\ncase $2 in *ensurepip*) exit 1 ;; esac\necho 3.12.3\n"
    )
    code, said = needs(folder, "build")
    assert code == 1
    assert "python3 3.12.3 cannot make virtual environments" in said
    assert said.endswith("apt install python3.12-venv\n")


@pytest.mark.parametrize("name", ["rustc", "cargo"])
def test_an_old_rust(folder: Path, name: str) -> None:
    """Both the compiler and its build tool are looked at; rustup updates them."""
    says(folder / "bin" / name, f"{name} 1.89.0 (29483883e 2025-08-04)")
    code, said = needs(folder, "build")
    assert code == 1
    assert said.startswith(f"Rust: {name} is 1.89.0; 1.90 or newer is needed\n    install Rust")
    says(folder / "bin" / "rustup", "")
    assert needs(folder, "build")[1].endswith("\n    run: rustup update\n")


def test_a_rustup_without_a_toolchain(folder: Path) -> None:
    """A program that is there and fails is as good as none."""
    says(folder / "bin" / "cargo", "error: no default toolchain", code=1)
    code, said = needs(folder, "build")
    assert code == 1
    assert said.startswith("Rust: there is no cargo that runs; ")


def test_go(folder: Path) -> None:
    """Tests need Go; the service does not."""
    assert needs(folder, "build") == (0, "")
    code, said = needs(folder, "go")
    assert code == 1
    assert "https://go.dev/doc/install" in said


def test_a_venv_that_does_not_work_any_more(folder: Path) -> None:
    """A Python that is gone or too old, and a folder that was moved, lead to `make clean`."""
    assert needs(folder, "venv") == (0, "")
    venv = folder / ".venv" / "bin"
    says(venv / "python", "3.12.1")
    says(venv / "pip", "")
    assert needs(folder, "venv") == (0, "")
    (venv / "pip").write_text(f"#!{folder}/elsewhere/bin/python3\n")
    moved = needs(folder, "venv")
    says(venv / "python", "3.9.2")
    old = needs(folder, "venv")
    (venv / "python").unlink()
    (venv / "python").symlink_to(folder / "usr" / "bin" / "python3.10")
    gone = needs(folder, "venv")
    for (code, said), words in (
        (moved, "it lacks pip, or was made in another folder"),
        (old, "it was made with Python 3.9.2; 3.11 or newer is needed"),
        (gone, "its Python does not run; the one that it was made with is gone or has changed"),
    ):
        assert code == 1
        assert said == f".venv: {words}\n    run: make clean, and then this again\n"


@pytest.mark.parametrize("target", ["setup", "demo", "serve", "test", "lint", "format"])
def test_make_checks_first(folder: Path, target: str) -> None:
    """Every target that needs `.venv` stops before it builds anything."""
    for name in ("Makefile", "Cargo.lock", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "native").mkdir()
    shutil.copytree(TOOLS, folder / "tests" / "tools")
    says(folder / "bin" / "python3", "3.10.14")
    for name in ("make", "sh", "find"):
        found = shutil.which(name)
        assert found is not None
        (folder / "bin" / name).symlink_to(found)
    done = subprocess.run(
        ["make", target],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Python: python3 is 3.10.14; 3.11 or newer is needed\n")
    assert done.stdout == ""
    assert not (folder / ".venv").exists()
