"""Pictures: when they are taken, kept and told in the log.

    an alert is raised ─┐
    a sample is taken  ─┼─▶ one task for each camera ─▶ file ─▶ EVENT entry
    every N minutes    ─┘

Rule 1: whatever a camera does, it holds up nothing but itself: each has a task, a bounded queue, a bounded
        time.
Rule 2: the file is on the disk before its entry says so. What was wanted for an alert or a sample and could
        not be had is an entry, too; one that comes by time is, when it fails the first time.
Rule 3: alerts are read from what stands (no part of the alarm waits for a camera). What stood at the start
        and has no picture gets one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gateway.camera import store
from gateway.camera.faults import CameraFault
from gateway.camera.picture import ABOUT_MAX, ALERT, ASKED, SAMPLE, TIME, Failed, Taken, about_of
from gateway.camera.snapshot import snapshot
from gateway.config_camera import Camera
from gateway.errors import JournalError
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.zone import GMT7_MS, date_of

log = get_logger("cameras")

LOOK_S = 1.0
"""How often it is looked whether an alert stands that has no picture, in real seconds."""
AGAIN_S = 10.0
"""After a failure, what was wanted for an alert or a sample is tried once more."""
TRIES = 2
QUEUE_MAX = 16
"""Pictures of one camera that are wanted and not taken; more are joined to the last one."""
TIDY_S = 3600.0
LOOKED_AT = 2000
"""Events that are looked at, at the start, for pictures of what stands."""
REASON_MAX = 300


class Wish(NamedTuple):
    """A picture that somebody wants."""

    why: str
    about: tuple[str, ...] = ()


class Cameras:
    """`moment()` is (station time, monotonic) in ms; `standing()` names of alerts that stand."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        journal: Journal,
        state_dir: Path,
        moment: Callable[[], tuple[int, int]],
        standing: Callable[[], Iterable[str]] = tuple,
        take: Callable[[Camera], Awaitable[bytes]] = snapshot,
    ):
        self._journal = journal
        self._state_dir = state_dir
        self._moment = moment
        self._standing = standing
        self._of = [_One(self, camera, take) for camera in cameras]
        self._pictured: set[str] | None = None  # alerts that a picture was wanted for
        self._room: Counter[str] = Counter()  # bytes of each camera
        self._kept = {each.id: store.Kept(each.keep_days, each.keep_mb * 1_000_000) for each in cameras}

    def problems(self) -> list[str]:
        """Sentences, empty while all is well."""
        return [f"The camera {one.camera.id}: {one.problem}" for one in self._of if one.problem]

    def take(self, why: str = ASKED, about: Sequence[str] = ()) -> None:
        """A picture of every camera that is meant for this, soon; `why`: sample, alert, asked. It never
        waits.
        """
        for one in self._of:
            meant = {ALERT: one.camera.on_alert, SAMPLE: one.camera.on_sample}
            if meant.get(why, True):
                one.want(Wish(why, tuple(about)[:ABOUT_MAX]))

    async def run(self) -> None:
        """Until cancelled."""
        if not self._of:
            await asyncio.Event().wait()
        tasks = [asyncio.create_task(one.run(), name=f"camera {one.camera.id}") for one in self._of]
        tasks.append(asyncio.create_task(self._tidy_on(), name="pictures"))
        try:
            while all(not task.done() for task in tasks):
                await self._look()
                await asyncio.sleep(LOOK_S)
            await asyncio.gather(*tasks)  # one ended: that is a mistake of ours, and raised
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Whether an alert stands that none was wanted for."""
        standing, known = set(self._standing()), self._pictured
        if known is None:
            try:
                known = await self._journal.read(_pictured)
            except JournalError:
                return
        fresh = standing - known
        self._pictured = standing
        if fresh:
            self.take(ALERT, sorted(fresh))

    async def _tidy_on(self) -> None:
        while True:
            try:
                await self._tidy()
            except OSError as error:
                log.warning("old pictures cannot be removed", reason=str(error))
            await asyncio.sleep(TIDY_S)

    async def _tidy(self) -> None:
        """What is old, or too much, goes. OSError."""
        day = date_of(self._moment()[0])
        gone, self._room = await asyncio.to_thread(store.tidy, self._state_dir, self._kept, day)
        if gone:
            log.info("pictures removed", count=gone)

    async def kept(self, camera: Camera, wish: Wish, data: bytes) -> None:
        """Keep a picture. CameraFault, OSError, JournalError."""
        now_ms, _ = self._moment()
        digest = await asyncio.to_thread(store.write, self._state_dir, camera.id, now_ms, data)
        taken = Taken(camera.id, now_ms, sha256(data).digest(), len(data), wish.why, wish.about)
        await self._say(taken.event())
        log.info("picture", camera=camera.id, why=wish.why, sha256=digest[:8], bytes=len(data))
        self._room[camera.id] += len(data)
        if self._room[camera.id] > self._kept[camera.id].bytes:
            await self._tidy()

    async def failed(self, camera: Camera, wish: Wish, reason: str) -> None:
        """Tell that there is none. JournalError."""
        now_ms, _ = self._moment()
        await self._say(Failed(camera.id, now_ms, reason[:REASON_MAX], wish.why, wish.about).event())

    async def _say(self, body: bytes) -> None:
        await self._journal.tell(EVENT, [body], self._moment())

    def slot(self, camera: Camera) -> int:
        """The number of the span of every_minutes that it is now, on the grid of GMT+7."""
        return (self._moment()[0] + GMT7_MS) // (camera.every_minutes * 60_000)


class _One:
    """One camera."""

    def __init__(self, cameras: Cameras, camera: Camera, take: Callable[[Camera], Awaitable[bytes]]):
        self.camera = camera
        self.problem = ""
        self._cameras = cameras
        self._take = take
        self._wishes: list[Wish] = []
        self._news = asyncio.Event()

    def want(self, wish: Wish) -> None:
        if len(self._wishes) >= QUEUE_MAX:  # it does not come after: one picture is of all of them
            last = self._wishes[-1]
            wish = Wish(last.why, (*last.about, *wish.about)[:ABOUT_MAX])
            self._wishes[-1] = wish
        else:
            self._wishes.append(wish)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        slot = self._cameras.slot(self.camera) if self.camera.every_minutes else 0
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            if self.camera.every_minutes and (now := self._cameras.slot(self.camera)) != slot:
                slot = now
                self.want(Wish(TIME))
            self._news.clear()
            while self._wishes:
                await self._serve(self._wishes.pop(0))

    async def _serve(self, wish: Wish) -> None:
        tries, reason = 1 if wish.why == TIME else TRIES, ""
        for number in range(tries):
            try:
                data = await self._take(self.camera)
                await self._cameras.kept(self.camera, wish, data)
                self.problem = ""
                return
            except (CameraFault, JournalError) as error:
                reason = str(error)
            except OSError as error:
                reason = f"A picture cannot be kept: {error.strerror or error}."
            if number + 1 < tries:
                await asyncio.sleep(AGAIN_S)
        is_new, self.problem = reason != self.problem, reason
        log.warning("no picture", camera=self.camera.id, why=wish.why, reason=reason)
        if is_new or wish.why != TIME:
            try:
                await self._cameras.failed(self.camera, wish, reason)
            except JournalError as error:
                log.warning("that there is no picture is not in the log", reason=str(error))


def _pictured(reader: Reader) -> set[str]:
    """What the newest pictures were wanted for."""
    entries = islice(reader.newest_first(EVENT), LOOKED_AT)
    return {name for entry in entries for name in about_of(entry.body or b"")}
