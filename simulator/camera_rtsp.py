"""A camera's RTSP stream: Motion JPEG over RTP within the RTSP connection (RFC 2326, 2435), with Digest.

    camera = await RtspCamera(user="viewer", password="...").start()        camera.url

Rule 1: as much of the protocol as a reader over TCP needs: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN.
Rule 2: faults: "silent" answers nothing after PLAY, "away" closes there. `asked`: methods, with who logged
        in.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import md5
from struct import pack

from simulator.camera import HOST, REALM, SIZE, draw

PIECE = 1200
"""Bytes of a frame in one RTP packet."""
FRAME_S = 0.2
TICKS = 90_000  # a second, of RTP's clock for JPEG
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"


class RtspCamera:
    """start(), stop()."""

    def __init__(
        self, values: Callable[[], Mapping[str, str]] = dict, user: str = "viewer", password: str = "secret"
    ):
        self._values = values
        self.user, self.password = user, password
        self.fault = ""
        self.port = 0
        self.asked: list[tuple[str, bool]] = []
        self._nonce = secrets.token_hex(8)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()

    @property
    def url(self) -> str:
        return f"rtsp://{HOST}:{self.port}/stream1"

    async def start(self) -> RtspCamera:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        sending: asyncio.Task | None = None
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    while head.startswith("$"):  # RTCP of the reader, within the same connection
                        head = head[4 + int.from_bytes(head[2:4].encode("latin-1"), "big") :]
                    method, target = head.split(" ")[:2]
                    headers = dict(re.findall(r"(?m)^([\w-]+):\s*(.*?)\r?$", head))
                    is_in = self._let_in(method, target, headers.get("Authorization", ""))
                    self.asked.append((method, is_in))
                    if not is_in and method != "OPTIONS":
                        more = f'WWW-Authenticate: Digest realm="{REALM}", nonce="{self._nonce}"\r\n'
                        writer.write(_answer(401, headers, more))
                        continue
                    writer.write(self._answer(method, headers))
                    if method == "PLAY" and self.fault == "away":
                        break
                    if method == "PLAY" and not self.fault:
                        sending = asyncio.create_task(self._send(writer))
                    if method == "TEARDOWN":
                        break
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            writer.close()
            self._tasks.discard(task)

    def _answer(self, method: str, headers: Mapping[str, str]) -> bytes:
        if method == "OPTIONS":
            return _answer(200, headers, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
        if method == "DESCRIBE":
            more = f"Content-Base: {self.url}/\r\nContent-Type: application/sdp\r\n"
            more += f"Content-Length: {len(SDP)}\r\n"
            return _answer(200, headers, more, SDP)
        if method == "SETUP":
            more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 42\r\n"
            return _answer(200, headers, more)
        return _answer(200, headers, "Session: 42\r\n")

    def _let_in(self, method: str, target: str, said: str) -> bool:
        if not self.user:
            return True
        found = dict(re.findall(r'(\w+)="([^"]*)"', said))
        first = md5(f"{self.user}:{REALM}:{self.password}".encode()).hexdigest()
        second = md5(f"{method}:{found.get('uri', target)}".encode()).hexdigest()
        wanted = md5(f"{first}:{self._nonce}:{second}".encode()).hexdigest()
        return found.get("username") == self.user and found.get("response") == wanted

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        number = 0
        for frame in range(1 << 30):
            for packet in packets(draw(datetime.now(UTC), self._values()), number, frame):
                writer.write(packet)
                number += 1
            await writer.drain()
            await asyncio.sleep(FRAME_S)


def _answer(status: int, headers: Mapping[str, str], more: str, body: str = "") -> bytes:
    reason = {200: "OK", 401: "Unauthorized"}[status]
    return f"RTSP/1.0 {status} {reason}\r\nCSeq: {headers.get('CSeq', '0')}\r\n{more}\r\n{body}".encode()


def packets(jpeg: bytes, number: int, frame: int) -> Iterator[bytes]:
    """A frame as interleaved RTP packets (RFC 2435): baseline, 4:2:0, Huffman tables of the standard, its own
    tables of quantisation in the first packet.
    """
    tables, scan = _taken_apart(jpeg)
    at, width, height = 0, SIZE[0] // 8, SIZE[1] // 8
    while at < len(scan):
        piece = scan[at : at + PIECE]
        head = pack(">B3sBBBB", 0, at.to_bytes(3, "big"), 1, 255, width, height)
        if at == 0:
            head += pack(">BBH", 0, 0, len(tables)) + tables
        last = at + len(piece) >= len(scan)
        rtp = pack(">BBHII", 0x80, 26 | 0x80 * last, number & 0xFFFF, int(frame * FRAME_S * TICKS), 7)
        packet = rtp + head + piece
        yield b"$\x00" + len(packet).to_bytes(2, "big") + packet
        at, number = at + len(piece), number + 1


def _taken_apart(jpeg: bytes) -> tuple[bytes, bytes]:
    """(tables of quantisation, the entropy-coded scan)."""
    at, tables = 2, b""
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            while segment:
                tables, segment = tables + segment[1:65], segment[65:]
        if marker == 0xDA:
            return tables, jpeg[at:-2]
