"""Whom FTPS trusts: as gateway/tls.py says, but for one thing.

A provincial server often has a self-signed certificate that names nothing we call it by. When that very
certificate lies in ca_file, its name does not matter: nobody else has its key. Any other trusted certificate
has to name the host.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from gateway import tls
from gateway.config_model import FtpsDestination

NAME_MISMATCH = (62, 64)  # OpenSSL: the certificate is trusted, but names another host, another address


class Tls:
    """How a connection is encrypted, and whom it trusts. Refused when a file cannot be used."""

    def __init__(self, settings: FtpsDestination, by_copy: bool = False):
        self.implicit = settings.tls == "implicit"
        self.context = tls.context(settings.ca_file, settings.cert_file, settings.key_file)
        self.copies = _certificates(settings.ca_file) if settings.ca_file else set()
        self.by_copy = by_copy
        if by_copy:
            self.context.check_hostname = False

    def check(self, wrapped: ssl.SSLSocket) -> None:
        """With `by_copy`: a certificate that names another host is trusted only if it lies in ca_file."""
        if self.by_copy and wrapped.getpeercert(binary_form=True) not in self.copies:
            error = ssl.SSLCertVerificationError()
            error.verify_message = "it names another host, and is not the one in ca_file"
            raise error


def _certificates(path: Path) -> set[bytes]:
    blocks = re.findall(
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", path.read_text("ascii", "replace"), re.S
    )
    return {ssl.PEM_cert_to_DER_cert(block) for block in blocks}


def names_another_host(error: Exception) -> bool:
    """Whether the certificate is trusted and only its name is wrong."""
    return getattr(error, "verify_code", None) in NAME_MISMATCH
