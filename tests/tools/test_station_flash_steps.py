"""tools/station/flash, plan and carry: an interruption at every operation, on a board in a directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from firmware import starter
from protocol.seal import next_key
from tests.tools import flash_rig as rig
from tools.people import Failure, UsageError
from tools.station import package
from tools.station.flash import carry, hand_over, kinds, wanted
from tools.station.flash import plan as plans
from tools.station.flash.board import About
from tools.station.folder import Folder

OLD, NEW = "0.1.0", "0.2.0"
OTHER = "st-07"
TURNED = b"%d 17 %s %s"


def station(path: Path, **more) -> dict[str, bytes]:
    return wanted.station_files(Folder(rig.folder(path, **more)))


def flash(root, files, firmware, replace=False, cut_at=None, free=1 << 20, carrier=carry.Carrier, order=None):
    """(board, plan) after a whole flash; rig.Cut after one that was cut."""
    board = rig.FolderBoard(root, cut_at, free)
    plan = plans.plan(board.look(list(plans.ASKED)), files, firmware, replace)
    if order is not None:
        plan.steps = order(plan.steps)
    carrier(board, rig.no_bars).run(plan)
    return board, plan


def live(root: Path, slot: str = "a") -> None:
    """What a station that has run leaves beside what was flashed."""
    (root / "log").mkdir()
    (root / "log" / "0000001.seg").write_bytes(b"records")
    (root / "state").mkdir()
    (root / "state" / "counter").write_bytes(b"12")
    (root / "boot").write_bytes(b"77\n")
    if (root / "seal.key").exists():
        key = next_key(next_key(bytes.fromhex(rig.SEAL_KEY))).hex().encode()
        (root / "seal.key").write_bytes((TURNED % (2, key, b"00" * 32)).ljust(1100))


class Story:
    """A board as it is before, what is to be on it, and what may be said of it on the way."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.before = place / "before"
        self.before.mkdir(parents=True)
        (self.before / "boot.py").write_bytes(b"# of the port\n")
        self.replace = name == "another station"
        self.runs = name in ("one that runs", "its other slot", "little room")
        self.free = 1 << 20
        seal = rig.SEAL_KEY if name in ("a new board", "another station") else None
        self.files = station(place / "new", seal=seal, poll_ms=5000)
        more = 5 * rig.BLOCK if name == "little room" else 0
        self.firmware = rig.small(NEW, more)
        id = OTHER if self.replace else "st-01"
        old = station(place / "old", id=id, seal=rig.SEAL_KEY, poll_ms=10000)
        if self.runs or self.replace:
            flash(self.before, old, rig.small(OLD, more))
            live(self.before)
        if name in ("its other slot", "little room"):
            flash(self.before, old, rig.small("0.1.1", more))
        if name == "little room":
            held = rig.FolderBoard(self.before).look([])
            self.free = (1 << 20) - held.free + 6 * rig.BLOCK
        self.old = rig.tree(self.before)

    def faults(self, root: Path) -> list[str]:
        """What is wrong with a device that is like this: nothing, when it works or waits for the rest."""
        now = rig.tree(root)
        if "main.py" not in now:
            return ["main.py is gone"] if self.runs else []
        if now == self.old:
            return []
        found = []
        known = {**{name: {data} for name, data in self.files.items()}}
        for name in ("identity.json", "link.key", "station.json"):
            good = known[name] | ({self.old[name]} if self.runs else set())
            if now.get(name) not in good:
                found.append(f"{name} is neither the old one nor the new one")
        for name, source in package.NEVER_UPDATED.items():
            if now.get(name) != source.read_bytes():
                found.append(f"{name} is damaged")
        with rig.copied(root) as copy:
            slot = starter.choose(f"{copy}/")
            pack = starter.read(f"{copy}/{slot}.pkg")
        versions = {NEW, *(("0.1.1", OLD) if self.runs else ())}
        if pack is None or pack[1] not in versions:
            found.append("it starts nothing that is whole")
        if "seal.key" in self.old and self.runs and now.get("seal.key") != self.old["seal.key"]:
            found.append("the key that seals is not what it was")
        return found


STORIES = ("a new board", "one that runs", "its other slot", "little room", "another station")


def sweep(story: Story, place: Path, **how) -> list[str]:
    """Cut before every operation, look, and say the same again: every fault that was found."""
    found = []
    whole = Path(shutil.copytree(story.before, place / "whole"))
    board, plan = flash(whole, story.files, story.firmware, story.replace, free=story.free, **how)
    removed = [step.name for step in plan.steps if step.data is None]
    assert board.operations > 12 and ("a.pkg" in removed) == (story.name == "little room")
    found += story.faults(whole)
    for n in range(board.operations):
        root = Path(shutil.copytree(story.before, place / f"cut-{n}"))
        with pytest.raises(rig.Cut):
            flash(root, story.files, story.firmware, story.replace, n, story.free, **how)
        found += [f"cut at {n}: {fault}" for fault in story.faults(root)]
        try:
            flash(root, story.files, story.firmware, story.replace, free=story.free)
        except (Failure, UsageError) as error:
            found.append(f"cut at {n}, again: {error}")
            continue
        if rig.tree(root) != rig.tree(whole):
            found.append(f"cut at {n}, again: not what an uninterrupted one leaves")
        shutil.rmtree(root)
    return found


