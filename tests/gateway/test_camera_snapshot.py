"""gateway/camera: one picture over HTTP, ONVIF, RTSP, of simulated cameras; what is wrong; controls."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.camera import auth, onvif, rtsp
from gateway.camera import snapshot as module
from gateway.camera.auth import authorization, challenges
from gateway.camera.faults import CameraFault
from gateway.camera.snapshot import snapshot
from simulator.camera import Camera
from simulator.camera_rtsp import RtspCamera
from tests.gateway.camera_rig import PASSWORD, settings, with_camera
from tests.servers.certificates import Authority

# Logging in ------------------------------------------------------------------------------------------------

_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
_OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
_OFFER = 'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, nonce="{}", opaque="{}"'
RFC7616 = ", ".join(_OFFER.format(algorithm, _NONCE, _OPAQUE) for algorithm in ("SHA-256", "MD5"))
"""RFC 7616, 3.9.1, both challenges in one field."""
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def said(header: str) -> str:
    found = authorization(header, "GET", "/dir/index.html", "Mufasa", "Circle of Life", CNONCE)
    assert found is not None
    return found


def test_digest_as_in_the_rfcs_own_example():
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in said(RFC7616)
    only_md5 = RFC7616[RFC7616.rindex("Digest") :]
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in said(only_md5)
    assert "qop=auth, nc=00000001" in said(only_md5) and 'uri="/dir/index.html"' in said(only_md5)


def test_digest_of_before_qop():
    """RFC 2617, 3.2.2.1 without qop: MD5(MD5(A1):nonce:MD5(A2)), by another program's arithmetic."""
    from hashlib import md5

    first, second = (md5(text).hexdigest() for text in (b"Mufasa:r:Circle of Life", b"GET:/dir/index.html"))
    wanted = md5(f"{first}:n:{second}".encode()).hexdigest()
    found = said('Digest realm="r", nonce="n"')
    assert f'response="{wanted}"' in found and "qop" not in found and "cnonce" not in found


def test_digest_goes_before_basic_and_basic_where_there_is_nothing_else():
    assert said('Basic realm="r", Digest realm="r", nonce="n"').startswith("Digest ")
    assert said("Basic realm=r") == "Basic TXVmYXNhOkNpcmNsZSBvZiBMaWZl"  # base64 of Mufasa:Circle of Life
    for strange in (
        "",
        "Negotiate",
        "Bearer abc",
        'Digest realm="r", nonce="n", qop="auth-int"',
        "Digest qop=auth",
    ):
        assert authorization(strange, "GET", "/", "u", "p", "c") is None
    assert authorization('Digest realm="r", nonce="n", algorithm=MD5-sess', "GET", "/", "u", "p", "c") is None


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["Digest", 'a="', '"', ",", "=", "b", " ", "\\"])).map("".join)
)
def test_whatever_is_offered_is_a_challenge_or_nothing(header):
    assert isinstance(challenges(header), list)
    authorization(header, "GET", "/", "u", "p", "c")


# Over HTTP --------------------------------------------------------------------------------------------------


def is_picture(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.format == "JPEG" and image.size == (640, 360)


WAYS = [
    ("digest", "MD5"),
    ("digest", "SHA-256"),
    ("basic", "MD5"),
    ("both", "MD5"),
    ("old", "MD5"),
    ("", "MD5"),
]


@pytest.mark.parametrize(("way", "algorithm"), WAYS)
def test_a_picture_with_every_way_to_log_in(tmp_path, way, algorithm):
    async def case(camera: Camera) -> None:
        data = await snapshot(settings(tmp_path, camera.url, password=PASSWORD if way else ""))
        assert data == camera.given[-1] and is_picture(data)
        methods = [how for _, _, how in camera.asked]
        assert methods == {"": [""], "basic": ["", "basic"]}.get(way, ["", "digest"])
        assert camera.asked[-1][1] == "/snapshot.jpg?channel=1"

    with_camera(case, auth=way, algorithm=algorithm)


def fault_of(tmp_path: Path, fault: str = "", seconds: float = 10.0, **changed) -> str:
    found: list[str] = []

    async def case(camera: Camera) -> None:
        camera.fault = fault
        changed.setdefault("url", camera.url)
        with pytest.raises(CameraFault) as caught:
            await snapshot(settings(tmp_path, timeout_s=seconds, **changed))
        found.append(str(caught.value))

    with_camera(case)
    return found[0]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("garbage", "neither a JPEG nor a PNG"),
        ("page", "neither a JPEG nor a PNG"),
        ("cut", "cut before its end"),
        ("large", "larger than 4000000 bytes"),
        ("away", "sends us elsewhere (HTTP 302), which is not followed"),
    ],
)
def test_what_is_no_picture_is_a_sentence(tmp_path, fault, sentence):
    assert sentence in fault_of(tmp_path, fault)


def test_a_slow_camera_is_left(tmp_path):
    assert "in time (1 s)" in (said := fault_of(tmp_path, "slow", 1.0)) or "within 1 s" in said


