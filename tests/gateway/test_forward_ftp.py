"""What only FTP has: two connections, TLS sessions that are continued, what servers refuse."""

from __future__ import annotations

import asyncio
import ftplib
import shutil
import socket
import ssl
from pathlib import Path

import pytest

from gateway.config_model import FtpDestination as FtpSettings
from gateway.config_model import FtpsDestination as FtpsSettings
from gateway.errors import Refused, Rejected, Unreachable
from gateway.forward import ftp, ftp_client, ftp_tls
from gateway.forward.files import temporary_name
from gateway.forward.ftp import FtpDestination
from gateway.forward.ftp_words import told
from gateway.forward.port import Document
from tests.gateway.forward_rig import (
    FOLDER,
    FtpRig,
    FtpsRig,
    MemoryOutbox,
    NoOverwriteRig,
    ProFtpRig,
    ProFtpsRig,
    document,
    drain,
)
from tests.servers.ftp import FtpServer
from tests.servers.proftpd import ProFtpd
from tests.servers.vsftpd import Vsftpd

SERVERS = {"vsftpd": Vsftpd, "proftpd": ProFtpd}
TLS = ["", "explicit", "implicit"]


def with_rig(rig_class: type[FtpRig], folder: Path, case) -> None:
    async def main() -> None:
        rig = rig_class(folder)
        await rig.start()
        try:
            await case(rig)
        finally:
            await rig.stop()

    asyncio.run(main())


def straight_to(server: FtpServer, folder: Path, **more: object) -> FtpDestination:
    """A destination with no proxy between."""
    password = folder / "password"
    password.write_text("right\n")
    given = {"id": "d", "host": server.host, "port": server.port, "user": server.user, **more}
    given |= {"password_file": str(password), "timeout_s": 10.0}
    if not server.tls:
        return FtpDestination(FtpSettings.model_validate({"kind": "ftp", **given}))
    given = {"kind": "ftps", "tls": server.tls, "ca_file": str(server.ca_file), **given}
    return FtpDestination(FtpsSettings.model_validate(given))


def with_server(name: str, folder: Path, case, tls: str = "", host: str = "127.0.0.1", switches=()) -> None:
    server = SERVERS[name](folder / "ftp", folder / "province", tls, host)
    server.switches = set(switches)
    server.start()
    try:
        asyncio.run(case(server))
    finally:
        server.stop()


def seen(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "province").rglob("*.txt"))]


