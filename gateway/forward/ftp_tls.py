"""Whom FTPS trusts: the certificates of `ca_file`, or the system's.

A provincial server often has a self-signed certificate that names nothing we call it by. When that very
certificate lies in ca_file, its name does not matter: nobody else has its key. Any other trusted certificate
has to name the host.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from gateway.config_model import FtpsDestination
from gateway.errors import Refused

NAME_MISMATCH = (62, 64)  # OpenSSL: the certificate is trusted, but names another host, another address


class Tls:
    """How a connection is encrypted, and whom it trusts. OSError and ssl.SSLError when a file is unusable."""

    def __init__(self, settings: FtpsDestination, by_copy: bool = False):
        self.implicit = settings.tls == "implicit"
        self.context = ssl.create_default_context(cafile=settings.ca_file)
        # ca_file may be the server's own; and what Python 3.13 asks for on top, self-signed ones do not have.
        self.context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self.context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if settings.cert_file is not None:
            self.context.load_cert_chain(settings.cert_file, settings.key_file, lambda: b"")
        self.copies = _certificates(settings.ca_file) if settings.ca_file else set()
        self.by_copy = by_copy
        if by_copy:
            self.context.check_hostname = False

    def check(self, wrapped: ssl.SSLSocket) -> None:
        """With `by_copy`: a certificate that names another host is trusted only if it lies in ca_file."""
        if self.by_copy and wrapped.getpeercert(binary_form=True) not in self.copies:
            raise ssl.SSLCertVerificationError("it names another host, and is not the one in ca_file")


def _certificates(path: Path) -> set[bytes]:
    blocks = re.findall(
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", path.read_text("ascii", "replace"), re.S
    )
    return {ssl.PEM_cert_to_DER_cert(block) for block in blocks}


def names_another_host(error: Exception) -> bool:
    """Whether the certificate is trusted and only its name is wrong."""
    return getattr(error, "verify_code", None) in NAME_MISMATCH


def tls_of(settings: FtpsDestination, by_copy: bool) -> Tls:
    """The certificates that the settings name. Refused when they cannot be used."""
    try:
        return Tls(settings, by_copy)
    except (OSError, ValueError) as error:
        files = [str(path) for path in (settings.ca_file, settings.cert_file, settings.key_file) if path]
        raise Refused(
            f"The certificates in {', '.join(files) or 'the system'} cannot be used ({error}). "
            "Write PEM files; a private key without a password."
        ) from None
