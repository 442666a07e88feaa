"""gateway/config_change/begin.py and kept.py: whenever everything ends, the next start has a
whole configuration, and the old one comes back when nobody confirms. Control: without the kept old file.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config_change import kept
from gateway.config_change.begin import STARTS_MAX, back_after, begin
from gateway.config_change.kept import BACK, OVERTAKEN, TRYING, Change
from gateway.config_change.propose import fingerprint
from gateway.errors import ConfigFaults
from gateway.journal import durable
from tests.gateway.configured import SAMPLE, written

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
OLD, NEW = SAMPLE.encode(), SAMPLE.replace("max = 75.0", "max = 80.0").encode()


class PowerCut(BaseException):
    """Nothing after it is done."""


def change(old: bytes = OLD, new: bytes = NEW) -> Change:
    return Change(
        "0123456789abcdef", TRYING, fingerprint(old), fingerprint(new), "lan", "", 5, NOW_MS + 5 * MINUTE_MS
    )


def applied(path: Path, new: bytes = NEW) -> None:
    """What keeper.py does to the disk."""
    kept.prepare(path, change(new=new), OLD)
    kept.place(path, new)


def limit(path: Path, now_ms: int) -> float:
    begun = begin(path, now_ms)
    return begun.config.channel[0].limits.max


def cut(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> None:
    """The power goes at file `number` that is written from here on, before or after it."""
    replace, count = durable.replace, iter(range(100))

    def cutting(path: Path, data: bytes, mode: int = 0o644) -> None:
        here = next(count) == number
        if here and not after:
            raise PowerCut
        replace(path, data, mode)
        if here:
            raise PowerCut

    monkeypatch.setattr(durable, "replace", cutting)


def check_every_cut(folder: Path, act: Callable[[Path], object], prepared: Callable[[Path], object]) -> int:
    """Cut the power at every file that act() writes; how many cuts there were."""
    cuts = 0
    for number in range(10):
        for after in (False, True):
            path = written(folder / f"{number}{after}", SAMPLE)
            prepared(path)
            with pytest.MonkeyPatch.context() as patch:
                cut(patch, number, after)
                try:
                    act(path)
                except PowerCut:
                    cuts += 1
                else:
                    return cuts
            assert path.read_bytes() in (OLD, NEW)
            now = begin(path, NOW_MS)  # soon after: one of both runs, whole
            assert now.data in (OLD, NEW)
            assert limit(path, NOW_MS + 6 * MINUTE_MS) == 75.0, (number, after)
            assert path.read_bytes() == OLD
    raise AssertionError("it writes without end")


def check_applying(folder: Path) -> None:
    assert check_every_cut(folder, applied, lambda path: None) == 6  # .before, .change, config.toml


def test_power_cuts_while_a_change_is_applied(tmp_path):
    check_applying(tmp_path)


def test_control_without_the_kept_old_file_the_same_test_fails(tmp_path, monkeypatch):
    def careless(path: Path, one: Change, old: bytes) -> None:
        kept.write(path, one)

    monkeypatch.setattr(kept, "prepare", careless)
    with pytest.raises(AssertionError):
        check_every_cut(tmp_path, applied, lambda path: None)


def test_control_the_new_file_before_the_word_of_it_is_caught(tmp_path, monkeypatch):
    """Nobody would know that it is only tried."""

    def hasty(path: Path, new: bytes = NEW) -> None:
        durable.replace(kept.beside(path, kept.BEFORE), OLD)
        kept.place(path, new)
        kept.write(path, change())

    with pytest.raises(AssertionError):
        check_every_cut(tmp_path, hasty, lambda path: None)


def test_power_cuts_while_it_is_put_back(tmp_path):
    def back(path: Path) -> None:
        kept.put_back(path, kept.read(path), "nobody confirmed it")

    assert check_every_cut(tmp_path, back, applied) == 4  # .change, config.toml


def test_a_start_while_it_is_tried_counts_and_runs_the_new_one(tmp_path):
    path = written(tmp_path, SAMPLE)
    applied(path)
    for start in range(1, STARTS_MAX + 1):
        begun = begin(path, NOW_MS + start)
        assert begun.is_tried and begun.data == NEW and begun.change.starts == start
    begun = begin(path, NOW_MS + 10)
    assert begun.data == OLD == path.read_bytes() and begun.change.phase == BACK
    assert begun.change.why == f"the gateway ended {STARTS_MAX} times with it"


def test_nobody_confirms(tmp_path):
    path = written(tmp_path, SAMPLE)
    applied(path)
    assert begin(path, NOW_MS + 5 * MINUTE_MS - 1).data == NEW
    begun = begin(path, NOW_MS + 5 * MINUTE_MS)
    assert begun.data == OLD and begun.change.why == "nobody confirmed it within 5 minutes"
    assert begin(path, NOW_MS).data == OLD, "it stays back"


def test_a_clock_that_woke_up_in_the_past_gives_it_its_minutes_once_more(tmp_path):
    path = written(tmp_path, SAMPLE)
    applied(path)
    woke_ms = NOW_MS - 365 * 24 * 60 * MINUTE_MS
    assert begin(path, woke_ms).change.until_ms == woke_ms + 5 * MINUTE_MS
    assert begin(path, woke_ms + 5 * MINUTE_MS).data == OLD


def test_what_cannot_be_used_is_put_back_at_the_start(tmp_path):
    """The keeper refuses such; a file that it names may go between."""
    path = written(tmp_path, SAMPLE)
    applied(path, SAMPLE.replace("port = 2222", "port = 0").encode())
    begun = begin(path, NOW_MS)
    assert begun.data == OLD == path.read_bytes()
    assert "destination[0].port" in begun.change.why


def test_a_gateway_that_dies_with_it_puts_it_back(tmp_path):
    path = written(tmp_path, SAMPLE)
    assert not back_after(begin(path, NOW_MS), RuntimeError("x")), "nothing was tried"
    applied(path)
    assert back_after(begin(path, NOW_MS), RuntimeError("no such bus"))
    assert path.read_bytes() == OLD and "no such bus" in kept.read(path).why


def test_a_file_that_was_changed_by_hand_meanwhile_stays(tmp_path):
    path = written(tmp_path, SAMPLE)
    applied(path)
    mine = SAMPLE.replace("max = 75.0", "max = 90.0")
    path.write_text(mine)
    begun = begin(path, NOW_MS + 60 * MINUTE_MS)
    assert begun.config.channel[0].limits.max == 90.0 and begun.change.phase == OVERTAKEN


def test_a_hand_written_file_is_kept_where_the_old_one_comes_back(tmp_path):
    path = written(tmp_path, SAMPLE)
    applied(path)
    path.write_text("mine")
    kept.put_back(path, kept.read(path), "nobody confirmed it")
    assert path.read_bytes() == OLD
    assert kept.beside(path, kept.EDITED).read_text() == "mine"


def test_a_damaged_file_of_before_does_not_come_back(tmp_path):
    path = written(tmp_path, SAMPLE)
    applied(path)
    kept.beside(path, kept.BEFORE).write_bytes(OLD[:100])
    begun = begin(path, NOW_MS + 60 * MINUTE_MS)
    assert begun.data == NEW and begun.change.phase == OVERTAKEN
    assert begun.change.why.endswith("the file of before is not there any more")


def test_a_file_with_faults_leaves_what_ran_last_running(tmp_path):
    path = written(tmp_path, SAMPLE)
    durable.replace(kept.beside(path, kept.RUNNING), OLD)
    for wrong in (b"[station", OLD.replace(b"port = 2222", b"port = 0")):
        path.write_bytes(wrong)
        assert begin(path, NOW_MS).data == OLD and path.read_bytes() == wrong
    kept.beside(path, kept.RUNNING).unlink()  # the control
    with pytest.raises(ConfigFaults):
        begin(path, NOW_MS)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"id": 1}', "x" * 30_000, "[" * 10_000])
def test_what_is_no_change_is_none(tmp_path, text):
    path = written(tmp_path, SAMPLE)
    kept.beside(path, kept.CHANGE).write_text(text)
    assert kept.read(path) is None and begin(path, NOW_MS).change is None
    odd = json.dumps(change()._asdict() | {"phase": "odd"})
    kept.beside(path, kept.CHANGE).write_text(odd)
    assert kept.read(path) is None


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path):
    real = written(tmp_path / "real", SAMPLE)
    real.chmod(0o640)
    path = tmp_path / "config.toml"
    path.symlink_to(real)
    before = os.umask(0o077)
    try:
        applied(path)
    finally:
        os.umask(before)
    assert path.is_symlink() and real.read_bytes() == NEW
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert {found.name for found in real.parent.glob("config*")} == {
        "config.toml", "config.toml.before", "config.toml.change",
    }  # fmt: skip
