"""What a browser sends: forms, where to go next, from which page it came. Pure but for reading the body.

Rule 1: a form is read in bounds (bytes, fields, seconds), as application/x-www-form-urlencoded and UTF-8.
Rule 2: where somebody is sent is a path of this gateway, whatever the form or the link says (own_path()).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect, Request

FORM = "application/x-www-form-urlencoded"
BYTES_MAX = 64 * 1024
FIELDS_MAX = 200
READ_S_MAX = 20.0
PATH_MAX = 500
_OWN = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
"""The signs of RFC 3986, of which no line of a header can be made."""


class BadForm(Exception):
    """A sentence, and the answer's status."""

    def __init__(self, status: int, said: str):
        super().__init__(said)
        self.status = status


class Form(Mapping[str, str]):
    """The fields, each by its first value; all(name): every one."""

    def __init__(self, fields: Mapping[str, list[str]]):
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def all(self, name: str) -> list[str]:
        """Of boxes that may be ticked together."""
        return self._fields.get(name, [])

    def line(self, name: str) -> str:
        """A field without the blanks around it; "" where it is not there."""
        return self.get(name, "").strip()


async def read_form(request: Request, bytes_max: int = BYTES_MAX) -> Form:
    """The form that was sent. BadForm."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise BadForm(415, "A form is sent as " + FORM + ".")
    try:
        async with asyncio.timeout(READ_S_MAX):
            body = await read_body(request, bytes_max)
    except TimeoutError:
        raise BadForm(408, "The form did not come.") from None
    return parse(body)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """What was sent, at most so much. BadForm."""
    too_much = BadForm(413, f"This is more than {bytes_max} bytes.")
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said[:12]) > bytes_max:
        raise too_much
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > bytes_max:
                raise too_much
    except ClientDisconnect:
        raise BadForm(400, "The form did not come.") from None
    return bytes(body)


def parse(body: bytes) -> Form:
    """BadForm."""
    try:
        text = body.decode("ascii")
        return Form(parse_qs(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"))
    except ValueError:
        raise BadForm(400, "This is no form.") from None


def own_path(asked: str, otherwise: str = "/") -> str:
    """The path, with its question, where it is one of this gateway; else the other one."""
    if len(asked) > PATH_MAX or not _OWN.fullmatch(asked) or asked.startswith("//"):
        return otherwise
    found = urlsplit(asked)
    return otherwise if found.scheme or found.netloc else asked


def from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page sent this. What is no browser does not say."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc != request.headers.get("host", "")
