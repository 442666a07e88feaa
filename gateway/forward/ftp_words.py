"""What an FTP server says, as a sentence for a person, and who has to act.

    no connection, 4xx, 421 too many, 452 and 552 full     Unreachable: tried again soon
    530, 550, 553 and the other 5xx, certificates          Refused: a person, tried slowly

553 is "name not allowed" by RFC 959, but servers say it for a folder that is missing or closed to us, and our
names are all of one form: nothing is parked because of it, else one wrong permission parked a whole backlog.
The server's own words are quoted, without the password.
"""

from __future__ import annotations

import ftplib
import ssl

from gateway import tls
from gateway.errors import DestinationError, Refused, Unreachable
from gateway.forward.ftp_client import DataError, NotACommand

SAID_MAX = 200  # characters of a server's reply in a sentence
FULL = ("452", "552")


def told(error: Exception, server: str, step: str, name: str, secret: str = "") -> DestinationError:
    """What an error means for us, and to a person."""
    if isinstance(error, DestinationError):
        return error
    said = " ".join(str(error).encode("utf-8", "replace").decode().split())
    said = (said.replace(secret, "***") if secret else said)[:SAID_MAX].rstrip(".")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{server} did not answer in time. Trying again.")
    if isinstance(error, DataError):
        return Unreachable(
            f"{server} could not be reached for the data connection ({said}). Trying again; if it stays so, "
            "a firewall may want the server's passive ports opened."
        )
    if isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ssl.SSLError) and step in ("handshake", "login", "tls")
    ):
        return tls.told(error, server)  # with TLS 1.3 our certificate is refused only after the handshake
    if isinstance(error, NotACommand):
        return Refused(f"User or password for {server} hold a sign that FTP cannot carry. Correct them.")
    if isinstance(error, ftplib.error_perm):
        return _no(said, server, step, name)
    if isinstance(error, ftplib.error_temp):
        if said.startswith("425"):
            return Unreachable(
                f"{server} could not open a data connection ({said}). Trying again; if it stays so, turn "
                "passive round."
            )
        what = f"could not store {name}" if name else "cannot take us now"
        full = " Its disk may be full;" if said[:3] in ("451", "452") else ""
        return Unreachable(f"{server} {what} ({said}).{full} It is tried again.")
    if isinstance(error, OSError | EOFError | ftplib.Error):
        why = said or "the connection ended"
        return Unreachable(f"{server} cannot be reached or broke the connection ({why}). Trying again.")
    raise error  # our own mistake: the worker logs it with its traceback


def _no(said: str, server: str, step: str, name: str) -> DestinationError:
    """A reply 5xx: no, and not only for now."""
    if said.startswith(FULL):
        return Unreachable(f"{server} could not store {name} ({said}). Its disk may be full; tried again.")
    if step == "tls":
        return Refused(f"{server} offers no encryption ({said}). Ask its people to switch TLS on.")
    if "tls" in said.lower() or "encrypt" in said.lower():
        return Refused(f'{server} wants encryption ({said}). Write kind = "ftps".')
    if step == "login":
        return Refused(
            f"{server} refused user and password ({said}). Correct the file named in the configuration."
        )
    if step == "rename":
        return Refused(
            f"{server} lets us write but not rename {name} ({said}). Ask its people for the right to rename "
            "and delete: a file must not be seen before it is whole."
        )
    what = f"write {name}" if name else "begin"
    if step == "folder":
        what = f"make the folder for {name}"
    return Refused(f"{server} does not let us {what} ({said}). Ask its people for write permission.")
