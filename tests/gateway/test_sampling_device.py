"""A station device's own sampler: the real firmware in MicroPython, its pins as files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config_department import Sampler as Settings
from gateway.errors import NoAnswer
from gateway.sampling.bottles import FILLED, NO_FEEDBACK, NOT_SENT
from gateway.sampling.drive import DeviceDrive
from protocol import messages
from protocol.messages import Event, Result
from tests.firmware import bench
from tests.gateway.intake_rig import Rig, until

BOTTLE = {
    "id": "bottle", "kind": "sampler", "pin": 5, "active": 1, "pull": None, "debounce_ms": 10,
    "channels": [],
}  # fmt: skip
DRAW = {
    "id": "draw", "kind": "sampler", "pin": 8, "active": 1, "pulse_ms": 300, "feedback": "bottle",
    "per_day": 24, "lock_ms": 0, "feedback_ms": 2000,
}  # fmt: skip


@contextlib.asynccontextmanager
async def wired(folder: Path, **more) -> AsyncIterator[tuple[Rig, Path]]:
    """An intake and the device at work; the folder of its pins."""
    async with Rig(folder / "journal.db") as rig:
        link = {"kind": "tcp", "host": "127.0.0.1", "port": rig.port()}
        given = {"inputs": [BOTTLE], "outputs": [{**DRAW, **more}]}
        device = bench.Device("micropython", bench.station(folder, link, [], **given))
        await device.start()
        task = asyncio.create_task(rig.intake.run())
        try:
            await until(lambda: rig.intake.devices["st-01"].session.hello)
            yield rig, folder / "device" / "io"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await device.kill()


def drive(rig: Rig, **more) -> DeviceDrive:
    settings = Settings.model_validate({"device": "st-01", "feedback_s": 20, "seconds": 0.5, **more})
    return DeviceDrive(settings, rig.intake.devices["st-01"], rig.intake.command, None)


async def closing(pins: Path) -> None:
    """The contact of the sampler: closed for a moment once the pulse has begun, each time."""
    while True:
        with contextlib.suppress(OSError):
            if (pins / "8").read_text() == "1":
                (pins / "5").write_text("1")
                await asyncio.sleep(0.2)
                (pins / "5").write_text("0")
                while (pins / "8").read_text() == "1":
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)


def test_a_device_fills_bottles_and_says_when_it_is_done(tmp_path):
    async def main() -> None:
        async with wired(tmp_path) as (rig, pins):
            contact = asyncio.create_task(closing(pins))
            tap = drive(rig)  # `seconds` is longer than the device's pulse, or it were still at work
            for number in (1, 2):
                assert await tap.draw(number, "mùi lạ") == (FILLED, "The device st-01 says that it is done.")
            contact.cancel()
            await until(lambda: (pins / "8").read_text() == "0")

    asyncio.run(main())


def test_a_contact_that_does_not_close_is_said(tmp_path):
    async def main() -> None:
        async with wired(tmp_path) as (rig, _):
            state, text = await drive(rig).draw(1, "x")
            assert state == NO_FEEDBACK and "the feedback contact did not close" in text

    asyncio.run(main())


def test_what_a_device_refuses_moved_nothing(tmp_path):
    """Its own rules hold as well: so many a day, whatever the gateway wants."""

    async def main() -> None:
        async with wired(tmp_path, per_day=1, feedback=None, feedback_ms=0) as (rig, _):
            tap = drive(rig)
            assert (await tap.draw(1, "x"))[0] == FILLED
            state, text = await tap.draw(2, "x")
            assert state == NOT_SENT and "1 samples have been drawn today" in text

    asyncio.run(main())


class Told:
    """A device as the drive sees it."""

    device = "st-01"
    on_event = None


def scripted(result: Result | Exception, *events: str, seconds: int = 1) -> tuple[str, str]:
    """What comes of a bottle when a device answers so, and tells these events."""

    async def main() -> tuple[str, str]:
        device = Told()

        async def command(id, name, args):
            assert (id, name) == ("st-01", "sample")
            for text in events:
                event = Event(1, 1, 0, 1, messages.SAMPLER, text.format(args["reason"]))
                asyncio.get_running_loop().call_soon(device.on_event, event)
            if isinstance(result, Exception):
                raise result
            return result

        settings = Settings.model_validate({"device": "st-01", "feedback_s": seconds})
        return await DeviceDrive(settings, device, command, None).draw(7, "reason")

    return asyncio.run(main())


STARTED = Result(1, True, "started", None)


@pytest.mark.parametrize(
    ("result", "events", "state"),
    [
        (STARTED, ["started, {}", "done, {}"], FILLED),
        (STARTED, ["started, {}", "no feedback, {}"], NO_FEEDBACK),
        (STARTED, ["refused, {}: the count cannot be kept"], NOT_SENT),
        (STARTED, ["started, {}"], NO_FEEDBACK),  # and silence
        (STARTED, ["done, bottle 6: another"], NO_FEEDBACK),  # somebody else's
        (STARTED, [], NO_FEEDBACK),
        (Result(1, False, "the sampler is at work", None), [], NOT_SENT),
        (NoAnswer("st-01 did not answer."), [], NO_FEEDBACK),
    ],
)
def test_what_devices_say(result, events, state):
    assert scripted(result, *events)[0] == state


def test_a_device_that_is_not_there_moved_nothing(tmp_path):
    async def main() -> None:
        async with Rig(tmp_path / "journal.db") as rig:
            state, text = await drive(rig).draw(1, "x")
            assert state == NOT_SENT and "not connected: nothing was sent" in text

    asyncio.run(main())
