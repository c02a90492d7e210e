"""A hook of MkDocs: makes pages of what is not in `docs/`, and checks links that lead out of it.

Runs in `.venv/docs`. The first page is the README, there is one of the changelog, and the pages of
`reference/` are generated from the protos and from OpenAPI by `api_reference.py`. A link to a file
that is not a page, such as a module or a manifest, becomes its path, because the site may be read
where the repository is not; a link to a file that does not exist is an error.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_PAGES = {"index.md": _ROOT / "README.md", "changelog.md": _ROOT / "CHANGELOG.md"}
"""The files that are pages of the site, though they are not in `docs/`."""

_URIS = {path: uri for uri, path in _PAGES.items()}

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

    return markdown if source.startswith("reference/") else _LINK.sub(replace, markdown)
