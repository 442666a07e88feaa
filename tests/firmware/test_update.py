"""Only signed, newer firmware becomes a slot, whole, and only the one that does not run (promise 10)."""

import asyncio
import hashlib
import json
import os
import sys

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from firmware import change, starter, trial, update
from firmware.arbiter import Arbiter
from firmware.files import Files
from firmware.store import RESERVE
from tests.firmware import update_rig as rig
from tests.protocol.test_runtimes import micropython
from tools.station import bytecode, package

LONG = bool(os.environ.get("QUANTRAC_LONG"))


@pytest.fixture
def device(tmp_path):
    return rig.device(tmp_path)


@pytest.fixture
def running(monkeypatch):
    """Call it with a slot: the device then runs from there, as starter.py mounts it."""

    def run(slot):
        monkeypatch.setattr(sys, "path", [starter.MOUNT + slot, *sys.path])

    return run


def refused(module, files, data, tmp_path, **more):
    """The sentence of a refusal; nothing but the staged file may have changed."""
    (tmp_path / "stage").write_bytes(data)
    before = rig.tree(tmp_path)
    ok, text, _ = rig.install(module, files, None, **more)
    assert not ok and len(text) > 15, text
    assert rig.tree(tmp_path) == before, "refused, and yet something was written"
    return text


def test_a_good_package_is_installed_as_it_is_and_tried_next(device, tmp_path):
    data = rig.make()
    assert rig.install(update, device, data)[::2] == (True, "0.2.0")
    assert (tmp_path / "a.pkg").read_bytes() == data
    assert starter.read(f"{tmp_path}/a.pkg")[:2] == (5, "0.2.0")
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
    assert {name for name, _ in device.names("")} == {"a.pkg", "slot", "update.pub"}


def test_it_takes_the_place_of_the_other_slot(device, tmp_path, running):
    first = rig.make(rig.firmware("one"))
    rig.install(update, device, first)
    (tmp_path / "b.pkg").write_bytes(b"what was here before")
    running("a")
    text = refused(update, device, rig.make(counter=6), tmp_path)
    assert "on trial" in text
    assert trial.confirm(device) == [(trial.UPDATE, "confirmed, 0.2.0")]
    second = rig.make(counter=6, version="0.3.0")
    ok, _, version = rig.install(update, device, second)
    assert ok and version == "0.3.0"
    state = json.loads(device.read("slot"))
    assert (state["slot"], state["old"], state["highest"]) == ("b", "a", 6)
    assert ((tmp_path / "a.pkg").read_bytes(), (tmp_path / "b.pkg").read_bytes()) == (first, second)
    # installed and not started yet: another one would take the place that `slot` speaks of
    assert "0.3.0 is on trial" in refused(update, device, rig.make(counter=7), tmp_path)


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
    """The manifest of one package with the contents of another of the same sizes."""
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
    for kept in ({**state, "trying": False}, {**state, "slot": "", "counter": 0, "trying": False}, None):
        if kept:
            trial.save(device, "slot", kept)
        else:
            device.remove("slot")
        for counter in (1, 6, 7):
            assert "7" in refused(module, device, rig.make(counter=counter), tmp_path)


def test_rollback_is_refused(device, tmp_path):
    rollback(update, device, tmp_path)
    assert rig.install(update, device, rig.make(counter=8))[0]


def test_without_a_state_the_packages_say_what_was_installed(device, tmp_path):
    for slot, data in (("a", b"QTUPDATE"), ("b", rig.make(counter=9)), ("a", rig.make(counter=3))):
        (tmp_path / f"{slot}.pkg").write_bytes(data)
    assert "9" in refused(update, device, rig.make(counter=9), tmp_path)
    assert rig.install(update, device, rig.make(counter=10))[0]


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
GOOD = ["firmware/app", "firmware/app_1", "firmware/boards/x/y", "protocol/a_1"]
BAD = [
    "/firmware/app", "firmware/../app", "firmware//app", "firmware/./app", "../app", "app", "boot", "main",
    "a/firmware/app", "firmware/app.txt", "firmware/app.mpy", "firmware/app/", "firmware/", "firmware",
    "firmware/App", "firmware/a\\b", "firmware/a.b", "firmware/á", "Firmware/app", "link.key",
    "firmware/link.key", "", "firmware/a\0b", "firmware/a\tb",
]  # fmt: skip


