"""Only signed, newer firmware is installed, whole, into the slot that does not run (promise 10)."""

import asyncio
import hashlib
import json
import os
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from firmware import trial, update
from firmware.arbiter import Arbiter
from tests.firmware import update_rig as rig
from tests.protocol.test_runtimes import ROOT, micropython
from tools.station import package

LONG = bool(os.environ.get("QUANTRAC_LONG"))


@pytest.fixture
def device(tmp_path):
    return rig.device(tmp_path)


@pytest.fixture
def running(monkeypatch):
    """Call it with a slot: the device then runs from there."""

    def run(files, slot):
        monkeypatch.setattr(sys, "path", [files.path(slot), *sys.path])

    return run


def refused(module, files, data, tmp_path, **more):
    """The sentence of a refusal; nothing but the staged file may have changed."""
    (tmp_path / "stage").write_bytes(data)
    before = rig.tree(tmp_path)
    ok, text, _ = rig.install(module, files, None, **more)
    assert not ok and len(text) > 15, text
    assert rig.tree(tmp_path) == before, "refused, and yet something was written"
    return text


def test_a_good_package_is_installed_marked_and_tried_next(device, tmp_path):
    data = rig.make()
    assert rig.install(update, device, data)[::2] == (True, "0.2.0")
    installed = rig.tree(tmp_path / "a")
    assert json.loads(installed.pop("complete")) == [5, "0.2.0", False]
    assert installed == rig.firmware("new")
    state = json.loads(device.read("slot"))
    assert state == {
        "slot": "a",
        "old": "",
        "version": "0.2.0",
        "counter": 5,
        "highest": 5,
        "trying": True,
        "tries": 0,
    }
    assert not (tmp_path / "stage").exists()


def test_it_goes_into_the_other_slot_and_what_was_there_goes(device, tmp_path, running):
    rig.install(update, device, rig.make(rig.firmware("one")))
    (tmp_path / "b" / "firmware" / "stale").mkdir(parents=True)
    (tmp_path / "b" / "firmware" / "stale" / "app.py").write_bytes(b"old")
    running(device, "a")
    before = rig.tree(tmp_path / "a")
    text = refused(update, device, rig.make(counter=6), tmp_path)
    assert "on trial" in text
    trial.confirm(device)
    ok, _, version = rig.install(update, device, rig.make(counter=6, version="0.3.0"))
    assert ok and version == "0.3.0"
    installed = rig.tree(tmp_path / "b")
    del installed["complete"]
    assert installed == rig.firmware("new") and not (tmp_path / "b" / "firmware" / "stale").exists()
    state = json.loads(device.read("slot"))
    assert (state["slot"], state["old"], state["highest"]) == ("b", "a", 6)
    kept = rig.tree(tmp_path / "a")
    assert json.loads(kept.pop("complete"))[2] is True  # confirmed meanwhile
    del before["complete"]
    assert kept == before


def flips(data, length):
    for at in range(length):
        for bit in range(8) if LONG else (at % 8,):
            yield at, data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


def test_a_flipped_bit_in_any_byte_is_refused(device, tmp_path):
    data = rig.make()
    signed = 10 + int.from_bytes(data[8:10], "big") + package.SIGNATURE_BYTES
    for at, flipped in flips(data, len(data)):
        if at >= signed and at % 5 and not LONG:
            continue
        text = refused(update, device, flipped, tmp_path)
        assert (at < signed) == ("not what was signed" not in text), (at, text)


def test_a_package_cut_short_at_any_byte_or_longer_is_refused(device, tmp_path):
    data = rig.make()
    for length in range(len(data)):
        refused(update, device, data[:length], tmp_path)
    assert "shorter or longer" in refused(update, device, data + b"\0", tmp_path)
    assert "no package" in rig.install(update, rig.device(tmp_path / "empty"), None)[1]


def mix_and_match(module, device, tmp_path):
    """The list of one package with the files of another of the same sizes."""
    one, two = rig.make(rig.firmware("one")), rig.make(rig.firmware("two"), counter=6)
    contents = sum(map(len, rig.firmware("one").values()))
    assert len(one) == len(two)
    assert "not what was signed" in refused(module, device, two[:-contents] + one[-contents:], tmp_path)
    signature = slice(-contents - package.SIGNATURE_BYTES, -contents)
    swapped = bytearray(two)
    swapped[signature] = one[signature]
    assert "signature" in refused(module, device, bytes(swapped), tmp_path)


def test_mix_and_match_is_refused(device, tmp_path):
    mix_and_match(update, device, tmp_path)


