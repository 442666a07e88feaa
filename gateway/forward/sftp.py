"""An SFTP server as a destination.

One upload: temporary name in the final folder -> fsync where the server offers it -> size as the server
sees it -> rename over the final name. Delivered means that the server answered "done" to the rename.

Rule 1: the server's host key is pinned. Another key is refused before any password is sent.
Rule 2: a partial file is never visible under its final name: posix-rename replaces atomically; where the
        server has only SFTP 3's rename, which refuses an existing name, an identical file counts as
        delivered and a different one is put aside first.
Rule 3: a repeated delivery, and the first few of a connection, look whether an earlier try got through; then
        nothing is written again.
Rule 4: after any error or timeout the connection's state is unknown: it is dropped, not reused.
Rule 5: each connection has temporary names of its own. A server that hangs may carry out a dropped
        connection's last request late: it must not cut the file that the next one is about to rename. What a
        dropped connection left behind is removed by the next.
Rule 6: a few uploads may be under way, but a file gets its final name only after the one before it has it:
        receivers skip what is older than what they have seen. After a failure nothing goes on until close().

asyncssh is imported at the first connection: a gateway without SFTP does not pay its 25 MiB.
"""

from __future__ import annotations

import asyncio
import posixpath
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.answers import place
from gateway.forward.files import read_secret, temporary_name, temporary_prefix
from gateway.forward.marks import UNMARKED_MAX
from gateway.forward.port import Confirmation, Document

if TYPE_CHECKING:
    import asyncssh

    from gateway.config_model import SftpDestination as Settings

KEEPALIVE_LOST_MAX = 3  # unanswered keep-alives until the connection counts as dead
CLOSE_S_MAX = 1.0
CONNECTION_LOST = 2  # asyncssh.OPEN_CONNECT_FAILED: the connection ended while the session was opened
QUICK_CIPHERS = (
    "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"  # before the others: half the work in asyncssh
)
FOLDERS_KNOWN_MAX = 400  # a year of days; then the memory of what exists starts afresh
IN_FLIGHT = 4  # a round trip is what an upload costs: while one is renamed the next are written
BEHIND = "an earlier file failed, and this one must not go first. Trying again."
ONE_WRITE_BYTES_MAX = 32_768  # in one request: what every server has to take
SWEEP_NAMES_MAX = 2000  # looked at for leftovers: a folder of years is listed a hundred names a round trip


