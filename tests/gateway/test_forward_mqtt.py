"""What only MQTT has, on Mosquitto: PUBACK by message id, many at once, topics, two versions, TLS."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config_model import MqttDestination as MqttSettings
from gateway.errors import Refused, Rejected, Unreachable
from gateway.forward.mqtt import V5, V311, MqttDestination
from gateway.forward.port import Document
from simulator.broker import Broker
from tests.gateway.forward_rig import MemoryOutbox, Rig, drain, open_files, run_with, worker
from tests.gateway.mqtt_rig import Mqtt5Rig, Mqtt311Rig, MqttTlsRig, VersionRig, run
from tests.servers.certificates import Authority


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


def test_a_connection_given_up_that_arrives_late_takes_our_place_and_nothing_is_lost(tmp_path):
    """A broker drops whoever is there when the same client comes again: here, what came too slowly before."""

    async def case(rig: Rig) -> None:
        rig.proxy.bytes_s = 0.4
        impatient = rig.destination(connect_timeout_s=0.5)
        with pytest.raises(Unreachable, match="in time"):
            await impatient.deliver(rig.document(0))
        rig.proxy.bytes_s = None  # the rest of its CONNECT passes when the byte under way has
        outbox, count = MemoryOutbox(), 0
        task = asyncio.create_task(worker(rig.destination(), outbox).run())
        log = rig.server.folder / "mosquitto.log"
        while "already connected, closing old connection" not in log.read_text() or count < 50:
            outbox.put(rig.document(count))
            count += 1
            await asyncio.sleep(0.02)
        await asyncio.wait_for(outbox.drained.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bodies = [rig.document(i).body for i in range(count)]
        assert await rig.arrived(set(bodies))
        assert list(dict.fromkeys(rig.seen())) == bodies

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


# Versions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rig_class", [Mqtt5Rig, Mqtt311Rig])
def test_the_version_that_was_asked_for_is_spoken(tmp_path, rig_class):
    async def case(rig: VersionRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        assert await rig.arrived({rig.document(0).body})
        log = (rig.server.folder / "mosquitto.log").read_text()
        assert f"as test (p{'5' if rig.version == '5' else '2'}, c1, k15, u'station')" in log
        await destination.close()

    run(rig_class, tmp_path, case)


def test_a_broker_that_knows_3_1_1_only_gets_that(tmp_path):
    """Ours of the simulator; what it says to 5 is what the standard tells a broker of 3.1.1 to say."""

    async def main() -> None:
        taken: list[bytes] = []
        broker, served = Broker(lambda topic, body, dup: taken.append(body)), []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(writer)
            await broker.serve(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        place = {"id": "d", "kind": "mqtt", "host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
        rig = VersionRig(tmp_path)
        destination = MqttDestination(MqttSettings.model_validate(place), "t")
        outbox = MemoryOutbox([rig.document(i) for i in range(50)])
        one = await drain(destination, outbox)
        assert one.counters.failed == 0 and taken == [rig.document(i).body for i in range(50)]
        assert len(served) == 2 and destination._version == V311
        await destination.close()
        await destination.deliver(rig.document(50))
        assert len(served) == 3  # it remembers
        await destination.close()
        only = MqttDestination(MqttSettings.model_validate({**place, "version": "5"}), "t")
        with pytest.raises(Refused, match=r'Unsupported protocol version.*Write version = "auto"'):
            await only.deliver(rig.document(51))
        assert only._version == V5
        server.close()

    asyncio.run(main())


def test_what_the_brokers_rules_forbid_is_refused_with_5_and_swallowed_with_3_1_1(tmp_path):
    """The second half is why 5 comes first: a PUBACK of 3.1.1 cannot say no."""

    async def case(rig: VersionRig) -> None:
        rules = rig.server.folder / "rules"
        rules.write_text("user station\ntopic read #\n")
        rig.server.more = (f"acl_file {rules}",)
        await rig.server_down()
        await rig.server_up()
        with pytest.raises(Refused, match=r"Not authorized.*ask its people for the right to publish"):
            await rig.destination(version="5").deliver(rig.document(0))
        await rig.destination(version="3.1.1").deliver(rig.document(1))
        rules.write_text("user station\ntopic readwrite #\n")
        await rig.server_down()
        await rig.server_up()
        await rig.destination(version="5").deliver(rig.document(2))
        assert await rig.arrived({rig.document(2).body})
        assert rig.seen() == [rig.document(2).body]

    run(Mqtt5Rig, tmp_path, case)


def test_the_brokers_window_is_kept_when_it_is_smaller_than_ours(tmp_path):
    async def case(rig: VersionRig) -> None:
        rig.server.more = ("max_inflight_messages 3",)
        await rig.server_down()
        await rig.server_up()
        destination = rig.destination(in_flight_max=64)
        documents = [rig.document(i) for i in range(300)]
        one = await drain(destination, MemoryOutbox(documents))
        assert (one.counters.delivered, one.counters.failed) == (300, 0)
        await destination.deliver(rig.document(301))
        assert destination._link is not None and destination._link._window == 3
        await destination.close()

    run(Mqtt5Rig, tmp_path, case)


def test_a_message_larger_than_the_broker_takes_is_parked_and_the_next_goes(tmp_path):
    async def case(rig: VersionRig) -> None:
        rig.server.more = ("max_packet_size 20000",)
        await rig.server_down()
        await rig.server_up()
        large = rig.document(1, body=b"x" * 20_000)
        outbox = MemoryOutbox([rig.document(0), large, rig.document(2)])
        one = await drain(rig.destination(), outbox)
        assert one.counters.failed == 1 and "takes 20000" in outbox.parked[2]
        assert sorted(outbox.delivered_ids) == [1, 3]

    run(Mqtt5Rig, tmp_path, case)


@pytest.mark.parametrize("rig_class", [Mqtt5Rig, Mqtt311Rig])
def test_an_idle_link_that_died_is_seen_and_the_next_message_goes(tmp_path, rig_class):
    async def case(rig: VersionRig) -> None:
        destination = rig.destination(keepalive_s=1)
        await destination.deliver(rig.document(0))
        await asyncio.sleep(3)
        link = destination._link
        assert link is not None and link.broken is None  # quiet, and yet alive
        rig.proxy.swallow = True
        while link.broken is None:
            await asyncio.sleep(0.05)
        rig.proxy.swallow = False
        await destination.deliver(rig.document(1))
        assert destination._link is not link
        await destination.close()

    run(rig_class, tmp_path, case)


# TLS --------------------------------------------------------------------------------------------------------


def test_a_backlog_over_tls_with_a_client_certificate(tmp_path):
    async def case(rig: MqttTlsRig) -> None:
        documents = [big(rig, i) for i in range(300)]
        one = await drain(rig.destination(), MemoryOutbox(documents))
        assert (one.counters.delivered, one.counters.failed) == (300, 0)
        assert await rig.arrived({one.body for one in documents})
        assert rig.seen() == [one.body for one in documents]

    run(MqttTlsRig, tmp_path, case)


async def refused(rig: VersionRig, document: Document, **more: object) -> str:
    destination = rig.destination(**more)
    with pytest.raises(Refused) as caught:
        await destination.deliver(document)
    await destination.close()
    return str(caught.value)


def test_who_cannot_prove_what_he_is(tmp_path):
    async def case(rig: MqttTlsRig) -> None:
        one = rig.document(0)
        other = Authority(tmp_path / "foreign")
        assert "cannot be trusted" in await refused(rig, one, ca_file=str(other.ca_file))
        cert, key = other.issue("station", client=True)
        said = await refused(rig, one, cert_file=str(cert), key_file=str(key))
        assert "refused our certificate" in said
        assert "refused our certificate" in await refused(rig, one, cert_file=None, key_file=None)
        cert.write_text("no certificate")
        assert "cannot be used" in await refused(rig, one, cert_file=str(cert), key_file=str(key))
        rig.password_file.write_text("wrong\n")
        assert "Correct user, password_file" in await refused(rig, one)
        rig.password_file.write_text("right\n")
        await rig.destination().deliver(one)

    run(MqttTlsRig, tmp_path, case)


def test_a_broker_with_another_name_is_refused(tmp_path):
    async def case(rig: MqttTlsRig) -> None:
        await rig.server_down()
        rig.server.cert_file, rig.server.key_file = rig.authority.issue(
            "broker", hosts=("other.example.org",)
        )
        await rig.server_up()
        assert "not valid for '127.0.0.1'" in await refused(rig, rig.document(0))

    run(MqttTlsRig, tmp_path, case)


def test_another_certificate_of_the_broker_is_refused_and_gets_no_password(tmp_path):
    async def case(rig: MqttTlsRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.close()
        await rig.server_down()
        rig.new_identity()
        (rig.server.folder / "mosquitto.log").unlink()
        await rig.server_up()
        said = await refused(rig, rig.document(1))
        assert "its certificate does not hold" in said and "only then replace ca_file" in said
        assert " as test " not in (rig.server.folder / "mosquitto.log").read_text()

    run(MqttTlsRig, tmp_path, case)
