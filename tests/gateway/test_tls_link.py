"""tls-listen: a device over TLS is a device, and whoever does not get through the handshake is a count."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.config import ConfigFaults, TlsListen, load
from gateway.config_links import LinkFault, device_link
from gateway.ingest import links as links_module
from gateway.ingest.links import HANDSHAKES_MAX, TlsDeviceLink, link_of
from protocol.messages import Ack, Command, Result, Welcome
from tests.gateway.configured import STATION, channel, written
from tests.gateway.intake_rig import Rig, hello, readings, until, wire
from tests.gateway.test_links import Wire, journaled


def certificate(folder: Path, name: str = "tls", host: str = "localhost", password: bytes | None = None):
    """A self-signed certificate and its key as PEM files: (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin.replace(year=2090))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].touch(mode=0o600)
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    return paths


def trusting(cert: Path) -> ssl.SSLContext:
    """A device's side: it trusts this certificate and no other."""
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = True
    return context


@contextlib.asynccontextmanager
async def listening(tmp_path: Path, **rig_settings):
    """A gateway with a TLS link for st-01: (rig, link, certificate)."""
    cert, key = certificate(tmp_path)
    async with Rig(tmp_path / "journal.db", **rig_settings) as rig:
        rig.links["st-01"].close()
        link = TlsDeviceLink(rig.intake, rig.intake.devices["st-01"], "127.0.0.1", 0, cert, key)
        rig.links["st-01"] = link
        await link.listen()
        yield rig, link, cert


async def connect(link: TlsDeviceLink, cert: Path, **changed) -> Wire:
    context = trusting(cert)
    for name, value in changed.items():
        setattr(context, name, value)
    return Wire(
        *await asyncio.open_connection("127.0.0.1", link.port, ssl=context, server_hostname="localhost")
    )


async def works(rig: Rig, link: TlsDeviceLink, cert: Path, number: int) -> None:
    """A device can connect, is heard and acknowledged; its records begin at 10 x number + 1."""
    device = await connect(link, cert)
    await device.send(wire(hello(nonce=number + 1)))
    await device.receive(Welcome)
    await device.send(wire(readings(1, 10 * number + 1)))
    while (await device.receive(Ack)).seq != 10 * number + 10:
        pass
    device.close()
    await until(lambda: link.live is None)


def failures(rig: Rig) -> int:
    return rig.intake.counters.link("st-01").tls_failures


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_device_over_tls_is_a_device(tmp_path, version):
    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            device = await connect(link, cert, maximum_version=version)
            await device.send(wire(hello()))
            await device.receive(Welcome)
            for number in range(50):
                await device.send(wire(readings(1, 10 * number + 1)))
            while (await device.receive(Ack)).seq != 500:
                pass
            asking = asyncio.create_task(rig.intake.command("st-01", "status"))
            command = await device.receive(Command)
            await device.send(wire(Result(command.id, True, "well", None)))
            assert (await asking).text == "well"
            second = await connect(link, cert)  # replaces the first with its first authentic frame
            await second.send(wire(hello(nonce=2)))
            await second.receive(Welcome)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while await device.reader.read(1000):
                    pass
            second.close()
            await until(lambda: rig.intake.counters.link("st-01").connected == 0)
            assert len(journaled(rig)) == 50 and failures(rig) == 0

    asyncio.run(main())


