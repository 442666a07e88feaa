"""gateway/camera: when pictures are taken, where they lie, what the log says, what goes; faults; controls."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import pictures
from gateway.camera import keeper as module
from gateway.camera import picture, store
from gateway.camera.faults import CameraFault
from gateway.camera.keeper import Cameras
from gateway.camera.picture import Failed, Taken
from gateway.errors import JournalError
from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from gateway.sampling.bottles import Asked
from gateway.zone import DAY_MS
from protocol import cbor
from tests.gateway.app_rig import until
from tests.gateway.calibration_rig import picture as jpeg
from tests.gateway.camera_rig import settings
from tests.gateway.configured import configured
from tests.gateway.sampling_rig import Plant
from tests.gateway.watch_rig import watched

DATA = jpeg()
DIGEST = sha256(DATA).hexdigest()
ALERT = "limit/COD/20260325000500"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(module, "AGAIN_S", 0.05)


class Rig:
    """Cameras over a journal; what each gives is `gives` (bytes, or what is raised)."""

    def __init__(self, tmp_path, at, **more):
        self.at, self.state_dir = at, at.config.gateway.state_dir
        self.gives: list = [DATA]
        self.taken = 0
        self.alerts: list[str] = []
        self.cameras = self.made(tmp_path, **more)

    def made(self, tmp_path, ids=("gate",), **more) -> Cameras:
        self.settings = [settings(tmp_path, "http://127.0.0.1:9/x.jpg", id=id, **more) for id in ids]
        return Cameras(
            self.settings, self.at.journal, self.state_dir, lambda: (self.at.now_ms, 5),
            lambda: self.alerts, self._take,
        )  # fmt: skip

    async def _take(self, camera) -> bytes:
        self.taken += 1
        gives = self.gives.pop(0) if len(self.gives) > 1 else self.gives[0]
        if isinstance(gives, Exception):
            raise gives
        if callable(gives):
            return await gives()
        return gives

    def entries(self) -> list[Taken | list]:
        """What the log says of pictures, in its order."""
        with reading(self.at.journal.path) as reader:
            bodies = [entry.body for entry in reader.entries(kinds=(EVENT,))]
        found = [picture.parse(body) or cbor.loads(body) for body in bodies]
        return [one for one in found if isinstance(one, Taken) or one[0] == picture.FAILED_NAME]

    async def until(self, count: int) -> list:
        return await until(lambda: len(found := self.entries()) >= count and found)

    def files(self) -> list[str]:
        folder = self.state_dir / "pictures"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def kept(tmp_path, case, **more) -> None:
    config = configured(tmp_path)

    async def main() -> None:
        async with watched(config) as at:
            rig = Rig(tmp_path, at.at, **more)
            task = asyncio.create_task(rig.cameras.run())
            try:
                async with asyncio.timeout(60):
                    await case(rig)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


# When -------------------------------------------------------------------------------------------------------


def test_an_alert_has_a_picture_and_the_log_says_so(tmp_path):
    async def case(rig: Rig) -> None:
        rig.alerts = [ALERT]
        (taken,) = await rig.until(1)
        assert taken == Taken("gate", rig.at.now_ms, bytes.fromhex(DIGEST), len(DATA), "alert", (ALERT,))
        (name,) = rig.files()
        assert name == f"2026/03/25/20260325000000-gate-{DIGEST[:8]}.jpg"
        assert pictures.find(rig.state_dir, DIGEST) == rig.state_dir / "pictures" / name
        await asyncio.sleep(0.2)
        assert rig.taken == 1, "it stands, and has its picture"
        rig.alerts = [ALERT, "door open/DOOR/20260325000700", "limit/pH/20260325000700"]
        taken = (await rig.until(2))[1]
        assert taken.about == ("door open/DOOR/20260325000700", "limit/pH/20260325000700"), "one of both"

    kept(tmp_path, case)


def test_control_who_forgets_what_has_its_picture_never_stops(tmp_path, monkeypatch):
    async def forgetful(self) -> None:
        self._pictured = set()
        await look(self)

    look = Cameras._look
    monkeypatch.setattr(Cameras, "_look", forgetful)
    with pytest.raises((AssertionError, ValueError)):  # more than the one entry
        test_an_alert_has_a_picture_and_the_log_says_so(tmp_path)


def test_a_restart_takes_no_second_picture_of_an_alert_and_the_first_of_a_new_one(tmp_path):
    async def case(rig: Rig) -> None:
        rig.alerts = [ALERT]
        await rig.until(1)
        rig.alerts = [ALERT, "limit/pH/20260325000700"]  # raised while the gateway was stopped
        again = rig.made(tmp_path)
        task = asyncio.create_task(again.run())
        found = await rig.until(3)  # by the one that runs, and the one that began
        task.cancel()
        assert [one.about for one in found[1:]] == [("limit/pH/20260325000700",)] * 2

    kept(tmp_path, case)


def test_a_sample_has_a_picture_of_each_camera_that_is_meant(tmp_path):
    async def case(rig: Rig) -> None:
        began = rig.taken
        rig.cameras.take(picture.SAMPLE, ["bottle 3"])
        assert rig.taken == began, "it does not wait"
        found = await rig.until(2)
        assert sorted((one.camera, one.why, one.about) for one in found) == [
            ("gate", "sample", ("bottle 3",)), ("pond", "sample", ("bottle 3",)),
        ]  # fmt: skip

    kept(tmp_path, case, ids=("gate", "pond"))


def test_who_is_not_meant_takes_none(tmp_path):
    async def case(rig: Rig) -> None:
        rig.alerts = [ALERT]
        rig.cameras.take(picture.SAMPLE)
        await asyncio.sleep(0.2)
        assert rig.taken == 0
        rig.cameras.take()
        assert [one.why for one in await rig.until(1)] == ["asked"]

    kept(tmp_path, case, on_alert=False, on_sample=False)


def test_every_n_minutes_on_the_grid(tmp_path):
    async def case(rig: Rig) -> None:
        await asyncio.sleep(0.1)
        assert rig.taken == 0, "the start is no time for one"
        times = []
        for minutes in (14, 1, 14, 1):
            rig.at.now_ms += minutes * 60_000
            await asyncio.sleep(0.2)
            times.append(rig.taken)
        assert times == [0, 1, 1, 2]
        assert [one.why for one in rig.entries()] == ["time", "time"]

    kept(tmp_path, case, every_minutes=15)


# Faults -----------------------------------------------------------------------------------------------------


def test_a_camera_that_fails_is_a_problem_until_it_gives_one(tmp_path):
    async def case(rig: Rig) -> None:
        rig.gives = [CameraFault("It refuses user and password."), DATA]
        rig.cameras.take(picture.SAMPLE, ["bottle 1"])
        assert [type(one) for one in await rig.until(1)] == [Taken], "it is tried once more"
        rig.gives = [CameraFault("It refuses user and password.")]
        rig.cameras.take(picture.SAMPLE, ["bottle 2"])
        found = (await rig.until(2))[1]
        told = Failed("gate", rig.at.now_ms, "It refuses user and password.", "sample", ("bottle 2",))
        assert found == cbor.loads(told.event()) and rig.taken == 4
        assert rig.cameras.problems() == ["The camera gate: It refuses user and password."]
        rig.gives = [DATA]
        rig.cameras.take()
        await rig.until(3)
        assert rig.cameras.problems() == []

    kept(tmp_path, case)


def test_by_time_a_failure_is_told_once(tmp_path):
    async def case(rig: Rig) -> None:
        rig.gives = [CameraFault("It is off.")]
        await asyncio.sleep(0.1)  # it has looked at the clock
        for _ in range(4):
            rig.at.now_ms += 60_000
            taken = rig.taken
            await until(lambda taken=taken: rig.taken > taken)
            await asyncio.sleep(0.1)
        assert len(rig.entries()) == 1 and rig.taken == 4
        rig.gives = [CameraFault("It gives garbage.")]
        rig.at.now_ms += 60_000
        await rig.until(2)

    kept(tmp_path, case, every_minutes=1)


def test_one_that_hangs_holds_up_nobody_and_its_queue_is_bounded(tmp_path, monkeypatch):
    async def case(rig: Rig) -> None:
        release = asyncio.Event()

        async def slow() -> bytes:
            await release.wait()
            return DATA

        rig.gives = [slow, DATA]  # the first camera hangs, the second works
        rig.cameras.take(picture.SAMPLE, ["0"])
        (taken,) = await rig.until(1)
        assert taken.camera == "pond"
        rig.gives = [DATA]
        for number in range(1, 200):
            rig.cameras.take(picture.SAMPLE, [str(number)])
        release.set()
        found = await until(lambda: (rows := [o for o in rig.entries() if o.camera == "gate"])[16:] and rows)
        assert [one.about[0] for one in found[:4]] == ["0", "1", "2", "3"]
        last = found[-1].about
        assert len(last) == picture.ABOUT_MAX and last[:3] == ("16", "17", "18"), "the rest is joined"

    kept(tmp_path, case, ids=("gate", "pond"))


def test_a_disk_that_refuses_is_a_sentence_and_the_file_is_there_before_its_entry(tmp_path, monkeypatch):
    async def case(rig: Rig) -> None:
        commit = rig.at.journal.commit

        async def looks(**more):
            if not rig.files():
                raise AssertionError("told before it was there")
            return await commit(**more)

        monkeypatch.setattr(rig.at.journal, "commit", looks)
        rig.cameras.take()
        await rig.until(1)

        async def refuses(**more):
            raise JournalError("The disk is full.")

        monkeypatch.setattr(rig.at.journal, "commit", refuses)
        rig.cameras.take()
        await until(rig.cameras.problems)
        assert rig.cameras.problems() == ["The camera gate: The disk is full."]

        def full(state_dir, camera, t_ms, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(module.store, "write", full)
        monkeypatch.setattr(rig.at.journal, "commit", commit)
        rig.cameras.take()
        await until(lambda: "No space left" in "".join(rig.cameras.problems()))

    kept(tmp_path, case)


def test_where_the_disk_is_short_room_is_the_journals(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": store.ROOM_FACTOR * store.FREE_BYTES_MIN + len(DATA) - 1})
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CameraFault, match="disk is short"):
        store.write(tmp_path, "gate", 0, DATA)
    usage.free += 1
    assert store.write(tmp_path, "gate", 0, DATA) == DIGEST


# What goes --------------------------------------------------------------------------------------------------

TODAY = date(2026, 3, 25)
KEPT = {"gate": store.Kept(10, 1000), "pond": store.Kept(20, 10_000)}


def on_disk(camera: str, days_ago: int, size: int, number: int = 0) -> store.Picture:
    day = TODAY - timedelta(days=days_ago)
    return store.Picture(store.Path(f"{day:%Y%m%d}{number:06}-{camera}.jpg"), camera, day, size)


def test_what_is_old_goes_by_the_day():
    some = [on_disk("pond", 21, 1), on_disk("pond", 20, 1), on_disk("gate", 11, 1), on_disk("gate", 10, 1)]
    assert store.superfluous(some, KEPT, TODAY) == [some[0], some[2]]
    gone = [on_disk("taken down", 61, 1), on_disk("taken down", 60, 10**9)]
    assert store.superfluous(gone, KEPT, TODAY) == [gone[0]], "of a camera that is not configured any more"


def test_no_more_than_its_room_the_oldest_first():
    some = [on_disk("gate", 5 - n, 400, n) for n in range(4)] + [on_disk("pond", 1, 9000)]
    assert store.superfluous(some, KEPT, TODAY) == some[:2]


def test_against_a_slow_reference():
    rng = Random(5)
    for _ in range(300):
        some = [
            on_disk(rng.choice(["gate", "pond", "gone"]), days, rng.randrange(1, 700), number)
            for number, days in enumerate(sorted((rng.randrange(0, 70) for _ in range(12)), reverse=True))
        ]
        stays = set()
        for camera in ("gate", "pond", "gone"):
            days, room = KEPT.get(camera, store.Kept(store.LOST_DAYS, 1 << 60))
            for one in [each for each in reversed(some) if each.camera == camera]:
                if (TODAY - one.day).days > days or one.bytes > room:
                    break  # and all that are older
                stays.add(one)
                room -= one.bytes
        gone = set(store.superfluous(some, KEPT, TODAY))
        # a smaller one may be older than one that went for want of room: it goes as well
        assert stays == set(some) - gone


def test_the_folder_is_tidied_and_nothing_else_is_touched(tmp_path):
    for days_ago in (0, 30, 400):
        at_ms = 1_774_397_100_000 - days_ago * DAY_MS
        store.write(tmp_path, "gate", at_ms, jpeg(size=(10, 10 + days_ago)))
    photo = pictures.keep(tmp_path, jpeg(colour="red"))
    folder = tmp_path / "pictures"
    foreign = folder / "2025" / "01" / "01" / "holiday.jpg"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(DATA)
    count, left = store.tidy(tmp_path, KEPT, TODAY)
    assert count == 2 and list(left) == ["gate"] and foreign.exists()
    assert left["gate"] == sum(each.bytes for each in store.listed(tmp_path))
    assert pictures.find(tmp_path, photo) is not None
    assert sorted(path.name for path in folder.iterdir()) == ["2025", "2026", f"{photo}.jpg"]
    assert store.tidy(tmp_path, KEPT, TODAY)[0] == 0


def test_while_it_runs_no_more_than_its_room_is_kept(tmp_path):
    big = [jpeg(size=(3000, 2000 + n)) for n in range(4)]

    async def case(rig: Rig) -> None:
        rig.cameras._kept = {"gate": store.Kept(60, len(big[2]) + len(big[3]))}
        for number, data in enumerate(big):
            rig.gives = [data]
            rig.at.now_ms += 60_000
            rig.cameras.take()
            await rig.until(number + 1)
        await until(lambda: len(rig.files()) == 2)
        assert [one.digest for one in rig.entries()] == [sha256(data).digest() for data in big], (
            "all are told"
        )

    kept(tmp_path, case)


# What stands in an entry ------------------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=33), st.lists, max_leaves=9
    )
)
def test_whatever_stands_in_an_entry(value):
    try:
        body = cbor.dumps([picture.EVENT_NAME, *(value if isinstance(value, list) else [value])])
    except Exception:  # what CBOR has no word for is in no entry
        return
    found = picture.parse(body)
    assert found is None or found.event()
    picture.about_of(body)


def test_an_entry_is_read_back():
    taken = Taken("gate", 5, bytes(32), 7, "alert", (ALERT,))
    assert picture.parse(taken.event()) == taken and picture.about_of(taken.event()) == (ALERT,)
    later = cbor.dumps([*cbor.loads(taken.event()), "of a later version"])
    assert picture.parse(later) == taken
    failed = Failed("gate", 5, "It is off.", "alert", (ALERT,))
    assert picture.parse(failed.event()) is None and picture.about_of(failed.event()) == (ALERT,)


# With the sampler -------------------------------------------------------------------------------------------


def test_each_bottle_has_its_picture_while_it_is_filled(tmp_path):
    """A real sampler, a drive of the test's; the camera is asked when the bottle begins, and not later."""
    plant = Plant(tmp_path)

    async def main() -> None:
        async with asyncio.timeout(60), plant.started() as start:
            rig = Rig(tmp_path, start.at)
            start.sampler.seen = lambda bottle: rig.cameras.take(picture.SAMPLE, (bottle.name,))
            plant.tap.hold = asyncio.Event()
            task = asyncio.create_task(rig.cameras.run())
            done = await start.sampler.begin(Asked(2, "smell", "Lan"))
            (taken,) = await rig.until(1)
            assert not done.done(), "it is being filled"
            plant.tap.hold.set()
            bottles = await done
            second = (await rig.until(2))[1]
            names = [one.name for one in bottles]
            assert [taken.about, second.about] == [(names[0],), (names[1],)]
            assert {taken.why, second.why} == {"sample"}
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
