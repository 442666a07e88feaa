"""`verify` with a second process: the same claims and the same first thing that is wrong, come what may."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from gateway import verify_cut, verify_entries
from gateway.verify import Trust, verify
from gateway.verify_beside import Beside
from gateway.verify_bundle import entry_name, proof_name
from gateway.verify_entries import Entries
from protocol.merkle import EvidenceError
from tests.gateway.bundle_rig import Memory, changed_row, claims, forged, simple, wrong

HERE = os.getpid()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Memory:
    return simple(tmp_path_factory.mktemp("simple"))[1]


@pytest.fixture
def beside(monkeypatch):
    """Turn the second process on, for bundles of any length; or off."""

    def turn(on: bool) -> None:
        monkeypatch.setattr(verify_entries, "BESIDE_MIN", 0)
        monkeypatch.setattr(verify_entries, "is_possible", lambda: on)

    turn(True)
    yield turn
    assert multiprocessing.active_children() == []


def changed(bundle: Memory, name: str, at: int = -1) -> Memory:
    data = bytearray(bundle.files[name])
    data[at] ^= 1
    return bundle.but({name: bytes(data)})


def test_there_are_two_processes(bundle, beside, monkeypatch):
    results, receipts = [], Entries._check_receipts
    seen = multiprocessing.get_context("fork").Array("i", 2)

    def who(number: int, method):
        def noted(*arguments, **named):
            seen[number] = os.getpid()
            return method(*arguments, **named)

        return noted

    monkeypatch.setattr(Entries, "_check_receipts", who(0, receipts))
    monkeypatch.setattr(verify_cut, "compute", who(1, verify_cut.compute))
    result = Beside.result
    monkeypatch.setattr(Beside, "result", lambda self: (results.append(result(self)), results[-1])[1])
    assert claims(bundle)
    assert len(results[0].kept) > 50, "half of the entries were read by somebody else"
    assert seen[0] == seen[1] not in (0, HERE), "and the receipts, and later windows computed"


def test_one_process_tells_how_far_it_is(bundle, beside, monkeypatch, capfd):
    monkeypatch.setattr(verify_entries, "TOLD_EVERY", 1)

    def progress(what: str, done: int, of: int) -> None:
        os.write(1, b"." if os.getpid() == HERE else b"beside")

    list(verify(bundle, Trust(bundle.key), progress))
    said = capfd.readouterr().out
    assert said.strip(".") == "" and len(said) > bundle.manifest.last // 2


def test_the_same_is_found_with_and_without_it(bundle, beside):
    chance = random.Random(1)
    good = claims(bundle)
    for _ in range(150):
        one = bundle
        for name in chance.sample(sorted(bundle.files), chance.choice((1, 1, 2, 5))):
            one = changed(one, name, chance.randrange(len(bundle.files[name])))
        beside(True)
        found = wrong(one)
        beside(False)
        assert found == wrong(one) != ""
    assert good == claims(bundle)


@pytest.mark.parametrize("share", [0.1, 0.45, 0.55, 0.9])
def test_of_two_things_that_are_wrong_the_receipt_comes_first(bundle, beside, share):
    """A log that was signed with a wrong row in it, and one receipt of it changed."""
    lie = forged(bundle, changed_row(bundle))
    index = int(bundle.manifest.last * share)
    both = changed(lie, proof_name(index))
    assert wrong(lie) and proof_name(index) not in wrong(lie)
    assert f"proofs/{index}.tlog-proof" in wrong(both)


@pytest.mark.parametrize("work", ["_part", "_check_receipts"])
def test_a_second_process_that_is_killed_changes_no_verdict(bundle, beside, monkeypatch, work):
    real, killed = getattr(Entries, work), multiprocessing.get_context("fork").Value("i", 0)

    def deadly(self, *arguments, **named):
        if os.getpid() != HERE:
            killed.value += 1
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *arguments, **named)

    monkeypatch.setattr(Entries, work, deadly)
    last = bundle.manifest.last
    assert claims(bundle)
    assert "proofs/99.tlog-proof" in wrong(changed(bundle, proof_name(99)))
    assert f"entries/{last - 1}.bin" in wrong(changed(bundle, entry_name(last - 1)))
    assert killed.value >= 2


def test_one_that_cannot_be_started_or_breaks_down_changes_nothing(bundle, beside, monkeypatch, capfd):
    def none(self):
        raise OSError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing.get_context("fork").Process, "start", none)
        assert wrong(changed(bundle, proof_name(99))) and claims(bundle)

    def breaks() -> int:
        if os.getpid() != HERE:
            raise MemoryError
        return 7

    with Beside(breaks) as beside_it:
        assert beside_it.result() == 7
    assert capfd.readouterr().err == ""


def test_nobody_waits_for_one_that_is_not_needed_any_more():
    with pytest.raises(EvidenceError, match="found here"), Beside(lambda: time.sleep(3600)):
        raise EvidenceError("found here")
    assert multiprocessing.active_children() == []


def test_control_a_verdict_that_is_not_heard_lets_a_changed_receipt_pass(bundle, beside, monkeypatch):
    one = changed(bundle, proof_name(99))
    assert wrong(one)
    result = Beside.result

    def deaf(self):
        try:
            return result(self)
        except EvidenceError:
            return None, ""

    monkeypatch.setattr(Beside, "result", deaf)
    assert wrong(one) == ""


def test_the_command_uses_it_on_a_terminal_and_off_one():
    """A progress bar with a thread of its own would stand in the way."""
    code = (
        "import os, sys, threading\n"
        "os.sched_getaffinity = lambda pid: {0, 1}\n"  # whatever this machine has
        "sys.stderr.isatty = lambda: True\n"
        "from tools.log.progress import Bar\n"
        "from gateway.verify_beside import is_possible\n"
        "with Bar('entries', 1) as bar:\n"
        "    bar.to('entries', 1, 2)\n"
        "    found = is_possible(), threading.active_count()\n"
        "print(*found)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert said.stdout == "True 1\n"
