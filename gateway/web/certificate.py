"""The page's certificate: one that was given, or one that is made here (rule 2).

Rule 1: nobody vouches for a certificate of our own: people compare its fingerprint with what the status and
        `quantrac gateway` say, once, and their browser remembers it.
Rule 2: ECDSA P-256, for the names and addresses of this machine, for two years; at a start within RENEW_DAYS
        of its end, or when the machine has an address that is not in it, another one is made.
Rule 3: a board without a battery may wake up in the past: it is valid from a moment that has certainly been.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import CertificateError
from gateway.journal.durable import make_folder, replace

CERT, KEY = "page.crt", "page.key"
DAYS, RENEW_DAYS = 730, 30
SINCE_MS = 1_767_225_600_000
"""2026-01-01: no gateway with this page is older."""
DAY_MS = 86_400_000
NAMES_MAX = 50

_USABLE = re.compile(r"[A-Za-z0-9._:-]{1,253}")

Name = x509.DNSName | x509.IPAddress


class Certificate(NamedTuple):
    """PEM files, and what people compare."""

    cert: Path
    key: Path
    fingerprint: str  # SHA-256, as browsers show it: AB:CD:...
    end_ms: int
    own: bool  # nobody vouches for it

    def problem(self, now_ms: int) -> str:
        """A sentence once it ends soon; "" before."""
        days = (self.end_ms - now_ms) // DAY_MS
        if days >= RENEW_DAYS:
            return ""
        what = "start the gateway again, it makes another one" if self.own else "put a new one into cert_file"
        ended = f"ends in {days} days" if days >= 0 else "has ended"
        return f"The page's certificate {ended}: {what}."


def given(cert: Path, key: Path) -> Certificate:
    """One of the operator's. CertificateError."""
    try:
        found = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except (OSError, ValueError, IndexError) as error:
        raise CertificateError(f"{cert} cannot be used as the page's certificate: {error}") from error
    return _of(found, cert, key, own=False)


def ensured(folder: Path, names: Iterable[str], now_ms: int) -> Certificate:
    """Our own in `folder`, made or made anew where rule 2 says so. CertificateError."""
    cert, key = folder / CERT, folder / KEY
    wanted = [_name(name) for name in dict.fromkeys(names) if _USABLE.fullmatch(name)][:NAMES_MAX]
    try:
        found = _read(cert, key)
        if found is None or not _will_do(found, wanted, now_ms):
            secret = _key(key)
            found = _made(secret, wanted, now_ms)
            _write(key, _pem(secret), 0o600)
            _write(cert, found.public_bytes(serialization.Encoding.PEM), 0o600)
        return _of(found, cert, key, own=True)
    except OSError as error:
        what = f"The page's certificate cannot be read or written: {error}. Check the disk."
        raise CertificateError(what) from error


def names_of(host: str) -> list[str]:
    """What this machine is called on the network whose address the page listens on: that one, and where it
    is every address (0.0.0.0, ::), its names and those that it has now.
    """
    found = ["localhost", "127.0.0.1", "::1"]
    if host not in ("0.0.0.0", "::", ""):
        return [*found, host.strip("[]").partition("%")[0]]
    name = socket.gethostname()
    found += [name, f"{name.partition('.')[0]}.local"]
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))  # of a datagram: nothing is sent
            found.append(str(probe.getsockname()[0]).partition("%")[0])
    return found


def fingerprint(found: x509.Certificate) -> str:
    """As browsers show it."""
    return found.fingerprint(hashes.SHA256()).hex(":").upper()


def _of(found: x509.Certificate, cert: Path, key: Path, own: bool) -> Certificate:
    end_ms = int(found.not_valid_after_utc.timestamp() * 1000)
    return Certificate(cert, key, fingerprint(found), end_ms, own)


def _name(text: str) -> Name:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _read(cert: Path, key: Path) -> x509.Certificate | None:
    """None where there is none, or the key is not there, is another one's or may be read by others."""
    try:
        found = x509.load_pem_x509_certificate(cert.read_bytes())
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
        private = not key.stat().st_mode & 0o077
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return found if private and secret.public_key() == found.public_key() else None


def _will_do(found: x509.Certificate, wanted: list[Name], now_ms: int) -> bool:
    now = _moment(max(now_ms, SINCE_MS))
    there = set(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    return (
        found.not_valid_before_utc <= now
        and now < found.not_valid_after_utc - datetime.timedelta(days=RENEW_DAYS)
        and set(wanted) <= there
    )


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The one that lies there privately; a new one otherwise."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(found, ec.EllipticCurvePrivateKey) and not path.stat().st_mode & 0o077:
            return found
    return ec.generate_private_key(ec.SECP256R1())


def _made(secret: ec.EllipticCurvePrivateKey, wanted: list[Name], now_ms: int) -> x509.Certificate:
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Quantrac gateway")])
    return (
        x509.CertificateBuilder()
        .subject_name(called).issuer_name(called)
        .public_key(secret.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(_moment(SINCE_MS))
        .not_valid_after(_moment(max(now_ms, SINCE_MS) + DAYS * DAY_MS))
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )  # fmt: skip


def _moment(time_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)


def _pem(secret: ec.EllipticCurvePrivateKey) -> bytes:
    return secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    make_folder(path.parent, 0o700)
    replace(path, data, mode)