class SftpDestination:
    """Uploads to one server; the files appear one after the other."""

    in_flight_max = IN_FLIGHT

    def __init__(self, settings: Settings):
        self._settings = settings
        self._server = f"{settings.host}:{settings.port}"
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None
        self._door = asyncio.Lock()  # lets in one after the other, in order, while the connection is made
        self._last: asyncio.Future[bool] | None = None  # whether the document before got its final name
        self._failed = False  # until close(): nothing new may go ahead of what failed
        self._folders: set[str] = set()
        self._token = ""  # of this connection
        self._begun = 0  # documents of this connection

    async def deliver(self, document: Document) -> Confirmation:
        """Return when the server has the file under its final name."""
        if self._failed:
            raise Unreachable(f"{self._server}: {BEHIND}")
        loop, seconds = asyncio.get_running_loop(), self._settings.timeout_s
        before, mine = self._last, loop.create_future()
        self._last = mine
        try:
            async with self._door:
                sftp = self._sftp or await self._connect()
            # The time runs from when it is this one's turn: those before it use the line as well.
            async with asyncio.timeout(seconds if before is None else None) as limit:

                def begin(_: object) -> None:
                    if not mine.done():  # this one failed in the turn of the loop in which that one ended
                        limit.reschedule(loop.time() + seconds)

                if before is not None:
                    before.add_done_callback(begin)
                try:
                    confirmation = await self._store(sftp, document, before)
                finally:
                    if before is not None:
                        before.remove_done_callback(begin)
            mine.set_result(True)
            return confirmation
        except BaseException as error:
            self._failed = True
            mine.set_result(False)
            await self._drop()
            if isinstance(error, Exception):
                raise _told(error, self._server, document.name) from error
            raise

    async def _store(
        self, sftp: asyncssh.SFTPClient, document: Document, before: asyncio.Future[bool] | None
    ) -> Confirmation:
        self._begun += 1
        early = (
            self._begun <= IN_FLIGHT + UNMARKED_MAX
        )  # an earlier connection may have been at work on this one
        folder = posixpath.join(self._settings.path, document.folder)
        await self._make(sftp, folder)
        final = posixpath.join(folder, document.name)
        there = (early or document.attempts) and await _holds(sftp, final, document.body)
        if early:
            await _sweep(sftp, folder, document.name)
        part = posixpath.join(folder, temporary_name(document.name, self._token))
        if not there:
            await _write(sftp, part, document.body)
        if before is not None and not await before:
            raise Unreachable(f"{self._server}: {BEHIND}")
        size, said = len(document.body), "there already: read back the same, size {}"
        if not there:
            said = "size {} as written, renamed"
            if not await _if_offered(partial(sftp.posix_rename, part, final)):
                await _plain_rename(sftp, part, final, document.body)
        return Confirmation(place(final), size, said.format(size))

    async def close(self) -> None:
        """Drop the connection; what comes now starts afresh."""
        await self._drop()
        self._last, self._failed = None, False

    async def _drop(self) -> None:
        connection, self._connection, self._sftp = self._connection, None, None
        self._folders.clear()
        if connection is None:
            return
        connection.abort()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await connection.wait_closed()
        except (Exception, TimeoutError):
            pass  # it is gone either way

    async def _connect(self) -> asyncssh.SFTPClient:
        settings = self._settings
        import asyncssh

        watch = _HostKeyWatch(asyncssh)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                self._connection = await asyncssh.connect(
                    settings.host,
                    settings.port,
                    username=settings.user,
                    **self._credentials(asyncssh),
                    known_hosts=(self._host_keys(asyncssh), [], []),
                    client_factory=watch.client,
                    config=None,  # nobody's ~/.ssh/config decides where regulated data go
                    agent_path=None,
                    agent_forwarding=False,
                    gss_host=None,
                    x509_trusted_certs=None,
                    keepalive_interval=settings.keepalive_s,
                    keepalive_count_max=KEEPALIVE_LOST_MAX,
                    encryption_algs=QUICK_CIPHERS,
                )
                self._sftp = await self._connection.start_sftp_client()
                self._token, self._begun = f"-{secrets.token_hex(4)}", 0
                return self._sftp
        except BaseException as error:
            await self._drop()
            if isinstance(error, Exception):
                raise _told(error, self._server, "", watch.shown) from error
            raise

    def _credentials(self, asyncssh: Any) -> dict[str, Any]:
        settings = self._settings
        if settings.password_file is not None:
            return {"password": read_secret(settings.password_file), "client_keys": None}
        try:
            return {"client_keys": [asyncssh.read_private_key(str(settings.key_file))]}
        except (OSError, ValueError) as error:  # asyncssh's KeyImportError is a ValueError
            raise Refused(
                f"The private key {settings.key_file} cannot be used ({error}). "
                "Put an OpenSSH private key without a passphrase there, mode 0600."
            ) from None

    def _host_keys(self, asyncssh: Any) -> list[Any]:
        path = self._settings.host_key_file
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise Refused(f"The host key file {path} cannot be read ({error}).") from None
        return host_keys(asyncssh, text, self._settings.host, self._settings.port, str(path))

    async def _make(self, sftp: asyncssh.SFTPClient, folder: str) -> None:
        if folder in self._folders or not folder:
            return
        await sftp.makedirs(folder, exist_ok=True)
        if len(self._folders) >= FOLDERS_KNOWN_MAX:
            self._folders.clear()
        self._folders.add(folder)


class _HostKeyWatch:
    """Remembers the key of a server we do not trust, to name it in the sentence."""

    def __init__(self, asyncssh: Any):
        watch = self
        self.shown = ""

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:
                watch.shown = key.get_fingerprint()
                return False

        self.client: Callable[[], Any] = Client


def host_keys(asyncssh: Any, text: str, host: str, port: int, path: str) -> list[Any]:
    """The keys that a host key file pins for a host; lines of known_hosts and bare public keys may be
    mixed.
    """
    keys, known = [], []
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.split()[0].startswith(("ssh-", "ecdsa-", "sk-")):
            try:
                keys.append(asyncssh.import_public_key(line))
            except ValueError as error:
                raise Refused(f"{path} holds a line that is not a public key ({error}).") from None
        else:
            known.append(line)
    if known:
        try:
            matched = asyncssh.match_known_hosts("\n".join(known).encode(), host, host, port)
        except ValueError as error:
            raise Refused(f"{path} holds a line that is not a known_hosts entry ({error}).") from None
        keys.extend(key for key in matched[0] if key not in keys and key not in matched[2])  # [2]: revoked
    if not keys:
        raise Refused(f"{path} holds no host key for {host}:{port}. Put the server's public host key there.")
    return keys


