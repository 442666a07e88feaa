"""TLS as a client: whom we trust, who we are, and what an error of it means to a person.

Rule 1: a server's certificate is checked, with the server's name, against ca_file, or against the system's
        store where there is none. Nothing switches that off.
Rule 2: TLS 1.2 or newer.
Rule 3: the files are read at each connection, so that a corrected one is used at once.

ca_file may hold the server's own certificate: then no other is accepted, whoever signed it.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.errors import DestinationError, Refused, Unreachable

# What OpenSSL calls an alert of the server about our certificate. With TLS 1.3 it comes after the handshake.
_ABOUT_OURS = (
    "ALERT_CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED", "ALERT_CERTIFICATE_EXPIRED", "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA", "ALERT_ACCESS_DENIED", "ALERT_DECRYPT_ERROR",
)  # fmt: skip
# No common version or cipher, a client certificate that TLS 1.2 asked for in vain, or no TLS at all.
_NO_COMMON = (
    "ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "ALERT_HANDSHAKE_FAILURE",
    "INSUFFICIENT_SECURITY", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST",
)  # fmt: skip


def context(
    ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """What a connection to a server is made with. Reads files; Refused when one of them cannot be used."""
    try:
        made = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise Refused(
            f"The certificates in {ca_file} cannot be used ({_reason(error)}). Put PEM certificates there."
        ) from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # The same on every Python: a certificate in ca_file is trusted whether or not it signed itself, and one
    # that was made by hand need not have all that RFC 5280 wants.
    made.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST | (ssl.VERIFY_X509_PARTIAL_CHAIN if ca_file else 0)
    if cert_file is not None:
        try:
            made.load_cert_chain(cert_file, key_file, lambda: b"")
        except (OSError, ValueError) as error:
            raise Refused(
                f"{cert_file} and {key_file} cannot be used ({_reason(error)}). "
                "Write PEM files: the certificate first in cert_file, its key without a password in key_file."
            ) from None
    return made


def told(error: Exception | str, server: str) -> DestinationError:
    """What an ssl.SSLError (or its text) of a connection to `server` means."""
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return Refused(
            f"{server} cannot be trusted: its certificate does not hold ({why}). Ask the server's people "
            "whether they changed it, compare it by telephone, and only then replace ca_file."
        )
    if any(name in text for name in _ABOUT_OURS):
        return Refused(
            f"{server} refused our certificate ({_reason(error)}). "
            "Correct cert_file and key_file with its people."
        )
    if any(name in text for name in _NO_COMMON):
        return Refused(
            f"{server} does not agree on TLS with us ({_reason(error)}). It may want a client certificate, "
            "or have no TLS 1.2 at this port: ask its people."
        )
    return Unreachable(f"{server} cannot be reached: TLS broke ({_reason(error)}). Trying again.")


def _reason(error: Exception | str) -> str:
    """The words of an error without numbers of lines in OpenSSL."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition(" (_ssl.c")[0]