def listed(*paths, **given):
    """A signed package that holds CODE under these paths, in this order."""
    contents = CODE * len(paths)
    lines = [f"{path} {i * len(CODE)}" for i, path in enumerate(paths)]
    return rig.sign([*rig.head(contents, **given), *lines], contents)


def test_only_paths_of_a_firmware(device, tmp_path):
    for path in BAD:
        for paths in ((path, "firmware/app"), ("firmware/app", path), sorted(("firmware/app", path))):
            assert "no update" in refused(update, device, listed(*paths), tmp_path), path
    assert "no update" in refused(update, device, listed("firmware/other"), tmp_path)
    assert rig.install(update, device, listed(*GOOD))[0]
    index = starter.read(f"{tmp_path}/a.pkg")[2]
    assert index == b"\nfirmware/app 0\nfirmware/app_1 9\nfirmware/boards/x/y 18\nprotocol/a_1 27\n"


def test_the_order_of_paths_keeps_them_apart(device, tmp_path):
    for paths in (("firmware/b", "firmware/app"), ("firmware/app", "firmware/app")):
        assert "no update" in refused(update, device, listed(*paths), tmp_path)


def test_what_is_signed_and_makes_no_sense_is_refused(device, tmp_path):
    good = "firmware/app 0"
    digest = hashlib.sha256(CODE).hexdigest()
    wrong = [
        [*rig.head(CODE, purpose="quantrac update 2"), good],
        [*rig.head(CODE, ports=""), good],
        [*rig.head(CODE, version=""), good],
        [*rig.head(CODE, version="x" * 33), good],
        *[
            [*rig.head(CODE, **{name: number}), good]
            for name in ("counter", "created_ms", "expires_ms")
            for number in ("", "-1", "5.0", "+5", "05", " 5", "5 ", "0x5", "5_0", "five", 2**53, "5\0", "٥")
        ],
        [*rig.head(CODE, counter=0), good],
        *[
            [*rig.head(CODE, contents=contents), good]
            for contents in ("", digest, f"9 {digest[:-1]}", f"9 {digest} ", f"9  {digest}", f"09 {digest}")
        ],
        rig.head(CODE),
        rig.head(CODE)[:-1],
        [*rig.head(CODE)[:-1], good],
        *[[*rig.head(CODE), f"firmware/app{at}"] for at in ("", " ", " 1", " -1", " 00", "  0", " 0 ", " 9")],
        [*rig.head(CODE), "firmware/app 0", "firmware/b 0"],
        [*rig.head(CODE), "firmware/app 0", "firmware/b 9"],
        [*rig.head(CODE), "firmware/app 0", "firmware/b 5", "firmware/c 5"],
        [*rig.head(CODE), good, ""],
        [*rig.head(CODE), "", good],
        [*rig.head(CODE), good, b"\xff"],
        [b"\xff"],
        [b"\n" * 50],
        [b"\0" * 8000],
        [""],
    ]
    for lines in wrong:
        text = refused(update, device, rig.sign(lines, CODE), tmp_path)
        assert "signature" not in text, (lines, text)
    # signed without the line feed at the end
    manifest = "\n".join(map(str, [*rig.head(CODE), good])).encode()
    key = serialization.load_pem_private_key(rig.key(0), None)
    signature = key.sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    data = package.MAGIC + len(manifest).to_bytes(2, "big") + manifest + signature + CODE
    assert "no update" in refused(update, device, data, tmp_path)
    assert rig.install(update, device, rig.sign([*rig.head(CODE), good], CODE))[0]


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


def test_nothing_is_written_while_a_bus_is_busy_and_other_tasks_run(device, tmp_path):
    arbiter = Arbiter()
    seen = []

    async def main():
        device.replace("stage", rig.make())
        await arbiter.bus()
        work = asyncio.create_task(update.install(device, rig.PORT, rig.T, arbiter))
        for _ in range(500):
            await asyncio.sleep(0)
            seen.append(work.done())
        assert not any(seen) and not (tmp_path / "a.pkg").exists() and not (tmp_path / "slot").exists()
        arbiter.done()
        return await work

    assert asyncio.run(main())[0]
    device.remove("slot")
    total, writes = slices(device, rig.make(counter=6))
    assert writes == 2 and total > 20


