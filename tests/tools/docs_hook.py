"""A hook of MkDocs: makes pages of what is not in `docs/`, and checks links that lead out of it.

Runs in `.venv/docs`. The first page is the README, and there is one of the changelog. Those of
`languages/` are the READMEs of `examples/`, each followed by the files of its example, and those of
`reference/` are generated from the protos and from OpenAPI by `api_reference.py`. A link to a file
that is not a page, such as a module or a manifest, becomes its path, because the site may be read
where the repository is not; a link to a file that does not exist is an error.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_EXAMPLES = {
    f"languages/{path.parent.name}.md": path for path in sorted(_ROOT.glob("examples/*/README.md"))
}
_PAGES = {
    "index.md": _ROOT / "README.md",
    "changelog.md": _ROOT / "CHANGELOG.md",
    "languages/programs.md": _ROOT / "examples" / "README.md",
    **_EXAMPLES,
}
"""The files that are pages of the site, though they are not in `docs/`."""

_URIS = {path: uri for uri, path in _PAGES.items()}
# A link to the folder of an example means its README.
_URIS |= {path.parent: uri for uri, path in _EXAMPLES.items()}

_LOCKS = {"Cargo.lock", "go.sum", "package-lock.json", "requirements.lock"}
_LEXERS = {"mod": "text", "in": "text", "rs": "rust"}
"""The lexers of files whose endings are not the names of one."""

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
"""A link to a file: its target has no scheme, and is no anchor alone."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files that are pages, and the generated pages."""
    for uri, path in _PAGES.items():
        files.append(File.generated(config, uri, content=path.read_text()))
    with tempfile.TemporaryDirectory() as folder:
        command = ["sh", "tests/tools/api_reference.sh", folder]
        subprocess.run(command, cwd=_ROOT, check=True)
        for path in sorted(Path(folder).iterdir()):
            files.append(File.generated(config, f"reference/{path.name}", content=path.read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes links of files outside `docs/`, and those that lead out of it, links of the site."""
    del config
    source = page.file.src_uri
    file = _PAGES.get(source, _DOCS / source)

    def replace(link: re.Match[str]) -> str:
        text, target, anchor = link["text"], link["target"], link["anchor"] or ""
        path = Path(os.path.normpath(file.parent / target))
        uri = _URIS.get(path, "")
        if not uri:
            if not path.exists():
                raise PluginError(
                    f"{file.relative_to(_ROOT)} links to {target}, which does not exist"
                )
            if not path.is_relative_to(_DOCS):
                uri = path.relative_to(_ROOT).as_posix()
                return text if target.endswith(text.strip("`/")) else f"{text} (`{uri}`)"
            uri = path.relative_to(_DOCS).as_posix()
        return f"[{text}]({os.path.relpath(uri, Path(source).parent)}{anchor})"

    if source.startswith("reference/"):
        return markdown
    markdown = _LINK.sub(replace, markdown)
    if source in _EXAMPLES:
        markdown = "\n".join([markdown, "## The files\n", *_blocks(file.parent)])
    return markdown


def _blocks(folder: Path) -> Iterator[str]:
    """The files of an example as blocks of code: the program first, then what builds it."""
    command = ["git", "ls-files", "--full-name", "."]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    paths = [_ROOT / name for name in listed.splitlines()]
    program = {".go", ".html", ".java", ".js", ".py", ".rs"}
    for path in sorted(paths, key=lambda path: (path.suffix not in program, path)):
        if path.name not in {"README.md", *_LOCKS}:
            ending = path.suffix.removeprefix(".")
            name = path.relative_to(folder).as_posix()
            yield f"### `{name}`\n\n````{_LEXERS.get(ending, ending)}\n{path.read_text()}````\n"
