"""Certificates for servers on loopback: self-signed, or signed by an authority made for it."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
HOSTS = ("127.0.0.1", "127.0.0.2", "::1")


def write_certificate(
    cert: Path, key: Path, hosts: tuple[str, ...] = HOSTS, authority: Path | None = None
) -> None:
    """A new key and its certificate for these addresses, good for a day; with `authority` that file gets the
    certificate of another key that signed it.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host)) for host in hosts])
    if authority is None:
        cert.write_bytes(_signed("department", private, "department", private, names))
    else:
        signer = ec.generate_private_key(ec.SECP256R1())
        authority.write_bytes(
            _signed("authority", signer, "authority", signer, x509.BasicConstraints(True, None))
        )
        cert.write_bytes(_signed("department", private, "authority", signer, names))
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _signed(subject: str, own: Key, issuer: str, signer: Key, extension: x509.ExtensionType) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(own.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(signer, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM)
