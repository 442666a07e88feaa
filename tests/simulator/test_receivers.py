"""simulator/receivers.py: the province's SFTP server and the national broker, with real clients."""

import asyncio
import json
import os
import shutil
import stat
import subprocess

import asyncssh
import paho.mqtt.client as mqtt
import pytest

from simulator.receivers import MqttReceiver, SftpReceiver
from tests.simulator._rig import until

NAME = "LCa_DEMO_NUO001_20260325000000.txt"


def sftp_server(tmp_path, **how):
    return SftpReceiver(
        tmp_path / "province", "127.0.0.1", 0, "station", "secret", tmp_path / "hostkey", **how
    )


def connect(server, password="secret"):
    """A client that pins the host key."""
    known = asyncssh.import_known_hosts(f"[127.0.0.1]:{server.port} {server.public_line}\n")
    return asyncssh.connect(
        "127.0.0.1",
        server.port,
        username="station",
        password=password,
        known_hosts=known,
        client_keys=None,
        config=None,
        agent_path=None,
    )


async def upload(sftp, name, data=b"pH\t7.2\t\t20260325000000\t00\r\n", temporary="/up.part"):
    async with sftp.open(temporary, "wb") as file:
        await file.write(data)
    await sftp.rename(temporary, name)


def test_a_file_arrives_whole_under_its_final_name(tmp_path):
    async def main():
        server = await sftp_server(tmp_path, now_ms=lambda: 4711).start()
        async with connect(server) as connection, connection.start_sftp_client() as sftp:
            await sftp.makedirs("/NUO001/2026/03/25")
            await upload(sftp, f"/NUO001/2026/03/25/{NAME}")
            assert await sftp.getsize(f"/NUO001/2026/03/25/{NAME}") == 27
        assert (tmp_path / "province/NUO001/2026/03/25" / NAME).read_bytes().startswith(b"pH\t7.2")
        [arrival] = server.arrivals
        assert (arrival.name, arrival.size, arrival.time_ms) == (NAME, 27, 4711)
        assert arrival.renamed and not arrival.again and server.duplicates == 0
        await server.stop()

    asyncio.run(main())


def test_a_file_that_appears_twice_is_found(tmp_path):
    async def main(broken):
        server = await sftp_server(tmp_path).start()
        async with connect(server) as connection, connection.start_sftp_client() as sftp:
            await upload(sftp, "/" + NAME)
            if broken:
                await sftp.remove("/" + NAME)  # the receiving software has taken it; then it comes again
                await upload(sftp, "/" + NAME)
            else:
                with pytest.raises(asyncssh.SFTPError):
                    await upload(sftp, "/" + NAME)  # plain rename never replaces
        await server.stop()
        return server.duplicates

    assert asyncio.run(main(broken=False)) == 0
    shutil.rmtree(tmp_path / "province")
    assert asyncio.run(main(broken=True)) == 1


def test_a_replacing_rename_and_an_earlier_run_count_as_twice(tmp_path):
    async def main():
        first = await sftp_server(tmp_path).start()
        async with connect(first) as connection, connection.start_sftp_client() as sftp:
            await upload(sftp, "/" + NAME)
        await first.stop()
        second = await sftp_server(tmp_path).start()
        async with connect(second) as connection, connection.start_sftp_client() as sftp:
            async with sftp.open("/x.part", "wb") as file:
                await file.write(b"again")
            await sftp.posix_rename("/x.part", "/" + NAME)
        assert [a.again for a in second.arrivals] == [True]
        await second.stop()

    asyncio.run(main())


def test_writing_the_final_name_directly_is_noted(tmp_path):
    async def main():
        server = await sftp_server(tmp_path).start()
        async with connect(server) as connection, connection.start_sftp_client() as sftp:
            file = await sftp.open("/" + NAME, "wb")
            await file.write(b"half")
            await file.close()
        assert [(a.name, a.renamed) for a in server.arrivals] == [(NAME, False)]
        await server.stop()

    asyncio.run(main())


def test_nobody_leaves_the_root(tmp_path):
    async def main():
        (tmp_path / "secret.txt").write_text("not for stations")
        server = await sftp_server(tmp_path).start()
        async with connect(server) as connection, connection.start_sftp_client() as sftp:
            with pytest.raises(asyncssh.SFTPError):
                await sftp.stat("/../secret.txt")
            with pytest.raises(asyncssh.SFTPError):
                await sftp.symlink(str(tmp_path), "/out")
        await server.stop()

    asyncio.run(main())


def test_wrong_password_and_wrong_host_key(tmp_path):
    async def main():
        server = await sftp_server(tmp_path).start()
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(server, password="guess")
        assert server.logins_failed == 1
        server.public_line = (
            asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().strip()
        )
        with pytest.raises(asyncssh.HostKeyNotVerifiable):
            await connect(server)
        await server.stop()

    asyncio.run(main())


