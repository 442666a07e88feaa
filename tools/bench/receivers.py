"""Other people's servers for `quantrac bench drain`: OpenSSH and vsftpd on loopback, and their own clients.

A server is ended with the block that started it. vsftpd is the system's or the one of `make test`.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simulator.child import dying_with_parent
from tools.demo.site import HOST, free_port
from tools.people import Failure

ROOT = Path(__file__).resolve().parents[2]
PATH = f"/usr/local/sbin:/usr/sbin:/usr/lib/openssh:/usr/local/bin:/usr/bin:/bin:{ROOT}/.servers/usr/sbin"
START_S_MAX = 10.0
CLIENT_S_MAX = 600.0


class Receiver(NamedTuple):
    """A server that runs: what a gateway's `[[destination]]` says of it, and how its own clients send to it.

    `clients`: name of a client -> its command; {script} stands for the file of lines that it reads.
    """

    settings: dict[str, Any]
    root: Path
    clients: dict[str, list[str]]


def program(name: str) -> str | None:
    """The path of a program that is installed."""
    return shutil.which(name, path=PATH)


@contextlib.contextmanager
def running(kind: str, folder: Path, more: Sequence[str] = ()) -> Iterator[Receiver]:
    """The server for destinations of this kind; `more` are lines of OpenSSH's configuration. Failure when it
    is not installed or does not start.
    """
    folder.mkdir()
    port = free_port()
    command, receiver = (_openssh if kind == "sftp" else _vsftpd)(kind, folder, port)
    if more:
        with (folder / "sshd_config").open("a") as config:
            config.writelines(f"{line}\n" for line in more)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=dying_with_parent()
        )
    try:
        deadline = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{command[0]} did not start: {(folder / 'server.log').read_text()}")
            time.sleep(0.05)
        yield receiver
    finally:
        server.terminate()
        server.wait()


def _needed(name: str, package: str) -> str:
    path = program(name)
    if path is None:
        raise Failure(f"{name} is not installed. `make servers` installs it (Debian package {package}).")
    return path


def _root(folder: Path) -> Path:
    root = folder / "root"
    root.mkdir()
    return root


def _openssh(kind: str, folder: Path, port: int) -> tuple[list[str], Receiver]:
    sshd, keygen, user = _needed("sshd", "openssh-server"), program("ssh-keygen"), getpass.getuser()
    for name in ("host", "client"):
        subprocess.run([str(keygen), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    known = folder / "known_hosts"
    known.write_text(f"[{HOST}]:{port} {(folder / 'host.pub').read_text()}")
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress {HOST}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/client.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSubsystem sftp {program('sftp-server')}\n"
    )
    root = _root(folder)
    options = [
        "-F",
        "none",
        "-i",
        f"{folder}/client",
        "-o",
        f"UserKnownHostsFile={known}",
        "-o",
        "BatchMode=yes",
    ]
    ssh = " ".join(["ssh", "-a", "-x", *options])
    settings = {"kind": "sftp", "host": HOST, "port": port, "user": user, "path": str(root)}
    settings |= {"key_file": f"{folder}/client", "host_key_file": str(known)}
    clients = {
        "sftp": [str(program("sftp")), *options, "-q", "-P", str(port), "-b", "{script}", f"{user}@{HOST}"],
        "lftp": [
            "lftp", "--norc", "-e", f'set sftp:connect-program "{ssh}"; source {{script}}; exit',
            f"sftp://{user}:none@{HOST}:{port}",
        ],
    }  # fmt: skip
    return [sshd, "-D", "-e", "-f", str(config)], Receiver(settings, root, clients)


def _vsftpd(kind: str, folder: Path, port: int) -> tuple[list[str], Receiver]:
    vsftpd, root, passwords = _needed("vsftpd", "vsftpd"), _root(folder), folder / "password"
    passwords.touch(mode=0o600)
    passwords.write_text("station\n")
    (folder / "empty").mkdir()
    options = {
        "listen": "YES", "listen_port": port, "listen_address": HOST, "background": "NO",
        "run_as_launching_user": "YES", "anonymous_enable": "YES", "secure_email_list_enable": "YES",
        "email_password_file": passwords, "write_enable": "YES", "anon_upload_enable": "YES",
        "anon_mkdir_write_enable": "YES", "anon_other_write_enable": "YES", "anon_umask": "022",
        "anon_world_readable_only": "NO", "anon_root": root, "secure_chroot_dir": folder / "empty",
        "seccomp_sandbox": "NO", "xferlog_enable": "NO",
        "ftp_username": "nobody",  # there on every machine; "ftp" comes with an FTP server
    }  # fmt: skip
    settings = {"kind": kind, "host": HOST, "port": port, "user": "ftp", "password_file": str(passwords)}
    before = ""
    if kind == "ftps":
        key, cert = folder / "key.pem", folder / "cert.pem"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=bench"]
        subprocess.run([*command, "-addext", f"subjectAltName=IP:{HOST}"], check=True, capture_output=True)
        options |= {
            "ssl_enable": "YES", "allow_anon_ssl": "YES", "force_anon_logins_ssl": "YES",
            "force_anon_data_ssl": "YES", "rsa_cert_file": cert, "rsa_private_key_file": key,
            "ssl_ciphers": "HIGH",
        }  # fmt: skip
        settings["ca_file"] = str(cert)
        before = f"set ssl:ca-file {cert}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; "
        before += "set ssl:check-hostname no; "  # it knows no addresses in certificates
    config = folder / "vsftpd.conf"
    config.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    url = f"ftp://ftp:station@{HOST}:{port}"
    clients = {"lftp": ["lftp", "--norc", "-e", f"{before}source {{script}}; exit", url]}
    return [vsftpd, str(config)], Receiver(settings, root, clients)
