"""tools/station/flash, images and write_image: what a file is for, a boot loader's drive, real esptool."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys

import pytest

from tests.tools import flash_rig as rig
from tests.tools.repl_rig import ReplBoard
from tools.people import Failure, UsageError
from tools.station.flash import board, images, reach, write_image
from tools.station.flash.images import Image, chip_of, read_image
from tools.station.flash.run import Flash, FlashOptions, run_flash

RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59
PICO_W = "Raspberry Pi Pico W with RP2040"
BANNER = "MicroPython v1.28.0 on 2026-04-06"
PAYLOAD = 256


def uf2(banner=f"{BANNER}; {PICO_W}", family=RP2040, blocks=9, in_front=None) -> bytes:
    """As elf2uf2 and picotool write it."""
    content = bytes(300) + banner.encode()
    content = content.ljust(blocks * PAYLOAD, b"\x5a")
    parts = [block(0, 2, in_front, b"\xef" * PAYLOAD)] if in_front else []
    for i in range(blocks):
        parts.append(block(i, blocks, family, content[i * PAYLOAD : (i + 1) * PAYLOAD]))
    return b"".join(parts)


def block(number, count, family, payload, flags=0x2000) -> bytes:
    head = struct.pack(
        "<8I",
        0x0A324655,
        0x9E5D5157,
        flags,
        0x10000000 + number * PAYLOAD,
        len(payload),
        number,
        count,
        family,
    )
    return (head + payload).ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30)


def esp_image(chip, segment: bytes) -> bytes:
    """One program in the format of ESP images, with check sum and SHA-256."""
    segment = segment.ljust(-(-len(segment) // 4) * 4, b"\0")
    head = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x40080000)
    head += struct.pack("<BBBBHBHH4xB", 0xEE, 0, 0, 0, chip, 0, 0, 0xFFFF, 1)
    body = head + struct.pack("<II", 0x3FFB0000, len(segment)) + segment
    total = 0xEF
    for byte in segment:
        total ^= byte
    body = body.ljust(len(body) + 15 - len(body) % 16, b"\0") + bytes((total,))
    return body + hashlib.sha256(body).digest()


def esp(chip=9, banner=f"{BANNER}; Generic ESP32S3 module with ESP32S3") -> bytes:
    """A whole image: boot loader, partition table, program."""
    offset = images.ESP_CHIPS[chip][1]
    data = esp_image(chip, b"boot loader" * 9).ljust(0x8000 - offset, b"\xff") + b"\xaa\x50\x01\x02"
    return data.ljust(0x10000 - offset, b"\xff") + esp_image(chip, banner.encode() * 3)


def put(path, data):
    path.write_bytes(data)
    return path


# What a file is for


def test_images_that_are_right(tmp_path):
    image = read_image(put(tmp_path / "pico.uf2", uf2()))
    assert (image.kind, image.port, image.chip, image.banner) == ("uf2", "rp2", "RP2040", BANNER)
    assert image.version == (1, 28) and image.sha256 == rig.sha256(uf2())
    assert image.is_for(PICO_W) and not image.is_for("Raspberry Pi Pico with RP2040")
    pico2 = uf2(family=RP2350, in_front=images.UF2_ABSOLUTE)
    assert read_image(put(tmp_path / "pico2.uf2", pico2)).chip == "RP2350"
    for chip, (name, offset) in images.ESP_CHIPS.items():
        image = read_image(put(tmp_path / "esp.bin", esp(chip)))
        assert (image.kind, image.port, image.chip, image.offset) == ("esp", "esp32", name, offset)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (uf2(family=0xADA52840), "is for nRF52840; our boards take an image for RP2040 or RP2350"),
        (uf2(family=0x12345678), "family 0x12345678"),
        (uf2() + uf2(family=RP2350), "is for RP2040 and RP2350"),
        (uf2()[: 512 * 5], "cut short: it has 5 of its 9 blocks"),
        (uf2()[: 512 * 5 + 77], "of its 6 blocks the first 5 are right"),
        (uf2()[: 512 * 3] + bytes(512) + uf2()[512 * 4 :], "of its 9 blocks the first 3 are right"),
        (uf2()[: 512 * 3] + uf2()[512 * 4 :], "it has 8 of its 9 blocks"),
        (uf2(banner="Adafruit CircuitPython 9.2.0 on 2026-01-01"), "There is no MicroPython in"),
        (b"", "no image that a board starts from"),
        (b"PK\x03\x04" * 99, "no image that a board starts from"),
        (esp()[:0x9000], "not a whole image of an ESP32-S3"),
        (esp()[:-40], "damaged or cut short in its program"),
        (esp()[:-1], "damaged or cut short in its program"),
        (esp()[:40] + b"!" + esp()[41:], "damaged or cut short in its boot loader"),
        (esp()[:-60] + b"!" + esp()[-59:], "damaged or cut short in its program"),
        (esp_image(9, BANNER.encode()), "take the .bin of the board's page, not the one for updates"),
        (esp()[:10], "cut short"),
        (esp()[:12] + b"\x63\x00" + esp()[14:], "a chip of Espressif's that is not known here"),
    ],
)
def test_images_that_are_refused(tmp_path, data, sentence):
    with pytest.raises(UsageError) as caught:
        read_image(put(tmp_path / "image", data))
    assert sentence in str(caught.value)


def test_every_byte_counts(tmp_path):
    """Any one byte of an ESP program that changes is found."""
    data = bytearray(esp())
    for at in range(0x10000, len(data), 7):
        data[at] ^= 0x10
        with pytest.raises(UsageError):
            read_image(put(tmp_path / "image", bytes(data)))
        data[at] ^= 0x10
    read_image(put(tmp_path / "image", bytes(data)))


def test_what_boards_call_themselves():
    for machine, chip in (
        (PICO_W, "RP2040"),
        ("Raspberry Pi Pico 2 W with RP2350", "RP2350"),
        ("Generic ESP32 module with ESP32", "ESP32"),
        ("Generic ESP32S3 module with ESP32S3", "ESP32-S3"),
        ("ESP32C3 module with ESP32C3", "ESP32-C3"),
        ("JS with Emscripten", ""),
    ):
        assert chip_of(machine) == chip


# The drive of a boot loader


def drive(path, board_id="RPI-RP2"):
    path.mkdir()
    (path / "INFO_UF2.TXT").write_text(
        f"UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {board_id}\r\n"
    )
    return path


def test_the_drive(tmp_path, monkeypatch):
    image = read_image(put(tmp_path / "pico.uf2", uf2()))
    monkeypatch.setattr(write_image, "PLACES", (str(tmp_path / "media"),))
    with pytest.raises(Failure, match=r"No drive of a boot loader appeared: hold the button BOOTSEL down"):
        write_image.find_drive(image, None, 0)
    with pytest.raises(Failure, match=r"appeared at .*hold the button BOOTSEL"):
        write_image.find_drive(image, tmp_path, 0)
    (tmp_path / "media/lan").mkdir(parents=True)
    there = drive(tmp_path / "media/lan/RPI-RP2")
    assert write_image.find_drive(image, None, 0) == there
    done = []
    write_image.copy_uf2(image, there, done.append)
    assert (there / "pico.uf2").read_bytes() == image.data and done[-1] == len(image.data)
    drive(tmp_path / "media/RP2350", "RP2350")
    with pytest.raises(UsageError, match="Several boards are in their boot loader"):
        write_image.find_drive(image, None, 0)
    with pytest.raises(UsageError, match=r"is an RP2350, and .*pico\.uf2 is for RP2040: nothing was written"):
        write_image.find_drive(image, tmp_path / "media/RP2350", 0)
    with pytest.raises(UsageError, match="of a board nRF52-Bluefruit"):
        write_image.find_drive(image, drive(tmp_path / "other", "nRF52-Bluefruit"), 0)


def test_a_drive_that_is_full(tmp_path, monkeypatch):
    image = read_image(put(tmp_path / "pico.uf2", uf2()))
    there = drive(tmp_path / "drive")
    (there / "pico.uf2").symlink_to("/dev/full")
    with pytest.raises(Failure, match=r"could not be copied .* \(No space left .* say the same again"):
        write_image.copy_uf2(image, there, lambda done: None)


MACHINE = "import sys\ndef bootloader():\n open('/was-there','w').close()\n sys.exit()\n"


def test_a_board_goes_to_its_boot_loader_and_comes_back(tmp_path, monkeypatch):
    """The prompt is told to, the image is copied, the board is waited for and has to greet with it."""
    monkeypatch.setattr(board, "INTERRUPT_S", 0.05)
    path = rig.folder(tmp_path / "st")
    place = tmp_path / "place"
    place.mkdir()
    (place / "machine.py").write_text(MACHINE)
    there = drive(tmp_path / "drive")
    with ReplBoard() as repl:
        repl.load(place)
        flash = Flash(FlashOptions(path, repl.port, drive=there))
        flash._reach()
        running = flash._there().about.build.partition("; ")[2]
        pico = put(tmp_path / "pico.uf2", uf2())
        flash._bring_image(Image(pico, "uf2", "RP2040", running, (1, 28), pico.read_bytes()))
        assert (there / "pico.uf2").read_bytes() == pico.read_bytes() and "was-there" in repl.files()
        with pytest.raises(Failure, match=r"still greets as .* did not arrive"):
            flash._bring_image(Image(pico, "uf2", "RP2040", BANNER, (1, 28), pico.read_bytes()))
        flash._start_again()

        with pytest.raises(UsageError, match=r"not for a board that calls itself .*: nothing was written"):
            run_flash(FlashOptions(path, repl.port, image=pico, drive=there))
        old = put(tmp_path / "old.uf2", uf2(banner="MicroPython v1.24.1 on 2024-11-29"))
        with pytest.raises(UsageError, match=r"v1\.24\.1 on 2024-11-29; the firmware needs 1.28 or newer"):
            run_flash(FlashOptions(path, repl.port, image=old))
        with pytest.raises(UsageError, match="is for RP2040, not for esp32"):
            run_flash(FlashOptions(path, repl.port, image=pico, board="esp32"))
        assert set(repl.files()) == {"machine.py", "was-there"}


def test_a_bare_board_is_shown_what_comes_first(tmp_path, capsys, monkeypatch):
    """--dry-run where no MicroPython answers: the image with its hash; nothing is written."""
    monkeypatch.setattr(board, "ANSWER_S", 0.2)
    monkeypatch.setattr(reach, "LINK_S", 0.2)
    monkeypatch.setattr(board.SerialTransport, "enter_raw_repl", _no_answer)
    master, slave = os.openpty()
    image = put(tmp_path / "s3.bin", esp())
    options = FlashOptions(rig.folder(tmp_path / "st"), os.ttyname(slave), image=image, dry_run=True)
    assert run_flash(options) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert rig.sha256(image.read_bytes())[:16] in said and f"{BANNER} for ESP32-S3" in said
    assert f"esptool --chip esp32s3 --port {os.ttyname(slave)} --baud 460800 write-flash 0x0" in said
    os.close(master)
    os.close(slave)


def _no_answer(self, soft_reset=True, timeout_overall=10):
    raise board.TransportError("could not enter raw repl")


# esptool


def esptool(*words):
    return subprocess.run(
        [sys.executable, "-m", "esptool", *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("chip", [0, 5, 9])
def test_esptool_reads_what_we_read(tmp_path, chip):
    """The images of these tests are images to Espressif's own tool; what we refuse it finds wrong, too."""
    program = esp_image(chip, BANNER.encode())
    done = esptool("image-info", str(put(tmp_path / "app.bin", program)))
    assert done.returncode == 0 and "(valid)" in done.stdout, done.stdout
    name = images.ESP_CHIPS[chip][0].replace("-", "")
    assert name in done.stdout.replace("-", "").upper()
    done = esptool("image-info", str(put(tmp_path / "bad.bin", program[:-1] + bytes((program[-1] ^ 1,)))))
    assert done.returncode != 0 or "invalid" in done.stdout


def test_the_real_esptool_takes_our_command_lines(tmp_path):
    """Of each one every word: against a line where nobody answers it fails at the connection, not before."""
    image = read_image(put(tmp_path / "s3.bin", esp()))
    master, slave = os.openpty()
    commands = write_image.esptool_commands(image, os.ttyname(slave), True)
    assert [words[-3] if len(words) > 8 else words[-1] for words in commands] == [
        *("erase-flash", "write-flash", "verify-flash")
    ]
    for words in commands:
        words[1:1] = ["--connect-attempts", "1", "--before", "no-reset"]
        with pytest.raises(Failure, match=r"esptool \w+-flash failed: .*[Cc]onnect.* Hold the button BOOT"):
            write_image.run_esptool(words)
    unknown = [*commands[0][:-1], "--nonsense", "verify-flash"]  # control: another sentence
    with pytest.raises(Failure, match="No such option"):
        write_image.run_esptool(unknown)
    os.close(master)
    os.close(slave)


def test_without_esptool(monkeypatch):
    write_image.check_esptool()
    monkeypatch.setattr(write_image.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="run `make station` once"):
        write_image.check_esptool()