# Ways of connecting


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("passive", [True, False], ids=["passive", "active"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["v4", "v6"])
def test_passive_and_active_over_both_internets(tmp_path, name, tls, passive, host):
    """PASV, EPSV, PORT and EPRT, in the clear and over TLS."""

    async def case(server: FtpServer) -> None:
        one = straight_to(server, tmp_path, passive=passive)
        for i in (0, 1, 0):
            await one.deliver(document(i))
        await one.close()
        await one.deliver(document(0, attempts=1))  # looks, reads back
        await one.close()
        assert seen(tmp_path) == [document(0).body, document(1).body]
        assert not list(tmp_path.rglob("*.part"))

    with_server(name, tmp_path, case, tls, host)


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_data_continue_the_session_of_the_control_connection(tmp_path, monkeypatch, name, version):
    """Both servers demand it by default. Control: the same client without the session is turned away."""
    reused: list[bool] = []
    limit_version(monkeypatch, version)
    whole = ftp_client.Client._wrap

    def noted(client, sock, session):
        wrapped = whole(client, sock, session)
        if session is not None:
            assert wrapped.version() == version.name.replace("_", ".")
            reused.append(bool(wrapped.session_reused))
        return wrapped

    async def case(server: FtpServer) -> None:
        monkeypatch.setattr(ftp_client.Client, "_wrap", noted)
        one = straight_to(server, tmp_path)
        for i in range(5):
            await one.deliver(document(i))
        await one.close()
        assert len(reused) >= 5 and all(reused)
        monkeypatch.setattr(
            ftp_client.Client, "_wrap", lambda client, sock, session: whole(client, sock, None)
        )
        with pytest.raises((Refused, Unreachable)):
            await one.deliver(document(9))
        await one.close()
        assert len(seen(tmp_path)) == 5

    with_server(name, tmp_path, case, "explicit")


def limit_version(monkeypatch, version: ssl.TLSVersion) -> None:
    whole = ftp_tls.Tls.__init__

    def limited(tls, *arguments):
        whole(tls, *arguments)
        tls.context.minimum_version = tls.context.maximum_version = version

    monkeypatch.setattr(ftp_tls.Tls, "__init__", limited)


@pytest.mark.parametrize("name", SERVERS)
def test_no_server_complains_about_how_data_connections_end(tmp_path, name):
    """256 KB over TLS, many times: closing too early resets the connection and costs the file's end."""

    async def case(server: FtpServer) -> None:
        one = straight_to(server, tmp_path)
        for i in range(20):
            await one.deliver(document(i, body=bytes([i]) * 256_000))
        await one.close()
        assert [body[:1] for body in seen(tmp_path)] == [bytes([i]) for i in range(20)]
        assert {len(body) for body in seen(tmp_path)} == {256_000}

    with_server(name, tmp_path, case, "explicit")


def test_names_beyond_ascii_and_deep_folders(tmp_path):
    async def case(server: FtpServer) -> None:
        one = straight_to(server, tmp_path, path="gửi/Trạm số 1")
        nam = document(0)._replace(folder="NUO001/Nam 2026/thang 03/ngay 25")
        await one.deliver(nam)
        await one.deliver(document(1)._replace(folder="NUO001/Nam 2026/thang 03/ngay 26"))
        await one.deliver(document(2)._replace(folder=""))
        await one.close()
        top = tmp_path / "province/gửi/Trạm số 1"
        assert (top / nam.folder / nam.name).read_bytes() == nam.body
        assert (top / document(2).name).read_bytes() == document(2).body
        assert len(seen(tmp_path)) == 3

    for name in SERVERS:
        with_server(name, tmp_path, case)
        shutil.rmtree(tmp_path / "province")


def test_one_connection_serves_many_files_and_is_left_when_idle(tmp_path):
    """Between two files of five minutes nobody relies on a connection that may have died without a word."""

    async def case(rig: FtpRig) -> None:
        connections = []
        whole = rig.proxy._serve

        async def counted(reader, writer, target):
            connections.append(target)
            await whole(reader, writer, target)

        rig.proxy._serve = counted
        one = rig.destination(keepalive_s=1)
        await drain(rig.destination(), MemoryOutbox([rig.document(i) for i in range(30)]))
        assert connections.count(rig.server.port) == 1
        await one.deliver(rig.document(30))
        while one._client is not None:
            await asyncio.sleep(0.05)
        rig.proxy.cut_after = 0  # would break a connection that was kept
        rig.proxy.cut_after = None
        await one.deliver(rig.document(31))
        assert connections.count(rig.server.port) == 3
        await one.close()
        assert len(rig.seen()) == 32

    with_rig(FtpRig, tmp_path, case)


# Certificates


def test_a_server_whose_own_certificate_was_given_may_have_another_name(tmp_path):
    """As provincial servers have it: self-signed, reached by address. Only that very certificate will do."""

    async def case(rig: FtpsRig) -> None:
        await rig.server_down()
        rig.server.new_certificate(hosts=("192.0.2.1",))
        shutil.copy(rig.server.cert, rig.server.ca_file)
        await rig.server_up()
        one = rig.destination()
        await one.deliver(rig.document(0))
        await one.close()
        assert rig.seen() == [rig.document(0).body]
        await rig.server_down()
        rig.server.new_certificate(hosts=("192.0.2.1",))
        await rig.server_up()
        with pytest.raises(Refused, match="cannot be trusted"):
            await one.deliver(rig.document(1))
        await one.close()

    with_rig(FtpsRig, tmp_path, case)


def test_a_trusted_certificate_of_another_host_is_refused(tmp_path):
    """Signed by the authority in ca_file, but for somebody else."""

    async def case(rig: FtpsRig) -> None:
        await rig.server_down()
        rig.server.sign_certificate(hosts=("192.0.2.1",))
        await rig.server_up()
        one = rig.destination()
        for _ in range(2):
            with pytest.raises(Refused, match="another host"):
                await one.deliver(rig.document(0))
            await one.close()
        await rig.server_down()
        rig.server.sign_certificate(hosts=("127.0.0.2",))
        await rig.server_up()
        await one.deliver(rig.document(0))
        await one.close()

    with_rig(FtpsRig, tmp_path, case)


def test_a_server_without_tls_never_gets_the_password(tmp_path):
    async def case(server: FtpServer) -> None:
        password = tmp_path / "password"
        password.write_text("wrong-but-nobody-asks\n")
        settings = {"id": "d", "kind": "ftps", "host": server.host, "port": server.port, "user": "ftp"}
        one = FtpDestination(
            FtpsSettings.model_validate(
                {**settings, "password_file": str(password), "ca_file": str(server.ca_file)}
            )
        )
        with pytest.raises(Refused, match="offers no encryption"):
            await one.deliver(document(0))
        await one.close()

    for name in SERVERS:
        with_server(name, tmp_path, case)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_wants_tls_says_so(tmp_path, name):
    async def case(server: FtpServer) -> None:
        password = tmp_path / "password"
        password.write_text("right\n")
        settings = {"id": "d", "kind": "ftp", "host": server.host, "port": server.port, "user": server.user}
        one = FtpDestination(FtpSettings.model_validate({**settings, "password_file": str(password)}))
        with pytest.raises(Refused, match='Write kind = "ftps"'):
            await one.deliver(document(0))
        await one.close()

    with_server(name, tmp_path, case, "explicit")


# What servers lack or forbid


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("switches", [("no-size",), ("no-read",)], ids=lambda switches: switches[0])
def test_a_server_that_says_no_size_or_lets_nobody_read(tmp_path, name, switches):
    async def case(server: FtpServer) -> None:
        one = straight_to(server, tmp_path)
        for i in (0, 1):
            await one.deliver(document(i))
        await one.deliver(document(1, attempts=1))
        await one.close()
        await one.deliver(document(1, attempts=1))
        await one.close()
        assert seen(tmp_path) == [document(0).body, document(1).body]
        assert not list(tmp_path.rglob("*.part"))

    with_server(name, tmp_path, case, switches=switches)


async def in_time(destination: FtpDestination, one: Document) -> None:
    """A server frees a place when it sees a connection's end."""
    while True:
        await destination.close()
        try:
            return await destination.deliver(one)
        except (Unreachable, Refused):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", SERVERS)
def test_too_many_connections_is_tried_again(tmp_path, name):
    async def case(server: FtpServer) -> None:
        first, second = straight_to(server, tmp_path), straight_to(server, tmp_path)
        await in_time(first, document(0))  # whoever looked whether the server runs may still have the place
        with pytest.raises((Unreachable, Refused)) as said:
            await second.deliver(document(1))
        assert "421" in str(said.value) or "maximum number" in str(said.value)
        await first.close()
        await in_time(second, document(1))
        await second.close()
        assert len(seen(tmp_path)) == 2

    with_server(name, tmp_path, case, switches=("one-client",))


def test_a_folder_that_someone_removed_is_made_again(tmp_path):
    async def case(rig: FtpRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        shutil.rmtree(rig.province / FOLDER.split("/")[0])
        await drain(destination, MemoryOutbox([rig.document(1)]))
        assert rig.seen() == [rig.document(1).body]

    for rig_class in (FtpRig, ProFtpRig):
        with_rig(rig_class, tmp_path, case)
        shutil.rmtree(tmp_path / "province")


def test_where_nothing_can_be_renamed_over_an_identical_file_counts(tmp_path):
    """The rename got through and its answer did not: nothing is removed, nothing is written twice."""

    async def case(rig: NoOverwriteRig) -> None:
        one = rig.document(0)
        final = rig.province / FOLDER / one.name
        final.parent.mkdir(parents=True)
        final.write_bytes(one.body)
        before = final.stat()
        client = ftp_client.Client(10, True, None)
        await asyncio.to_thread(client.enter, "127.0.0.2", rig.proxy.port, rig.server.user, "right")
        await asyncio.to_thread(client.voidcmd, f"CWD {rig.province / FOLDER}")
        await asyncio.to_thread(ftp._upload, client, temporary_name(one.name, "-x"), one.name, one.body)
        client.close()
        assert (final.stat().st_ino, final.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert rig.leftovers() == []

    with_rig(NoOverwriteRig, tmp_path, case)


# Safety, each with the broken variant that the same look catches


@pytest.mark.parametrize("rig_class", [FtpRig, ProFtpRig, FtpsRig, ProFtpsRig])
def test_a_file_that_lost_its_end_on_the_way_gets_no_name(tmp_path, monkeypatch, rig_class):
    """A data connection that somebody ends early looks like a whole one to the server: the size tells."""
    whole = ftp_client.Client.put
    cut = {"on": False}

    def losing(client, name, body):
        whole(client, name, body[:-7] if cut["on"] else body)

    monkeypatch.setattr(ftp_client.Client, "put", losing)

    async def case(rig: FtpRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        cut["on"] = True
        with pytest.raises(Unreachable, match=r"kept \d+ of \d+ bytes"):
            await destination.deliver(rig.document(1))
        assert rig.seen() == [rig.document(0).body]
        await destination.close()
        # Control: without the look at the size a part would stand there as if it were whole.
        with monkeypatch.context() as believing:
            believing.setattr(ftp, "_size", lambda client, name: len(rig.document(1).body))
            await destination.deliver(rig.document(1))
        assert rig.seen() == [rig.document(0).body, rig.document(1).body[:-7]]
        cut["on"] = False
        await destination.deliver(rig.document(1, attempts=1))
        assert rig.seen() == [rig.document(0).body, rig.document(1).body]
        await destination.close()

    with_rig(rig_class, tmp_path, case)


def test_same_size_but_other_bytes_is_not_delivered(tmp_path):
    """Whether an earlier try got through is read, not guessed from the size."""

    async def case(rig: FtpRig) -> None:
        one = rig.document(0)
        final = rig.province / FOLDER / one.name
        final.parent.mkdir(parents=True)
        final.write_bytes(b"x" * len(one.body))
        destination = rig.destination()
        await destination.deliver(rig.document(0, attempts=1))
        assert rig.seen() == [one.body]
        await destination.close()

    with_rig(FtpRig, tmp_path, case)


@pytest.mark.parametrize("name", ["a\r\nDELE b.txt", "a\nb", "a\0b", "../a.txt", ""])
def test_a_name_that_would_be_a_second_command_is_rejected(tmp_path, name):
    async def case(rig: FtpRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        with pytest.raises(Rejected):
            await destination.deliver(rig.document(1)._replace(name=name))
        await destination.deliver(rig.document(2))
        await destination.close()

    with_rig(FtpRig, tmp_path, case)


def test_a_password_never_becomes_a_command_or_a_sentence(tmp_path):
    async def case(rig: FtpRig) -> None:
        rig.password_file.write_bytes(b"ri\0ght\n")
        with pytest.raises(Refused, match="hold a sign that FTP cannot carry"):
            await rig.destination().deliver(rig.document(0))
        error = ftplib.error_perm("530 login incorrect for hunter2")
        assert "hunter2" not in str(told(error, "s", "login", "", "hunter2"))

    with_rig(FtpRig, tmp_path, case)


# Servers that behave badly on purpose

HELLO = b"220 hello\r\n"
IN = HELLO + b"331 password\r\n230 in\r\n200 binary\r\n"
AT_HOME = IN + b'257 "/"\r\n250 in folder\r\n'
HOSTILE = {
    "nothing": b"",
    "garbage": bytes(range(256)) * 50,
    "a line without an end": b"220 " + b"x" * 100_000,
    "a reply without an end": b"220-a\r\n" * 5000,
    "an answer that is none": HELLO + b"abc\r\n",
    "not a folder": IN + b"257 \xff\xfe\r\n",
    "a size that is none": AT_HOME + b"213 many\r\n",
    "a size beyond reason": AT_HOME + b"213 " + b"9" * 3000 + b"\r\n",
    "a port that is none": AT_HOME + b"550 no\r\n227 (1,2,3,4,999,999)\r\n",
    "no port": AT_HOME + b"550 no\r\n227 hm\r\n",
    "somebody else's port": AT_HOME + b"550 no\r\n227 (10,0,0,1,0,9)\r\n",
    "yes to everything": AT_HOME + b"550 no\r\n" + b"200 ok\r\n" * 20,
    "good-bye": AT_HOME + b"421 too many\r\n",
}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_server_says_nothing_is_delivered(tmp_path, words):
    """It ends in a sentence, in time; no reply can make a document count as delivered or be parked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        try:
            while await reader.read(1000):
                pass
        except OSError:
            pass
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        password = tmp_path / "password"
        password.write_text("right\n")
        settings = {"id": "d", "kind": "ftp", "host": "127.0.0.1", "user": "u", "timeout_s": 1.0}
        settings |= {"port": server.sockets[0].getsockname()[1], "connect_timeout_s": 1.0}
        one = FtpDestination(FtpSettings.model_validate({**settings, "password_file": str(password)}))
        for attempts in (0, 1):
            with pytest.raises((Unreachable, Refused)) as said:
                await one.deliver(document(0, attempts=attempts))
            assert str(said.value).endswith(".") and len(str(said.value)) < 500
            await one.close()
        server.close()

    asyncio.run(main())


def test_only_the_server_may_call_in_active_mode(tmp_path, monkeypatch):
    """Somebody else who finds the open port first gets nothing, and nothing is taken from him."""
    listening = socket.socket.listen

    def intrude(door, *arguments):
        listening(door, *arguments)
        host, port = door.getsockname()
        intruder = socket.socket()
        intruder.bind(("127.0.0.3", 0))
        intruder.connect((host, port))
        intruders.append(intruder)

    intruders: list[socket.socket] = []

    async def case(server: FtpServer) -> None:
        one = straight_to(server, tmp_path, passive=False)
        monkeypatch.setattr(ftp_client.socket.socket, "listen", intrude)
        with pytest.raises(Unreachable, match="called instead of the server"):
            await one.deliver(document(0))
        await one.close()
        monkeypatch.undo()
        await one.deliver(document(0, attempts=1))
        await one.close()
        for intruder in intruders:
            assert intruder.recv(100) == b""
            intruder.close()

    with_server("vsftpd", tmp_path, case)
