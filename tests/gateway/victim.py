"""A gateway's intake as a process that can be killed: python -m tests.gateway.victim JOURNAL PORT...
[--early-ack]

Prints "ready" once it listens. With --early-ack it acknowledges before the commit: the control that the kill
tests must catch.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.ingest.devices import DeviceIngest
from gateway.ingest.links import TcpDeviceLink
from gateway.windows import Window
from tests.gateway.intake_rig import Rig

DEVICES = ("st-01", "st-02")


def documents(windows: list[Window]) -> list[tuple]:
    first = windows[0]
    text = "".join(f"{w.symbol}\t{w.value!r}\t{w.count}\t{w.status}\n" for w in windows)
    return [
        (
            "province",
            f"window/{first.start_ms}/{first.revision}",
            "windows",
            f"{first.end_ms}.txt",
            "",
            first.end_ms,
            text.encode(),
        )
    ]


def acknowledge_early() -> None:
    honest = DeviceIngest.feed

    def feed(self, data, moment, stream=None):
        entries, answer = honest(self, data, moment, stream)
        self.committed(entries)
        return entries, answer + self.acknowledgement(moment, 0)

    DeviceIngest.feed = feed


async def main(path: Path, ports: list[int]) -> None:
    rig = Rig(path, DEVICES, documents, start_grace_s=60.0)
    async with rig:
        for device, port in zip(DEVICES, ports, strict=True):
            rig.links[device].close()
            rig.links[device] = TcpDeviceLink(rig.intake, rig.intake.devices[device], "127.0.0.1", port)
            await rig.links[device].listen()
        print("ready", *(rig.links[device].port for device in DEVICES), flush=True)
        await rig.intake.run()


if __name__ == "__main__":
    if "--early-ack" in sys.argv:
        acknowledge_early()
    asyncio.run(main(Path(sys.argv[1]), [int(port) for port in sys.argv[2:4]]))
