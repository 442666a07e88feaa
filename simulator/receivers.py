"""The two receivers of a station's documents: the province's SFTP server and the national MQTT broker.

Both can be cut off and restored, and both keep count of what came twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from simulator.broker import Broker

SEEN_IDS_MAX = 200_000  # message ids remembered for the count of duplicates, a run of days


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Arrival:
    """A file that reached its final name. `again`: a file of that name had been there before."""

    name: str
    path: str  # below the server's root, with /
    size: int
    time_ms: int
    again: bool
    renamed: bool  # False: written under its final name directly


class SftpReceiver:
    """An SFTP server with one account, shut in `root`; use start() and stop().

    `arrivals` is the ledger, oldest first: completed renames, and files written without one (a partial file
    would have been visible). The host key is made once, with mode 0600; `public_line` is what a client pins,
    also written beside the key as .pub. port 0 chooses a free one, see `.port`.
    """

    def __init__(
        self,
        root: Path | str,
        host: str,
        port: int,
        user: str,
        password: str,
        host_key_path: Path | str,
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self.root = Path(root)
        self.host, self.port = host, port
        self.arrivals: list[Arrival] = []
        self.logins_failed = 0
        self.full = False  # its disk: nothing more can be written
        self.now_ms = now_ms
        self._login = (user, password)
        self._key = load_or_make_key(Path(host_key_path))
        self.public_line = self._key.export_public_key("openssh").decode().strip()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._listener: asyncssh.SSHAcceptor | None = None
        self.root.mkdir(parents=True, exist_ok=True)
        self._known = {
            "/" + path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()
        }

    @property
    def duplicates(self) -> int:
        """Files that appeared although one of the same name had been there."""
        return sum(arrival.again for arrival in self.arrivals)

    async def start(self) -> SftpReceiver:
        """Listen. Raises OSError when the port is taken."""
        self._listener = await asyncssh.listen(
            self.host,
            self.port,
            server_factory=lambda: _Login(self, self._login),
            server_host_keys=[self._key],
            sftp_factory=lambda channel: _Files(channel, self),
            allow_scp=False,
            reuse_address=True,
        )
        self.port = self._listener.get_port()
        return self

    async def stop(self) -> None:
        await self.cut()

    async def cut(self) -> None:
        """The server goes away: connections are dropped in mid-transfer, new ones refused."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

    async def restore(self) -> None:
        """The server is back, on the same port and with the same host key."""
        if self._listener is None:
            await self.start()

    def set_password(self, password: str) -> None:
        """Another one from the next log-in on; who is logged in stays so."""
        self._login = (self._login[0], password)

    def opened(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.add(connection)

    def closed(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.discard(connection)

    def arrived(self, path: str, size: int, renamed: bool) -> None:
        self.arrivals.append(
            Arrival(
                path.rsplit("/", 1)[-1], path, size, self.now_ms(), again=path in self._known, renamed=renamed
            )
        )
        self._known.add(path)


class _Login(asyncssh.SSHServer):
    def __init__(self, receiver: SftpReceiver, login: tuple[str, str]) -> None:
        self._receiver, self._login = receiver, login

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._receiver.opened(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.closed(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        if (username, password) == self._login:
            return True
        self._receiver.logins_failed += 1
        return False


class _Files(asyncssh.SFTPServer):
    """asyncssh's own server below a root, noting what reaches its final name."""

    def __init__(self, channel: asyncssh.SSHServerChannel, receiver: SftpReceiver) -> None:
        super().__init__(channel, chroot=os.fsencode(receiver.root))
        self._receiver = receiver
        self._created: dict[object, str] = {}  # open files that were not there before
        self._direct: set[str] = set()  # closed files that may still be renamed

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        file = super().open(path, pflags, attrs)
        if pflags & asyncssh.FXF_WRITE:
            self._created[file] = self._inside(path)
        return file

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._receiver.full and data:
            raise asyncssh.SFTPFailure("no space left on the device")
        return super().write(file_obj, offset, data)

    def close(self, file_obj: object) -> None:
        super().close(file_obj)
        path = self._created.pop(file_obj, None)
        if path and path.endswith(".txt"):  # a final name of the provincial format
            self._receiver.arrived(path, os.path.getsize(self.map_path(path.encode())), renamed=False)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        self._note(newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().posix_rename(oldpath, newpath)
        self._note(newpath)

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links are not allowed: they could lead out of the root")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        self.symlink(oldpath, newpath)

    def _note(self, path: bytes) -> None:
        local = self.map_path(path)
        if os.path.isfile(local):
            self._receiver.arrived(self._inside(path), os.path.getsize(local), renamed=True)

    def _inside(self, path: bytes) -> str:
        return os.fsdecode(self.reverse_map_path(self.map_path(path)))


def load_or_make_key(path: Path) -> asyncssh.SSHKey:
    """The Ed25519 host key at `path`; made with mode 0600 when missing, its public line beside it as .pub."""
    if path.exists():
        return asyncssh.read_private_key(path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.export_private_key())
    path.with_name(path.name + ".pub").write_bytes(key.export_public_key("openssh"))
    return key


class MqttReceiver:
    """An MQTT 3.1.1 broker that writes every message below quantrac/ to a file, one JSON object a line.

    A line is the message's own JSON object with two members added: "topic", and "received" in Unix ms of
    `now_ms`. A payload that is no JSON object stands under "text" instead. A message is acknowledged after
    its line has been handed to the operating system. Redelivered messages are written again, as they came,
    and counted: `duplicates` (same topic and id as one before), `flagged_dup` (the packet said so).
    """

    def __init__(
        self,
        host: str,
        port: int,
        jsonl_path: Path | str,
        user: str | None = None,
        password: str | None = None,
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self.host, self.port = host, port
        self.path = Path(jsonl_path)
        self.broker = Broker(self._message, user, password)
        self.messages = self.duplicates = self.flagged_dup = 0
        self.now_ms = now_ms
        self._seen: dict[tuple[str, str], None] = {}  # in order of arrival
        self._server: asyncio.Server | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._resume()
        self._file = self.path.open("ab", buffering=0)

    async def start(self) -> MqttReceiver:
        """Listen; port 0 chooses a free one, see `.port`. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self.broker.serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        await self.cut()
        self._file.close()

    async def cut(self) -> None:
        """The broker goes away: connections are dropped, new ones refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.broker.drop_all()
        await asyncio.sleep(0)

    async def restore(self) -> None:
        """The broker is back, on the same port, with the sessions it had."""
        if self._server is None:
            await self.start()

    def _message(self, topic: str, payload: bytes, dup: bool) -> None:
        if not topic.startswith("quantrac/"):
            return
        try:
            message = json.loads(payload)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            message = {"text": payload.decode("utf-8", "replace")}
        self.messages += 1
        self.flagged_dup += dup
        self._count(topic, message.get("id"))
        line = message | {"topic": topic, "received": self.now_ms()}
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def _count(self, topic: str, message_id: object) -> None:
        if message_id is None:
            return
        key = (topic, str(message_id))
        self.duplicates += key in self._seen
        self._seen[key] = None
        if len(self._seen) > SEEN_IDS_MAX:
            del self._seen[next(iter(self._seen))]

    def _resume(self) -> None:
        """Remember the ids of an earlier run; cut off a half-written last line, it was never acknowledged."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)
        for line in data[:whole].splitlines():
            entry = json.loads(line)
            if "id" in entry:
                self._seen[(entry["topic"], str(entry["id"]))] = None