@pytest.mark.parametrize("name", STORIES)
def test_cut_at_every_operation(tmp_path, name):
    story = Story(name, tmp_path)
    assert sweep(story, tmp_path) == []


class Straight(carry.Carrier):
    """Control: under its own name at once."""

    def _write(self, step, data):
        self._board.write(step.name, data, lambda done: None)


@pytest.mark.parametrize("name", ["one that runs", "another station"])
def test_a_write_without_another_name_is_caught(tmp_path, name):
    assert sweep(Story(name, tmp_path), tmp_path, carrier=Straight) != []


def test_main_py_first_is_caught(tmp_path):
    story = Story("a new board", tmp_path)
    assert sweep(story, tmp_path, order=lambda steps: steps[::-1]) != []


def test_repeated_it_does_nothing(tmp_path):
    files = station(tmp_path / "st", seal=rig.SEAL_KEY)
    root = tmp_path / "board"
    root.mkdir()
    flash(root, files, rig.small(NEW))
    board, plan = flash(root, files, rig.small(NEW))
    assert plan.steps == [] and board.operations == 0
    assert {"a.pkg", "starter.py", "slot", "identity.json", "link.key", "station.json", "main.py"} <= set(
        plan.there
    )
    live(root)  # and the key has turned: what was handed over is still known to be there
    _, plan = flash(root, files, rig.small(NEW))
    assert plan.steps == [] and "seal.key" in plan.there


def test_the_former_firmware_is_the_way_back(tmp_path):
    files = station(tmp_path / "st")
    root = tmp_path / "board"
    root.mkdir()
    for version, slot in ((OLD, "a"), (NEW, "b"), ("0.3.0", "a")):
        flash(root, files, rig.small(version))
        state = json.loads((root / "slot").read_bytes())
        assert (state["slot"], state["version"], state["trying"]) == (slot, version, False)
        assert starter.choose(f"{root}/") == slot
    assert state["old"] == "b" and state["highest"] == 3
    (root / "a.pkg").write_bytes(b"damaged")
    assert starter.choose(f"{root}/") == "b"


def test_a_firmware_on_trial_is_written_over_and_not_the_proven_one(tmp_path):
    files = station(tmp_path / "st")
    root = tmp_path / "board"
    root.mkdir()
    flash(root, files, rig.small(OLD))
    flash(root, files, rig.small(NEW))
    state = json.loads((root / "slot").read_bytes())
    (root / "slot").write_text(json.dumps({**state, "trying": True, "tries": 1}))
    _, plan = flash(root, files, rig.small("0.3.0"))
    assert [step.name for step in plan.steps] == ["b.pkg", "slot"]
    assert json.loads((root / "slot").read_bytes())["old"] == "a"


def test_a_changed_station_json_leaves_the_former_one(tmp_path):
    root = tmp_path / "board"
    root.mkdir()
    first = station(tmp_path / "st", poll_ms=5000)
    flash(root, first, rig.small(NEW))
    (root / "state").mkdir()
    (root / "state" / "trial").write_text(json.dumps({"hash": "0" * 16, "tries": 1}))
    _, plan = flash(root, station(tmp_path / "st", poll_ms=10000), rig.small(NEW))
    assert [step.name for step in plan.steps] == ["state/trial", "station.old", "station.json"]
    assert (root / "station.old").read_bytes() == first["station.json"]


def test_another_station(tmp_path):
    """Refused without --replace, and told whose it is; with it nothing of the other one stays."""
    root = tmp_path / "board"
    root.mkdir()
    flash(root, station(tmp_path / "other", id=OTHER, seal=rig.SEAL_KEY, signed=True), rig.small(OLD))
    live(root)
    before = rig.tree(root)
    mine = station(tmp_path / "mine")
    with pytest.raises(UsageError, match=r"st-07, not st-01: nothing was written\. It seals .* --replace"):
        flash(root, mine, rig.small(NEW))
    assert rig.tree(root) == before
    flash(root, mine, rig.small(NEW), replace=True)
    after = rig.tree(root)
    assert not {"seal.key", "boot", "log/0000001.seg", "state/counter", "update.pub"} & set(after)
    assert after["identity.json"] == mine["identity.json"]


