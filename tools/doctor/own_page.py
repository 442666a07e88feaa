"""The gateway's own page, asked from this machine: over TLS, too, and where strangers see nothing.

Rule 1: whoever may read the door's secret in state_dir (root, the gateway's user) may look, and no more.
Rule 2: over TLS the page is believed by its certificate, which lies here; what name it has does not matter.
"""

from __future__ import annotations

import contextlib
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from gateway.config import Config
from gateway.page_door import SECRET
from gateway.people.devices import local_token
from gateway.web.certificate import CERT

ASK_S = 5.0
READ_BYTES_MAX = 1 << 22


class Web(NamedTuple):
    """Where the page is, and how this machine gets in."""

    host: str
    port: int
    cert: Path | None = None  # with TLS
    secret: Path | None = None

    @property
    def base(self) -> str:
        """Its address for this machine."""
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "") else "::1" if self.host == "::" else self.host
        scheme = "http" if self.cert is None else "https"
        return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{self.port}"


def web_of(config: Config) -> Web:
    """Of this configuration."""
    web, keys = config.gateway.web, config.gateway.state_dir / "keys"
    cert = (web.cert_file or keys / CERT) if web.encrypted else None
    return Web(web.host, web.port, cert, keys / SECRET)


def fetch(web: Web, path: str) -> bytes:
    """What a page of ours says, whatever its status. OSError."""
    request = urllib.request.Request(web.base + path)
    if web.secret is not None:
        with contextlib.suppress(OSError):  # whoever may not read it asks as a stranger
            request.add_header("Authorization", f"Bearer {local_token(web.secret.read_bytes())}")
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if web.cert is not None:
        handlers.append(urllib.request.HTTPSHandler(context=_pinned(web.cert)))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=ASK_S) as answer:
            return answer.read(READ_BYTES_MAX)
    except urllib.error.HTTPError as error:  # 503 is how problems are told
        return error.read(READ_BYTES_MAX)


def _pinned(cert: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cert)
    return context
