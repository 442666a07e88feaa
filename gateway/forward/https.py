"""An HTTPS server as a destination: one POST for each document, with the document's id as Idempotency-Key.

    the server answers            what it means

    2xx                           delivered
    409                           it has this document already: delivered
    408, 425, 429, 5xx            not now: tried again, not before Retry-After says
    401, 403, 407                 it does not let us in: token_file, certificate, permission
    404, 405, 410                 nobody takes documents at this address: url (decision 0013)
    400 about a certificate       the same: what nginx says instead of a TLS alert
    3xx                           never followed: a document must not go where nobody configured it to go
    any other 4xx                 it will never take this document: parked
    no answer, a cut one,         nobody knows: tried again; the same Idempotency-Key makes that harmless
    a huge one, garbage

Rule 1: a document is delivered when the whole answer with its status was read.
Rule 2: one request after the other, over a connection that stays open while documents follow each other. One
        that was quiet for `keepalive_s` is made anew: it may have died without a word.
Rule 3: who the server is, its certificate decides (gateway/tls.py). Token and certificate are read at each
        connection, and what a server says about a token is shown without it.
"""

from __future__ import annotations

import asyncio
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import tls
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.answers import LENGTH_MAX, place, shown
from gateway.forward.files import read_secret
from gateway.forward.port import Confirmation, Document
from gateway.web.client import Answer, Connection, connect

if TYPE_CHECKING:
    from gateway.config_model import HttpsDestination as Settings

SOON = (408, 425, 429)
LET_IN = (401, 403, 407)
NO_PLACE = (404, 405, 410)
PRINTABLE = r"[\x21-\x7e]+"
SAID_LENGTH_MAX = 120  # characters of an answer that are shown to a person


class HttpsDestination:
    """Posts to one address."""

    in_flight_max = 1  # so that documents appear oldest first

    def __init__(self, settings: Settings):
        self._settings = settings
        self._server = urlsplit(settings.url).netloc
        self._connection: Connection | None = None
        self._token = ""
        self._used_s = 0.0  # when it answered last, on the loop's clock

    async def deliver(self, document: Document) -> Confirmation:
        """Return when the server has answered that it took this document."""
        connection = self._connection
        if connection is None or not connection.reusable or self._quiet_s() > self._settings.keepalive_s:
            connection = await self._connect()
        headers = [("Content-Type", "application/json"), ("Idempotency-Key", _key(document))]
        if self._token:
            headers.append(("Authorization", f"Bearer {self._token}"))
        try:
            answer = await connection.exchange(
                "POST", document.body, headers, seconds=self._settings.timeout_s
            )
        except BaseException:
            await self.close()
            raise
        self._used_s = asyncio.get_running_loop().time()
        if error := _told(answer, self._server, document, self._token):
            raise error
        said = shown(f"HTTP {answer.status} {answer.reason}", self._token) + _said(answer, self._token)
        return Confirmation(place(self._settings.url), len(document.body), said[:LENGTH_MAX])

    async def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _connect(self) -> Connection:
        await self.close()
        settings = self._settings
        self._token = ""
        if settings.token_file is not None:
            self._token = read_secret(settings.token_file, "token")
            if not re.fullmatch(PRINTABLE, self._token):
                what = f"{settings.token_file} holds no token"
                raise Refused(f"{what}. Write it into the first line, without spaces.")
        context = None
        if settings.url.startswith("https:"):
            context = await asyncio.to_thread(
                tls.context, settings.ca_file, settings.cert_file, settings.key_file
            )
        self._connection = await connect(
            settings.url, seconds=settings.connect_timeout_s, context=context, name=self._server
        )
        return self._connection

    def _quiet_s(self) -> float:
        return asyncio.get_running_loop().time() - self._used_s


def _key(document: Document) -> str:
    """The document's id, as a header can carry it."""
    if not re.fullmatch(PRINTABLE, document.name):
        raise Rejected(f"HTTP cannot carry {document.name!r} as an Idempotency-Key.")
    return document.name


def _told(answer: Answer, server: str, document: Document, token: str) -> DestinationError | None:
    """What an answer means, as in the table above; None: delivered."""
    status = answer.status
    if 200 <= status < 300 or status == 409:
        return None
    said = f"{status}{_said(answer, token)}"
    if _about_our_certificate(answer):
        what = f"{server} refused us: it answers {status}, and wants a certificate or does not take ours"
        return Refused(f"{what}. Correct cert_file and key_file.")
    if status in LET_IN:
        return Refused(f"{server} refused us: it answers {said}. Correct token_file, or ask its people.")
    if status in NO_PLACE:
        what = f"{server} answers {said}: nobody takes documents at this address"
        return Refused(f"{what}. Correct url, or ask its people. All of them wait until then.")
    if status in SOON or status >= 500:
        return Unreachable(f"{server} answers {said}. Trying again.", retry_after_s(answer.headers))
    if 300 <= status < 400:
        there = shown(answer.headers.get("location", ""), token, SAID_LENGTH_MAX) or "nowhere"
        what = f"{server} answers {status} and points to {there}"
        return Refused(f"{what}. Nothing goes there by itself: give the address it points to.")
    return Rejected(f"{server} answers {said} to {document.key}. It will not take this document.")


def _about_our_certificate(answer: Answer) -> bool:
    """nginx completes TLS and then answers 400 (or 495, 496): that is about us, not about the document."""
    return answer.status in (495, 496) or (answer.status == 400 and b"SSL certificate" in answer.body)


def _said(answer: Answer, token: str) -> str:
    """The beginning of a short text in the answer, for a person; a page of HTML says nothing."""
    if "html" in answer.content_type or not answer.body:
        return ""
    return f" ({shown(answer.body.decode('utf-8', 'replace'), token, SAID_LENGTH_MAX)})"


def retry_after_s(headers: dict[str, str]) -> float:
    """Seconds that Retry-After asks for, 0 for none. A date is held against the server's own (Date)."""
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    try:
        then, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0
