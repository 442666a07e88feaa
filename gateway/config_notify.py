"""The address in a `url_file`: whom a notification goes to, in the form that Apprise made common. Pure.

    mailtos://USER:PASSWORD@HOST:587/?from=A@B&to=C@D,E@F     STARTTLS; &mode=ssl for TLS from the first byte
    mailto://HOST:25/?from=A@B&to=C@D                         nothing encrypted, so without a password
    jsons://USER:PASSWORD@HOST/PATH?+HEADER=VALUE&:FIELD=VALUE   a POST of JSON; json:// within this machine
    forms://...                                               the same as a form

Rule 1: all of it is a secret: no sentence and no error shows any of it.
Rule 2: nothing here switches a check of certificates off, and nothing is sent unencrypted with a password.
Rule 3: `:FIELD=VALUE` renames a field of the message (:message=text), leaves it out (:version=) or adds one.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.config_links import LinkFault

LOCAL = ("127.0.0.1", "::1", "localhost")
MAIL_PORTS = {"starttls": 587, "ssl": 465, "none": 25}
RECIPIENTS_MAX = 20
URL_LENGTH_MAX = 4000
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_PATH = re.compile(r"(/[A-Za-z0-9._~%+:@=/-]{0,500})?")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}")
_LINE = re.compile(r"[\x20-\x7e]{0,500}")
OURS = ("host", "content-length", "content-type", "transfer-encoding", "connection", "idempotency-key")
_FORMS = 'Write "mailtos://USER:PASSWORD@HOST:587/?to=NAME@EXAMPLE.VN" or "jsons://HOST/PATH".'


class Mail(NamedTuple):
    """An SMTP server, and who is written to."""

    host: str
    port: int
    mode: str  # "starttls" | "ssl" | "none"
    user: str
    password: str
    sender: str
    to: tuple[str, ...]

    @property
    def server(self) -> str:
        """As sentences call it."""
        return f"{self.host}:{self.port}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no sentence shows."""
        return tuple(filter(None, (self.password,)))


class Hook(NamedTuple):
    """A webhook."""

    url: str  # http(s)://host:port/path
    server: str  # host:port
    form: str  # "json" | "form"
    user: str
    password: str
    headers: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, str], ...]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no sentence shows. A path often is one: no sentence has it."""
        return tuple(filter(None, (self.password, *(value for _, value in self.headers))))


def parse(text: str) -> Mail | Hook:
    """What an address says. LinkFault with two sentences where it says nothing usable."""
    scheme = text.partition("://")[0].lower()
    if scheme not in ("mailto", "mailtos", "json", "jsons", "form", "forms"):
        raise LinkFault("It is no address that can be notified.", _FORMS)
    if len(text) > URL_LENGTH_MAX or not text.isprintable() or " " in text or "#" in text:
        raise LinkFault(
            "It holds a sign that an address cannot have.", "Write '#' as %23 and a space as %20."
        )
    try:
        place = urlsplit(text)
        port = place.port
    except ValueError:
        raise LinkFault(
            "Its host or port cannot be read.", "Write '@' in a password as %40, '/' as %2F."
        ) from None
    host = place.hostname or ""
    if not _HOST.fullmatch(host):
        raise LinkFault("It names no host.", _FORMS)
    asked = _asked(place.query)
    user, password = unquote(place.username or ""), unquote(place.password or "")
    if scheme.startswith("mailto"):
        return _mail(scheme, host, port, user, password, place.path, asked)
    return _hook(scheme, place, user, password, asked)


def _asked(query: str) -> list[tuple[str, str]]:
    """Names and values, a '+' as it is: it marks a header."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _mail(
    scheme: str,
    host: str,
    port: int | None,
    user: str,
    password: str,
    path: str,
    asked: list[tuple[str, str]],
) -> Mail:
    known = dict(asked)
    if unknown := sorted(known.keys() - {"to", "from", "mode", "smtp"}):
        raise _unknown(unknown[0], "to, from, mode and smtp")
    mode = known.get("mode", "starttls") if scheme == "mailtos" else "none"
    if mode not in MAIL_PORTS or (scheme == "mailtos" and mode == "none"):
        raise LinkFault(
            "Its mode is not known.", 'Write mode=starttls or mode=ssl, or "mailto://" for neither.'
        )
    server = known.get("smtp", host)
    if not _HOST.fullmatch(server):
        raise LinkFault("Its smtp names no host.", "Write the name of the mail server.")
    if bool(user) != bool(password):
        raise LinkFault("User and password belong together.", "Write both, or none.")
    if mode == "none" and password and server not in LOCAL:
        raise LinkFault("The password would go unencrypted.", "Write mailtos:// instead of mailto://.")
    sender = known.get("from") or (user if "@" in user else f"{user or 'quantrac'}@{host}")
    to = tuple(one for one in re.split(r"[,;/]", f"{known.get('to', '')},{unquote(path)}") if one)
    if not to:
        raise LinkFault("It says nobody to write to.", "Write ?to=NAME@EXAMPLE.VN.")
    if len(to) > RECIPIENTS_MAX:
        raise LinkFault(f"It names more than {RECIPIENTS_MAX} people.", "Write a list's address.")
    if not all(_ADDRESS.fullmatch(one) for one in (sender, *to)):
        raise LinkFault(
            "An e-mail address in it is none.", "Write NAME@EXAMPLE.VN, several with ',' between."
        )
    return Mail(server, port or MAIL_PORTS[mode], mode, user, password, sender, to)


def _hook(scheme: str, place: SplitResult, user: str, password: str, asked: list[tuple[str, str]]) -> Hook:
    host, secure = place.hostname or "", scheme.endswith("s")
    if not secure and host not in LOCAL:
        raise LinkFault("It is not encrypted.", f"Write {scheme}s://: {scheme}:// is for 127.0.0.1 only.")
    if not _PATH.fullmatch(place.path):
        raise LinkFault("Its path holds a sign that an address cannot have.", "Write that sign as %XX.")
    headers = tuple((name[1:], value) for name, value in asked if name.startswith("+"))
    fields = tuple((name[1:], value) for name, value in asked if name.startswith(":"))
    for name, value in headers:
        if not _HEADER.fullmatch(name) or not _LINE.fullmatch(value) or name.lower() in OURS:
            raise LinkFault(
                "A header in it cannot be sent.", "Write it as ?+X-Token=VALUE, in plain letters."
            )
    if unknown := [name for name, _ in asked if name[:1] not in ("+", ":")]:
        raise _unknown(unknown[0], "+HEADER and :FIELD")
    port = place.port or (443 if secure else 80)
    shown = f"[{host}]" if ":" in host else host
    url = f"http{'s' if secure else ''}://{shown}:{port}{place.path or '/'}"
    form = "form" if scheme.startswith("form") else "json"
    return Hook(url, f"{host}:{port}", form, user, password, headers, fields)


def _unknown(name: str, known: str) -> LinkFault:
    if name in ("verify", "redirect", "cto", "rto", "format", "overflow"):
        return LinkFault(f"It sets '{name}'.", f"Leave it out: only {known} may be set here.")
    return LinkFault("It sets something that is not known.", f"Only {known} may be set here.")