def test_a_wrong_password_is_a_sentence_without_it(tmp_path):
    found = fault_of(tmp_path, password="hunter22")
    assert found == "It refuses user and password." and "hunter22" not in found


def test_a_password_is_asked_for(tmp_path):
    assert fault_of(tmp_path, password="") == "It asks for a user and a password."


def test_nobody_there_and_a_password_file_that_is_none(tmp_path):
    assert "cannot be reached" in fault_of(tmp_path, url="http://127.0.0.1:9/x.jpg")
    made = settings(tmp_path, "http://127.0.0.1:9/x.jpg")
    for text in (b"", b"\xff\xfe", b"two\nlines\n", b"x" * 201):
        made.password_file.write_bytes(text)
        with pytest.raises(CameraFault, match="password_file"):
            asyncio.run(snapshot(made))
    made.password_file.unlink()
    with pytest.raises(CameraFault, match="cannot be read"):
        asyncio.run(snapshot(made))


def test_control_a_snapshot_that_believes_what_it_gets_keeps_a_log_in_page(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "kind_of", lambda data: ".jpg")
    with pytest.raises(pytest.fail.Exception):
        test_what_is_no_picture_is_a_sentence(tmp_path, "page", "neither")


def test_over_tls_its_certificate_is_checked(tmp_path):
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("camera")
    other = Authority(tmp_path / "other", "other")

    async def main() -> None:
        server = await asyncio.start_server(_picture, "127.0.0.1", 0, ssl=_context(cert, key))
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x.jpg"
        assert is_picture(await snapshot(settings(tmp_path, url, ca_file=str(authority.ca_file))))
        for untrusted in ({}, {"ca_file": str(other.ca_file)}):
            with pytest.raises(CameraFault, match="certificate"):
                await snapshot(settings(tmp_path, url, **untrusted))
        server.close()

    asyncio.run(main())


def _context(cert: Path, key: Path):
    import ssl

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(cert, key)
    return made


async def _picture(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    from simulator.camera import draw

    await reader.readuntil(b"\r\n\r\n")
    data = draw(Camera().now(), {})
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(data) + data)
    await writer.drain()
    writer.close()


# By ONVIF ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [0.0, -86_400.0, 3_600_000.0])
def test_its_picture_by_onvif_whatever_its_clock_says(tmp_path, ahead_s):
    async def case(camera: Camera) -> None:
        camera.host_said = "192.0.2.7"  # behind a router it does not know its own address
        data = await snapshot(settings(tmp_path, camera.onvif_url, "onvif"))
        assert data == camera.given[-1]
        assert [(name, how) for name, _, how in camera.asked] == [
            ("GetSystemDateAndTime", ""), ("GetCapabilities", "token"), ("GetProfiles", "token"),
            ("GetSnapshotUri", "token"), ("GET", ""), ("GET", "digest"),
        ]  # fmt: skip
        assert camera.asked[-1][1] == "/snapshot.jpg?channel=1&of=profile_1"

    with_camera(case, ahead_s=ahead_s)


def test_control_by_our_own_clock_a_camera_with_another_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(onvif, "created", lambda answer: "2026-03-25T00:05:00Z")
    with pytest.raises(CameraFault, match="refuses user and password"):
        test_its_picture_by_onvif_whatever_its_clock_says(tmp_path, 0.0)


def test_a_wrong_password_by_onvif(tmp_path):
    async def case(camera: Camera) -> None:
        with pytest.raises(CameraFault) as caught:
            await snapshot(settings(tmp_path, camera.onvif_url, "onvif", password="hunter22"))
        assert str(caught.value) == "By ONVIF it refuses user and password."
        assert not camera.given

    with_camera(case)


