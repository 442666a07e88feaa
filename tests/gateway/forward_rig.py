"""Every destination with a real server behind it under one set of handles; an honest outbox in memory."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import asyncssh

from gateway.config_model import DirectoryDestination as DirectorySettings
from gateway.config_model import FtpDestination as FtpSettings
from gateway.config_model import FtpsDestination as FtpsSettings
from gateway.config_model import MqttDestination as MqttSettings
from gateway.config_model import SftpDestination as SftpSettings
from gateway.forward import directory
from gateway.forward.directory import DirectoryDestination
from gateway.forward.files import temporary_name
from gateway.forward.ftp import FtpDestination
from gateway.forward.mqtt import MqttDestination
from gateway.forward.port import Destination, Document
from gateway.forward.sftp import SftpDestination
from gateway.forward.worker import Backoff, Worker
from gateway.reports.layout import PRESETS, folder, stamp
from tests.servers.asyncssh_sftp import AsyncSshSftp
from tests.servers.ftp import FtpServer
from tests.servers.mosquitto import Mosquitto, Subscriber
from tests.servers.openssh import OpenSsh
from tests.servers.proftpd import ProFtpd
from tests.servers.proxy import CuttingProxy
from tests.servers.vsftpd import Vsftpd

T0 = 1_774_371_600_000  # 2026-03-25 00:00:00 GMT+7
FOLDER = "NUO001/2026/03/25"
FULL_BYTES = 300  # no file grows beyond, on a full server
TOPIC = "quantrac/LCa/DEMO/NUO001/window"

T = TypeVar("T")


def document(i: int, message: bool = False, body: bytes = b"", attempts: int = 0) -> Document:
    """The i-th document from T0 on, 5 minutes after the one before."""
    body = body or f"COD\t{i}.0000\tmg/l\tstamp {i}\t00\r\n".encode() * 20
    at_ms = T0 + i * 300_000
    name = f"LCa_DEMO_NUO001_{stamp(at_ms)}.txt"
    return Document(
        i + 1,
        "d",
        f"window/NUO001/{i}/1",
        "windows",
        TOPIC if message else name,
        "" if message else folder(PRESETS["default"], "NUO001", at_ms),
        at_ms,
        body,
        attempts,
    )


class MemoryOutbox:
    """Keeps what the journal's outbox would keep: pending, delivered and parked, in the order of ids."""

    def __init__(self, documents: list[Document] = []):  # noqa: B006 (never changed)
        self.waiting = {document.id: document for document in documents}
        self.delivered_ids: list[int] = []
        self.parked: dict[int, str] = {}
        self.reasons: list[str] = []
        self._event = asyncio.Event()
        self.drained = asyncio.Event()

    def put(self, document: Document) -> None:
        self.waiting[document.id] = document
        self.drained.clear()
        self._event.set()

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        rows = [self.waiting[i] for i in sorted(self.waiting) if i > after_id][:limit]
        await asyncio.sleep(0)  # as with a query in a thread: more can be queued before the rows are here
        return rows

    async def delivered(self, ids: list[int]) -> None:
        await asyncio.sleep(0)
        for i in ids:
            del self.waiting[i]
            self.delivered_ids.append(i)
        self._look()

    async def failed(self, id: int, reason: str, park: bool) -> None:
        await asyncio.sleep(0)
        self.reasons.append(reason)
        if park:
            self.parked[id] = reason
            del self.waiting[id]
        else:
            self.waiting[id] = self.waiting[id]._replace(attempts=self.waiting[id].attempts + 1)
        self._look()

    def event(self, destination: str) -> asyncio.Event:
        return self._event

    def _look(self) -> None:
        if not self.waiting:
            self.drained.set()


def worker(destination: Destination, outbox: MemoryOutbox, seed: int = 0) -> Worker:
    """A worker whose pauses are those of a test."""
    random = Random(seed)
    quick, slow = Backoff(random, 0.01, 0.05), Backoff(random, 0.02, 0.05)
    return Worker("d", destination, outbox, random=random, backoff=quick, backoff_refused=slow)


async def drain(destination: Destination, outbox: MemoryOutbox, seconds: float = 60) -> Worker:
    """Run a worker until nothing waits any more."""
    one = worker(destination, outbox)
    task = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(seconds):
            await outbox.drained.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return one


class Rig:
    """One kind of destination: its server, and what a test can do to it.

    A new kind: `server_up`, `server_down`, `destination`, and below what of the rest its server can do.
    """

    message = False  # what arrives are messages: the same one may come twice
    network = True
    passwords = False  # set_server_password is not needed: the file says "wrong", then "right"
    host_keys = False  # new_identity() gives the server another key or certificate from its next start on,
    certificates = False  # ... and the sentence names it
    fills = False  # fill() and make_room()
    denies = False  # deny_writing() and allow()
    renames = False  # deny_renaming() and allow()
    slow_refusal = False  # the server takes its time to say that a password is wrong

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.province = folder / "province"
        self.password_file = folder / "password"
        self.password_file.write_text("right\n")
        self.proxy: CuttingProxy | None = None

    async def start(self) -> None:
        await self.server_up()
        if self.network:
            self.proxy = self.make_proxy()
            await self.proxy.start()

    async def stop(self) -> None:
        try:
            if self.proxy:
                await self.proxy.stop()
        finally:
            await self.server_down()

    def make_proxy(self) -> CuttingProxy:
        return CuttingProxy(self.server.port)

    async def server_up(self) -> None: ...

    async def server_down(self) -> None: ...

    def break_after(self, bytes_more: int) -> None:
        """Every connection is reset after so many more bytes towards the server."""
        assert self.proxy
        self.proxy.cut_after = bytes_more

    def mend(self) -> None:
        """Nothing is cut any more."""
        assert self.proxy
        self.proxy.cut_after = self.proxy.cut_back_after = None

    async def break_off(self, destination: Destination, stop: Callable[[], Awaitable[None]]) -> None:
        """Nothing that this destination did not send yet is sent; `stop` ends whoever uses it."""
        assert self.proxy
        self.proxy.reset()
        await stop()

    async def fill(self) -> None:
        """The server's disk takes no more."""
        self.server.limit_files(FULL_BYTES)

    async def make_room(self) -> None:
        self.server.limit_files(None)

    async def deny_writing(self) -> None:
        raise NotImplementedError

    async def deny_renaming(self) -> None:
        raise NotImplementedError

    async def allow(self) -> None:
        raise NotImplementedError

    def destination(self, **more: object) -> Destination:
        raise NotImplementedError

    def document(self, i: int, **more: object) -> Document:
        return document(i, self.message, **more)

    def seen(self) -> list[bytes]:
        """The bodies that the receiver sees, oldest name first; each as often as it shows."""
        files = sorted(self.province.rglob("*")) if self.province.exists() else []
        return [path.read_bytes() for path in files if path.is_file() and "_NUO001_" in path.name]

    def of_seed(self, body: bytes, seed: int) -> bool:
        """Whether a body is of the schedule `seed` (fault_schedule.py)."""
        return body.startswith(b"%d." % seed)

    def leftovers(self) -> list[Path]:
        return [path for path in self.province.rglob("*.part*")] if self.province.exists() else []

    def leave_half(self, one: Document) -> None:
        """As an upload that was cut at half its bytes would."""
        folder = self.province / one.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / temporary_name(one.name)).write_bytes(one.body[: len(one.body) // 2] + b"?" * 5000)

    def new_identity(self) -> None:
        self.server.new_host_key()

    def _settings(self, **more: object) -> dict[str, object]:
        port = self.proxy.port if self.proxy else self.server.port
        common = {"id": "d", "host": "127.0.0.1", "port": port, "connect_timeout_s": 10.0, "timeout_s": 10.0}
        return {**common, **more}


class BreakingDisk:
    """The `os` of gateway.forward.directory, all of whose calls fail after `calls_left` more."""

    def __init__(self) -> None:
        self.calls_left: int | None = None

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in ("open", "fsync", "fstat", "replace"):
            return real

        def call(*args: object) -> object:
            if self.calls_left is not None:
                if self.calls_left <= 0:
                    raise OSError(errno.EIO, "broken by a test")
                self.calls_left -= 1
            return real(*args)

        return call


class DirectoryRig(Rig):
    """The disk is this process's own."""

    network = False
    fills = denies = renames = True

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.disk = BreakingDisk()

    async def server_up(self) -> None:
        setattr(directory, "os", self.disk)  # noqa: B010 (a module's own name)

    async def server_down(self) -> None:
        setattr(directory, "os", os)  # noqa: B010

    def break_after(self, bytes_more: int) -> None:
        self.disk.calls_left = bytes_more % 12  # some more than a file takes

    def mend(self) -> None:
        self.disk.calls_left = None

    async def break_off(self, destination: Destination, stop: Callable[[], Awaitable[None]]) -> None:
        """A helper thread that is at work ends with its process."""
        self.disk.calls_left = 0
        await stop()
        assert isinstance(destination, DirectoryDestination)
        await asyncio.to_thread(destination._lock.acquire)
        destination._lock.release()
        self.mend()

    async def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))

    async def make_room(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    async def deny_writing(self) -> None:
        self.province.write_text("in the way")

    async def deny_renaming(self) -> None:
        one = self.document(0)
        (self.province / one.folder / one.name).mkdir(parents=True)

    async def allow(self) -> None:
        if self.province.is_file():
            self.province.unlink()
        else:
            (self.province / self.document(0).folder / self.document(0).name).rmdir()

    def destination(self, **more: object) -> Destination:
        return DirectoryDestination(
            DirectorySettings.model_validate(
                {"id": "d", "kind": "directory", "path": str(self.province)}
            ).path
        )


class OpenSshRig(Rig):
    host_keys = True
    fills = denies = renames = True

    async def deny_writing(self) -> None:
        await asyncio.to_thread(self.server.set, "-R")

    async def deny_renaming(self) -> None:
        await asyncio.to_thread(self.server.set, "-P", "posix-rename,rename")

    async def allow(self) -> None:
        await asyncio.to_thread(self.server.set)

    async def server_up(self) -> None:
        if not hasattr(self, "server"):
            self.server = OpenSsh(self.folder / "openssh")
        await asyncio.to_thread(self.server.start)

    async def server_down(self) -> None:
        await asyncio.to_thread(self.server.stop)

    def destination(self, **more: object) -> Destination:
        keys = {"key_file": str(self.server.key_file), "host_key_file": str(self.server.host_key_file)}
        return SftpDestination(
            SftpSettings.model_validate(
                self._settings(kind="sftp", user=self.server.user, path=str(self.province), **keys, **more)
            )
        )


class AsyncSshRig(Rig):
    passwords = True
    host_keys = True
    fills = denies = renames = True
    lacks: tuple[str, ...] = ()

    async def fill(self) -> None:
        self.server.failing = asyncssh.SFTPFailure("No space left on device")

    async def deny_writing(self) -> None:
        self.server.failing = asyncssh.SFTPPermissionDenied("Permission denied")

    async def deny_renaming(self) -> None:
        self.server.failing_rename = asyncssh.SFTPPermissionDenied("Permission denied")

    async def allow(self) -> None:
        self.server.failing = self.server.failing_rename = None

    make_room = allow

    async def server_up(self) -> None:
        if not hasattr(self, "server"):
            self.server = AsyncSshSftp(self.folder / "asyncssh", self.province, self.lacks)
        await self.server.start()

    async def server_down(self) -> None:
        await self.server.stop()

    def set_server_password(self, password: str) -> None:
        self.server.password = password

    def destination(self, **more: object) -> Destination:
        keys = {"password_file": str(self.password_file), "host_key_file": str(self.server.host_key_file)}
        return SftpDestination(
            SftpSettings.model_validate(self._settings(kind="sftp", user="station", **keys, **more))
        )


class OldSftpRig(AsyncSshRig):
    """A server with neither posix-rename nor fsync."""

    lacks = ("posix-rename", "fsync")


class MqttRig(Rig):
    message = True
    passwords = True

    async def server_up(self) -> None:
        first = not hasattr(self, "server")
        if first:
            self.server = Mosquitto(self.folder / "mosquitto", password="right")
        await asyncio.to_thread(self.server.start)
        if first:
            self.subscriber = await asyncio.to_thread(Subscriber, self.server.port, "station", "right")

    async def server_down(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def stop(self) -> None:
        try:
            await asyncio.to_thread(self.subscriber.stop)
        finally:
            await super().stop()

    def destination(self, **more: object) -> Destination:
        return MqttDestination(
            MqttSettings.model_validate(
                self._settings(kind="mqtt", user="station", password_file=str(self.password_file), **more)
            ),
            "test",
        )

    def seen(self) -> list[bytes]:
        return [body for topic, body in self.subscriber.messages if topic == TOPIC]

    async def arrived(self, bodies: set[bytes], timeout_s: float = 30.0) -> bool:
        return await asyncio.to_thread(self.subscriber.wait_for, bodies, timeout_s)


class FtpRig(Rig):
    """An FTP server behind the proxy at another address of loopback: data go through it as well, because the
    address that the server names is not believed.
    """

    passwords = True
    fills = denies = renames = True
    server_class: type[FtpServer] = Vsftpd
    slow_refusal = True
    tls = ""
    switches: tuple[str, ...] = ()

    async def server_up(self) -> None:
        if not hasattr(self, "server"):
            self.server = self.server_class(self.folder / "ftp", self.province, self.tls)
            self.server.switches = set(self.switches)
        await asyncio.to_thread(self.server.start)

    async def server_down(self) -> None:
        await asyncio.to_thread(self.server.stop)

    def make_proxy(self) -> CuttingProxy:
        return CuttingProxy(self.server.port, self.server.data_ports, "127.0.0.2")

    def destination(self, **more: object) -> FtpDestination:
        given = {"user": self.server.user, "password_file": str(self.password_file), **more}
        if not self.tls:
            return FtpDestination(
                FtpSettings.model_validate(self._settings(kind="ftp", **{"host": "127.0.0.2", **given}))
            )
        given = {"tls": self.tls, "ca_file": str(self.server.ca_file), **given}
        return FtpDestination(
            FtpsSettings.model_validate(self._settings(kind="ftps", **{"host": "127.0.0.2", **given}))
        )

    def new_identity(self) -> None:
        self.server.new_certificate()

    async def deny_writing(self) -> None:
        await asyncio.to_thread(self.server.set, *self.switches, "no-write")

    async def deny_renaming(self) -> None:
        await asyncio.to_thread(self.server.set, *self.switches, "no-rename")

    async def allow(self) -> None:
        await asyncio.to_thread(self.server.set, *self.switches)


class ProFtpRig(FtpRig):
    """A file that may not grow any more would kill this server's session; its own limit says so."""

    server_class = ProFtpd
    slow_refusal = False

    async def fill(self) -> None:
        await asyncio.to_thread(self.server.set, *self.switches, "full")

    async def make_room(self) -> None:
        await self.allow()


class NoOverwriteRig(ProFtpRig):
    """A server that renames over no existing name."""

    switches = ("no-overwrite",)


class FtpsRig(FtpRig):
    certificates = True
    tls = "explicit"


class ImplicitRig(FtpsRig):
    tls = "implicit"


class ProFtpsRig(ProFtpRig, FtpsRig):
    """Explicit."""


class ProImplicitRig(ProFtpsRig):
    tls = "implicit"


RIGS = {
    "directory": DirectoryRig,
    "openssh": OpenSshRig,
    "asyncssh": AsyncSshRig,
    "old-sftp": OldSftpRig,
    "mqtt": MqttRig,
    "ftp-vsftpd": FtpRig,
    "ftp-proftpd": ProFtpRig,
    "ftp-no-overwrite": NoOverwriteRig,
    "ftps-vsftpd": FtpsRig,
    "ftps-vsftpd-implicit": ImplicitRig,
    "ftps-proftpd": ProFtpsRig,
    "ftps-proftpd-implicit": ProImplicitRig,
}


def run_rig(rig_class: type[Rig], folder: Path, case: Callable[[Any], Awaitable[T]]) -> T:
    """Run `await case(rig)` with the rig's server up."""

    async def main() -> T:
        rig = rig_class(folder)
        await rig.start()
        try:
            return await case(rig)
        finally:
            await rig.stop()

    return asyncio.run(main())


def run_with(kind: str, folder: Path, case: Callable[[Any], Awaitable[T]]) -> T:
    """The same, for a kind by its name."""
    return run_rig(RIGS[kind], folder, case)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
