"""OpenSSH's sshd and sftp-server on an unprivileged port; log-in by key, since passwords would need PAM."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import asyncssh

from tests.servers.process import Server, free_port, program


class OpenSsh:
    """One sshd below `folder`. `host_key_file` pins it, `key_file` opens it."""

    def __init__(self, folder: Path, subsystem: str = "sftp-server"):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.user = getpass.getuser()
        self.port = free_port()
        self.key_file = folder / "client.key"
        self.host_key_file = folder / "province.hostkey"
        self._options = ""
        self._subsystem = (
            program("sftp-server", "openssh-sftp-server") if subsystem == "sftp-server" else subsystem
        )
        client = asyncssh.generate_private_key("ssh-ed25519")
        _write_private(self.key_file, client.export_private_key())
        (folder / "authorized_keys").write_bytes(client.export_public_key())
        self.new_host_key()
        self.host_key_file.write_bytes((folder / "host.pub").read_bytes())

    def new_host_key(self) -> None:
        """Give the server another identity (from its next start on)."""
        host = asyncssh.generate_private_key("ssh-ed25519")
        _write_private(self.folder / "host", host.export_private_key())
        (self.folder / "host.pub").write_bytes(host.export_public_key())

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(
                mode=0o755, exist_ok=True
            )  # sshd insists on its privilege separation folder
        settings = self.folder / "sshd_config"
        settings.write_text(
            f"""Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.folder}/host
AuthorizedKeysFile {self.folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp {self._subsystem} {self._options}
"""
        )
        command = [program("sshd", "openssh-server"), "-D", "-e", "-f", str(settings)]
        self._server = Server(command, self.port, self.folder / "sshd.log")
        self._server.start()

    def set(self, *options: str) -> None:
        """Restart with these options of sftp-server: "-R" forbids writing, "-P rename" that request."""
        self.stop()
        self._options = " ".join(options)
        self.start()

    def limit_files(self, bytes_max: int | None) -> None:
        self._server.limit_files(bytes_max)

    def stop(self) -> None:
        self._server.stop()


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data)
