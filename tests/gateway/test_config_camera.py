"""`[[camera]]`: every fault at once, each with its line; what is allowed and probably not meant."""

from __future__ import annotations

import pytest

from gateway.check import check
from gateway.config import read
from tests.gateway.configured import SAMPLE, written

CAMERA = """
[[camera]]
id = "gate"
kind = "http"
url = "http://127.0.0.1/snapshot.jpg?channel=1"
"""


def faults_of(tmp_path, more: str) -> list[str]:
    config, faults = read(written(tmp_path, SAMPLE + more))
    assert (config is None) == bool(faults)
    return [f"{fault.where} {fault.what} {fault.instead}" for fault in faults]


def secret(tmp_path, mode: int = 0o600) -> str:
    (tmp_path / "gateway" / "keys").mkdir(parents=True, exist_ok=True)
    path = tmp_path / "gateway" / "keys" / "gate.password"
    path.write_text("secret\n")
    path.chmod(mode)
    return 'user = "viewer"\npassword_file = "gateway/keys/gate.password"\n'


def test_a_camera_and_its_defaults(tmp_path):
    config, _ = read(written(tmp_path, SAMPLE + CAMERA + secret(tmp_path)))
    (camera,) = config.camera
    assert (camera.id, camera.kind, camera.user) == ("gate", "http", "viewer")
    assert camera.password_file == tmp_path / "gateway" / "keys" / "gate.password"
    assert (camera.every_minutes, camera.on_alert, camera.on_sample) == (0, True, True)
    assert (camera.keep_days, camera.keep_mb, camera.timeout_s) == (60, 1000, 15.0)
    assert read(written(tmp_path, SAMPLE))[0].camera == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.64/x", "https://gate.example:8443/a/b.jpg?x=1&y=%20", "http://[fe80::1]:80/x",
    ],
)  # fmt: skip
def test_addresses_of_cameras(tmp_path, url):
    assert faults_of(tmp_path, CAMERA.replace("http://127.0.0.1/snapshot.jpg?channel=1", url)) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("http://127", "ftp://127"), "is not the address of a camera."),
        (
            ("http://127", "rtsp://127"),
            "A camera of kind http does not answer at rtsp. Write http:// or https://.",
        ),
        (("127.0.0.1", "u:p@127.0.0.1"), "It holds a user. Write user and password_file beside it."),
        (("127.0.0.1", "127.0.0.1:99999"), "is not the address of a camera."),
        (("127.0.0.1", ""), "is not the address of a camera."),
        (("snapshot.jpg", "a'b"), "is not the address of a camera."),
        (("snapshot.jpg", "a b"), "is not the address of a camera."),
        (("snapshot.jpg", "a#b"), "is not the address of a camera."),
        (("snapshot.jpg", "ă"), "is not the address of a camera."),
        (('kind = "http"', 'kind = "usb"'), "kind"),
        (('id = "gate"', 'id = "../gate"'), "is not usable as an id."),
        (('id = "gate"', 'id = "gate"\nevery_minutes = -1'), "every_minutes"),
        (('id = "gate"', 'id = "gate"\nkeep_days = 0'), "keep_days"),
        (('id = "gate"', 'id = "gate"\nkeep_mb = 1'), "keep_mb"),
        (('id = "gate"', 'id = "gate"\npassword = "x"'), "password"),
        (('id = "gate"', 'id = "gate"\nuser = "viewer"'), "user and password_file belong together."),
        (('id = "gate"', 'id = "gate"\nca_file = "none.pem"'), "none.pem"),
    ],
)
def test_each_fault_is_a_sentence_with_its_line(tmp_path, changed, sentence):
    (found,) = faults_of(tmp_path, CAMERA.replace(*changed))
    assert sentence in found and "camera[0]" in found and "config.toml:" in found


def test_two_of_one_name_and_a_secret_that_all_can_read(tmp_path):
    more = CAMERA + secret(tmp_path, 0o644) + CAMERA
    found = faults_of(tmp_path, more)
    assert any("can be read by others" in each for each in found)
    assert any("'gate' is already the id of camera[0]." in each for each in found) and len(found) == 2


def test_an_rtsp_camera_and_a_user_with_a_colon(tmp_path):
    rtsp = CAMERA.replace('"http"', '"rtsp"').replace("http://127.0.0.1", "rtsp://127.0.0.1:554")
    assert faults_of(tmp_path, rtsp) == []
    user = secret(tmp_path).replace("viewer", "a:b")
    assert "Give the camera another user." in faults_of(tmp_path, CAMERA + user)[0]


def warnings_of(tmp_path, more: str) -> list[str]:
    faults, warnings = check(written(tmp_path, SAMPLE + more))
    assert faults == []
    return [f"{each.what} {each.instead}" for each in warnings if "camera" in each.where]


def test_what_is_probably_not_meant(tmp_path):
    never = CAMERA + "on_alert = false\non_sample = false\n"
    assert "never takes a picture" in warnings_of(tmp_path, never)[0]
    away = CAMERA.replace("127.0.0.1", "192.168.1.64") + secret(tmp_path)
    assert "password unencrypted" in warnings_of(tmp_path, away)[0]
    assert warnings_of(tmp_path, CAMERA + secret(tmp_path)) == []
