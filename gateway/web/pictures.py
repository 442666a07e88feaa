"""/api/v1/pictures?from=&to=&camera= and /api/v1/picture/<sha256>: what cameras saw, photos of calibrations.

Rule 1: `ask_list(from_ms, to_ms, camera)` gives the list's bytes; `ask_one(sha256)` (media type, bytes) of a
        picture. ValueError: asked wrongly; NotThere: there is none; JournalError: ask later.
Rule 2: a picture is asked for by its SHA-256, 64 small hex digits and nothing else: no name, no path. What
        has that hash never changes, so a browser may keep it; nobody on the way may.
Rule 3: POST /do/photo takes the photo of a calibration as it is (image/jpeg, image/png), with the session's
        token in the header, of whoever may calibrate: {"sha256"} is what the form then names. Each one kept
        is an entry of the log.
Rule 4: of a crowd, and of a journal that cannot be read: turns.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import NotThere
from gateway.web.answers import NOSNIFF, found, sentence
from gateway.web.door import guard, tell
from gateway.web.forms import BadForm, read_body
from gateway.web.turns import Turns
from gateway.web.windows import asked_span

AskList = Callable[[int | None, int | None, str | None], Awaitable[bytes]]
AskOne = Callable[[str], Awaitable[tuple[str, bytes]]]
Keep = Callable[[bytes], Awaitable[str]]
DIGEST = re.compile("[0-9a-f]{64}")
PHOTOS = ("image/jpeg", "image/png")
PHOTO_MAX = 8_000_000
PHOTO_S_MAX = 120.0
"""A telephone at the end of a yard."""
KEPT = "private, max-age=31536000, immutable"


async def no_list(from_ms: int | None, to_ms: int | None, camera: str | None) -> bytes:
    """There is no journal."""
    raise NotThere("There are no pictures here.")


async def no_picture(digest: str) -> tuple[str, bytes]:
    """There is no journal."""
    raise NotThere("There are no pictures here.")


def photo_route(keep: Keep) -> Route:
    """Where photos are handed over; `keep` gives the SHA-256 (ValueError: it is no picture; OSError)."""

    async def photo(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in PHOTOS:
            return sentence(415, f"A photo is sent as it is: {' or '.join(PHOTOS)}.")
        try:
            async with asyncio.timeout(PHOTO_S_MAX):
                digest = await keep(await read_body(request, PHOTO_MAX))
        except BadForm as error:
            return sentence(error.status, str(error))
        except TimeoutError:
            return sentence(408, "The photo did not come.")
        except ValueError as error:
            return sentence(400, str(error))
        except OSError:
            return sentence(503, "The photo cannot be kept just now: look at the disk.", 60)
        await tell(request, "photo", [f"sha256={digest}"], True, "It is kept.")
        return found(msgspec.json.encode({"sha256": digest}))

    return Route("/do/photo", guard("calibrate", photo, PHOTO_MAX), methods=["POST"])


def routes(ask_list: AskList, ask_one: AskOne) -> list[Route]:
    """The pages."""
    turns = Turns("pictures")

    async def listed(request: Request) -> Response:
        asked = request.query_params
        try:
            from_ms, to_ms = asked_span(asked)
            body = await turns.take(lambda: ask_list(from_ms, to_ms, asked.get("camera") or None))
        except ValueError as error:
            return sentence(400, str(error))
        return body if isinstance(body, Response) else found(body)

    async def picture(request: Request) -> Response:
        digest = request.path_params["digest"]
        if not DIGEST.fullmatch(digest):
            return sentence(400, "A picture is asked for by its SHA-256, 64 small hex digits.")
        kind = ""

        async def make() -> bytes:
            nonlocal kind
            kind, data = await ask_one(digest)
            return data

        body = await turns.take(make)
        if isinstance(body, Response):
            return body
        return Response(body, media_type=kind, headers={**NOSNIFF, "Cache-Control": KEPT})

    return [Route("/api/v1/pictures", listed), Route("/api/v1/picture/{digest}", picture)]