def test_the_host_key_is_private_and_stays(tmp_path):
    first, second = sftp_server(tmp_path), sftp_server(tmp_path)
    assert first.public_line == second.public_line
    assert stat.S_IMODE(os.stat(tmp_path / "hostkey").st_mode) == 0o600
    assert (tmp_path / "hostkey.pub").read_text().strip() == first.public_line


def test_cut_in_mid_transfer_then_restore(tmp_path):
    async def main():
        server = await sftp_server(tmp_path).start()
        connection = await connect(server)
        sftp = await connection.start_sftp_client()
        file = await sftp.open("/up.part", "wb")
        await file.write(b"half")
        await server.cut()
        with pytest.raises((asyncssh.Error, OSError)):
            await file.write(b"the rest")
            await sftp.rename("/up.part", "/" + NAME)
        with pytest.raises(ConnectionRefusedError):
            await connect(server)
        connection.close()
        await server.restore()
        async with connect(server) as again, again.start_sftp_client() as sftp:
            await upload(sftp, "/" + NAME)
        assert [a.name for a in server.arrivals] == [NAME]
        await server.stop()

    asyncio.run(main())


def test_openssh_client(tmp_path):
    """The sftp program itself, where it is installed."""
    program = shutil.which("sftp")
    if program is None:
        pytest.fail("OpenSSH's sftp is missing: install openssh-client")

    async def main():
        server = await sftp_server(tmp_path).start()
        (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {server.public_line}\n")
        (tmp_path / "local.txt").write_bytes(b"TSS\t30.1\tmg/l\t20260325000000\t00\r\n")
        (tmp_path / "ask").write_text("#!/bin/sh\necho secret\n")
        (tmp_path / "ask").chmod(0o700)
        commands = f"mkdir NUO001\nput {tmp_path}/local.txt up.part\nrename up.part NUO001/{NAME}\nbye\n"
        result = await asyncio.to_thread(
            subprocess.run,
            [
                program,
                "-F",
                "none",
                "-P",
                str(server.port),
                "-o",
                f"UserKnownHostsFile={tmp_path}/known",
                "-o",
                "PreferredAuthentications=password",
                "-o",
                "StrictHostKeyChecking=yes",
                "station@127.0.0.1",
            ],
            input=commands,
            text=True,
            capture_output=True,
            timeout=60,
            env=os.environ | {"SSH_ASKPASS": str(tmp_path / "ask"), "SSH_ASKPASS_REQUIRE": "force"},
        )
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "province/NUO001" / NAME).read_bytes() == (tmp_path / "local.txt").read_bytes()
        assert [(a.name, a.renamed, a.again) for a in server.arrivals] == [(NAME, True, False)]
        await server.stop()

    asyncio.run(main())


# MQTT, with paho

TOPIC = "quantrac/LCa/DEMO/NUO001/window"


class Publisher:
    """A paho client that knows which message ids were confirmed."""

    def __init__(self, port, user=None, password=None):
        self.confirmed = set()
        self.refused = None
        self._ids = {}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="station", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_publish = lambda c, u, mid, rc, p: self.confirmed.add(self._ids.pop(mid))
        self.client.on_connect = lambda c, u, f, rc, p: setattr(
            self, "refused", rc if rc.is_failure else None
        )
        if user:
            self.client.username_pw_set(user, password)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, number, qos=1, topic=TOPIC, message=None):
        message = {"id": f"w{number}", "t": "2026-03-25T00:00:00+07:00"} if message is None else message
        info = self.client.publish(
            topic, message if isinstance(message, bytes) else json.dumps(message), qos=qos
        )
        self._ids[info.mid] = f"w{number}"

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def broker(tmp_path, **how):
    return MqttReceiver("127.0.0.1", 0, tmp_path / "national/messages.jsonl", **how)


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "national/messages.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("qos", [1, 2])
def test_messages_are_written_as_they_came_with_their_topic(tmp_path, qos):
    async def main():
        receiver = await broker(tmp_path, now_ms=lambda: 99).start()
        publisher = await asyncio.to_thread(Publisher, receiver.port)
        for i in range(50):
            publisher.send(i, qos)
        publisher.send(50, qos, topic="other/topic")  # not below quantrac/: confirmed, not written
        publisher.send(51, qos, message=b"\xff no json")
        await until(lambda: len(publisher.confirmed) == 52, "confirmations")
        await asyncio.to_thread(publisher.close)
        await receiver.stop()
        got = lines(tmp_path)
        assert got[0] == {"id": "w0", "t": "2026-03-25T00:00:00+07:00", "topic": TOPIC, "received": 99}
        assert [line.get("id") for line in got] == [f"w{i}" for i in range(50)] + [None]
        assert got[-1]["text"].endswith("no json") and receiver.messages == 51 and receiver.duplicates == 0

    asyncio.run(main())


