"""The page's own files: style, scripts, and the chart library's script from its installed package.

Rule 1: a closed list: no path from outside reaches the disk. Ours are read at the start; the library's, of
        5 MB, when somebody draws the first chart: a station that nobody looks at has not paid for it.
Rule 2: each has a tag (ETag), so that a browser fetches it once; what is large is sent compressed.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.web.answers import NOSNIFF, sentence

OWN = Path(__file__).parent / "static"
PLOTLY = "plotly.min.js"
KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
MAX_AGE_S = 3600


class File(NamedTuple):
    """Compressed, as it is sent to browsers."""

    packed: bytes
    kind: str
    tag: str


class Files:
    """What lies at /static/."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._later: dict[str, Path] = {}  # read when it is asked for
        self._reading = asyncio.Lock()

    def load(self) -> None:
        """Read and compress ours, in a thread. OSError."""
        for path in OWN.iterdir():
            if path.suffix in KINDS:
                self._files[path.name] = _packed(path)
        plotly = find_spec("plotly")  # found, not imported: of the package only this file is wanted
        if plotly is not None and plotly.origin is not None:
            self._later[PLOTLY] = Path(plotly.origin).parent / "package_data" / PLOTLY

    async def _of(self, name: str) -> File | None:
        if name not in self._files and name in self._later:
            async with self._reading:
                if name not in self._files:
                    self._files[name] = await asyncio.to_thread(_packed, self._later[name])
        return self._files.get(name)

    def route(self) -> Route:
        return Route("/static/{name}", self._page)

    async def _page(self, request: Request) -> Response:
        try:
            file = await self._of(request.path_params["name"])
        except OSError:
            return sentence(503, "This file cannot be read just now: look at the disk.", 60)
        if file is None:
            return sentence(404, "There is no such file.")
        headers = {**NOSNIFF, "ETag": file.tag, "Cache-Control": f"max-age={MAX_AGE_S}",
                   "Vary": "Accept-Encoding"}  # fmt: skip
        if request.headers.get("if-none-match", "").removeprefix("W/") == file.tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                file.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.kind
            )
        return Response(gzip.decompress(file.packed), headers=headers, media_type=file.kind)


def _packed(path: Path) -> File:
    data = path.read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return File(gzip.compress(data, 6, mtime=0), KINDS[path.suffix], tag)