def rollback(module, device, tmp_path):
    """What was installed, and all before it, stays refused: confirmed, reverted, or with `slot` lost."""
    rig.install(module, device, rig.make(counter=7))
    state = json.loads(device.read("slot"))
    for kept in ({**state, "trying": False}, {**state, "slot": "b", "counter": 1, "trying": False}, None):
        if kept:
            trial.save(device, "slot", kept)
        else:
            device.remove("slot")
        for counter in (1, 6, 7):
            assert "7" in refused(module, device, rig.make(counter=counter), tmp_path)


def test_rollback_is_refused(device, tmp_path):
    rollback(update, device, tmp_path)
    assert rig.install(update, device, rig.make(counter=8))[0]


def test_freeze_an_expired_package_is_refused_once_the_time_is_known(device, tmp_path):
    data = rig.make()
    for late in (0, 1, 10**12):
        assert "expired" in refused(update, device, data, tmp_path, now_ms=rig.T + 86_400_000 + late)
    assert rig.install(update, device, data, now_ms=None)[0]


def test_another_key_and_no_key(device, tmp_path):
    assert "another key" in refused(update, device, rig.make(key=rig.key(1)), tmp_path)
    good = device.read("update.pub")
    for text in (b"", b"zz", good[:-4], b"00" + good[2:], good.strip() + b"00"):
        device.replace("update.pub", text)
        assert "update.pub" in refused(update, device, rig.make(), tmp_path)
    device.remove("update.pub")
    assert "update.pub" in refused(update, device, rig.make(), tmp_path)


def test_another_signature_of_the_same_number_is_refused(device, tmp_path):
    data = rig.make()
    at = 10 + int.from_bytes(data[8:10], "big")
    modulus = int(device.read("update.pub"), 16)
    more = int.from_bytes(data[at : at + 384], "big") + modulus
    if more < 1 << 3072:
        text = refused(update, device, data[:at] + more.to_bytes(384, "big") + data[at + 384 :], tmp_path)
        assert "signature" in text
    for number in (0, 1, modulus - 1, modulus, (1 << 3072) - 1):
        forged = data[:at] + number.to_bytes(384, "big") + data[at + 384 :]
        assert "signature" in refused(update, device, forged, tmp_path)


def nearly_right(module, device, tmp_path):
    """Signed with the right key, but there is something else in the padded block (Bleichenbacher 2006)."""
    data = rig.make()
    length = int.from_bytes(data[8:10], "big")
    digest = hashlib.sha256(data[10 : 10 + length]).digest()
    known = update._SHA256 + digest
    private = serialization.load_pem_private_key(rig.key(0), None).private_numbers()
    for block in (
        b"\0\1" + b"\xff" * 329 + b"\xfe\0" + known,
        b"\0\1" + b"\xff" * 8 + b"\0" + known + bytes(322),
        b"\0\1" + b"\xff" * 298 + b"\0" + known + digest,
    ):
        assert len(block) == 384
        forged = pow(int.from_bytes(block, "big"), private.d, private.public_numbers.n)
        forged = data[: 10 + length] + forged.to_bytes(384, "big") + data[10 + length + 384 :]
        assert "signature" in refused(module, device, forged, tmp_path)


def test_a_padded_block_that_is_nearly_right_is_refused(device, tmp_path):
    nearly_right(update, device, tmp_path)


@pytest.mark.parametrize("port", ["rp2", "esp32", ""])
def test_for_another_board(device, tmp_path, port):
    assert "this board is" in refused(update, device, rig.make(), tmp_path, port=port)


CODE = b"MARK = 1\n"
GOOD = ["firmware/app.py", "protocol/a_1.mpy", "firmware/boards/x/y.py"]
BAD = [
    "/firmware/app.py", "firmware/../app.py", "firmware//app.py", "firmware/./app.py", "../app.py", "app.py",
    "boot.py", "main.py", "a/firmware/app.py", "firmware/app.txt", "firmware/app.py/", "firmware/.py",
    "firmware", "firmware/App.py", "firmware/a\\b.py", "firmware/a b.py", "firmware/a.b.py", "firmware/á.py",
    "Firmware/app.py", "firmware/a/b/c/d.py", "link.key", "firmware/link.key", "",
    "firmware/" + "a" * 41 + ".py",
]  # fmt: skip


def test_only_paths_of_a_firmware(device, tmp_path):
    for path in BAD:
        data = rig.sign([rig.head(), rig.entry(path, CODE)], CODE)
        assert "does not belong" in refused(update, device, data, tmp_path), path
    for counter, path in enumerate(GOOD, 1):
        data = rig.sign([rig.head(counter=counter), rig.entry(path, CODE)], CODE)
        assert rig.install(update, device, data)[0], path
        assert rig.tree(tmp_path / "a")[path] == CODE