def test_nothing_confirmed_is_lost_over_a_cut(tmp_path):
    async def main():
        receiver = await broker(tmp_path).start()
        publisher = await asyncio.to_thread(Publisher, receiver.port)
        for i in range(400):
            publisher.send(i)
        await until(lambda: len(publisher.confirmed) > 20, "the first")
        await receiver.cut()
        confirmed = set(publisher.confirmed)
        assert confirmed <= {line["id"] for line in lines(tmp_path)}
        for i in range(400, 500):
            publisher.send(i)
        await asyncio.sleep(0.2)
        await receiver.restore()
        await until(lambda: len(publisher.confirmed) == 500, "all")
        await asyncio.to_thread(publisher.close)
        await receiver.stop()
        ids = [line["id"] for line in lines(tmp_path)]
        assert set(ids) == {f"w{i}" for i in range(500)}
        assert len(ids) - 500 == receiver.duplicates  # redelivered ones are kept and counted

    asyncio.run(main())


def test_no_confirmation_before_the_line_is_written(tmp_path):
    """Control for the rule: a receiver that cannot write confirms nothing."""

    async def main():
        receiver = await broker(tmp_path).start()
        receiver.broker._on_message = lambda *_: (_ for _ in ()).throw(OSError("disk full"))
        publisher = await asyncio.to_thread(Publisher, receiver.port)
        publisher.send(1)
        await until(lambda: not receiver.broker.connected, "the broker gives the connection up")
        assert publisher.confirmed == set()
        await asyncio.to_thread(publisher.close)
        await receiver.stop()
        assert lines(tmp_path) == []

    asyncio.run(main())


def test_duplicates_are_counted_over_a_restart(tmp_path):
    async def main():
        for _ in range(2):
            receiver = await broker(tmp_path).start()
            publisher = await asyncio.to_thread(Publisher, receiver.port)
            publisher.send(1)
            await until(lambda publisher=publisher: publisher.confirmed, "confirmed")
            await asyncio.to_thread(publisher.close)
            await receiver.stop()
            with (tmp_path / "national/messages.jsonl").open("a") as file:
                file.write('{"torn')
        assert receiver.duplicates == 1
        final = broker(tmp_path)
        await final.stop()
        assert [line["id"] for line in lines(tmp_path)] == ["w1", "w1"]

    asyncio.run(main())


def test_login_and_garbage(tmp_path):
    async def main():
        receiver = await broker(tmp_path, user="station", password="secret").start()
        wrong = await asyncio.to_thread(Publisher, receiver.port, "station", "guess")
        await until(lambda: wrong.refused is not None, "refused")
        await asyncio.to_thread(wrong.close)
        for garbage in (
            b"\x10\xff\xff\xff\xff\xff",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x30\x02\x00",
            os.urandom(64),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
            writer.write(garbage)
            writer.write_eof()
            await reader.read(-1)
            writer.close()
        right = await asyncio.to_thread(Publisher, receiver.port, "station", "secret")
        right.send(1)
        await until(lambda: right.confirmed, "confirmed")
        await asyncio.to_thread(right.close)
        await receiver.stop()
        assert receiver.broker.refused >= 1 and [line["id"] for line in lines(tmp_path)] == ["w1"]

    asyncio.run(main())


def test_a_subscriber_can_look_on(tmp_path):
    async def main():
        receiver = await broker(tmp_path).start()
        seen = []
        watcher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="watcher")
        watcher.on_message = lambda c, u, m: seen.append((m.topic, json.loads(m.payload)["id"]))
        subscribed = []
        watcher.on_subscribe = lambda *_: subscribed.append(True)
        await asyncio.to_thread(watcher.connect, "127.0.0.1", receiver.port)
        watcher.loop_start()
        watcher.subscribe("quantrac/+/DEMO/#")
        await until(lambda: subscribed, "subscribed")
        publisher = await asyncio.to_thread(Publisher, receiver.port)
        publisher.send(1)
        publisher.send(2, topic="quantrac/LCa/OTHER/X/window")
        publisher.send(3)
        await until(lambda: len(seen) == 2, "seen")
        assert seen == [(TOPIC, "w1"), (TOPIC, "w3")]
        watcher.disconnect()
        await asyncio.to_thread(watcher.loop_stop)
        await asyncio.to_thread(publisher.close)
        await receiver.stop()

    asyncio.run(main())
