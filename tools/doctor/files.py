"""Files that the configuration names: keys and who may read them, certificates and their end, serial ports.

Rule 1: a serial port is looked at and never opened: opening one resets many devices.
Rule 2: of a secret its mode is looked at and its certificate's date, never its content.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from gateway.config import Config
from gateway.config_links import ModbusRtu, SerialLink, TlsListen
from tools.doctor.findings import Finding, fault, good, unknown, warning

SECRETS = ("key_file", "password_file", "token_file", "url_file")
CERTIFICATES = ("ca_file", "cert_file")
DEPARTMENT = (CERTIFICATES, ("token_file", "cert_key_file"))
"""Of [department], whose key_file is no secret: certificates, secrets."""
SOON_DAYS = 30
DAY_S = 86_400
STABLE = ("/dev/quantrac/", "/dev/serial/by-", "/dev/ttyAMA", "/dev/ttyS", "/dev/serial0", "/dev/serial1")
"""Names that do not depend on the order in which ports were found."""


def _named(config: Config, names: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """(whose, path) of settings with one of these names."""
    for kind, items in (("device", config.device), ("destination", config.destination)):
        for item in items:
            for name in names:
                path = getattr(item, name, None)
                if isinstance(path, Path):
                    yield f"{kind} {item.id}", path
    for name in names:
        path = getattr(config.gateway.web, name, None)
        if isinstance(path, Path):
            yield "page", path
    for name in DEPARTMENT[names == SECRETS]:
        path = getattr(config.department, name)
        if path is not None:
            yield "department", path
    for device in config.device:
        if isinstance(device.link, TlsListen):
            path = device.link.key if names == SECRETS else device.link.cert
            yield f"device {device.id}", path


def keys(config: Config) -> Iterator[Finding]:
    """Modes of the files with secrets; those of systemd's credentials are its own business."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    seen = set()
    own = config.gateway.state_dir / "keys" / "log.key"
    for whose, path in [*_named(config, SECRETS), *([("log", own)] if own.exists() else [])]:
        if path in seen or (credentials and path.is_relative_to(credentials)):
            continue
        seen.add(path)
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except OSError as error:
            yield fault(whose, f"{path} cannot be looked at ({error.strerror}): put the file there.")
            continue
        if mode & 0o077:
            yield fault(whose, f"Others can read {path} (mode {mode:04o}): chmod 600 {path}")
        elif not os.access(path, os.R_OK):
            yield fault(
                whose, f"{path} cannot be read by this user: give it to the one who runs the gateway."
            )
        else:
            yield good(whose, f"{path} is for its owner only.")


def certificates(config: Config, now_ms: int) -> Iterator[Finding]:
    """When certificates in files end. That keys belong to them is a matter of `check`."""
    for whose, path in _named(config, CERTIFICATES):
        try:
            found = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            yield fault(whose, f"{path} holds no certificate that can be read: put a PEM file there.")
            continue
        for one in found:
            yield ends(whose, str(path), one.not_valid_after_utc, now_ms)


def ends(whose: str, what: str, at: datetime, now_ms: int) -> Finding:
    """A certificate that ends then."""
    days = (at - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds() / DAY_S
    day = at.strftime("%Y-%m-%d")
    if days < 0:
        return fault(whose, f"The certificate in {what} ended on {day}: renew it.")
    if days < SOON_DAYS:
        return warning(whose, f"The certificate in {what} ends on {day}, in {days:.0f} days: renew it.")
    return good(whose, f"The certificate in {what} is good until {day}.")


def ports(config: Config) -> Iterator[Finding]:
    """Serial ports: there, a port, allowed, and of a name that stays."""
    for kind, items in (("device", config.device), ("bus", config.bus)):
        for item in items:
            if isinstance(item.link, SerialLink | ModbusRtu):
                yield _port(f"{kind} {item.id}", item.link.path)


def _port(whose: str, path: str) -> Finding:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return fault(whose, f"{path} is not there: look at the cable, then at `ls -l /dev/quantrac`.")
    except OSError as error:
        return unknown(whose, f"{path} cannot be looked at ({error.strerror}).")
    if not stat.S_ISCHR(found.st_mode):
        return fault(whose, f"{path} is no serial port: correct the link.")
    if not os.access(path, os.R_OK | os.W_OK):
        return fault(whose, f"{path} may not be used by this user: it has to be in the group dialout.")
    if not path.startswith(STABLE):
        return warning(whose, f"{path} may be another port after the next start: {_stable(path)}")
    return good(whose, f"{path} is there.")


def _stable(path: str) -> str:
    for folder in ("/dev/quantrac", "/dev/serial/by-id", "/dev/serial/by-path"):
        for link in sorted(Path(folder).glob("*")):
            if os.path.realpath(link) == os.path.realpath(path):
                return f"write {link} into the link."
    return "write a name below /dev/quantrac or /dev/serial/by-id."
