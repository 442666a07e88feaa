"""All that can be sent, from a gateway's own parts to a folder, a broker and an HTTPS server, over a kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from typer.testing import CliRunner

from gateway import app, feed, feed_status
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.journal.reader import reading
from protocol.checkpoint import open_checkpoint
from protocol.note import parse_vkey
from protocol.reading import float_bits
from tests.gateway import app_rig as rig
from tests.gateway.forward_rig import MqttRig
from tests.gateway.https_rig import HttpsRig
from tests.gateway.receiver import Receiver
from tests.gateway.test_provincial import T0
from tools.cli import app as cli
from tools.demo.site import table
from tools.log.rebuild import rebuild

LENGTH_MS = 300_000
FILES = ["windows", "hours", "alerts", "events", "checkpoints"]
ALL = [*FILES, "status"]


class Hand:
    """Station time that stands still until it is set."""

    now_ms = T0

    def at(self, mono_ms: float) -> int:
        return self.now_ms

    def when(self, station_ms: int) -> float:
        return 0.0


def config_file(folder: Path, broker: MqttRig, server: HttpsRig) -> Path:
    for one in (broker, server):
        one.password_file.chmod(0o600)
    settings = server.settings()
    https = {
        "id": "feed", "kind": "https", "url": settings.url, "ca_file": str(settings.ca_file),
        "token_file": str(server.password_file), "send": ALL,
    }  # fmt: skip
    return rig.write_config(
        folder, rig.bus("tank", "modbus-tcp://127.0.0.1:1"),
        rig.bus_channel("COD", "tank", 0, 60_000, limits={"max": 75.0, "basis": "QCVN 40:2011 A"}),
        table("[[destination]]", {"id": "local", "kind": "directory", "path": "sent", "send": FILES}),
        rig.mqtt(broker.proxy.port, *ALL, user="station", password_file=str(broker.password_file)),
        table("[[destination]]", https),
    )  # fmt: skip


async def passing(gateway: Gateway, hand: Hand, first: int, count: int) -> None:
    """Five readings for each window from number `first` on, by which the one before closes; one exceeds."""
    for i in range(first, first + count):
        for minute in range(5):
            hand.now_ms = T0 + i * LENGTH_MS + minute * 60_000 + 1000
            gateway.intake.poll("tank", [(0, hand.now_ms - 500, float_bits(99.0 if i == 3 else 10.0 + i), 0)])
        hand.now_ms = T0 + (i + 1) * LENGTH_MS + 200_000
        await gateway.journal.commit()
        await gateway.intake.tick()
        await gateway.journal.commit()


@contextlib.asynccontextmanager
async def started(config: Path, hand: Hand) -> AsyncIterator[Gateway]:
    """A gateway's parts, as Gateway.run() starts them, but for its tasks."""
    gateway = Gateway(load(config), Clock(hand))
    gateway.journal.start()
    for settings in gateway.config.destination:
        gateway.counters.destination(settings.id)
    await gateway.outbox.load()
    await gateway.intake.begin()
    try:
        yield gateway
    finally:
        await gateway.journal.close(timeout_s=2.0)


def test_everything_to_every_kind_of_destination_over_a_kill(tmp_path, monkeypatch):
    quick = app.settings_of
    monkeypatch.setattr(
        app, "settings_of", lambda config: quick(config)._replace(start_grace_s=0.0, back_grace_s=0.0)
    )
    monkeypatch.setattr(feed, "LOOK_S", 0.05)
    monkeypatch.setattr(feed_status, "LOOK_S", 0.05)

    async def story():
        (tmp_path / "broker").mkdir()
        (tmp_path / "server").mkdir()
        broker, server = MqttRig(tmp_path / "broker"), HttpsRig(tmp_path / "server")
        await broker.start()
        await server.start()
        try:
            config, hand = config_file(tmp_path, broker, server), Hand()
            async with started(config, hand) as gateway:
                await gateway.feed.look()
                await passing(gateway, hand, 0, 7)  # and killed before any of it is queued or sent
            async with started(config, hand) as gateway:
                parts = [gateway.feed, gateway.status_feed, *gateway.workers.values()]
                tasks = [asyncio.create_task(part.run()) for part in parts]
                await passing(gateway, hand, 7, 7)
                topics = broker.subscriber.messages
                await rig.until(lambda: any(topic.endswith("/hour") for topic, _ in topics))
                await rig.until(lambda: not any(c.waiting for c in gateway.counters.destinations.values()))
                problems = [one for one in gateway.status.problems() if "bus" not in one]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            told = [(topic.split("/"), body) for topic, body in broker.subscriber.messages]
            posted = [body for body in server.seen() if json.loads(body)["id"].startswith("LCa/")]
            return problems, {body: parts[-1] for parts, body in told}, posted
        finally:
            await broker.stop()
            await server.stop()

    problems, told, posted = asyncio.run(story())
    assert problems == []
    kinds = Counter(told.values())
    assert kinds["window"] == 13 and kinds["hour"] == 1 and kinds["alert"] == 2
    assert kinds["event"] >= 2 and kinds["checkpoint"] >= 12 and kinds["status"] >= 1
    assert set(told) == set(posted), "the same objects to both"
    messages = [(kind, json.loads(body)) for body, kind in told.items()]
    assert len({found["id"] for _, found in messages}) == len(messages)
    log = parse_vkey((tmp_path / "gateway/log.vkey").read_text().strip())
    for kind, found in messages:
        assert found["id"].startswith(f"LCa/DEMO/NUO001/{kind}/") and found["t"].endswith("+07:00")
        if "checkpoint" in found:
            open_checkpoint(found["checkpoint"].encode(), log)
    assert sum("checkpoint" not in found for _, found in messages) <= 1, "but for the first window's"

    alerts = sorted((f for k, f in messages if k == "alert"), key=lambda found: found["entry"])
    assert [(a["state"], a["windows"][0]["value"]) for a in alerts] == [("raised", 99.0), ("cleared", 14.0)]
    with reading(tmp_path / "gateway/journal.db") as reader:
        for alert in alerts:
            ((idx,),) = reader.rows(
                "SELECT idx FROM window WHERE start_ms = ?", alert["windows"][0]["start_ms"]
            )
            assert alert["entry"] < idx < open_checkpoint(alert["checkpoint"].encode(), log).size

    found = rebuild(tmp_path / "config.toml")
    assert (found.windows, found.documents) == (13, 3 * 13), "alerts among the entries change no window"
    bundle = str(tmp_path / "bundle")
    span = ["--from", "2026-03-25T00:00", "--to", "2026-03-25T01:00", "--out", bundle]
    for command in (["export", str(tmp_path / "config.toml"), *span], ["verify", bundle]):
        said = CliRunner().invoke(cli, command)
        assert said.exit_code == 0, said.output

    sent = {path.name: path.read_bytes() for path in (tmp_path / "sent").rglob("*") if path.is_file()}
    receiver = Receiver("NUO001", {"COD"})
    receiver.poll(sent)
    assert len(receiver.values) == 13 and all(not row.error for row in receiver.values.values())
    side = {data for name, data in sent.items() if name.endswith(".json")}
    assert side == {body for body, kind in told.items() if kind in ("hour", "alert", "event")}
    assert sum(name.endswith(".checkpoint") for name in sent) == kinds["checkpoint"]
    assert not any(name.endswith(".part") for name in sent)
