"""The files of the dashboard, which is the page at `/`.

What is in the folder `dashboard/` is what is served: there is no step that builds it. The libraries
in `dashboard/vendor/` are the modules that their packages of npm publish.
"""

import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

_PAGE: Final = "index.html"

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""The content-types, by the ends of names; a file with any other must not be in the folder."""

_HEADERS: Final = {
    # Nothing is loaded from elsewhere, nothing in the text of the page is run, and no other page
    # may show this one.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # A browser asks each time whether a file has changed, so that no page is made of the files of
    # two versions.
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


@dataclass(frozen=True)
class _File:
    """A file in the two forms in which it is sent."""

    content_type: str
    content: bytes
    compressed: bytes
    digest: str


def page_routes() -> Sequence[BaseRoute]:
    """The routes of the page and of its files, which are read once."""
    folder = resources.files(__package__).joinpath("dashboard")
    files = {name: _file(name, content) for name, content in _contents(folder)}
    page = files.pop(_PAGE)

    async def show(request: Request) -> Response:
        return _answer(request, page)

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return _answer(request, found)

    return [Route("/", show), Route("/dashboard/{name:path}", file)]


def _contents(folder: Traversable, path: str = "") -> Iterator[tuple[str, bytes]]:
    for child in folder.iterdir():
        if child.is_dir():
            yield from _contents(child, f"{path}{child.name}/")
        else:
            yield f"{path}{child.name}", child.read_bytes()


def _file(name: str, content: bytes) -> _File:
    return _File(
        _TYPES[name.rpartition(".")[2]],
        content,
        gzip.compress(content, mtime=0),
        hashlib.sha256(content).hexdigest()[:32],
    )


def _answer(request: Request, file: _File) -> Response:
    is_compressed = _takes_gzip(request.headers.get("accept-encoding", ""))
    headers: Mapping[str, str] = {
        **_HEADERS,
        "etag": f'"{file.digest}{"-gzip" if is_compressed else ""}"',
        **({"content-encoding": "gzip"} if is_compressed else {}),
    }
    # An entity tag holds no comma, and what a browser sends is what it was sent.
    if file.digest in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = file.compressed if is_compressed else file.content
    return Response(content, headers=headers, media_type=file.content_type)


def _takes_gzip(accepted: str) -> bool:
    for offer in accepted.lower().split(","):
        name, _, parameters = offer.partition(";")
        if name.strip() == "gzip":
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