def test_the_order_of_paths_keeps_them_apart(device, tmp_path):
    for names in (("firmware/b.py", "firmware/a.py"), ("firmware/a.py", "firmware/a.py")):
        data = rig.sign([rig.head(2), *[rig.entry(name, CODE) for name in names]], CODE * 2)
        assert "not in its place" in refused(update, device, data, tmp_path)


def test_what_is_signed_and_makes_no_sense_is_refused(device, tmp_path):
    good = rig.entry("firmware/app.py", CODE)
    wrong = [
        [rig.head(purpose="quantrac update 2"), good],
        [rig.head(ports="unix"), good],
        [rig.head(ports=[1, "unix"]), good],
        [rig.head(version=""), good],
        [rig.head(version="x" * 33), good],
        [rig.head(version=7), good],
        [rig.head(counter=True), good],
        [rig.head(counter=-1), good],
        [rig.head(counter=2**53), good],
        [rig.head(counter=5.0), good],
        [rig.head(expires_ms=None), good],
        [rig.head()[:-1], good],
        [{}, good],
        [7],
        [rig.head(2), good],
        [rig.head(0)],
        [rig.head(0), good],
        [rig.head(2**40), good],
        [rig.head(), good, good],
        [rig.head(), good, b"\xff"],
        [rig.head(), [*good, 1]],
        [rig.head(), ["firmware/app.py", -1, good[2]]],
        [rig.head(), ["firmware/app.py", 2_000_000, good[2]]],
        [rig.head(), ["firmware/app.py", True, good[2]]],
        [rig.head(), ["firmware/app.py", 9, good[2][:31]]],
        [rig.head(), ["firmware/app.py", 9, "x" * 32]],
        [b"\xff"],
        [b"\x9f\xff"],
        [b"\x87" * 50],
        [b"\x00" * 8000],
    ]
    for items in wrong:
        assert "signature" not in refused(update, device, rig.sign(items, CODE), tmp_path), items


def slices(device, data, module=update, change=None):
    """Install, calling change(step) after every slice; how many slices, and how many of them wrote."""
    device.replace("stage", data)
    writes = total = 0
    for step in module.steps(device, rig.PORT, rig.T, "stage", []):
        total += 1
        writes += step is True
        if change:
            change(total)
    return total, writes


def test_nothing_is_written_while_a_bus_is_busy_and_other_tasks_run(device):
    arbiter = Arbiter()
    seen = []

    async def main():
        device.replace("stage", rig.make())
        await arbiter.bus()
        work = asyncio.create_task(update.install(device, rig.PORT, rig.T, arbiter))
        for _ in range(500):
            await asyncio.sleep(0)
            seen.append(work.done())
        assert not any(seen) and device.names("a") == [] and not device.names("a/firmware")
        arbiter.done()
        return await work

    assert asyncio.run(main())[0]
    total, writes = slices(device, rig.make(counter=6))
    assert writes > 10 and total - writes > 20


def test_a_package_that_changes_while_it_is_installed(device, tmp_path):
    data = rig.make()
    begin = next(i for i, step in enumerate(update.steps(*_staged(device, data)), 1) if step is True)

    def change(step):
        if step == begin:
            device.replace("stage", data[:-3] + b"...")

    # replaced under its name: the file that is open goes on, whole
    slices(device, data, change=change)
    assert rig.tree(tmp_path / "a")["protocol/cbor.mpy"].endswith(b"new")

    def overwrite(step):
        if step == begin:
            with open(tmp_path / "stage", "r+b") as file:
                file.seek(len(data) - 3)
                file.write(b"...")

    device.remove("slot")
    (tmp_path / "a" / "complete").unlink()
    with pytest.raises(update.ConfigError, match="does not read back"):
        slices(device, data, change=overwrite)
    assert not (tmp_path / "a" / "complete").exists() and not (tmp_path / "slot").exists()


def _staged(device, data):
    device.replace("stage", data)
    return device, rig.PORT, rig.T, "stage", []


def worn(module, device, tmp_path):
    """Flash that gives back something else than was written: the slot never becomes one."""
    path = tmp_path / "a" / "firmware" / "app.py"
    size = 50_000  # beyond what is buffered when the first slice of it is read back

    def wear(step):
        if path.exists() and path.stat().st_size == size:
            path.write_bytes(bytes(size - 1) + b"?")

    with pytest.raises(update.ConfigError, match="does not read back"):
        slices(device, rig.make({"firmware/app.py": bytes(size)}), module, wear)
    assert not (tmp_path / "a" / "complete").exists() and not (tmp_path / "slot").exists()


