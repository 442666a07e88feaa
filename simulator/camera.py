"""A camera on a network: a snapshot address, with Basic or Digest log-in, and ONVIF's device and media
service.

    camera = await Camera(values, user="viewer", password="...").start()
    camera.url, camera.onvif_url          camera.fault = "slow" | "garbage" | "cut" | "large" | "away" | ""

Rule 1: it lets in as the RFCs and the profile say, and checks what it is given by itself: nothing of the
        gateway's arithmetic is used here. Each nonce of ONVIF's log-in is good once, and for FRESH_S.
Rule 2: its pictures are real JPEGs that show the camera's time and the station's values (values()), so that a
        person who looks at one sees when it was taken, and two of them differ.
Rule 3: `asked` is what came in: (method, path, who logged in and how), for tests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha1, sha256
from xml.etree import ElementTree

import uvicorn
from PIL import Image, ImageDraw
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HOST = "127.0.0.1"
SIZE = (640, 360)
FRESH_S = 300
SLOW_S = 60.0
LARGE_BYTES = 9_000_000
REALM = "Station camera"
PROFILE = "profile_1"
FAULTS = ("", "slow", "garbage", "cut", "large", "away", "page")
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_HASHES = {"MD5": md5, "SHA-256": sha256}
_XML = "application/soap+xml; charset=utf-8"


def draw(time: datetime, values: Mapping[str, str], size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG that shows the time and the values."""
    image = Image.new("RGB", size, (38, 70, 83))
    pen = ImageDraw.Draw(image)
    level = size[1] * 2 // 3 + time.second % 10  # the water moves
    pen.rectangle((0, level, size[0], size[1]), fill=(42, 157, 143))
    pen.text((12, 10), time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), fill=(255, 255, 255))
    for line, (name, value) in enumerate(values.items()):
        pen.text((12, 34 + 16 * line), f"{name}: {value}", fill=(233, 196, 106))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


