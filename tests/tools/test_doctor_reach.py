"""tools/doctor/reach.py against real servers: the right one, another one in its place, and none."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config import load
from tests.gateway.configured import STATION, channel, keys
from tests.servers.certificates import Authority
from tests.servers.mosquitto import Mosquitto
from tests.servers.nginx import Nginx, Store
from tests.servers.openssh import OpenSsh
from tests.servers.process import free_port
from tests.servers.smtp import MailServer
from tests.servers.vsftpd import Vsftpd
from tools.demo.site import table
from tools.doctor import reach
from tools.doctor.findings import FAULT, GOOD, WARNING, Finding

DEVICE = (
    '[[device]]\nid = "st-01"\nlink = "tcp-listen://127.0.0.1:7311"\nkey_file = "gateway/keys/st-01.link"\n'
)


def config_of(folder: Path, settings: dict, *more: str):
    """A configuration with this one destination."""
    folder.mkdir(parents=True, exist_ok=True)
    keys(folder)
    path = folder / "config.toml"
    destination = table("[[destination]]", {"id": "there", **settings})
    path.write_text("\n".join([STATION, DEVICE, channel("COD", "mg/l"), destination, *more]), "utf-8")
    return load(path)


def asked(folder: Path, settings: dict, *more: str) -> list[Finding]:
    return asyncio.run(reach.look(config_of(folder, settings, *more), Clock().now_ms()))


def secret(folder: Path, text: str = "planted-secret\n") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


# SSH -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path):
    server = OpenSsh(tmp_path / "sshd")
    server.start()
    yield server
    server.stop()


def sftp(server: OpenSsh) -> dict:
    return {
        "kind": "sftp", "host": "127.0.0.1", "port": server.port, "user": server.user,
        "key_file": str(server.key_file), "host_key_file": str(server.host_key_file),
    }  # fmt: skip


def test_the_pinned_host_key_is_recognised_without_logging_in(tmp_path, sshd):
    (found,) = asked(tmp_path, sftp(sshd))
    assert found == Finding(
        GOOD, "destination there", f"127.0.0.1:{sshd.port} answers with the pinned host key."
    )
    assert "Accepted" not in (sshd.folder / "sshd.log").read_text(), "nobody logged in"


def test_control_another_host_key_is_a_fault_that_names_it(tmp_path, sshd):
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    (found,) = asked(tmp_path, sftp(sshd))
    assert found.level == FAULT and "It showed SHA256:" in found.text and "by telephone" in found.text


# FTP, MQTT, HTTPS, mail --------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["", "explicit", "implicit"])
def test_an_ftp_server_by_its_greeting_and_certificate(tmp_path, tls):
    server = Vsftpd(tmp_path / "ftp", tmp_path / "root", tls)
    server.start()
    settings = {
        "kind": "ftps" if tls else "ftp", "host": "127.0.0.1", "port": server.port, "user": server.user,
        "password_file": secret(tmp_path),
    }  # fmt: skip
    if tls:
        settings |= {"tls": tls, "ca_file": str(server.ca_file)}
    try:
        first, *ends = asked(tmp_path, settings)
        assert first.level == GOOD and "answers as an FTP server" in first.text, first
        assert [one.level for one in ends] == ([WARNING] if tls else []), "its certificate lives for a day"
        if tls:
            server.stop()
            server.new_certificate()
            server.start()
            (found,) = asked(tmp_path, settings)
            assert found.level == FAULT and "certificate does not hold" in found.text, "control"
    finally:
        server.stop()


def test_a_copied_certificate_that_names_another_host(tmp_path):
    server = Vsftpd(tmp_path / "ftp", tmp_path / "root", "explicit")
    server.new_certificate(("10.9.9.9",))
    server.ca_file.write_bytes(server.cert.read_bytes())
    server.start()
    try:
        first, *_ = asked(tmp_path, {
            "kind": "ftps", "host": "127.0.0.1", "port": server.port, "user": server.user, "tls": "explicit",
            "password_file": secret(tmp_path), "ca_file": str(server.ca_file),
        })  # fmt: skip
        assert first.level == GOOD
    finally:
        server.stop()


def test_a_broker_over_tls(tmp_path):
    authority = Authority(tmp_path / "ca")
    broker = Mosquitto(tmp_path / "broker", authority=authority)
    broker.start()
    settings = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "tls": True}
    try:
        first, end = asked(tmp_path, {**settings, "ca_file": str(authority.ca_file)})
        assert first.level == GOOD and end.level == WARNING and "ends on 20" in end.text
        stranger = Authority(tmp_path / "stranger")
        (found,) = asked(tmp_path, {**settings, "ca_file": str(stranger.ca_file)})
        assert found.level == FAULT and "cannot be trusted" in found.text, "control"
        plain = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.plain_port}
        assert [one.level for one in asked(tmp_path, plain)] == [GOOD]
    finally:
        broker.stop()


def test_a_server_of_documents(tmp_path):
    async def main() -> None:
        store = Store()
        await store.start()
        nginx = Nginx(tmp_path / "nginx", store.port)
        nginx.start()
        try:
            settings = {
                "kind": "https", "url": f"https://127.0.0.1:{nginx.port}/v1/documents",
                "ca_file": str(nginx.authority.ca_file), "token_file": secret(tmp_path),
            }  # fmt: skip
            found = await asyncio.to_thread(asked, tmp_path, settings)
            assert [one.level for one in found] == [GOOD, WARNING], found
            assert "planted" not in str(found)
        finally:
            nginx.stop()
            await store.stop()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["starttls", "ssl"])
def test_a_mail_server_and_nothing_of_the_address_is_shown(tmp_path, mode):
    async def main() -> None:
        server = MailServer(tmp_path / "mail", mode)
        await server.start()
        more = "&mode=ssl" if mode == "ssl" else ""
        url = f"mailtos://me:planted-secret@127.0.0.1:{server.port}/?from=a@b.vn&to=hidden@b.vn{more}"
        settings = {
            "kind": "notify", "url_file": secret(tmp_path, url + "\n"),
            "ca_file": str(server.authority.ca_file),
        }  # fmt: skip
        found = await asyncio.to_thread(asked, tmp_path, settings)
        assert [one.level for one in found] == [GOOD, WARNING], found
        assert "planted" not in str(found) and "hidden" not in str(found)
        assert server.logins == [] and server.received == []
        await server.stop()

    asyncio.run(main())


# Nobody, and hostile servers ------------------------------------------------------------------------------


def test_nobody_there_and_a_name_that_does_not_resolve(tmp_path):
    (found,) = asked(tmp_path, {"kind": "mqtt", "host": "127.0.0.1", "port": free_port()})
    assert found.level == FAULT and "cannot be reached (" in found.text
    (found,) = asked(tmp_path, {"kind": "mqtt", "host": "nowhere.invalid", "port": 1883})
    assert found.level == FAULT and "nowhere.invalid does not resolve" in found.text


def test_a_folder_that_can_be_written_and_one_that_cannot(tmp_path):
    (found,) = asked(tmp_path, {"kind": "directory", "path": str(tmp_path / "a/b")})
    assert found.level == GOOD and not (tmp_path / "a").exists(), "nothing is made"
    (found,) = asked(tmp_path, {"kind": "directory", "path": "/proc/self/x"})
    assert found.level == FAULT


def test_an_address_that_cannot_be_read_is_not_shown(tmp_path):
    config = config_of(tmp_path, {"kind": "notify", "url_file": secret(tmp_path, "jsons://h/planted\n")})
    Path(tmp_path / "secret").write_text("gopher://planted-secret")
    (found,) = asyncio.run(reach.look(config, 0))
    assert found.level == FAULT and "planted" not in found.text and "url_file" in found.text


class Drip:
    """Takes connections and sends one byte a quarter of a second, for ever; or nothing at all."""

    def __init__(self, byte: bytes):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.over = threading.Event()
        self.byte = byte
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(line,), daemon=True).start()

    def _drip(self, line: socket.socket) -> None:
        with line:
            while not self.over.wait(0.25):
                try:
                    line.sendall(self.byte)
                except OSError:
                    return

    def close(self) -> None:
        self.over.set()
        self.listener.close()


@pytest.mark.parametrize("byte", [b"", b"2"])
@pytest.mark.parametrize("kind", ["ftp", "ftps", "sftp", "mqtt"])
def test_a_server_that_never_finishes_holds_nobody_up(tmp_path, monkeypatch, kind, byte):
    monkeypatch.setattr(reach, "ASK_S", 1.0)
    monkeypatch.setattr(reach, "LONG_S", 1.5)
    server = Drip(byte)
    common = {"kind": kind, "host": "127.0.0.1", "port": server.port}
    settings = {
        "ftp": {"user": "u", "password_file": secret(tmp_path)},
        "ftps": {"user": "u", "password_file": secret(tmp_path)},
        "sftp": {"user": "u", "password_file": secret(tmp_path),
                 "host_key_file": str(tmp_path / "gateway/keys/province.hostkey")},
        "mqtt": {"tls": True},
    }[kind]  # fmt: skip
    try:
        (found,) = asked(tmp_path, {**common, **settings})
        assert found.level == FAULT, found
    finally:
        server.close()
