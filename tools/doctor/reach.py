"""Destinations and witnesses: does the name resolve, does somebody answer, and is it the right one?

Rule 1: nobody logs in and nothing is sent: no password leaves this machine, no lock-out is provoked.
Rule 2: each is asked at the same time as the others, and for ASK_S at the most.
Rule 3: instruments are not asked here: many take one connection only, which is the gateway's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncssh
from cryptography import x509

from gateway import tls
from gateway.config import (
    Config,
    FtpDestination,
    FtpsDestination,
    HttpsDestination,
    MqttDestination,
    SftpDestination,
)
from gateway.config_links import LinkFault
from gateway.config_model import DirectoryDestination, NotifyDestination
from gateway.config_notify import Mail, parse
from gateway.errors import DestinationError, Refused
from gateway.forward.ftp_tls import Tls, names_another_host
from gateway.forward.sftp import host_keys
from tools.doctor.files import ends
from tools.doctor.findings import Finding, fault, good

ASK_S = 6.0
"""For one answer; a destination needs two or three."""
LONG_S = 20.0
"""For one destination altogether."""
LINE_BYTES_MAX = 4096


class Peer(NamedTuple):
    """Whom to ask, and how."""

    about: str
    host: str
    port: int
    ask: Callable[[str, int], str]
    """Blocks, in a thread: connects, says what it found. OSError, DestinationError, ssl.SSLError."""


async def look(config: Config, now_ms: int) -> list[Finding]:
    """All of them."""
    found = []
    for settings in config.destination:
        if isinstance(settings, DirectoryDestination):
            found.append(_folder(f"destination {settings.id}", settings.path))
    asked = await asyncio.gather(*(_asked(peer, now_ms) for peer in peers(config, found.append)))
    return [*found, *(one for findings in asked for one in findings)]


def peers(config: Config, wrong: Callable[[Finding], None]) -> list[Peer]:
    """Whom a configuration names; `wrong` hears of what cannot be asked."""
    found = []
    for settings in config.destination:
        about = f"destination {settings.id}"
        try:
            peer = _peer(about, settings)
        except (LinkFault, OSError, ValueError) as error:  # never shows what the file holds
            wrong(fault(about, f"Its address cannot be read ({type(error).__name__}): look at its url_file."))
            continue
        if peer is not None:
            found.append(peer)
    for number, witness in enumerate(config.witness):
        place = urlsplit(witness.url)
        ask = _over_tls(None) if place.scheme == "https" else _connected
        port = place.port or (443 if place.scheme == "https" else 80)
        found.append(Peer(f"witness {number + 1}", place.hostname or "", port, ask))
    return found


def _peer(about: str, settings: Any) -> Peer | None:
    if isinstance(settings, SftpDestination):
        return Peer(about, settings.host, settings.port, _ssh(settings))
    if isinstance(settings, FtpsDestination):
        return Peer(about, settings.host, settings.port, _ftps(settings))
    if isinstance(settings, FtpDestination):
        return Peer(about, settings.host, settings.port, _ftp)
    if isinstance(settings, MqttDestination):
        ask = _over_tls(settings) if settings.tls else _connected
        return Peer(about, settings.host, settings.port, ask)
    if isinstance(settings, HttpsDestination):
        return _url(about, settings.url, settings)
    if isinstance(settings, NotifyDestination):
        named = parse(settings.url_file.read_text("utf-8").strip())
        if isinstance(named, Mail):
            return Peer(about, named.host, named.port, _mail(named, settings))
        return _url(about, named.url, settings)
    return None


def _url(about: str, url: str, settings: Any) -> Peer:
    place = urlsplit(url)
    secure = place.scheme == "https"
    port = place.port or (443 if secure else 80)
    return Peer(about, place.hostname or "", port, _over_tls(settings) if secure else _connected)


async def _asked(peer: Peer, now_ms: int) -> list[Finding]:
    server = f"{peer.host}:{peer.port}"
    try:
        async with asyncio.timeout(ASK_S):
            await _in_thread(socket.getaddrinfo, peer.host, peer.port)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", error)
        text = f"The name {peer.host} does not resolve ({why}): look at the network, then /etc/resolv.conf."
        return [fault(peer.about, text)]
    try:
        async with asyncio.timeout(LONG_S):
            said = await _in_thread(peer.ask, peer.host, peer.port)
    except DestinationError as error:
        return [fault(peer.about, str(error))]
    except ssl.SSLError as error:
        return [fault(peer.about, str(tls.told(error, server)))]
    except TimeoutError:
        return [
            fault(peer.about, f"{server} does not answer: look at the network, its address, its firewall.")
        ]
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or "it broke the connection"
        return [
            fault(peer.about, f"{server} cannot be reached ({why}): look at the network and its address.")
        ]
    text, _, end = said.partition("\0")
    found = [good(peer.about, f"{server} {text}")]
    return [*found, ends(peer.about, server, datetime.fromtimestamp(int(end), UTC), now_ms)] if end else found


async def _in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """In a thread that nobody waits for: a server that sends a byte now and then holds up nobody."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def told(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result(result) if error is None else future.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work(*arguments)
        except Exception as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop ended first
            loop.call_soon_threadsafe(told, result, failed)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _folder(about: str, path: Path) -> Finding:
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        return fault(
            about, f"{path} cannot be written by this user: make it, and give it to the gateway's user."
        )
    return good(about, f"{path} can be written.")