class Camera:
    """start(), stop(). `auth`: "basic", "digest", "both", "old" (a digest of before qop) or "" for none;
    `ahead_s`: its clock is so far ahead.
    """

    def __init__(
        self,
        values: Callable[[], Mapping[str, str]] = dict,
        user: str = "viewer",
        password: str = "chi de xem",
        auth: str = "digest",
        algorithm: str = "MD5",
        ahead_s: float = 0.0,
    ):
        self._values = values
        self.user, self.password, self.auth, self.algorithm = user, password, auth, algorithm
        self.ahead_s = ahead_s
        self.fault = ""
        self.port = 0
        self.host_said = HOST  # that it names as its own by ONVIF
        self.answers: dict[str, bytes] = {}  # by the name of an ONVIF request: what is answered instead
        self.asked: list[tuple[str, str, str]] = []
        self.given: list[bytes] = []  # pictures that were handed out
        self._nonces: set[str] = set()
        self._used: set[str] = set()
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._app = Starlette(
            routes=[
                Route("/snapshot.jpg", self._snapshot),
                Route("/onvif/{service}", self._soap, methods=["POST"]),
            ]
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/snapshot.jpg?channel=1"

    @property
    def onvif_url(self) -> str:
        return f"http://{HOST}:{self.port}/onvif/device_service"

    def now(self) -> datetime:
        """What it thinks that the time is."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)

    async def start(self) -> Camera:
        """Listen. OSError when the port is taken."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", loop="none", http="h11", ws="none",
            timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.01)
        return self

    async def stop(self) -> None:
        """It is switched off: connections are dropped."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                if transport := getattr(connection, "transport", None):
                    transport.abort()
            await self._task
            self._server = self._task = None

    # Its picture --------------------------------------------------------------------------------------------

    async def _snapshot(self, request: Request) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        how = self._let_in(request, target)
        self.asked.append((request.method, target, how))
        if self.auth and not how:
            return self._challenge()
        if self.fault == "slow":
            await asyncio.sleep(SLOW_S)
        data = draw(self.now(), self._values())
        if self.fault == "garbage":
            data = secrets.token_bytes(3000)
        elif self.fault == "cut":
            data = data[: len(data) // 2]
        elif self.fault == "large":
            data = data[:-2] + bytes(LARGE_BYTES) + b"\xff\xd9"
        elif self.fault == "page":
            data = b"<html><body>Log in</body></html>"
        elif self.fault == "away":
            return Response("", 302, headers={"Location": "http://elsewhere.example/"})
        else:
            self.given.append(data)
        return Response(data, media_type="image/jpeg")

    def _challenge(self) -> Response:
        response = Response("", 401)
        if self.auth in ("digest", "both", "old"):
            nonce = secrets.token_hex(8)
            self._nonces.add(nonce)
            qop = "" if self.auth == "old" else f', qop="auth,auth-int", algorithm={self.algorithm}'
            response.headers.append(
                "WWW-Authenticate", f'Digest realm="{REALM}", nonce="{nonce}", opaque="a\\"b"{qop}'
            )
        if self.auth in ("basic", "both"):
            response.headers.append("WWW-Authenticate", f'Basic realm="{REALM}"')
        return response

    def _let_in(self, request: Request, target: str) -> str:
        """How somebody logged in; "" for nobody."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic" and self.auth in ("basic", "both"):
            wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return "basic" if secrets.compare_digest(rest.encode(), wanted.encode()) else ""
        if scheme.lower() == "digest" and self.auth in ("digest", "both", "old"):
            found = dict(re.findall(r'(\w+)="?((?:(?<=")(?:\\.|[^"\\])*|[^",]*))"?', rest))
            return "digest" if self._is_right(found, request.method, target) else ""
        return ""

    def _is_right(self, said: dict[str, str], method: str, target: str) -> bool:
        if said.get("nonce") not in self._nonces or said.get("uri") != target:
            return False
        hashed = _HASHES[self.algorithm if self.auth != "old" else "MD5"]
        first = hashed(":".join((self.user, REALM, self.password)).encode()).hexdigest()
        second = hashed(f"{method}:{target}".encode()).hexdigest()
        middle = [said["nonce"]]
        if self.auth != "old":
            middle += [said.get("nc", ""), said.get("cnonce", ""), said.get("qop", "")]
        wanted = hashed(":".join((first, *middle, second)).encode()).hexdigest()
        return said.get("username") == self.user and said.get("response") == wanted

    # ONVIF --------------------------------------------------------------------------------------------------

    async def _soap(self, request: Request) -> Response:
        envelope = ElementTree.fromstring(await request.body())
        body = envelope.find(f"{{{_SOAP}}}Body")
        assert body is not None
        name = body[0].tag.rpartition("}")[2]
        how = self._has_token(envelope)
        self.asked.append((name, request.url.path, how))
        if name in self.answers:
            return Response(self.answers[name], media_type=_XML)
        if name != "GetSystemDateAndTime" and self.user and not how:
            value = "<s:Value>ter:NotAuthorized</s:Value>"
            fault = f"<s:Fault><s:Code><s:Subcode>{value}</s:Subcode></s:Code></s:Fault>"
            return Response(_envelope(fault), 400, media_type=_XML)
        service = f"http://{self.host_said}:{self.port}"
        picture = f"{service}/snapshot.jpg?channel=1&amp;of={PROFILE}"
        media = f"<Media><XAddr>{service}/onvif/media</XAddr></Media>"
        at = self.now()
        told = {
            "GetSystemDateAndTime": "<SystemDateAndTime><UTCDateTime>"
            f"<Time><Hour>{at.hour}</Hour><Minute>{at.minute}</Minute><Second>{at.second}</Second></Time>"
            f"<Date><Year>{at.year}</Year><Month>{at.month}</Month><Day>{at.day}</Day></Date>"
            "</UTCDateTime></SystemDateAndTime>",
            "GetCapabilities": f"<Capabilities>{media}</Capabilities>",
            "GetProfiles": f'<Profiles fixed="true" token="{PROFILE}"><Name>main</Name></Profiles>',
            "GetSnapshotUri": f"<MediaUri><Uri>{picture}</Uri></MediaUri>",
        }
        return Response(_envelope(f"<{name}Response>{told[name]}</{name}Response>"), media_type=_XML)

    def _has_token(self, envelope: ElementTree.Element) -> str:
        """How the WS-UsernameToken logs in; "" for not at all."""
        said = {each.tag.rpartition("}")[2]: (each.text or "") for each in envelope.iter() if not len(each)}
        try:
            nonce = base64.b64decode(said["Nonce"])
            created = datetime.strptime(said["Created"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except (KeyError, ValueError):
            return ""
        digest = sha1(nonce + said["Created"].encode() + self.password.encode()).digest()
        fresh = abs((self.now() - created).total_seconds()) <= FRESH_S and said["Nonce"] not in self._used
        self._used.add(said["Nonce"])
        right = (
            said.get("Username") == self.user and said.get("Password") == base64.b64encode(digest).decode()
        )
        return "token" if right and fresh else ""


def _envelope(body: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{_SOAP}" '
        f'xmlns:ter="http://www.onvif.org/ver10/error"><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they belong to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield
