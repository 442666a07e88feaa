"""Every destination with a real server behind it under one set of handles; an honest outbox in memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

from gateway.config_model import DirectoryDestination as DirectorySettings
from gateway.config_model import MqttDestination as MqttSettings
from gateway.config_model import SftpDestination as SftpSettings
from gateway.forward.directory import DirectoryDestination
from gateway.forward.files import temporary_name
from gateway.forward.mqtt import MqttDestination
from gateway.forward.port import Destination, Document
from gateway.forward.sftp import SftpDestination
from gateway.forward.worker import Backoff, Worker
from tests.servers.asyncssh_sftp import AsyncSshSftp
from tests.servers.mosquitto import Mosquitto, Subscriber
from tests.servers.openssh import OpenSsh
from tests.servers.proxy import CuttingProxy

T0 = 1_774_371_600_000  # 2026-03-25 00:00:00 GMT+7
FOLDER = "NUO001/2026/03/25"
TOPIC = "quantrac/LCa/DEMO/NUO001/window"


def document(i: int, message: bool = False, body: bytes = b"", attempts: int = 0) -> Document:
    """The i-th document of a day, 5 minutes after the one before."""
    body = body or f"COD\t{i}.0000\tmg/l\tstamp {i}\t00\r\n".encode() * 20
    name = f"LCa_DEMO_NUO001_20260325{i * 5 // 60:02d}{i * 5 % 60:02d}00.txt"
    at_ms = T0 + i * 300_000
    return Document(
        i + 1,
        "d",
        f"window/NUO001/{i}/1",
        "windows",
        TOPIC if message else name,
        "" if message else FOLDER,
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
    """One kind of destination: its server, and what a test can do to it."""

    message = False
    passwords = False
    host_keys = False
    network = True

    def __init__(self, folder: Path):
        self.folder = folder
        self.province = folder / "province"
        self.password_file = folder / "password"
        self.password_file.write_text("right\n")
        self.proxy: CuttingProxy | None = None

    async def start(self) -> None:
        await self.server_up()
        if self.network:
            self.proxy = CuttingProxy(self.server.port)
            await self.proxy.start()

    async def stop(self) -> None:
        try:
            if self.proxy:
                await self.proxy.stop()
        finally:
            await self.server_down()

    async def server_up(self) -> None: ...

    async def server_down(self) -> None: ...

    def destination(self, **more: object) -> Destination:
        raise NotImplementedError

    def document(self, i: int, **more: object) -> Document:
        return document(i, self.message, **more)

    def seen(self) -> list[bytes]:
        """The bodies that the receiver sees, oldest name first; each as often as it shows."""
        files = sorted(self.province.rglob("*")) if self.province.exists() else []
        return [path.read_bytes() for path in files if path.is_file() and "_NUO001_" in path.name]

    def leftovers(self) -> list[Path]:
        return [path for path in self.province.rglob("*.part")] if self.province.exists() else []

    def leave_half(self, one: Document) -> None:
        """As an upload that was cut at half its bytes would."""
        folder = self.province / one.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / temporary_name(one.name)).write_bytes(one.body[: len(one.body) // 2] + b"?" * 5000)

    def new_host_key(self) -> None:
        self.server.new_host_key()

    def _settings(self, **more: object) -> dict[str, object]:
        port = self.proxy.port if self.proxy else self.server.port
        common = {"id": "d", "host": "127.0.0.1", "port": port, "connect_timeout_s": 10.0, "timeout_s": 10.0}
        return {**common, **more}


class DirectoryRig(Rig):
    network = False

    def destination(self, **more: object) -> Destination:
        return DirectoryDestination(
            DirectorySettings.model_validate(
                {"id": "d", "kind": "directory", "path": str(self.province)}
            ).path
        )


class OpenSshRig(Rig):
    host_keys = True

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
    lacks: tuple[str, ...] = ()

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

    async def arrived(self, bodies: set[bytes]) -> bool:
        return await asyncio.to_thread(self.subscriber.wait_for, bodies)


RIGS = {
    "directory": DirectoryRig,
    "openssh": OpenSshRig,
    "asyncssh": AsyncSshRig,
    "old-sftp": OldSftpRig,
    "mqtt": MqttRig,
}


def run_with(kind: str, folder: Path, case) -> None:
    """Run `await case(rig)` with the rig's server up."""

    async def main() -> None:
        rig = RIGS[kind](folder)
        await rig.start()
        try:
            await case(rig)
        finally:
            await rig.stop()

    asyncio.run(main())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
