"""An FTP server as a destination, in the clear (ftp) or over TLS (ftps, explicit or implicit).

One upload: temporary name in the final folder -> the server's "transfer complete" -> size as the server sees
it -> rename to the final name. Delivered means that the server answered 250 to the rename.

Rule 1: over TLS the certificate is checked and data are encrypted too, before the password is sent. Nothing
        is ever tried in the clear instead.
Rule 2: a partial file is never visible under its final name. Where the server renames over an existing name,
        the file is replaced at once; where it refuses, an identical file counts as delivered and a different
        one is put aside first. Where it lets us write but not rename, nothing is delivered and a person is
        told: a file that is written under its final name can be read half, and the receiver does not come
        back for the rest.
Rule 3: a repeated delivery, and the first ones of a connection (as many as may have been under way or without
        their mark before it: marks.py), look whether an earlier try got through: same size, then the same
        bytes read back. A server that says no size has the bytes read back, always.
Rule 4: after any error or timeout the connection's state is unknown: it is dropped, not reused.
Rule 5: each connection has temporary names of its own (see sftp.py), and an earlier one's helper thread has
        ended before the next one starts.
Rule 6: a connection that had nothing to do for `keepalive_s` is left. Between two files of five minutes a
        server or a mobile network forgets it without a word, and a log-in costs less than finding that out.

ftplib blocks, so it works in a helper thread; the event loop keeps the time and ends the thread by ending its
sockets. FTP has no "sync to disk": what the server confirmed can still be lost by its own power cut.
"""

from __future__ import annotations

import asyncio
import ftplib
import posixpath
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gateway.config_model import FtpsDestination
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.answers import place, shown
from gateway.forward.files import read_secret, temporary_name, temporary_prefix
from gateway.forward.ftp_client import Client
from gateway.forward.ftp_tls import Tls, names_another_host
from gateway.forward.ftp_words import told
from gateway.forward.marks import UNMARKED_MAX
from gateway.forward.port import Confirmation, Document

if TYPE_CHECKING:
    from gateway.config_model import FtpDestination as Settings

DOUBTED = UNMARKED_MAX + 1
SAME = "there already: read back the same, size {}"
THREAD_END_S_MAX = 1.0  # until a thread whose sockets were ended is gone

T = TypeVar("T")


class FtpDestination:
    """Uploads to one server, one file after the other, over one connection."""

    in_flight_max = 1

    def __init__(self, settings: Settings | FtpsDestination):
        self._settings = settings
        self._server = f"{settings.host}:{settings.port}"
        self._client: Client | None = None
        self._thread: asyncio.Future | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._by_copy = False  # the certificate names another host, but lies in ca_file
        self._home = ""  # folder in which the server puts us
        self._folder: str | None = None  # where the connection stands
        self._token = ""  # of this connection
        self._doubted = 0  # so many more documents may have been begun before this connection (rule 3)
        self._secret = ""

    async def deliver(self, document: Document) -> Confirmation:
        """Return when the server has the file under its final name."""
        if not document.name or "/" in document.name or not (document.name + document.folder).isprintable():
            raise Rejected(f"{document.name!r} is not a file name that FTP can carry.")
        if self._leaving is not None:
            self._leaving.cancel()
        if self._client is None:
            await self._connect()
        assert self._client is not None
        said = await self._run(self._client, partial(self._store, self._client, document), document.name)
        self._doubted = max(0, self._doubted - 1)
        self._leaving = asyncio.get_running_loop().call_later(self._settings.keepalive_s, self._leave)
        path = place(posixpath.join(self._whole(self._folder or ""), document.name))
        return Confirmation(path, len(document.body), shown(said, self._secret))

    async def close(self) -> None:
        """Drop the connection."""
        client, self._client, self._folder = self._client, None, None
        if self._leaving is not None:
            self._leaving.cancel()
        if client is not None:
            await self._end(client)

    def _leave(self) -> None:
        client, self._client, self._folder = self._client, None, None
        if client is not None:
            client.leave()

    async def _connect(self) -> None:
        try:
            try:
                await self._enter()
            except _OtherName:
                self._by_copy = True
                await self._enter()
        except BaseException:
            self._by_copy = False  # the next try asks for the right name again
            raise

    async def _enter(self) -> None:
        settings = self._settings
        self._secret = read_secret(settings.password_file)
        tls = Tls(settings, self._by_copy) if isinstance(settings, FtpsDestination) else None
        client = self._client = Client(settings.connect_timeout_s, settings.passive, tls)
        enter = partial(client.enter, settings.host, settings.port, settings.user, self._secret)
        self._home = await self._run(client, enter, "", settings.connect_timeout_s)
        client.pace(settings.timeout_s)
        self._token, self._doubted, self._folder = f"-{secrets.token_hex(4)}", DOUBTED, None

    # The helper thread

    async def _run(self, client: Client, call: Callable[[], T], name: str, seconds: float | None = None) -> T:
        """Let a helper thread do it, within the time; whatever goes wrong ends the connection."""
        try:
            async with asyncio.timeout(seconds or self._settings.timeout_s):
                if self._thread is not None:
                    await asyncio.wait([self._thread])  # at most one, even if a name look-up hangs
                self._thread = asyncio.get_running_loop().run_in_executor(None, call)
                self._thread.add_done_callback(_seen)
                return await asyncio.shield(self._thread)
        except BaseException as error:
            self._client, self._folder = None, None
            await self._end(client)
            if isinstance(error, Exception):
                if names_another_host(error) and getattr(self._settings, "ca_file", None):
                    raise _OtherName from error
                raise self._told(error, client.step, name) from error
            raise

    async def _end(self, client: Client) -> None:
        client.cut()
        if self._thread is not None and not self._thread.done():
            await asyncio.wait([self._thread], timeout=THREAD_END_S_MAX)
        if self._thread is None or self._thread.done():
            client.close()
        else:
            self._thread.add_done_callback(lambda _: client.close())

    # What the helper thread does

    def _store(self, client: Client, document: Document) -> str:
        """What the server answered."""
        name, body = document.name, document.body
        self._go(client, posixpath.join(self._settings.path, document.folder))
        client.step = "look"
        there = (self._doubted or document.attempts > 0) and _holds(client, name, body)
        if self._doubted:
            _sweep(client, name)
        if there:
            return SAME.format(len(body))
        return _upload(client, temporary_name(name, self._token), name, body)

    def _go(self, client: Client, folder: str) -> None:
        """Stand in `folder`, below the one in which the server put us; made when it is missing."""
        if self._folder == folder:
            return
        client.step = "folder"
        start, whole = self._start(folder), self._whole(folder)
        if not whole.isascii():
            _if_known(client, "OPTS UTF8 ON")
        try:
            client.voidcmd(f"CWD {whole}")
        except ftplib.error_perm:
            client.voidcmd(f"CWD {start}")
            for part in filter(None, folder.split("/")):
                _step_into(client, part)
        self._folder = folder

    def _start(self, folder: str) -> str:
        return "/" if folder.startswith("/") else self._home

    def _whole(self, folder: str) -> str:
        return posixpath.join(self._start(folder), folder)

    def _told(self, error: Exception, step: str, name: str) -> DestinationError:
        return told(error, self._server, step, name, self._secret)


