"""`[[camera]]`: what takes a picture of the station, how it is asked, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from gateway.config_base import PRINTABLE, PlainValidator, Section, WithJsonSchema, setting
from gateway.config_types import FilePath, Id, said

URL_MAX = 500
SCHEMES = {"http": ("http", "https"), "onvif": ("http", "https"), "rtsp": ("rtsp", "rtsps")}
"""Of the url, by kind."""
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_EXAMPLE = '"http://192.168.1.64/snapshot.jpg" or "rtsp://192.168.1.64:554/stream1"'


def _camera_url(value: Any) -> str:
    """An address without a user and a password: those are settings of their own."""
    fault = said(f"{value!r} is not the address of a camera.", f"Write it as {_EXAMPLE}.")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > URL_MAX:
        raise fault
    if any(sign in value for sign in " \"'<>\\^`{|}"):
        raise fault
    try:
        place = urlsplit(value)
        port = place.port
    except ValueError:
        raise fault from None
    if "@" in place.netloc:
        raise said("It holds a user.", "Write user and password_file beside it.")
    known = any(place.scheme in schemes for schemes in SCHEMES.values())
    if not known or not _PLACE.fullmatch(place.netloc) or port == 0 or place.fragment:
        raise fault
    return value


CameraUrl = Annotated[str, PlainValidator(_camera_url), WithJsonSchema({"type": "string"})]


class Camera(Section):
    """`[[camera]]`: one camera."""

    id: Id = setting("Its name in files and reports.", example="gate")
    kind: Literal["http", "onvif", "rtsp"] = setting(
        "How it is asked: for a picture (http), where its pictures are (onvif), for its stream (rtsp).",
        example="http",
    )
    url: CameraUrl = setting(
        "Where it answers: of a snapshot, of ONVIF's device service, of a stream.",
        example="http://192.168.1.64/snapshot.jpg",
    )
    user: str = setting("User name there, empty for none.", "", max_length=64, pattern=PRINTABLE)
    password_file: FilePath | None = setting(
        "File with the password.", None, example="gateway/keys/gate.password"
    )
    ca_file: FilePath | None = setting(
        "Certificates that may have signed the camera's, or its own (PEM), for https.", None
    )
    timeout_s: float = setting("How long a picture may take.", 15.0, unit="seconds", ge=1, le=120)
    every_minutes: int = setting(
        "How often it takes a picture by itself; 0 for never.", 0, unit="minutes", ge=0, le=1440
    )
    on_alert: bool = setting("A picture when an alert is raised.", True)
    on_sample: bool = setting("A picture when a sample is taken.", True)
    keep_days: int = setting("How long its pictures are kept.", 60, unit="days", ge=1, le=3650)
    keep_mb: int = setting(
        "The most room that its pictures take; the oldest go first.", 1000, unit="MB", ge=10, le=1_000_000
    )


def faults(index: int, camera: Camera) -> Iterator[tuple[tuple[str, int, str], str, str]]:
    """(place, what, instead) of what no single setting of a camera can know."""
    schemes = SCHEMES[camera.kind]
    if urlsplit(camera.url).scheme not in schemes:
        what = f"A camera of kind {camera.kind} does not answer at {camera.url.partition(':')[0]}."
        yield ("camera", index, "url"), what, f"Write {schemes[0]}:// or {schemes[1]}://."
    if bool(camera.user) != bool(camera.password_file):
        what = "user and password_file belong together."
        yield ("camera", index, "user"), what, "Write both, or none for a camera without log-in."
    if ":" in camera.user:
        what = "A user with ':' cannot log in: HTTP has no way to write it."
        yield ("camera", index, "user"), what, "Give the camera another user."


def warnings(index: int, camera: Camera) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What is allowed and probably not meant."""
    if camera.user and camera.url.startswith("http:") and urlsplit(camera.url).hostname not in _HERE:
        what = f"The camera '{camera.id}' may be given its password unencrypted."
        instead = "Use https:// where the camera has it, and give this user nothing but pictures."
        yield ("camera", index, "url"), what, instead
    if not (camera.every_minutes or camera.on_alert or camera.on_sample):
        what = f"The camera '{camera.id}' never takes a picture."
        yield ("camera", index), what, "Write on_alert, on_sample or every_minutes."


_HERE = ("127.0.0.1", "::1", "localhost")
