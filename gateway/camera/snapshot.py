"""One picture from a camera, whatever its kind, bounded in bytes and time.

Rule 1: it gives a picture (gateway/pictures.py: JPEG, whole, of a sane size) or raises CameraFault, within
        the camera's timeout_s altogether.
Rule 2: user and password go to the host of the configured url and to no other: nothing is followed, and of an
        address that a camera names only path and query are taken (onvif.py).
Rule 3: no sentence holds the password or what a camera says of its own choice.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from gateway import tls
from gateway.camera import onvif, rtsp
from gateway.camera.auth import authorization
from gateway.camera.faults import CameraFault
from gateway.config_camera import Camera
from gateway.errors import DestinationError
from gateway.pictures import JPEG, NoPicture, kind_of
from gateway.web.client import Answer, connect

PICTURE_MAX = 4_000_000
"""Bytes of a camera's picture: some 12 megapixels."""
PASSWORD_MAX = 200
ANSWER_MAX = 262_144
"""Bytes of an ONVIF answer."""


async def snapshot(camera: Camera) -> bytes:
    """A JPEG. CameraFault."""
    try:
        async with asyncio.timeout(camera.timeout_s):
            user, password = camera.user, await asyncio.to_thread(_password, camera.password_file)
            if camera.kind == "rtsp":
                data = await rtsp.frame(camera.url, user, password, camera.timeout_s, PICTURE_MAX)
            else:
                http = _Http(camera, user, password)
                url = camera.url
                if camera.kind == "onvif":
                    url = await onvif.snapshot_url(url, user, password, http.post)
                data = await http.picture(url)
    except TimeoutError:
        raise CameraFault(f"It gave no picture within {camera.timeout_s:g} s.") from None
    except DestinationError as error:
        raise CameraFault(str(error)) from None
    try:
        if kind_of(data) != JPEG:
            raise NoPicture("It is no JPEG.")
    except NoPicture as error:
        raise CameraFault(f"What it gave is no picture. {error}") from None
    return data


class _Http:
    """Requests to one camera, with log-in where it asks for it."""

    def __init__(self, camera: Camera, user: str, password: str):
        self._camera, self._user, self._password = camera, user, password
        self._context: ssl.SSLContext | None = None

    async def picture(self, url: str) -> bytes:
        answer = await self._ask("GET", url, b"", (), PICTURE_MAX)
        if answer.status != 200:
            raise CameraFault(told(answer.status, self._user))
        return answer.body

    async def post(self, url: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        """What onvif.py asks: (status, body)."""
        answer = await self._ask("POST", url, body, (("Content-Type", content_type),), ANSWER_MAX)
        return answer.status, answer.body

    async def _ask(
        self, method: str, url: str, body: bytes, headers: tuple[tuple[str, str], ...], most: int
    ) -> Answer:
        answer = await self._once(method, url, body, headers, most)
        offers = answer.headers.get("www-authenticate", "")
        if answer.status != 401 or not self._user or not offers:
            return answer
        place = urlsplit(url)
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        said = authorization(offers, method, target, self._user, self._password, secrets.token_hex(8))
        if said is None:
            raise CameraFault("It asks for a log-in that is neither Basic nor Digest.")
        return await self._once(method, url, body, (*headers, ("Authorization", said)), most)

    async def _once(
        self, method: str, url: str, body: bytes, headers: tuple[tuple[str, str], ...], most: int
    ) -> Answer:
        camera = self._camera
        if url.startswith("https:") and self._context is None:
            self._context = await asyncio.to_thread(tls.context, camera.ca_file)
        connection = await connect(url, seconds=camera.timeout_s, context=self._context)
        try:
            more = (*headers, ("Connection", "close"))
            return await connection.exchange(
                method, body, more, seconds=camera.timeout_s, bytes_max=most
            )  # fmt: skip
        finally:
            connection.close()


def told(status: int, user: str) -> str:
    """A status that is no picture, as a sentence."""
    if status == 401:
        return "It refuses user and password." if user else "It asks for a user and a password."
    if status == 403:
        return "This user may not have its pictures (HTTP 403)."
    if status == 404:
        return "There is no picture at its url (HTTP 404)."
    if 300 <= status < 400:
        return f"It sends us elsewhere (HTTP {status}), which is not followed: write the right url."
    return f"It answers HTTP {status} and no picture."


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            data = file.read(PASSWORD_MAX + 3)
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise CameraFault(f"Its password_file cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CameraFault("Its password_file is no text.") from None
    if not 0 < len(text) <= PASSWORD_MAX or not text.isprintable():
        raise CameraFault("Its password_file holds no line that is a password.")
    return text
