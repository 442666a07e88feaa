"""simulator/camera.py: its pictures differ and are pictures; nobody gets in without the password."""

from __future__ import annotations

import io
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from simulator.camera import FAULTS, SIZE, Camera, draw
from simulator.camera_rtsp import packets
from tests.gateway.camera_rig import PASSWORD, with_camera

NOON = datetime(2026, 3, 25, 5, 0, tzinfo=UTC)


def test_a_picture_shows_the_time_and_the_values():
    plain = draw(NOON, {"COD": "25.1"})
    with Image.open(io.BytesIO(plain)) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", SIZE)
    assert draw(NOON, {"COD": "25.1"}) == plain
    assert draw(NOON + timedelta(seconds=1), {"COD": "25.1"}) != plain
    assert draw(NOON, {"COD": "25.2"}) != plain and FAULTS[0] == ""


def opened(camera: Camera, handler, password: str) -> int:
    """Another client than ours: Python's own."""
    known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    known.add_password(None, camera.url, "viewer", password)
    opener = urllib.request.build_opener(handler(known))
    try:
        with opener.open(camera.url, timeout=10) as answer:
            return len(answer.read())
    except urllib.error.HTTPError as error:
        return -error.code


@pytest.mark.parametrize("way", ["digest", "basic", "old"])
def test_another_client_gets_in_with_the_password_only(way):
    import asyncio

    handler = urllib.request.HTTPBasicAuthHandler if way == "basic" else urllib.request.HTTPDigestAuthHandler

    async def case(camera: Camera) -> None:
        assert await asyncio.to_thread(opened, camera, handler, PASSWORD) == len(camera.given[-1])
        count = len(camera.given)
        try:
            assert await asyncio.to_thread(opened, camera, handler, "wrong") < 0
        except ValueError:
            pass  # urllib gives up so where a digest is refused again and again
        assert len(camera.given) == count

    with_camera(case, auth=way)


def test_a_frame_is_cut_into_packets_that_join():
    jpeg = draw(NOON, {})
    pieces = list(packets(jpeg, 65_535, 3))
    scan = b""
    for number, packet in enumerate(pieces):
        rtp = packet[4:]
        assert int.from_bytes(packet[2:4], "big") == len(rtp)
        assert int.from_bytes(rtp[2:4], "big") == (65_535 + number) & 0xFFFF
        assert bool(rtp[1] & 0x80) == (number == len(pieces) - 1)
        assert int.from_bytes(rtp[13:16], "big") == len(scan)
        scan += rtp[20 + (0 if number else 4 + 128) :]
    assert jpeg.endswith(scan + b"\xff\xd9") and len(scan) > len(jpeg) // 2