def bad_clients(link: TlsDeviceLink, cert: Path) -> dict:
    """Name -> what such a client does; each ends by itself or by being thrown out."""

    async def plain(data: bytes, wait: bool = True) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            if wait:
                await reader.read()  # until it is thrown out
        writer.close()

    async def refused(**changed) -> None:
        context = trusting(cert)
        for name, value in changed.items():
            setattr(context, name, value)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", link.port, ssl=context, server_hostname="localhost"
            )
            writer.close()

    async def wrong_authority() -> None:
        other, _ = certificate(cert.parent / "other")
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                "127.0.0.1", link.port, ssl=trusting(other), server_hostname="localhost"
            )

    async def old() -> None:
        with pytest.warns(DeprecationWarning):
            context = trusting(cert)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", link.port, ssl=context, server_hostname="localhost")

    async def half() -> None:
        """A ClientHello, then nothing more: gone."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting(cert).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        await plain(outgoing.read(), wait=False)

    return {
        "a device without TLS": plain(wire(hello()) + wire(readings(1, 1))),
        "HTTP": plain(b"GET / HTTP/1.0\r\n\r\n"),
        "zeros": plain(bytes(100_000)),
        "gone at once": plain(b"", wait=False),
        "half a handshake": half(),
        "half a record": plain(b"\x16\x03\x01\x02\x00\x01\x00", wait=False),
        "a huge record": plain(b"\x16\x03\x01\xff\xff" + bytes(70_000)),
        "an old version": old(),
        "another authority": wrong_authority(),
    }


def test_who_does_not_get_through_is_counted_and_ends_nothing(tmp_path):
    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            await works(rig, link, cert, 0)
            clients = bad_clients(link, cert)
            for number, (name, client) in enumerate(clients.items(), 1):
                before = failures(rig)
                async with asyncio.timeout(20):
                    await client
                if name != "another authority":  # TLS 1.3: the server may be done before the client says no
                    await until(lambda before=before: failures(rig) > before)
                assert rig.intake.counters.link("st-01").frames == 2 * number, name
                await works(rig, link, cert, number)
            await until(lambda: not link.handshakes)
            assert len(journaled(rig)) == 1 + len(clients)

    asyncio.run(main())


def test_the_slow_hold_up_nobody_and_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(links_module, "HANDSHAKE_S", 2.0)

    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            slow = [await asyncio.open_connection("127.0.0.1", link.port) for _ in range(HANDSHAKES_MAX - 1)]
            for number, (_, writer) in enumerate(slow):
                writer.write(b"\x16\x03\x01"[: number % 4])  # and a byte now and then is not enough
            await until(lambda: len(link.handshakes) == HANDSHAKES_MAX - 1)
            await works(rig, link, cert, 0)  # while all of them stand
            assert failures(rig) < HANDSHAKES_MAX
            await until(lambda: failures(rig) == HANDSHAKES_MAX - 1)
            assert link.handshakes == []
            for _, writer in slow:
                writer.close()

    asyncio.run(main())


def test_of_too_many_handshakes_the_oldest_goes(tmp_path):
    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            many = [await asyncio.open_connection("127.0.0.1", link.port) for _ in range(HANDSHAKES_MAX + 5)]
            await until(lambda: failures(rig) == 5)
            await until(lambda: len(link.handshakes) == HANDSHAKES_MAX)
            with contextlib.suppress(ConnectionError):
                assert await many[0][0].read() == b""
            await works(rig, link, cert, 0)
            for _, writer in many:
                writer.close()

    asyncio.run(main())


def test_of_a_crowd_that_comes_at_once_no_more_than_the_limit_stand(tmp_path):
    """All of them wait to be accepted before the loop has its turn: none of the accepts waits for anybody."""

    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            crowd = [socket.create_connection(("127.0.0.1", link.port)) for _ in range(90)]
            turns = 0
            while failures(rig) < len(crowd) - HANDSHAKES_MAX:
                assert len(link.handshakes) <= HANDSHAKES_MAX
                await asyncio.sleep(0)
                turns += 1
            assert turns > 20  # others had theirs meanwhile
            await works(rig, link, cert, 0)
            for one in crowd:
                one.close()

    asyncio.run(main())


def test_the_control_one_handshake_after_the_other_would_hold_up_the_device(tmp_path, monkeypatch):
    """If the listener waited for each handshake, one silent client would keep the device out."""
    begin = TlsDeviceLink._shake_hands
    one = asyncio.Lock()

    async def in_turn(self, sock, context):
        async with one:
            await begin(self, sock, context)

    monkeypatch.setattr(TlsDeviceLink, "_shake_hands", in_turn)

    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            _, silent = await asyncio.open_connection("127.0.0.1", link.port)
            await until(lambda: link.handshakes)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await works(rig, link, cert, 0)
            silent.close()

    asyncio.run(main())


def test_garbage_behind_the_handshake_is_noise_of_a_stranger(tmp_path):
    async def main():
        async with listening(tmp_path) as (rig, link, cert):
            device = await connect(link, cert)
            await device.send(wire(hello()))
            await device.receive(Welcome)
            stranger = await connect(link, cert)
            await stranger.send(b"\0neither a frame nor anything\0" * 100)
            await until(lambda: rig.intake.counters.link("st-01").noise >= 100)
            await device.send(wire(readings(1, 1)))
            while (await device.receive(Ack)).seq != 10:
                pass
            raw = link.live.transport.get_extra_info("socket")
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            stranger.close()
            device.close()

    asyncio.run(main())


def test_an_address_that_is_taken_and_a_certificate_that_is_away_are_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(links_module, "REOPEN_S", (0.05,))

    async def main():
        async with listening(tmp_path) as (rig, link, _):
            other = TlsDeviceLink(
                rig.intake, link.device, "127.0.0.1", link.port, *certificate(tmp_path, "b")
            )
            away = TlsDeviceLink(
                rig.intake, link.device, "127.0.0.1", 0, tmp_path / "c.crt", tmp_path / "c.key"
            )
            running = [asyncio.create_task(each.run()) for each in (other, away)]
            await asyncio.sleep(0.2)
            assert not any(task.done() for task in running) and other._server is None is away._server
            link.close()
            certificate(tmp_path, "c")
            await until(lambda: other._server is not None and away._server is not None)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(main())


# Configuration ----------------------------------------------------------------------------------------------


def configuration(folder: Path, link: str) -> Path:
    device = f'[[device]]\nid = "st-01"\nlink = "{link}"\nkey_file = "gateway/keys/st-01.link"\n'
    return written(folder, STATION + device + channel("COD", "mg/l"))


LINK = "tls-listen://0.0.0.0:7312?cert=gateway/keys/tls.crt&key=gateway/keys/tls.key"


def test_a_configured_tls_link(tmp_path):
    keys = tmp_path / "gateway/keys"
    cert, key = certificate(keys)
    config = load(configuration(tmp_path, LINK))
    assert config.device[0].link == TlsListen("0.0.0.0", 7312, cert, key)
    absolute = f"tls-listen://[::1]:7312?key={key}&cert={cert}"
    assert load(configuration(tmp_path, absolute)).device[0].link == TlsListen("::1", 7312, cert, key)

    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            link = link_of(rig.intake, rig.intake.devices["st-01"], config.device[0].link)
            assert type(link) is TlsDeviceLink and (link.host, link.port) == ("0.0.0.0", 7312)

    asyncio.run(main())


def faults(folder: Path, link: str = LINK) -> str:
    with pytest.raises(ConfigFaults) as caught:
        load(configuration(folder, link))
    return str(caught.value)


def test_what_is_wrong_with_its_files_is_named(tmp_path):
    keys = tmp_path / "gateway/keys"
    cert, key = certificate(keys)
    spare = key.read_bytes()
    key.unlink()
    assert (
        f"{key} cannot be read: No such file or directory. Put the file there, or correct the key"
        in faults(tmp_path)
    )
    key.write_bytes(spare)
    key.chmod(0o644)
    assert f"Run: chmod 600 '{key}'" in faults(tmp_path)
    key.chmod(0o600)
    cert.write_text("")
    assert f"{cert} is empty." in faults(tmp_path)
    cert.write_text("no certificate")
    assert f"{cert} and {key} are not a certificate and its key. Write PEM files" in faults(tmp_path)
    other, _ = certificate(keys, "other")
    cert.write_bytes(other.read_bytes())
    assert "are not a certificate and its key" in faults(tmp_path)
    cert, key = certificate(keys, password=b"secret")
    assert "its private key without a password" in faults(tmp_path)
    cert.unlink()
    cert.mkdir()
    assert f"{cert} is not a file." in faults(tmp_path)
    assert "device[0].link" in faults(tmp_path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("tls-listen://0.0.0.0:7312", "The cert file of this link is missing."),
        ("tls-listen://0.0.0.0:7312?cert=a", "The key file of this link is missing."),
        ("tls-listen://0.0.0.0:7312?cert=a&key=", "The key of this link is not a path."),
        ("tls-listen://0.0.0.0:7312?cert=a&key=b&ca=c", "A TLS link has no 'ca'."),
        ("tls-listen://0.0.0.0?cert=a&key=b", "The port is missing."),
        ("tls-listen:0.0.0.0:7312?cert=a&key=b", "A network link needs '//'"),
        ("tls:0.0.0.0", "A device link cannot begin with 'tls:'."),
    ],
)
def test_links_that_cannot_be_used(text, what):
    with pytest.raises(LinkFault) as caught:
        device_link(text)
    assert (what in caught.value.what and "tls-listen://" in caught.value.instead) or "cert and key" in (
        caught.value.instead
    )


def test_two_devices_on_one_port(tmp_path):
    cert, key = certificate(tmp_path / "gateway/keys")
    path = configuration(tmp_path, LINK)
    second = (
        '[[device]]\nid = "st-02"\nlink = "tcp-listen://0.0.0.0:7312"\nkey_file = "gateway/keys/st-01.link"\n'
    )
    path.write_text(path.read_text() + second)
    with pytest.raises(ConfigFaults, match=r"The address 0\.0\.0\.0:7312 belongs to device\[0\] already"):
        load(path)
    assert cert.exists() and key.exists()