@pytest.mark.parametrize("text", [b"{", b"[]", b"{}", b'{"id": 5}'])
def test_an_identity_that_cannot_be_read_is_not_written_over(tmp_path, text):
    root = tmp_path / "board"
    root.mkdir()
    (root / "identity.json").write_bytes(text)
    with pytest.raises(UsageError, match="identity cannot be read"):
        flash(root, station(tmp_path / "st"), rig.small(NEW))


def test_too_little_room_is_said_before_anything_is_written(tmp_path):
    root = tmp_path / "board"
    root.mkdir()
    with pytest.raises(UsageError, match=r"20 KB of flash free and \d+ KB are needed: nothing was written"):
        flash(root, station(tmp_path / "st"), rig.small(NEW), free=5 * rig.BLOCK)
    assert rig.tree(root) == {}


def test_flash_that_gives_back_something_else(tmp_path, monkeypatch):
    root = tmp_path / "board"
    root.mkdir()
    monkeypatch.setattr(rig.FolderBoard, "digest", lambda self, name: "0" * 64)
    with pytest.raises(Failure, match=r"came back .* 0 of \d+ steps are done, .*\. Say the same again"):
        flash(root, station(tmp_path / "st"), rig.small(NEW))
    assert set(rig.tree(root)) == {"a.pkg.flash"}


# The seal key


def test_the_key_of_a_board_that_seals_is_never_written_over(tmp_path):
    root = tmp_path / "board"
    root.mkdir()
    files = station(tmp_path / "st", seal=rig.SEAL_KEY)
    flash(root, files, rig.small(NEW))
    live(root)
    seal = rig.FolderBoard(root).look([]).seal
    assert seal is not None and seal[:2] == (4, 2)
    path = tmp_path / "seal.key"
    hand_over.check(seal, files["seal.key"], path)  # the same key, two days on
    with pytest.raises(UsageError, match="seals already, with another key"):
        hand_over.check(seal, (b"11" * 32 + b"\n").ljust(1100), path)
    hand_over.check((1, 0, "0" * 64), files["seal.key"], path)  # never used: it may be replaced
    hand_over.check(None, files["seal.key"], path)


def test_no_key_is_told(tmp_path):
    """Control of on_board.py: neither the digits of the seal key nor those of the link key come back."""
    root = tmp_path / "board"
    root.mkdir()
    flash(root, station(tmp_path / "st", seal=rig.SEAL_KEY), rig.small(NEW))
    told = rig.on_board.look(f"{root}/", list(plans.ASKED))
    assert rig.SEAL_KEY not in told and rig.LINK_KEY not in told
    live(root)
    turned = (root / "seal.key").read_bytes().split()[2].decode()
    assert turned not in rig.on_board.look(f"{root}/", list(plans.ASKED))


def test_the_key_leaves_this_machine(tmp_path):
    path = tmp_path / "seal.key"
    path.write_text("c3" * 32 + "\n")  # as an inspector types it in, without the blanks
    data = hand_over.read(path)
    assert data is not None and len(data) == 1100 and data.split() == [b"c3" * 32]
    kept = tmp_path / "another name of the same file"
    kept.hardlink_to(path)
    hand_over.forget(path)
    assert not path.exists() and set(kept.read_bytes()) == {0}
    assert hand_over.read(path) is None


@pytest.mark.parametrize("text", ["", "c3", "zz" * 32, "0 0 " + "c3" * 32 + " " + "00" * 32])
def test_what_is_no_new_seal_key(tmp_path, text):
    (tmp_path / "seal.key").write_text(text)
    with pytest.raises(UsageError, match="holds no new seal key"):
        hand_over.read(tmp_path / "seal.key")


# Boards


def about(**more) -> About:
    return About(
        **{**vars(rig.ABOUT), "platform": "rp2", "machine": "Raspberry Pi Pico W with RP2040", **more}
    )


def test_boards_that_are_refused():
    assert kinds.check_board(about(), "rp2").port == "rp2"
    for given, wanted_board, sentence in (
        (about(name="circuitpython"), None, "runs circuitpython 1.28.0, not MicroPython"),
        (about(version=(1, 9, 2), platform="microbit"), None, "1.9.2 is too old .* needs 1.28"),
        (about(version=(1, 27, 0)), None, "1.27.0 is too old .* needs 1.28 .* --image"),
        (about(platform="stm32", machine="PYBv1.1"), None, "no board of ours: PYBv1.1"),
        (about(), "esp32", "This board is rp2 .*, not esp32"),
    ):
        with pytest.raises(UsageError, match=sentence):
            kinds.check_board(given, wanted_board)
    with pytest.raises(UsageError, match="bytecode of version 6, this MicroPython loads 5"):
        kinds.check_bytecode(about(mpy=5), {"a.mpy": b"M\x06\x00\x1f"})
    kinds.check_bytecode(about(), {"a.mpy": b"M\x06\x00\x1f"})
