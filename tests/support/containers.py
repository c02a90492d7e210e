"""Images built by buildah, and containers run from them by the kernel's own means."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEBIAN = "docker.io/library/debian:bookworm-slim"
RUST = "docker.io/library/rust:1.95-slim-bookworm"
"""The images that the Dockerfile is based on."""

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_RUST_FOLDER = "/usr/local/rust"


@dataclass(frozen=True)
class Image:
    """An image, laid out as the root of a file system."""

    root: Path
    config: Mapping[str, Any]
    """The configuration, with the keys of Docker: `Entrypoint`, `Env`, `Healthcheck`, ..."""

    bytes_over_base: int
    """The size of the files that it adds to the image that it is based on."""

    @property
    def command(self) -> Sequence[str]:
        """The command that a container runs unless it is given another one."""
        return [*self.config["Entrypoint"], *self.config["Cmd"]]

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the command."""
        return dict(one.split("=", 1) for one in self.config["Env"])


class Builder:
    """Builds images in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._options = [
            "--storage-driver=vfs",
            f"--root={folder / 'storage'}",
            f"--runroot={folder / 'run'}",
        ]

    def build(self, context: Path) -> Image:
        """The image of the Dockerfile in a folder."""
        self._make_debian()
        self._make_rust()
        toolchain = _output("rustc", "--print", "sysroot")
        self._buildah(
            "bud",
            "--isolation=chroot",
            "--format=docker",
            f"--volume={toolchain}:{_RUST_FOLDER}:ro",
            "--tag=built",
            str(context),
        )
        base, built = self._mounted(DEBIAN), self._mounted("built")
        inspected = json.loads(self._buildah("inspect", "--type=image", "built"))
        return Image(built, inspected["Docker"]["config"], _size(built) - _size(base))

    def _make_debian(self) -> None:
        root = self._folder / "debian"
        _run("debootstrap", "--variant=minbase", "bookworm", str(root))
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, str(root), "/")
        self._buildah("commit", "--quiet", "--format=docker", container, DEBIAN)
        shutil.rmtree(root)

    def _make_rust(self) -> None:
        """Rust's own toolchain, which this machine has, is mounted while the image is built."""
        container = self._buildah("from", DEBIAN)
        install = (
            "apt-get update --quiet --quiet && apt-get install --quiet --quiet --yes "
            "--no-install-recommends gcc libc6-dev ca-certificates"
        )
        self._buildah("run", "--isolation=chroot", container, "--", "sh", "-c", install)
        if _CERTIFICATES.exists():
            self._buildah("copy", "--quiet", container, str(_CERTIFICATES), str(_CERTIFICATES))
        path = f"{_RUST_FOLDER}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._buildah("config", "--env", f"PATH={path}", container)
        self._buildah("commit", "--quiet", "--format=docker", container, RUST)

    def _mounted(self, image: str) -> Path:
        return Path(self._buildah("mount", self._buildah("from", "--pull=false", image)))

    def _buildah(self, *arguments: str) -> str:
        return _output("buildah", *self._options, *arguments)


class Container:
    """A command that runs in an image: its root is read-only, its user has no rights."""

    def __init__(self, image: Image, volume: Path, **environment: str) -> None:
        self._image = image
        self._volume = volume
        self._environment = {**image.environment, **environment}

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Runs the command of the image, or its entry point with arguments; ends it."""
        command = [*self._image.config["Entrypoint"], *arguments] if arguments else None
        with self._popen(command or self._image.command) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)

    def run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        with self._popen(command) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _popen(self, command: Sequence[str]) -> "subprocess.Popen[str]":
        root, user = str(self._image.root), self._image.config["User"]
        (volume,) = self._image.config["Volumes"]
        # Signals reach the command, which takes the place of every program before it.
        script = (
            'mount --bind "$1" "$1" && mount --bind "$2" "$1$3" && '
            'mount -o remount,bind,ro "$1" && mount -t proc proc "$1/proc" && '
            'mount --rbind /dev "$1/dev" && '
            'root=$1 user=$4 && shift 4 && exec chroot --userspec="$user" "$root" "$@"'
        )
        return subprocess.Popen(
            [
                *("unshare", "--mount", "sh", "-c", script, "sh"),
                *(root, str(self._volume), volume, user),
                *command,
            ],
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _size(root: Path) -> int:
    return sum(
        (Path(folder) / name).lstat().st_size
        for folder, _, names in os.walk(root)
        for name in names
    )


def _output(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, check=False)
    if ran.returncode:
        sys.stderr.buffer.write(ran.stdout + ran.stderr)
        raise RuntimeError(f"{' '.join(command)}: exit code {ran.returncode}")
    return ran.stdout.decode().strip()


def _run(*command: str) -> None:
    _output(*command)
