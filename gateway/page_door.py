"""The door of a gateway's page, as the configuration says: who may look, the certificate, the secret.

Rule 1: whatever is wrong with these files stops no measuring: the page waits, and the status says why.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.clock import Clock
from gateway.config_model import Config
from gateway.journal import durable
from gateway.logs import get_logger
from gateway.people.devices import SECRET_BYTES
from gateway.people.keeper import Keeper
from gateway.people.logins import Logins
from gateway.reports.message import rfc3339
from gateway.web.door import Door, Page, Settings

if TYPE_CHECKING:
    from gateway.web.certificate import Certificate

log = get_logger("door")

SECRET = "door.key"


def door_of(config: Config, keeper: Keeper, clock: Clock, page: Page) -> Door:
    """`page` draws (gateway/web/page/shell.py)."""
    web = config.gateway.web
    settings = Settings(
        web.anybody_looks, web.anonymous == "viewer", web.encrypted,
        web.encrypted and web.cert_file is not None,
    )  # fmt: skip
    logins = Logins(
        lambda: keeper.people, lambda: clock.mono_ns() / 1e9, secret_of(config.gateway.state_dir / "keys"),
        lambda: keeper.known,
    )  # fmt: skip
    return Door(logins, keeper.tell, page, settings)


def certificate_of(config: Config) -> Callable[[], Certificate] | None:
    """Makes the page's (CertificateError); None for a page without TLS."""
    web = config.gateway.web
    if not web.encrypted:
        return None
    from gateway.web.certificate import ensured, given, names_of  # X.509 for a page with TLS, at the start

    cert, key = web.cert_file, web.key_file
    if cert is not None and key is not None:
        return lambda: given(cert, key)
    folder = config.gateway.state_dir / "keys"
    return lambda: ensured(folder, names_of(web.host), Clock().now_ms())  # browsers have the real time


def told(found: Certificate | None) -> dict[str, Any]:
    """Of the page in /api/v1/current: what people compare with what their browser shows."""
    if found is None:
        return {"tls": False}
    return {
        "tls": True, "certificate_sha256": found.fingerprint, "certificate_ends": rfc3339(found.end_ms),
        "own_certificate": found.own,
    }  # fmt: skip


def problems(found: Certificate | None) -> list[str]:
    """Sentences for /healthz."""
    said = "" if found is None else found.problem(Clock().now_ms())
    return [said] if said else []


def secret_of(folder: Path) -> bytes:
    """Of gateway/people/devices.py, made at the first start; where the disk refuses, one of this start."""
    path = folder / SECRET
    try:
        if path.exists() and len(found := path.read_bytes()) == SECRET_BYTES:
            return found
        made = secrets.token_bytes(SECRET_BYTES)
        durable.make_folder(folder, 0o700)
        durable.replace(path, made, 0o600)
    except OSError as error:
        log.warning("the door's secret cannot be kept", reason=str(error))
        return secrets.token_bytes(SECRET_BYTES)
    return made