class _OtherName(Exception):
    """The certificate is trusted but names another host."""


def _seen(thread: asyncio.Future) -> None:
    if not thread.cancelled():
        thread.exception()  # whoever was cancelled meanwhile does not come to fetch it


def _step_into(client: Client, part: str) -> None:
    try:
        client.voidcmd(f"CWD {part}")
    except ftplib.error_perm:
        client.voidcmd(f"MKD {part}")
        client.voidcmd(f"CWD {part}")


def _upload(client: Client, part: str, name: str, body: bytes) -> str:
    """What the server answered, to the file and to the name."""
    client.step = "write"
    taken = client.put(part, body)
    size = _size(client, part)
    if size is None:  # it does not say
        size = len(body) if _read_back(client, part, body) else None
    if size != len(body):
        raise Unreachable(f"The server kept {size or 'less'} of {len(body)} bytes. Is its disk full?")
    client.step = "rename"
    try:
        named = _rename(client, part, name)
    except ftplib.error_perm:
        if _size(client, name) is None and name not in client.names(name):
            raise
        if _reads(client, name, body):
            client.voidcmd(f"DELE {part}")
            return SAME.format(len(body))
        named = _replace(client, part, name)
    return f"{taken} / {named}"


def _replace(client: Client, part: str, name: str) -> str:
    """Rename where the name is taken: the other file is gone only once ours is there."""
    aside = f"{part}.old"
    _rename(client, name, aside)
    try:
        named = _rename(client, part, name)
    except ftplib.error_perm:
        _rename(client, aside, name)
        raise
    _if_known(client, f"DELE {aside}")
    return named


def _rename(client: Client, part: str, name: str) -> str:
    said = client.sendcmd(f"RNFR {part}")
    if said[0] != "3":
        raise ftplib.error_reply(said)
    return client.voidcmd(f"RNTO {name}")


def _size(client: Client, name: str) -> int | None:
    """Bytes of a file as the server sees it; None when there is none, or it does not say."""
    try:
        return client.size_of(name)
    except ftplib.error_perm:
        return None


def _read_back(client: Client, part: str, body: bytes) -> bool:
    try:
        return client.get(part, len(body)) == body
    except ftplib.error_perm:
        raise Refused(
            "The server says no size and lets us read nothing back: nobody can say whether a file is whole. "
            "Ask its people to allow SIZE."
        ) from None


def _reads(client: Client, name: str, body: bytes) -> bool:
    """Whether exactly these bytes are read back; not when the server does not let us read."""
    try:
        return client.get(name, len(body)) == body
    except ftplib.error_perm:
        return False


def _holds(client: Client, name: str, body: bytes) -> bool:
    """Whether the server has exactly these bytes under this name; a size that differs saves reading."""
    try:
        size = client.size_of(name)
    except ftplib.error_perm:  # it does not know the command: 550 is "no such file"
        size = len(body)
    return size == len(body) and _reads(client, name, body)


def _sweep(client: Client, name: str) -> None:
    """Remove what earlier connections left of this file; where the server forbids it, it harms nobody."""
    prefix = temporary_prefix(name)
    for found in client.names(f"{prefix}*"):
        left = found.replace("\\", "/").rsplit("/", 1)[-1]
        if left.startswith(prefix):
            _if_known(client, f"DELE {left}")


def _if_known(client: Client, command: str) -> None:
    try:
        client.sendcmd(command)
    except (ftplib.error_perm, ftplib.error_temp) as error:
        if str(error)[:3] == "421":
            raise