def test_the_digest_of_a_log_in():
    """The ONVIF Application Programmer's Guide, 6.1.1.3: nonce LKqI6G/AikKCQrN0zqZFlg==, userpassword."""
    import base64

    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    assert ">tuOSpGlFlIXsozq4HFNeeGeFLEI=<" in onvif.security(
        "user", "userpassword", "2010-09-16T07:50:45Z", nonce
    )


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<x><XAddr>&b;</XAddr></x>"""
FILE = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x><XAddr>&a;</XAddr></x>'
)
DTD = b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/evil.dtd"><x><XAddr>http://h/media</XAddr></x>'


@pytest.mark.parametrize(
    ("name", "answer", "sentence"),
    [
        ("GetCapabilities", BOMB, "no plain XML"),
        ("GetCapabilities", FILE, "no plain XML"),
        ("GetCapabilities", DTD, "no plain XML"),
        ("GetCapabilities", b"", "no plain XML"),
        ("GetCapabilities", b"<a>" * 80_000, "no plain XML"),
        ("GetCapabilities", b"<a>" * 30_000 + b"</a>" * 30_000, "does not say XAddr"),
        ("GetCapabilities", b"x" * 300_000, "larger than 262144 bytes"),
        ("GetCapabilities", b"<x/>", "does not say XAddr"),
        ("GetCapabilities", b"<x><XAddr>http://[</XAddr></x>", "names an address that is none"),
        ("GetCapabilities", b"<x><XAddr>http://h/a b</XAddr></x>", "names an address that is none"),
        ("GetProfiles", b"<x/>", "names no profile"),
        ("GetSnapshotUri", b"<x><Uri>http://h/\xc3\xa9</Uri></x>", "names an address that is none"),
        ("GetSystemDateAndTime", b"<x/>", "does not say what time it is"),
        ("GetSystemDateAndTime", b"<UTCDateTime><Year>9</Year></UTCDateTime>", "does not say"),
    ],
)
def test_whatever_a_camera_answers_by_onvif_is_a_sentence(tmp_path, name, answer, sentence):
    async def case(camera: Camera) -> None:
        camera.answers[name] = answer
        with pytest.raises(CameraFault, match=sentence):
            await snapshot(settings(tmp_path, camera.onvif_url, "onvif"))

    with_camera(case)


def test_no_answer_leads_our_password_to_another_host(tmp_path):
    async def case(camera: Camera) -> None:
        other = await Camera(password=PASSWORD, auth="basic").start()
        try:
            uri = f"<x><Uri>http://127.0.0.1:{other.port}/snapshot.jpg?channel=1</Uri></x>"
            camera.answers["GetSnapshotUri"] = uri.encode()
            assert await snapshot(settings(tmp_path, camera.onvif_url, "onvif")) == camera.given[-1]
            assert other.asked == [], "of its address path and query count, and no host"
        finally:
            await other.stop()

    with_camera(case)


def test_control_who_believes_the_address_is_led_away(tmp_path, monkeypatch):
    monkeypatch.setattr(onvif, "_at", lambda url, said: said)
    with pytest.raises((AssertionError, IndexError)):
        test_no_answer_leads_our_password_to_another_host(tmp_path)


# RTSP -------------------------------------------------------------------------------------------------------


def program(tmp_path: Path, body: str) -> str:
    """A small program in the place of ffmpeg."""
    path = tmp_path / "standin"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def frame(program: str, seconds: float = 20.0, most: int = 10_000) -> bytes:
    return asyncio.run(rtsp.frame("rtsp://127.0.0.1:554/s1", "viewer", "a'b@c", seconds, most, program))


def test_the_child_is_given_its_address_on_its_input_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("QUANTRAC_SECRET", "hunter22")
    told = frame(program(tmp_path, 'echo "$0 $*"; env; cat')).decode()
    arguments, _, rest = told.partition("\n")
    assert "viewer" not in arguments and "rtsp:" not in arguments and "hunter22" not in told
    assert "file 'rtsp://viewer:a%27b%40c@127.0.0.1:554/s1'\n" in rest
    assert "option rtsp_transport tcp\noption timeout 20000000\n" in rest


def test_control_on_the_command_line_everybody_could_read_it(tmp_path, monkeypatch):
    made = rtsp.arguments
    monkeypatch.setattr(rtsp, "arguments", lambda path: [*made(path), "rtsp://viewer:secret@127.0.0.1"])
    with pytest.raises(AssertionError):
        test_the_child_is_given_its_address_on_its_input_and_nowhere_else(tmp_path, monkeypatch)


def test_a_child_that_hangs_writes_too_much_fails_or_is_not_there(tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(TimeoutError):
        frame(program(tmp_path, f"echo $$ > {pid}; exec sleep 600"), seconds=1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    for body, sentence in (
        ("exec cat /dev/zero", "more than 10000 bytes"),
        ("echo rtsp://viewer:pw >&2; exit 1", "gave no picture"),
        ("exit 0", "gave no picture"),
    ):
        with pytest.raises(CameraFault, match=sentence) as caught:
            frame(program(tmp_path, body))
        assert "viewer" not in str(caught.value)
    with pytest.raises(CameraFault, match="apt install nowhere-to-be-found"):
        frame("nowhere-to-be-found")


def streaming(case, **made) -> None:
    async def main() -> None:
        camera = await RtspCamera(lambda: {"COD": "25.1 mg/l"}, password=PASSWORD, **made).start()
        try:
            async with asyncio.timeout(60):
                await case(camera)
        finally:
            await camera.stop()

    asyncio.run(main())


def test_a_frame_of_a_stream_by_the_real_program(tmp_path):
    async def case(camera: RtspCamera) -> None:
        data = await snapshot(settings(tmp_path, camera.url, "rtsp", timeout_s=50.0))
        assert is_picture(data)
        assert ("PLAY", True) in camera.asked and ("DESCRIBE", False) in camera.asked

    streaming(case)


@pytest.mark.parametrize("fault", ["away", "silent", "password"])
def test_a_stream_without_a_picture_is_a_sentence(tmp_path, fault):
    async def case(camera: RtspCamera) -> None:
        camera.fault = fault if fault != "password" else ""
        password = "hunter22" if fault == "password" else PASSWORD
        with pytest.raises(CameraFault) as caught:
            await snapshot(settings(tmp_path, camera.url, "rtsp", password, timeout_s=5.0))
        assert "no picture" in str(caught.value) and "hunter22" not in str(caught.value)

    streaming(case)


def test_auth_has_no_other_hashes():
    assert list(auth.HASHES) == ["sha-256", "md5"]
