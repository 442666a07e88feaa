"""End to end with the real outbox: windows, documents, journal, workers, real servers; across restarts."""

from __future__ import annotations

import asyncio
import json
from random import Random

from gateway.counters import Counters
from gateway.documents import documents
from gateway.forward.make import make
from gateway.forward.worker import Backoff, Worker
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.reports import provincial
from tests.gateway.configured import channel, configured
from tests.gateway.forward_rig import AsyncSshRig, MqttRig
from tests.gateway.test_provincial import T0, window

WINDOWS = 60


def destinations(province: AsyncSshRig, national: MqttRig) -> str:
    return f"""
[[destination]]
id = "province"
kind = "sftp"
host = "127.0.0.1"
port = {province.proxy.port}
user = "station"
password_file = "{province.password_file}"
host_key_file = "{province.server.host_key_file}"
[[destination]]
id = "national"
kind = "mqtt"
host = "127.0.0.1"
port = {national.proxy.port}
user = "station"
password_file = "{national.password_file}"
"""


def test_windows_arrive_once_in_order_across_restarts_and_cuts(tmp_path):
    async def main() -> None:
        for name in ("province", "national"):
            (tmp_path / name).mkdir()
        province, national = AsyncSshRig(tmp_path / "province"), MqttRig(tmp_path / "national")
        for rig in (province, national):
            rig.password_file.chmod(0o600)
            await rig.start()
        config = configured(
            tmp_path, channel("COD", "mg/l") + channel("pH", "", 2), destinations(province, national)
        )
        random = Random(3)
        queued, messages = 0, set()
        try:
            for run in range(5):
                counters = Counters()
                journal = Journal(tmp_path / "journal.db")
                journal.open(["gateway"])
                journal.start()
                outbox = JournalOutbox(journal, lambda: T0, counters)
                await outbox.load()
                workers = [
                    Worker(
                        one.id, make(config, one), outbox, random=random, backoff=Backoff(random, 0.01, 0.1)
                    )
                    for one in config.destination
                ]
                tasks = [asyncio.create_task(worker.run()) for worker in workers]
                for _ in range(WINDOWS // 5):
                    end_ms = T0 + queued * 300_000
                    rows = [window("COD", queued, end_ms=end_ms), window("pH", 7.25, end_ms=end_ms)]
                    drafts = documents(config, rows)
                    messages.add(drafts[1].body)
                    await journal.commit(drafts=drafts, now_ms=T0)
                    await journal.commit(drafts=drafts, now_ms=T0)  # queued again: it is there already
                    queued += 1
                province.proxy.cut_after = random.randrange(20_000)
                national.proxy.cut_after = random.randrange(5_000)
                if run < 4:
                    await asyncio.sleep(random.uniform(0, 0.2))
                else:
                    async with asyncio.timeout(60):
                        while any(counters.destination(one.id).waiting for one in config.destination):
                            await asyncio.sleep(0.01)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await journal.close()
            for one in config.destination:
                counted = counters.destination(one.id)
                assert (counted.queued, counted.delivered, counted.parked) == (WINDOWS, WINDOWS, 0)
            names = [provincial.file_name(config.station, T0 + i * 300_000) for i in range(WINDOWS)]
            assert list(dict.fromkeys(province.server.renamed)) == names
            assert [path.name for path in sorted(province.province.rglob("*.txt"))] == names
            for i, body in enumerate(province.seen()):
                cod, ph = provincial.parse(body)
                assert (cod.value, cod.time_ms, ph.text) == (i, T0 + i * 300_000, "7.25")
            assert await national.arrived(messages)
            ids = [json.loads(body)["id"] for body in national.seen()]
            expected = [
                f"LCa/DEMO/NUO001/window/{provincial.stamp(T0 + i * 300_000)}/1" for i in range(WINDOWS)
            ]
            assert list(dict.fromkeys(ids)) == expected
        finally:
            for rig in (province, national):
                await rig.stop()

    asyncio.run(main())