async def _write(sftp: asyncssh.SFTPClient, part: str, body: bytes) -> None:
    """All of it is in the file `part`, as the server sees it."""
    whole = len(body) <= ONE_WRITE_BYTES_MAX
    file = await sftp.open(part, "wb", block_size=None if whole else -1)
    if not whole:
        await file.write(body)
    # Sent at once, answered in this order: a server does what concerns one file in the order in which it was
    # asked (draft-ietf-secsh-filexfer, "Request Synchronization and Reordering").
    asked = [file.write(body if whole else b""), _if_offered(file.fsync), file.stat(), file.close()]
    _, _, found, _ = await asyncio.gather(*asked)
    size = found.size
    if size != len(body):
        raise Unreachable(f"The server kept {size} of {len(body)} bytes. Is its disk full?")


async def _sweep(sftp: asyncssh.SFTPClient, folder: str, name: str) -> None:
    """Remove what earlier connections left of this file; where the server forbids it, it harms nobody."""
    import asyncssh

    try:
        left, looked = [], 0
        async for one in sftp.scandir(folder or "."):
            looked += 1
            if str(one.filename).startswith(temporary_prefix(name)):
                left.append(str(one.filename))
            if looked == SWEEP_NAMES_MAX:
                break
        for temporary in left:
            await sftp.remove(posixpath.join(folder, temporary))
    except (
        asyncssh.SFTPPermissionDenied,
        asyncssh.SFTPNoSuchFile,
        asyncssh.SFTPOpUnsupported,
        asyncssh.SFTPFailure,
    ):
        pass


async def _plain_rename(sftp: asyncssh.SFTPClient, part: str, final: str, body: bytes) -> None:
    """SFTP 3's rename, which fails when the final name is taken (by an earlier try of ours)."""
    import asyncssh

    if await sftp.exists(final):
        if await _holds(sftp, final, body):
            await sftp.remove(part)
            return
        aside = f"{part}.old"  # gone only once ours is there
        await sftp.rename(final, aside)
        try:
            await sftp.rename(part, final)
        except asyncssh.SFTPError:
            await sftp.rename(aside, final)
            raise
        await sftp.remove(aside)
        return
    await sftp.rename(part, final)


async def _holds(sftp: asyncssh.SFTPClient, path: str, body: bytes) -> bool:
    """Whether the server has exactly these bytes under this name."""
    import asyncssh

    try:
        if (await sftp.stat(path)).size != len(body):
            return False
        async with sftp.open(path, "rb") as file:
            return await file.read() == body
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return False


async def _if_offered(request: Callable[[], Awaitable[Any]]) -> bool:
    """False when the server does not know this operation."""
    import asyncssh

    try:
        await request()
    except asyncssh.SFTPOpUnsupported:
        return False
    return True


def _told(error: Exception, server: str, name: str, shown_key: str = "") -> DestinationError:
    """What an error of the library means for us, and to a person."""
    import asyncssh

    if isinstance(error, DestinationError):
        return error
    if isinstance(error, asyncssh.HostKeyNotVerifiable | asyncssh.KeyExchangeFailed):
        shown = f" It showed {shown_key}." if shown_key else ""
        return Refused(
            f"{server} did not show the host key that host_key_file pins.{shown} Ask the server's people "
            "whether they changed it, compare the fingerprint by telephone, and only then replace the file."
        )
    if isinstance(error, asyncssh.PermissionDenied | asyncssh.IllegalUserName):
        return Refused(
            f"{server} refused user and password or key. Correct the file named in the configuration."
        )
    if isinstance(error, asyncssh.ChannelOpenError) and error.code != CONNECTION_LOST:
        return Refused(f"{server} let us in but offers no SFTP ({error}). Ask its people to switch SFTP on.")
    if isinstance(error, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
        return Refused(
            f"{server} does not let us write {name} ({error}). Ask its people for write permission."
        )
    if isinstance(error, asyncssh.SFTPInvalidFilename):
        return Rejected(f"{server} does not accept the name {name} ({error}).")
    if isinstance(
        error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded | asyncssh.SFTPFailure
    ):
        return Unreachable(f"{server} could not store {name} ({error}). Its disk may be full; tried again.")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{server} did not answer in time. Trying again.")
    if isinstance(error, OSError | asyncssh.Error):
        return Unreachable(f"{server} cannot be reached or broke the connection ({error}). Trying again.")
    raise error  # our own mistake: the worker logs it with its traceback
