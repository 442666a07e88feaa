"""What only MQTT has: PUBACK by message id, many unconfirmed at once, TLS, topics."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config_model import MqttDestination as MqttSettings
from gateway.errors import Refused, Rejected
from gateway.forward.mqtt import MqttDestination
from tests.gateway.forward_rig import MemoryOutbox, MqttRig, Rig, drain, open_files, run_with, worker
from tests.servers.mosquitto import Mosquitto


def big(rig: Rig, i: int):
    return rig.document(i, body=f"{i:06d}".encode() + b"x" * 5000)


def test_2000_messages_of_5_kb_none_lost_and_in_order(tmp_path):
    async def case(rig: Rig) -> None:
        documents = [big(rig, i) for i in range(2000)]
        one = await drain(rig.destination(), MemoryOutbox(documents))
        assert (one.counters.delivered, one.counters.failed) == (2000, 0)
        assert await rig.arrived({one.body for one in documents})
        assert rig.seen() == [one.body for one in documents]

    run_with("mqtt", tmp_path, case)


def test_cuts_in_mid_stream_lose_nothing_and_repeat_no_more_than_the_window(tmp_path):
    """Ten resets at odd places: only what was unconfirmed at a reset may come again."""

    async def case(rig: Rig) -> None:
        documents = [big(rig, i) for i in range(500)]
        outbox = MemoryOutbox(documents)
        one = worker(rig.destination(in_flight_max=16), outbox)
        task = asyncio.create_task(one.run())
        for cut in range(10):
            rig.proxy.cut_after = 40_000 + 7919 * cut
            while rig.proxy.cuts <= cut and not outbox.drained.is_set():
                await asyncio.sleep(0.001)
        await asyncio.wait_for(outbox.drained.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert rig.proxy.cuts == 10
        bodies = [one.body for one in documents]
        assert await rig.arrived(set(bodies))
        seen = rig.seen()
        assert set(seen) == set(bodies)
        assert len(seen) - len(bodies) <= 10 * 16
        firsts = list(dict.fromkeys(seen))
        assert firsts == bodies  # a repetition never overtakes: each message's first appearance is in order

    run_with("mqtt", tmp_path, case)


def test_reconnecting_leaks_nothing(tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.close()
        await asyncio.sleep(0.1)
        before = open_files()
        for i in range(30):
            if i % 3 == 0:
                rig.proxy.cut_after = 60
            try:
                await destination.deliver(rig.document(i))
            except Exception:
                pass
            await destination.close()
        await asyncio.sleep(0.1)
        assert open_files() <= before + 2

    run_with("mqtt", tmp_path, case)


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "x" * 70_000])
def test_a_topic_that_mqtt_cannot_carry_is_rejected(tmp_path, topic):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        with pytest.raises(Rejected):
            await destination.deliver(rig.document(1)._replace(name=topic))
        await destination.deliver(rig.document(2))
        await destination.close()

    run_with("mqtt", tmp_path, case)


def certificates(folder: Path) -> None:
    """ca.pem, server.pem and server.key for 127.0.0.1, and other-ca.pem that signed nothing."""
    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key

    def certificate(name: str, issuer: str, key, signer, ca: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(by).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issued_by(signer.public_key()), critical=False)
        )  # fmt: skip
        if ca:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(signer, hashes.SHA256())

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "other-ca", "server")}
    made = {
        "ca": certificate("ca", "ca", keys["ca"], keys["ca"], ca=True),
        "other-ca": certificate("other-ca", "other-ca", keys["other-ca"], keys["other-ca"], ca=True),
        "server": certificate("broker", "ca", keys["server"], keys["ca"], ca=False),
    }
    for name, one in made.items():
        (folder / f"{name}.pem").write_bytes(one.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        keys["server"].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


class TlsRig(MqttRig):
    """A broker with TLS only; nobody subscribes."""

    network = False
    ca = "ca"

    async def server_up(self) -> None:
        certificates(self.folder)
        self.server = Mosquitto(self.folder / "mosquitto")
        for option in (
            f"cafile {self.folder}/ca.pem",
            f"certfile {self.folder}/server.pem",
            f"keyfile {self.folder}/server.key",
        ):
            self.server._lines.append(option)
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> None:
        await self.server_down()

    def settings(self, ca: str) -> MqttSettings:
        ca_file = str(self.folder / f"{ca}.pem")
        return MqttSettings.model_validate(self._settings(kind="mqtt", tls=True, ca_file=ca_file))


def test_tls_with_the_right_and_the_wrong_authority(tmp_path):
    async def main() -> None:
        rig = TlsRig(tmp_path)
        await rig.start()
        try:
            one = await drain(
                MqttDestination(rig.settings("ca"), "t"), MemoryOutbox([big(rig, i) for i in range(300)])
            )
            assert (one.counters.delivered, one.counters.failed) == (300, 0)
            with pytest.raises(Refused, match="cannot be trusted"):
                await MqttDestination(rig.settings("other-ca"), "t").deliver(rig.document(0))
        finally:
            await rig.stop()

    asyncio.run(main())
