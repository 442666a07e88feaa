"""Pictures in a bundle: with the entries that name them, byte for byte; missing ones are told; controls."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from hashlib import sha256

import pytest

from gateway import pictures, verify_pictures
from gateway.calibration.desk import CalibrationDesk
from gateway.camera import store
from gateway.camera.picture import Taken
from gateway.config import load
from gateway.journal.kinds import EVENT
from gateway.journal.writer import Entry
from gateway.verify import Claim, Trust, verify
from gateway.verify_bundle import parse_manifest
from protocol.merkle import EvidenceError
from tests.gateway.bundle_rig import TO, Memory, told, wrong
from tests.gateway.calibration_rig import picture, said
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, live
from tests.gateway.test_calibration_desk import order
from tools.log.export import export

PHOTOS = [picture(size=(20, 20 + n)) for n in range(4)]
PHOTO = picture("PNG", colour="red")
NAMES = [f"pictures/{sha256(data).hexdigest()}.jpg" for data in PHOTOS]
PHOTO_NAME = f"pictures/{sha256(PHOTO).hexdigest()}.png"


async def took(run: Run, data: bytes) -> None:
    """As the keeper writes it."""
    now_ms, state_dir, journal = run.story.now_ms, run.story.state_dir, run.intake.journal
    digest = store.write(state_dir, "gate", now_ms, data)
    body = Taken("gate", now_ms, bytes.fromhex(digest), len(data), "time").event()
    entry = Entry(EVENT, journal.source("gateway"), 0, 0, 0, now_ms, 5, None, None, body)
    await journal.commit(entries=[entry], now_ms=now_ms)


async def lived(run: Run) -> None:
    run.greet()
    await took(run, PHOTOS[0])  # before the range
    await live(3)(run)
    await took(run, PHOTOS[1])
    await took(run, PHOTOS[2])
    digest = pictures.keep(run.story.state_dir, PHOTO)
    desk = CalibrationDesk(load(run.story.config), run.intake.journal, lambda: (run.story.now_ms, 5))
    certificate = said()["certificate"] | {"valid_until": "2027-01-01"}
    answer = await desk.do(order(photo=digest, certificate=certificate))
    assert answer.ok, answer.said
    await live(3)(run)
    await took(run, PHOTOS[3])  # behind it


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    return Story(tmp_path_factory.mktemp("pictures")).start(lived)


@pytest.fixture(scope="module")
def bundle(story: Story) -> Memory:
    """Of the windows in the middle."""
    return told(story, START + 2 * LENGTH_MS, START + 5 * LENGTH_MS)


def seen(bundle: Memory) -> Claim | None:
    found = [claim for claim in verify(bundle, Trust(bundle.key)) if claim.what == "pictures"]
    return found[0] if found else None


def without(bundle: Memory, name: str) -> Memory:
    """As export makes it where the picture is kept no more."""
    said_ = json.loads(bundle.files["bundle.json"])
    said_["pictures"].remove(name.partition("/")[2])
    if not said_["pictures"]:
        del said_["pictures"]
    data = json.dumps(said_, indent=1).encode() + b"\n"
    return bundle.but({name: None, "bundle.json": data})


def test_they_go_with_the_entries_that_name_them(bundle):
    found = {name: data for name, data in bundle.files.items() if name.startswith("pictures/")}
    assert found == {NAMES[1]: PHOTOS[1], NAMES[2]: PHOTOS[2], PHOTO_NAME: PHOTO}
    assert seen(bundle) == Claim("pictures", "3 pictures are those of the log, by their hash", True)
    assert wrong(bundle) == ""


def test_every_byte_of_them_counts(bundle):
    for name in (NAMES[1], PHOTO_NAME):
        data = bundle.files[name]
        for at in range(0, len(data), 7):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            assert "is another picture than entry" in wrong(bundle.but({name: changed}))
        assert "is another picture" in wrong(bundle.but({name: data[:-1]}))


def test_control_without_the_hash_another_picture_passes(bundle, monkeypatch):
    swapped = bundle.but({NAMES[1]: PHOTOS[2]})
    assert "is another picture" in wrong(swapped)

    class Believing:
        def __init__(self, data: bytes):
            self.data = data

        def hexdigest(self) -> str:
            return digests.pop(0)

    digests = [name.partition(".")[0] for name in bundle.manifest.pictures]
    monkeypatch.setattr(verify_pictures, "sha256", Believing)
    assert wrong(swapped) == ""


def test_one_that_no_entry_names_and_one_that_is_left_out(bundle):
    assert "does not belong to the bundle" in wrong(bundle.but({NAMES[3]: PHOTOS[3]}))
    said_ = json.loads(bundle.files["bundle.json"])
    said_["pictures"] = sorted([*said_["pictures"], NAMES[3].partition("/")[2]])
    data = json.dumps(said_, indent=1).encode() + b"\n"
    assert "is named by no entry" in wrong(bundle.but({NAMES[3]: PHOTOS[3], "bundle.json": data}))
    assert "is missing" in wrong(bundle.but({NAMES[1]: None}))
    for bad in (["../x.jpg"], ["a" * 64 + ".gif"], [7], "x", [NAMES[2][9:], NAMES[1][9:]] * 2):
        said_["pictures"] = bad
        assert wrong(bundle.but({"bundle.json": json.dumps(said_, indent=1).encode() + b"\n"}))


def test_what_is_kept_no_more_is_told_and_no_fault(story, bundle):
    less = without(bundle, NAMES[1])
    assert wrong(less) == ""
    (claim,) = [seen(less)]
    assert claim is not None and claim.shown
    assert claim.text.startswith(
        "2 pictures are those of the log, by their hash; 1 are named in it and not here"
    )
    none = without(without(less, NAMES[2]), PHOTO_NAME)
    found = seen(none)
    assert found is not None and not found.shown and "3 are named in it and not here" in found.text
    assert parse_manifest(none.files["bundle.json"]).pictures == ()


def test_export_says_what_is_missing_and_takes_no_changed_one(tmp_path):
    story = Story(tmp_path).start(lived)
    folder = story.state_dir / "pictures"
    (gone,) = folder.glob(f"*/*/*/*-{NAMES[1][9:17]}.jpg")
    gone.unlink()
    (changed,) = folder.glob(f"*/*/*/*-{NAMES[2][9:17]}.jpg")
    changed.write_bytes(PHOTOS[0])
    done = export(story.config, START + 2 * LENGTH_MS, START + 5 * LENGTH_MS, tmp_path / "bundle")
    assert done.pictures_missing == 2 and done.manifest.pictures == (PHOTO_NAME.partition("/")[2],)
    assert wrong(Memory.of(tmp_path / "bundle")) == ""


def test_in_a_zip_too_and_none_without_pictures(story, tmp_path):
    export(story.config, START + 2 * LENGTH_MS, START + 5 * LENGTH_MS, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as file:
        assert file.read(PHOTO_NAME) == PHOTO
        assert b'"pictures"' in file.read("bundle.json")
    plain = Story(tmp_path / "plain").start(live_only)
    export(plain.config, START, TO, tmp_path / "plain-bundle")
    memory = Memory.of(tmp_path / "plain-bundle")
    assert b"pictures" not in memory.files["bundle.json"], "as a version wrote it that knew of none"
    assert seen(memory) is None and not (tmp_path / "plain-bundle" / "pictures").exists()


async def live_only(run: Run) -> None:
    run.greet()
    await live(3)(run)


def test_an_enemys_picture_is_bounded(bundle, monkeypatch):
    monkeypatch.setattr(verify_pictures, "BYTES_MAX", 100)
    with pytest.raises(EvidenceError, match="bytes"):
        list(_claims(bundle))


def _claims(bundle: Memory) -> Iterator[Claim]:
    yield from verify(bundle, Trust(bundle.key))
