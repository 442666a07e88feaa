"""gateway/pictures.py: what is a picture, and that a hash finds its own and nothing else; controls."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import pictures
from gateway.pictures import NoPicture, find, keep, kind_of
from tests.gateway.calibration_rig import picture

JPEG, PNG = picture(), picture("PNG")


def test_a_jpeg_and_a_png_are_pictures():
    assert (kind_of(JPEG), kind_of(PNG)) == (".jpg", ".png")
    assert kind_of(JPEG + b"\x00\x00") == ".jpg", "cameras fill their answers up"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither"),
        (b"GIF89a" + bytes(100), "neither"),
        (b"<html>401</html>", "neither"),
        (JPEG[:-2], "cut"),
        (PNG[:-1], "cut"),
        (JPEG[:3], "goes on as none"),
        (b"\xff\xd8\xff\xd9", "goes on as none"),
        (b"\xff\xd8\xff\xe0\x00\x00" + JPEG[20:], "goes on as none"),
        (JPEG[:2] + b"\xff\xc0\x00\x0b\x08" + bytes(4) + JPEG[2:], "has none"),
        (PNG[:16] + b"\x00\x00\xff\xff" + PNG[20:], "wider or higher"),
        (JPEG[:-2] + bytes(pictures.BYTES_MAX) + b"\xff\xd9", "8 MB"),
    ],
)
def test_what_is_none_says_why(data, why):
    with pytest.raises(NoPicture, match=why):
        kind_of(data)


@given(st.binary(max_size=80), st.integers(2, 60))
def test_whatever_comes_it_is_a_picture_or_a_sentence(noise, at):
    for data in (noise, b"\xff\xd8\xff" + noise, JPEG[:at] + noise + JPEG[at:]):
        try:
            assert kind_of(data) == ".jpg"
        except NoPicture as error:
            assert str(error).startswith("It ")


def test_it_is_kept_once_and_found_by_its_hash(tmp_path):
    digest = keep(tmp_path, JPEG)
    assert digest == sha256(JPEG).hexdigest() == keep(tmp_path, JPEG)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [f"{digest}.jpg"]
    assert find(tmp_path, digest) == tmp_path / "pictures" / f"{digest}.jpg"
    assert find(tmp_path, "0" * 64) is None
    with pytest.raises(NoPicture):
        keep(tmp_path, b"no picture")


def test_one_of_a_camera_is_found_in_its_day(tmp_path):
    digest = sha256(JPEG).hexdigest()
    folder = tmp_path / "pictures" / "2026" / "03" / "25"
    folder.mkdir(parents=True)
    path = folder / f"20260325070500-gate-{digest[:8]}.jpg"
    path.write_bytes(PNG)
    assert find(tmp_path, digest) is None, "it is called so, and is another one"
    path.write_bytes(JPEG)
    assert find(tmp_path, digest) == path


OUTSIDE = [
    "../../etc/passwd",
    "..",
    "",
    "*",
    "a" * 63,
    "A" * 64,
    "g" * 64,
    "0" * 63 + "/",
    "0" * 64 + "\n",
    "?" * 64,
]


@pytest.mark.parametrize("digest", OUTSIDE)
def test_no_path_leads_out(tmp_path, digest):
    keep(tmp_path, JPEG)
    assert find(tmp_path, digest) is None


def test_a_link_is_not_followed_and_what_was_changed_is_not_handed_out(tmp_path):
    digest = keep(tmp_path, JPEG)
    path = tmp_path / "pictures" / f"{digest}.jpg"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert find(tmp_path, digest) is None
    path.unlink()
    path.write_bytes(JPEG[:-3] + b"\x00\xff\xd9")
    assert find(tmp_path, digest) is None


def test_control_without_looking_at_the_hash_the_wrong_one_is_handed_out(tmp_path, monkeypatch):
    class Believing:
        def __init__(self, data: bytes):
            pass

        def hexdigest(self) -> str:
            return digest

    digest = keep(tmp_path, JPEG)
    monkeypatch.setattr(pictures, "sha256", Believing)
    with pytest.raises(AssertionError):
        test_a_link_is_not_followed_and_what_was_changed_is_not_handed_out(tmp_path / "again")