# How each is asked -----------------------------------------------------------------------------------------


def _dial(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), ASK_S)


def _connected(host: str, port: int) -> str:
    with _dial(host, port):
        return "answers."


def _over_tls(settings: Any) -> Callable[[str, int], str]:
    """Handshake with the configured certificates, or those of the system."""

    def ask(host: str, port: int) -> str:
        names = ("ca_file", "cert_file", "key_file")
        context = tls.context(*(getattr(settings, name, None) for name in names))
        with _dial(host, port) as line:
            return _shown(context, line, host)

    return ask


def _shown(context: ssl.SSLContext, line: socket.socket, host: str) -> str:
    with context.wrap_socket(line, server_hostname=host) as secure:
        return f"answers, and its certificate holds.\0{_end(secure)}"


def _end(secure: ssl.SSLSocket) -> int:
    """When the certificate of the other side ends, Unix seconds."""
    found = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    return int(found.not_valid_after_utc.timestamp())


def _line(line: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\n") and len(data) < LINE_BYTES_MAX:
        part = line.recv(1)
        if not part:
            raise EOFError
        data += part
    return data.decode("utf-8", "replace").strip()


def _greeted(line: socket.socket) -> None:
    """Read an FTP server's whole reply; Refused when it is none."""
    first = said = _line(line)
    while said[:3] != first[:3] or said[3:4] == "-":
        said = _line(line)
    if not first[:1].isdigit() or first[:1] in "45":
        raise Refused(f"It does not answer as an FTP server: {first[:80]!r}. Ask its people.")


def _ftp(host: str, port: int) -> str:
    with _dial(host, port) as line:
        _greeted(line)
        return "answers as an FTP server."


def _ftps(settings: FtpsDestination) -> Callable[[str, int], str]:
    def once(host: str, port: int, by_copy: bool) -> str:
        secured = Tls(settings, by_copy)
        with _dial(host, port) as line:
            if not secured.implicit:
                _greeted(line)
                line.sendall(b"AUTH TLS\r\n")
                _greeted(line)
            with secured.context.wrap_socket(line, server_hostname=host) as secure:
                secured.check(secure)
                return f"answers as an FTP server, and its certificate holds.\0{_end(secure)}"

    def ask(host: str, port: int) -> str:
        try:
            return once(host, port, False)
        except ssl.SSLCertVerificationError as error:
            if not names_another_host(error):
                raise
            return once(host, port, True)

    return ask


def _mail(mail: Mail, settings: NotifyDestination) -> Callable[[str, int], str]:
    def ask(host: str, port: int) -> str:
        context = tls.context(settings.ca_file)
        if mail.mode == "ssl":
            with _dial(host, port) as line:
                return _shown(context, line, host)
        try:
            with smtplib.SMTP(host, port, timeout=ASK_S) as server:
                server.ehlo()
                if mail.mode != "starttls":
                    return "answers as a mail server."
                server.starttls(context=context)
                secure: Any = server.sock
                return f"answers as a mail server, and its certificate holds.\0{_end(secure)}"
        except smtplib.SMTPNotSupportedError:
            raise Refused("The mail server has no STARTTLS: ask its people for the right port.") from None
        except smtplib.SMTPException:
            raise Refused("It does not answer as a mail server: correct its address.") from None

    return ask


def _ssh(settings: SftpDestination) -> Callable[[str, int], str]:
    """The key exchange alone, which proves the server's key before anybody logs in."""

    def ask(host: str, port: int) -> str:
        text = settings.host_key_file.read_text("utf-8")
        pinned = host_keys(asyncssh, text, host, port, str(settings.host_key_file))
        kinds = [kind for key in pinned for kind in key.sig_algorithms]
        names = [kind.decode() if isinstance(kind, bytes) else kind for kind in kinds]
        try:
            shown = asyncio.run(
                asyncio.wait_for(
                    asyncssh.get_server_host_key(host, port, server_host_key_algs=names, config=None), ASK_S
                )
            )
        except asyncssh.KeyExchangeFailed:
            shown = None  # it has no key of this kind
        except asyncssh.Error:
            raise Refused("It does not answer as an SSH server: correct host and port.") from None
        if shown is None or shown.public_data not in {key.public_data for key in pinned}:
            it = f" It showed {shown.get_fingerprint()}." if shown is not None else ""
            raise Refused(
                f"{host}:{port} did not show the host key that host_key_file pins.{it} Ask the server's "
                "people whether they changed it, compare the fingerprint by telephone, and only then replace "
                "the file."
            )
        return "answers with the pinned host key."

    return ask
