"""tools/fleet/collector/: Debian's NATS as a province's collector, with a real gateway that sends to it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter

import pytest

from simulator.device_load import quantity
from simulator.fleet import Fleet
from tests.gateway.app_rig import secret, until, write_config
from tests.tools.nats_rig import Client, Nats
from tools.demo.site import table
from tools.fleet.facility import free_ports
from tools.fleet.light_gateway import LightGateway
from tools.gateway_process import GatewayProcess

LIMIT_S = 90.0
TOPIC = "quantrac/LCa/DEMO/NUO001"
DEPARTMENT = ("department", "change-me-department")
GATEWAY = ("LCa-DEMO-NUO001", "change-me-gateway")


@pytest.fixture
def nats(tmp_path):
    server = Nats(tmp_path / "nats")
    server.start()
    server.make_stream()
    wait(lambda: server.stored() == 0)
    yield server
    server.stop()


def wait(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("never came true")
        time.sleep(0.05)


def ids(messages):
    return Counter(json.loads(body)["id"] for _, body in messages)


async def sending(folder, nats, long_enough):
    """A real gateway with one light device, whose raw feed goes to NATS, until long_enough(the fleet of one).
    Returns how many readings the device was told are kept.
    """
    key, (port,) = secrets.token_bytes(32), free_ports(1)
    config = write_config(
        folder,
        table("[[device]]", {
            "id": "st-01", "link": f"tcp-listen://127.0.0.1:{port}",
            "key_file": secret(folder, "st-01.link", key.hex()),
        }),
        *(table("[[channel]]", {
            "symbol": f"Q{i}", "unit": "mg/l", "source": {"device": "st-01", "quantity": quantity(i)},
        }) for i in range(4)),
        table("[[destination]]", {
            "id": "department", "kind": "mqtt", "host": "127.0.0.1", "port": nats.port, "user": GATEWAY[0],
            "password_file": secret(folder, "nats.password", GATEWAY[1]),
            "send": ["readings", "events", "status"],
        }),
    )  # fmt: skip
    gateway = GatewayProcess(config, None, folder)
    await gateway.start()
    fleet = Fleet([("st-01", key, port)], 4, 100, 300)
    try:
        fleet.start()
        await until(lambda: long_enough(fleet), LIMIT_S)
        assert await fleet.finish()
        return fleet.acknowledged
    finally:
        fleet.stop()
        await gateway.stop()


def readings(messages):
    """(symbol, time) of every reading, once for each message that has it."""
    told = (json.loads(body) for topic, body in messages if topic == f"{TOPIC}/readings")
    return Counter((row[0], row[1]) for message in told for row in message["rows"])


def test_a_real_gateways_messages_are_in_the_stream_and_in_the_archive(nats, tmp_path):
    with Client(nats.port, *DEPARTMENT, name="archive") as archive:

        def long_enough(fleet):
            return fleet.acknowledged >= 100 and sum(readings(archive.messages).values()) >= 100

        acknowledged = asyncio.run(sending(tmp_path / "gateway", nats, long_enough))
        wait(lambda: nats.stored() == len(archive.messages))
        found = readings(archive.messages)
        assert 100 <= len(found) <= acknowledged and set(found.values()) == {1}
        assert set(ids(archive.messages).values()) == {1}


def test_windows_and_checkpoints_of_a_gateway_arrive_whole(nats, tmp_path):
    mqtt = {"kind": "mqtt", "host": "127.0.0.1", "port": nats.port, "user": DEPARTMENT[0]}
    mqtt["password_file"] = secret(tmp_path, "nats.password", DEPARTMENT[1])
    light = LightGateway(1, 3, {"kind": "directory", "path": str(tmp_path)}, mqtt, tmp_path)

    async def main():
        light.start()
        for window in range(1, 4):
            light.close_window(1_774_371_600_000 + window * 300_000)
        await until(lambda: not light.outbox.unsent, LIMIT_S)
        await light.stop()

    with Client(nats.port, *DEPARTMENT, name="archive") as archive:
        asyncio.run(main())
        wait(lambda: len(archive.messages) >= 6)
        sent = [(d.name, d.body) for d in light.sent if d.destination == "national"]
        assert sorted(archive.messages) == sorted(sent) and nats.stored() == 6


def test_what_was_confirmed_outlives_a_kill_and_reaches_an_archive_that_was_away(nats):
    with Client(nats.port, *DEPARTMENT, name="archive"):
        pass  # its session stays
    confirmed = []
    with Client(nats.port, *GATEWAY) as gateway:
        for n in range(200):
            gateway.publish(f"{TOPIC}/window", b'{"id":"%d"}' % n)
            confirmed.append(str(n))
    wait(lambda: nats.stored() == 200)
    nats.stop(kill=True)
    nats.start()
    wait(lambda: nats.stored() == 200)
    with Client(nats.port, *DEPARTMENT, name="archive") as archive:
        wait(lambda: len(ids(archive.messages)) >= 200)
        assert ids(archive.messages) == Counter(confirmed)


def test_what_comes_twice_is_there_twice_and_has_one_id(nats):
    """MQTT carries no Nats-Msg-Id: who reads the stream drops repetitions by the id."""
    with Client(nats.port, *DEPARTMENT, name="archive") as archive, Client(nats.port, *GATEWAY) as gateway:
        for _ in range(2):
            gateway.publish(f"{TOPIC}/window", b'{"id":"LCa/DEMO/NUO001/window/20260325000500/1"}')
        wait(lambda: nats.stored() == 2 and len(archive.messages) == 2)
        assert set(ids(archive.messages).values()) == {2}


def test_a_gateway_can_publish_what_is_its_own_and_nothing_else(nats):
    """What it may not is dropped, and confirmed all the same: 3.1.1 knows no other answer. The log has it."""
    with Client(nats.port, *GATEWAY) as gateway:
        gateway.publish("quantrac/LCa/DEMO/NUO002/window", b'{"id":"forged"}')
        gateway.publish("$JS/API/STREAM/DELETE/QUANTRAC", b"")
        gateway.publish(f"{TOPIC}/window", b'{"id":"own"}')
    wait(lambda: nats.stored() == 1)
    assert (
        'Publish Violation - User "LCa-DEMO-NUO001", Subject "quantrac.LCa.DEMO.NUO002.window"' in nats.log()
    )


def test_control_without_the_stream_and_the_archive_it_confirms_what_nobody_keeps(tmp_path):
    """Why the README says what has to be there before the first gateway."""
    server = Nats(tmp_path / "nats")
    server.start()
    try:
        with Client(server.port, *GATEWAY) as gateway:
            gateway.publish(f"{TOPIC}/window", b'{"id":"gone"}')
        assert server.stored() is None
        server.make_stream()
        wait(lambda: server.stored() == 0)
    finally:
        server.stop()
