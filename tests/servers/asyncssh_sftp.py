"""An SFTP server of asyncssh: log-in by password, and operations that a test can take away or watch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import asyncssh


class AsyncSshSftp:
    """Serves `root`. `lacks` names operations it does not know; `renamed` holds final names in order."""

    def __init__(self, folder: Path, root: Path, lacks: tuple[str, ...] = ()):
        folder.mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.user, self.password = "station", "right"
        self.lacks = lacks
        self.renamed: list[str] = []
        self.connections = 0
        self.failing: Exception | None = None  # raised whenever a file is opened
        self.failing_rename: Exception | None = None
        self.observe: Callable[[], None] = lambda: None  # called after each change of the files
        self.port = 0
        self.host_key_file = folder / "province.hostkey"
        self.new_host_key()
        self.host_key_file.write_bytes(self._key.export_public_key())
        self._server: asyncssh.SSHAcceptor | None = None
        self._connected: list[asyncssh.SSHServerConnection] = []

    def new_host_key(self) -> None:
        self._key = asyncssh.generate_private_key("ssh-ed25519")

    async def start(self) -> None:
        owner = self

        class Door(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                owner.connections += 1
                owner._connected.append(conn)

            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (owner.user, owner.password)

        class Files(asyncssh.SFTPServer):
            def __init__(self, chan: asyncssh.SSHServerChannel):
                super().__init__(chan, chroot=os.fsencode(owner.root))

            def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
                if owner.failing:
                    raise owner.failing
                try:
                    return super().open(path, pflags, attrs)
                finally:
                    owner.observe()

            def write(self, file_obj: object, offset: int, data: bytes) -> int:
                written = super().write(file_obj, offset, data)
                file_obj.flush()
                owner.observe()
                return written

            def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
                if owner.failing_rename:
                    raise owner.failing_rename
                if "posix-rename" in owner.lacks:
                    raise asyncssh.SFTPOpUnsupported("no posix-rename here")
                super().posix_rename(oldpath, newpath)
                owner.renamed.append(os.path.basename(newpath).decode())
                owner.observe()

            def rename(self, oldpath: bytes, newpath: bytes) -> None:
                if owner.failing_rename:
                    raise owner.failing_rename
                super().rename(oldpath, newpath)
                owner.renamed.append(os.path.basename(newpath).decode())
                owner.observe()

            def fsync(self, file_obj: object) -> None:
                if "fsync" in owner.lacks:
                    raise asyncssh.SFTPOpUnsupported("no fsync here")
                super().fsync(file_obj)

        self._server = await asyncssh.listen(
            "127.0.0.1", self.port, server_host_keys=[self._key], server_factory=Door, sftp_factory=Files
        )
        self.port = self._server.get_port()

    async def stop(self) -> None:
        """Close the port and cut every connection."""
        if self._server is not None:
            self._server.close()
            for connection in self._connected:
                connection.abort()
            self._connected.clear()
            await self._server.wait_closed()
            self._server = None
