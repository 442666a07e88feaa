"""One frame of an RTSP stream, by ffmpeg (a Debian package) as a child process.

Rule 1: the child is bounded: it is killed at the end of its time, it has written too much, or whoever waits
        is cancelled; it gets an empty environment but for PATH, and nothing of ours is open in it.
Rule 2: the address with user and password is given on its standard input, as the list of inputs that its
        "concat" format reads: they stand in no process list and in no file.
Rule 3: what it says is not handed on: it may repeat the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from urllib.parse import quote, urlsplit, urlunsplit

from gateway.camera.faults import CameraFault

PROGRAM = "ffmpeg"
QUALITY = "3"  # of 2 (best) to 31
PROTOCOLS = "pipe,fd,rtsp,rtsps,rtp,tcp,udp,tls,crypto,data"
CHUNK = 65_536


def arguments(program: str) -> list[str]:
    """What is run; there is no secret in it."""
    return [
        program, "-nostdin", "-hide_banner", "-loglevel", "error", "-protocol_whitelist", PROTOCOLS,
        "-f", "concat", "-safe", "0", "-i", "pipe:0", "-an", "-frames:v", "1",
        "-f", "image2pipe", "-c:v", "mjpeg", "-q:v", QUALITY, "pipe:1",
    ]  # fmt: skip


def listing(url: str, user: str, password: str, seconds: float = 15.0) -> bytes:
    """What is given on standard input."""
    place = urlsplit(url)
    if user:
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        place = place._replace(netloc=login + place.netloc)
    whole = urlunsplit(place).replace("'", "%27")
    options = {"rtsp_transport": "tcp", "timeout": str(round(seconds * 1e6))}
    lines = ["ffconcat version 1.0", f"file '{whole}'", *(f"option {k} {v}" for k, v in options.items())]
    return "\n".join([*lines, ""]).encode()


async def frame(
    url: str, user: str, password: str, seconds: float, bytes_max: int, program: str = PROGRAM
) -> bytes:
    """What the child writes: a JPEG if all went well. CameraFault; TimeoutError from outside ends it, too."""
    found = await asyncio.to_thread(shutil.which, program)
    if found is None:
        raise CameraFault(f"Pictures of a stream need {program}: install it (apt install {program}).")
    child = await asyncio.create_subprocess_exec(
        *arguments(found), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={"PATH": os.environ.get("PATH", os.defpath)},
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            return await _read(child, listing(url, user, password, seconds), bytes_max)
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def _read(child: asyncio.subprocess.Process, given: bytes, bytes_max: int) -> bytes:
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(ConnectionError):
        child.stdin.write(given)
        await child.stdin.drain()
        child.stdin.close()
    data = bytearray()
    while part := await child.stdout.read(CHUNK):
        data += part
        if len(data) > bytes_max:
            raise CameraFault(f"It gave a picture of more than {bytes_max} bytes.")
    if await child.wait() != 0 or not data:
        raise CameraFault("Its stream gave no picture: look at url, user and password, and whether it is on.")
    return bytes(data)