def test_worn_flash_is_noticed(device, tmp_path):
    worn(update, device, tmp_path)


def test_full_flash_is_a_sentence_and_the_running_slot_stays(device, tmp_path, running):
    rig.install(update, device, rig.make(counter=1))
    running(device, "a")
    trial.confirm(device)
    before = rig.tree(tmp_path / "a"), device.read("slot")
    (tmp_path / "b").write_bytes(b"a file where the folder should be")
    ok, text, version = rig.install(update, device, rig.make(counter=2))
    assert not ok and "flash failed" in text and version == "0.2.0"
    assert (rig.tree(tmp_path / "a"), device.read("slot")) == before


def test_both_ends_have_the_same_format():
    for name in ("MAGIC", "PURPOSE"):
        assert getattr(update, name) == getattr(package, name)
    assert (update._MANIFEST_MAX, update._SIGNATURE, update._SIZE_MAX, update._COUNTER_MAX) == (
        package.MANIFEST_BYTES_MAX,
        package.SIGNATURE_BYTES,
        package.SIZE_MAX,
        package.COUNTER_MAX,
    )
    for path in GOOD:
        assert package.PATH.fullmatch(path)
    for path in BAD:
        assert not package.PATH.fullmatch(path)


# ---- controls: the same checks find a device that does not look


def test_control_a_skipped_version_check_is_caught(device, tmp_path):
    careless = rig.broken("update", ("if counter <= highest:", "if False:"))
    with pytest.raises(AssertionError):
        rollback(careless, device, tmp_path)


def test_control_a_skipped_hash_check_is_caught(device, tmp_path):
    careless = rig.broken("update", ("if bytes_ or sha.digest() != digest:", "if bytes_:"))
    with pytest.raises(AssertionError):
        mix_and_match(careless, device, tmp_path)


def test_control_not_reading_back_is_caught(device, tmp_path):
    careless = rig.broken("update", ("    if sha.digest() != digest:\n", "    if False:\n"))
    with pytest.raises(pytest.fail.Exception):
        worn(careless, device, tmp_path)


def test_control_a_signature_compared_in_part_is_caught(device, tmp_path):
    careless = rig.broken(
        "update",
        ('x.to_bytes(_SIGNATURE, "big") != block', 'x.to_bytes(_SIGNATURE, "big")[-32:] != block[-32:]'),
    )
    with pytest.raises(AssertionError):
        nearly_right(careless, device, tmp_path)


# ---- the same on MicroPython, with the heap of a board


def test_micropython_says_the_same(device, tmp_path, capsys):
    good = rig.make()
    contents = sum(map(len, rig.firmware("new").values()))
    signed = len(good) - contents
    cases = [good[:n] for n in range(0, len(good), 97)]
    cases += [data for at, data in flips(good, signed) if LONG or at % 7 == 0]
    cases += [
        good[:-1] + b"!",
        good + b"!",
        rig.make(key=rig.key(1)),
        rig.make(expires_ms=rig.T, created_ms=1),
    ]
    cases += [rig.sign([rig.head(), rig.entry(path, CODE)], CODE) for path in BAD]
    cases.append(good)
    expected = [rig.install(update, device, data) for data in cases]
    assert [ok for ok, _, _ in expected] == [False] * (len(cases) - 1) + [True]
    other = tmp_path / "other"
    rig.device(other)
    (other / "cases").mkdir()
    for i, data in enumerate(cases):
        (other / "cases" / f"{i:04}").write_bytes(data)
    done = micropython("tests/firmware/update_device.py", str(other), rig.PORT, str(rig.T), str(len(cases)))
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [tuple(line) for line in lines] == expected
    assert rig.tree(other / "a") == rig.tree(tmp_path / "a")
    with capsys.disabled():
        print(f"\nMicroPython unix port: {figures}; RSA-3072 on an RP2040 about 190 times as long")


def test_a_package_of_the_whole_firmware_fits(tmp_path, device):
    """Every file that a device may hold, from the sources: longer than its bytecode."""
    files = {
        path: data
        for path, data in package.collect(ROOT).items()
        if path not in ("firmware/boards/posix_cpython.py", "protocol/instruments/__init__.py")
    }
    data = rig.make(files)
    assert rig.install(update, device, data)[0]
    installed = rig.tree(tmp_path / "a")
    del installed["complete"]
    assert installed == files
