"""Programs of others, built by `make test` from `tests/tools/go.mod`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


class ProgramError(Exception):
    """A program failed; what it printed on stderr, or else on stdout."""


def output_of(name: str, *arguments: str) -> str:
    """The output of a program; raises ProgramError if it fails."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program = shutil.which(name, path=folders)
    assert program is not None, f"{name} is not built: run make test, which builds it"
    ran = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    if ran.returncode != 0:
        raise ProgramError(ran.stderr or ran.stdout)
    return ran.stdout
