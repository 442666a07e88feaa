"""Where a camera's pictures are, by ONVIF: four small SOAP requests, written by hand.

    GetSystemDateAndTime   without a log-in: what time the camera thinks it is (its clock is often wrong, and
                           a log-in is good for minutes of it only)
    GetCapabilities        where its media service is
    GetProfiles            its first profile's token
    GetSnapshotUri         the address of that profile's picture

Rule 1: logging in is WS-UsernameToken with a digest: Base64(SHA-1(nonce + created + password)), SHA-1 because
        the profile says so. The password itself is never sent.
Rule 2: an answer may be made by an enemy: it is parsed without entities, references and document types
        (defusedxml), it is bounded, and of an address in it path and query are taken, never the host: user
        and password go to the host that is configured.
Sources: ONVIF Core Specification 5.9.4 and Media Service Specification; OASIS Web Services Security
UsernameToken Profile 1.0. [not verified] against a camera of any maker: against simulator/camera.py only.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha1
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import escape, quoteattr

from gateway.camera.faults import CameraFault

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Post = Callable[[str, bytes, str], Awaitable[tuple[int, bytes]]]
"""(url, body, content type) -> (status, body)"""

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
CONTENT_TYPE = "application/soap+xml; charset=utf-8"
PATH_MAX = 500


async def snapshot_url(url: str, user: str, password: str, post: Post) -> str:
    """The address of a picture, at the host of `url` (the device service). CameraFault."""
    ask = _Asking(user, password, post)
    if user:
        ask.created = created(await ask(url, f'<GetSystemDateAndTime xmlns="{DEVICE}"/>', False))
    wanted = f'<GetCapabilities xmlns="{DEVICE}"><Category>Media</Category></GetCapabilities>'
    media = _at(url, _text(await ask(url, wanted), "XAddr"))
    profiles = await ask(media, f'<GetProfiles xmlns="{MEDIA}"/>')
    token = next((each.get("token", "") for each in _named(profiles, "Profiles")), "")
    if not token:
        raise CameraFault("By ONVIF it names no profile.")
    wanted = (
        f'<GetSnapshotUri xmlns="{MEDIA}"><ProfileToken>{escape(token[:200])}</ProfileToken></GetSnapshotUri>'
    )
    return _at(url, _text(await ask(media, wanted), "Uri"))


class _Asking:
    """Requests with a log-in."""

    def __init__(self, user: str, password: str, post: Post):
        self._user, self._password, self._post = user, password, post
        self.created = ""

    async def __call__(self, url: str, body: str, logged_in: bool = True) -> Element:
        head = ""
        if logged_in and self._user:
            head = security(self._user, self._password, self.created, secrets.token_bytes(16))
        status, data = await self._post(url, envelope(head, body), CONTENT_TYPE)
        if status in (400, 401, 403) or (status == 500 and b"NotAuthorized" in data):
            raise CameraFault("By ONVIF it refuses user and password.")
        if status != 200:
            raise CameraFault(f"By ONVIF it answers HTTP {status}: is this its device service?")
        return parsed(data)


def envelope(head: str, body: str) -> bytes:
    """A SOAP 1.2 request."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{_SOAP}">'
        f"<s:Header>{head}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def security(user: str, password: str, at: str, nonce: bytes) -> str:
    """The header that logs in (rule 1)."""
    digest = sha1(nonce + at.encode() + password.encode(), usedforsecurity=False).digest()
    token, utility = f"{_WSS}wssecurity-secext-1.0.xsd", f"{_WSS}wssecurity-utility-1.0.xsd"
    kind = quoteattr(f"{_WSS}username-token-profile-1.0#PasswordDigest")
    coded = quoteattr(f"{_WSS}soap-message-security-1.0#Base64Binary")
    return (
        f'<Security s:mustUnderstand="1" xmlns="{token}"><UsernameToken><Username>{escape(user)}</Username>'
        f"<Password Type={kind}>{base64.b64encode(digest).decode()}</Password>"
        f"<Nonce EncodingType={coded}>{base64.b64encode(nonce).decode()}</Nonce>"
        f'<Created xmlns="{utility}">{at}</Created></UsernameToken></Security>'
    )


def created(answer: Element) -> str:
    """The camera's own time, as a log-in has to say it. CameraFault."""
    for utc in _named(answer, "UTCDateTime"):
        try:
            fields = [int(_text(utc, name)) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
            return datetime(*fields, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # type: ignore[misc]
        except (ValueError, OverflowError):
            break
    raise CameraFault("By ONVIF it does not say what time it is.")


def parsed(data: bytes) -> Element:
    """An answer's XML (rule 2). CameraFault."""
    from defusedxml import DefusedXmlException  # not before a camera needs it
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        return fromstring(data, forbid_dtd=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError, RecursionError):
        raise CameraFault("By ONVIF it answers what is no plain XML.") from None


def _named(element: Element, name: str) -> Iterator[Element]:
    """Below it, whatever namespace a maker gives it."""
    return (
        each for each in element.iter() if isinstance(each.tag, str) and each.tag.rpartition("}")[2] == name
    )


def _text(element: Element, name: str) -> str:
    """CameraFault where there is none."""
    for each in _named(element, name):
        if each.text and each.text.strip():
            return each.text.strip()
    raise CameraFault(f"By ONVIF it does not say {name}.")


def _at(url: str, said: str) -> str:
    """An address at the host of `url`: of what the camera says path and query alone."""
    try:
        place, ours = urlsplit(said), urlsplit(url)
    except ValueError:
        raise CameraFault("By ONVIF it names an address that is none.") from None
    path = place.path or "/"
    plain = said.isascii() and said.isprintable() and " " not in said and len(said) <= PATH_MAX
    if not plain or not path.startswith("/"):
        raise CameraFault("By ONVIF it names an address that is none.")
    return urlunsplit((ours.scheme, ours.netloc, path, place.query, ""))
