"""`cost-insights proto`: the contract, complete and ready for any compiler."""

import re
import subprocess
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool

from tests.support.command_line import Command
from tests.support.programs import output_of
from tests.support.service import SERVICES

ROOT = Path(__file__).parents[2]


def test_the_folder_is_complete(quick: Command, tmp_path: Path) -> None:
    """It holds our protos as they are, a README, and everything that a compiler asks for."""
    done = quick("proto", str(tmp_path / "new" / "protos"))
    folder = tmp_path / "new" / "protos"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (done.returncode, done.stderr) == (0, "")
    readme = folder / "README.md"
    assert done.stdout == f"{folder}: wrote {len(files)} files; how to use them is in {readme}\n"
    ours = {path.name: path.read_bytes() for path in (folder / "cost_insights/v1").iterdir()}
    source = (ROOT / "proto/cost_insights/v1").iterdir()
    assert ours == {path.name: path.read_bytes() for path in source}
    for file in (file for file in files if file.suffix == ".proto"):
        imports = re.findall(r'^import (?:public )?"(.*)";$', file.read_text(), re.MULTILINE)
        assert [name for name in imports if not (folder / name).is_file()] == []
    output_of("buf", "build", str(folder))


def test_the_descriptor_set_stands_alone(quick: Command, tmp_path: Path) -> None:
    """Every import comes before its importer, so a pool that is empty takes file after file."""
    quick("proto", str(tmp_path))
    descriptor_set = descriptor_pb2.FileDescriptorSet.FromString(
        (tmp_path / "cost_insights.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_set.file:
        pool.Add(file)
    for service in SERVICES:
        found = pool.FindServiceByName(service.full_name)
        assert found.methods_by_name.keys() == service.methods_by_name.keys()
    assert pool.FindMessageTypeByName("google.rpc.RetryInfo")


def test_a_folder_with_files_is_left_alone(quick: Command, tmp_path: Path) -> None:
    """Nothing is written into it, unless --force says so, and then other files stay."""
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "main.go").write_text("mine")
    done = quick("proto", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        f"cost-insights: {tmp_path} is not empty; name another folder, or add --force to write "
        "over files of the same names\n"
    )
    assert (tmp_path / "README.md").read_text() == "mine"
    assert quick("proto", "--force", str(tmp_path)).returncode == 0
    assert (tmp_path / "README.md").read_text().startswith("# The contract")
    assert (tmp_path / "main.go").read_text() == "mine"


def test_a_folder_that_cannot_be_made(quick: Command, tmp_path: Path) -> None:
    """The folder is named, with what the system says."""
    (tmp_path / "file").write_text("")
    done = quick("proto", str(tmp_path / "file"))
    assert done.returncode == 5
    assert done.stderr == (
        f"cost-insights: DIR: {tmp_path}/file cannot be written: Not a directory\n"
    )


def test_options_for_each_language() -> None:
    """Every proto says the same package for each language, and a class of its own for Java."""
    protos = sorted((ROOT / "proto/cost_insights/v1").glob("*.proto"))
    options = [
        {line for line in path.read_text().splitlines() if line.startswith("option ")}
        for path in protos
    ]
    shared = set.intersection(*options)
    assert {line.split()[1] for line in shared} >= {
        "csharp_namespace",
        "go_package",
        "java_multiple_files",
        "java_package",
        "php_namespace",
        "ruby_package",
    }
    own = [(one - shared).pop() for one in options]
    assert all(line.startswith("option java_outer_classname") for line in own)
    assert len(set(own)) == len(protos)


def test_a_change_that_breaks_clients_is_refused(tmp_path: Path) -> None:
    """The check of the protos against the last release finds a field whose number changes."""
    copy = tmp_path / "proto"
    subprocess.run(["cp", "-R", str(ROOT / "proto"), str(copy)], check=True)
    script = ["sh", "tests/tools/check_breaking.sh", str(copy)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    file = copy / "cost_insights/v1/cost.proto"
    file.write_text(file.read_text().replace("string currency = 2", "string currency = 9"))
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert (
        'Previously present field "2" with name "currency" on message "Cost" was deleted'
        in done.stdout
    )