def overwritten(module, device, tmp_path, at):
    """The staged file is changed in place, at `at` from its end, in the middle of its being checked."""

    def change(step):
        if step == 18:  # after the signature
            with open(tmp_path / "stage", "r+b") as file:
                file.seek(-at, 2)
                file.write(b"?")

    data = rig.make({"firmware/app.mpy": bytes(range(251)) * 300})
    with pytest.raises(update.ConfigError, match="not what was signed"):
        slices(device, data, module, change)
    assert not (tmp_path / "slot").exists()


def test_a_package_that_changes_while_it_is_checked(device, tmp_path):
    overwritten(update, device, tmp_path, 3)


def test_flash_that_loses_what_was_checked_is_noticed_at_the_start(device, tmp_path):
    """What wears out after it was checked never starts: starter.py looks again, at every start."""
    data = rig.make()
    rig.install(update, device, data)
    assert starter.read(f"{tmp_path}/a.pkg")
    for at in (0, 9, 50, len(data) // 2, len(data) - 1):
        (tmp_path / "a.pkg").write_bytes(data[:at] + bytes((data[at] ^ 4,)) + data[at + 1 :])
        whole = starter.read(f"{tmp_path}/a.pkg")
        assert whole is None or at == 50  # there the manifest names the boards


@pytest.mark.parametrize("step", ["rename", "replace"])
def test_full_flash_is_a_sentence_and_the_running_slot_stays(device, tmp_path, running, monkeypatch, step):
    rig.install(update, device, rig.make(counter=1))
    running("a")
    trial.confirm(device)
    before = (tmp_path / "a.pkg").read_bytes(), device.read("slot")

    def full(*_):
        raise OSError(28, "ENOSPC")

    with monkeypatch.context() as worn:
        worn.setattr(device, step, full)
        ok, text, version = rig.install(update, device, rig.make(counter=2))
    assert not ok and "flash failed" in text and version == "0.2.0"
    assert ((tmp_path / "a.pkg").read_bytes(), device.read("slot")) == before
    assert starter.choose(f"{tmp_path}/") == "a"
    assert rig.install(update, device, rig.make(counter=2))[0]


def test_both_ends_have_the_same_format():
    for name in ("MAGIC", "PURPOSE"):
        assert getattr(update, name) == getattr(package, name)
    assert (update._MANIFEST_MAX, update._SIGNATURE, update._COUNTER_MAX) == (
        package.MANIFEST_BYTES_MAX,
        package.SIGNATURE_BYTES,
        package.COUNTER_MAX,
    )
    assert RESERVE >= package.PACKAGE_BYTES_MAX + change._SPARE
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
    careless = rig.broken(
        "update", ("    if binascii.hexlify(sha.digest()).decode() != digest:", "    if 0:")
    )
    with pytest.raises(AssertionError):
        mix_and_match(careless, device, tmp_path)
    device = rig.device(tmp_path / "again")
    with pytest.raises(pytest.fail.Exception):
        overwritten(careless, device, tmp_path / "again", 3)


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
    cases += [listed("firmware/app", path) for path in BAD]
    cases += [rig.sign([*rig.head(CODE, counter=n), "firmware/app 0"], CODE) for n in ("", "05", "+5", 2**53)]
    cases += [
        rig.sign([*rig.head(CODE), "firmware/app 0", line], CODE) for line in ("", "x", "x 1 2", b"\xff")
    ]
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
    assert (other / "a.pkg").read_bytes() == (tmp_path / "a.pkg").read_bytes()
    assert trial.load(Files(str(other)), "slot") == trial.load(device, "slot")
    with capsys.disabled():
        print(f"\nMicroPython unix port: {figures}; RSA-3072 on an RP2040 about 190 times as long")


@pytest.mark.parametrize("port", package.PORTS)
def test_a_package_of_the_whole_firmware_fits(tmp_path, device, port, capsys):
    built = tmp_path / "built"
    bytecode.build(built, port=port)
    data = rig.make(built, ports=[port])
    with capsys.disabled():
        print(f"\n{port}: {len(data):,} bytes, of which {int.from_bytes(data[8:10], 'big'):,} list", end="")
    assert rig.install(update, device, data, port=port)[0]
    assert (tmp_path / "a.pkg").read_bytes() == data
