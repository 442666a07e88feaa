"""What the two FTP servers of the tests have in common: ports, a certificate, a password, switches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from tests.servers.certificates import HOSTS, Authority, write_self_signed
from tests.servers.process import Server, free_port, free_ports

DATA_PORTS = 12  # a session that was cut may still hold one


class FtpServer:
    """One server below `folder` that serves `root`; a subclass writes its configuration.

    `tls` is "", "explicit" or "implicit". `switches` hold until the next `set()`, which restarts the server:
    "no-write", "no-rename", "no-size", "no-read", "one-client"; ProFTPD also "tls-1.2", "no-overwrite",
    "full".
    """

    user: ClassVar[str]

    def __init__(self, folder: Path, root: Path, tls: str = "", host: str = "127.0.0.1"):
        folder.mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        self.folder, self.root, self.tls, self.host = folder, root, tls, host
        self.password = "right"
        self.port = free_port()
        self.data_ports = free_ports(DATA_PORTS)
        self.switches: set[str] = set()
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        self.ca_file = folder / "province.ca"  # what the client was given
        self.new_certificate()
        shutil.copy(self.cert, self.ca_file)

    def new_certificate(self, hosts: tuple[str, ...] = HOSTS) -> None:
        """Another identity, from the next start on."""
        write_self_signed(self.cert, self.key, hosts)

    def sign_certificate(self, hosts: tuple[str, ...] = HOSTS) -> None:
        """The same, signed by an authority that the client trusts."""
        authority = Authority(self.folder / "authority")
        self.cert, self.key = authority.issue("department", hosts)
        shutil.copy(authority.ca_file, self.ca_file)

    def start(self) -> None:
        self._server = Server(self._command(), self.port, self.folder / "server.log")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(kill=True)  # ProFTPD takes its time

    def set(self, *switches: str) -> None:
        """Restart with these switches and no others."""
        self.stop()
        self.switches = set(switches)
        self.start()

    def limit_files(self, bytes_max: int | None) -> None:
        self._server.limit_files(bytes_max)

    def _command(self) -> list[str]:
        raise NotImplementedError
