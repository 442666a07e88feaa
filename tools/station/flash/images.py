"""Images of MicroPython: what they are for, whether they are whole, which version is in them.

UF2 (its specification: github.com/microsoft/uf2): blocks of 512 bytes, each with three magic numbers, its
number, how many there are, and the family of processors it is for. ESP: the boot loader's image and, 0x10000
from the start of flash, the application, each with its chip, a check sum and mostly a SHA-256 behind it
(Espressif, "Firmware Image Format" of esptool).

Rule 1: an image is refused here, before anything is written, when it is cut short, changed, or for another
        kind of processor.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from tools.people import UsageError

UF2_BLOCK = 512
UF2_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
UF2_HAS_FAMILY, UF2_PAYLOAD_MAX = 0x2000, 476
UF2_FAMILIES = {
    0xE48BFF56: "RP2040",
    0xE48BFF59: "RP2350",  # its ARM cores, secure: what MicroPython's images are
    0xE48BFF5A: "RP2350 (RISC-V)",
    0xE48BFF5B: "RP2350 (ARM, not secure)",
    0xE48BFF58: "RP2xxx data",
    0xBFDD4EEE: "ESP32-S2",
    0xC47E5767: "ESP32-S3",
    0xADA52840: "nRF52840",
    0x68ED2B88: "SAMD21",
    0x55114460: "SAMD51",
    0x57755A57: "STM32F4",
}
UF2_ABSOLUTE = 0xE48BFF57  # a block in front, which works round an erratum of the RP2350
RP2_CHIPS = ("RP2040", "RP2350")

ESP_MAGIC = 0xE9
ESP_CHIPS = {  # number in the image's header: (name, where the boot loader begins on flash)
    0: ("ESP32", 0x1000),
    2: ("ESP32-S2", 0x1000),
    5: ("ESP32-C3", 0),
    9: ("ESP32-S3", 0),
    12: ("ESP32-C2", 0),
    13: ("ESP32-C6", 0),
    16: ("ESP32-H2", 0),
    18: ("ESP32-P4", 0x2000),
}
ESP_APP, ESP_PARTITIONS, ESP_PARTITIONS_MAGIC = 0x10000, 0x8000, b"\xaa\x50"
ESP_HEADER, ESP_SEGMENT = 24, 8
ESP_CHECKSUM = 0xEF
BANNER = re.compile(rb"MicroPython (v(\d+)\.(\d+)[\w.+-]*) on (\d{4}-\d\d-\d\d)")


@dataclass(frozen=True)
class Image:
    """A whole image. `banner` is how its MicroPython greets, as far as sys.version of a board tells it."""

    path: Path
    kind: str  # "uf2" or "esp"
    chip: str
    banner: str
    version: tuple[int, int]
    data: bytes
    offset: int = 0  # where on flash it begins (ESP)

    @property
    def port(self) -> str:
        """The port of MicroPython, as bytecode.py and packages name it."""
        return "rp2" if self.kind == "uf2" else "esp32"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def is_for(self, machine: str) -> bool:
        """Whether a board that calls itself so runs this build: Pico and Pico W are one chip, two builds."""
        return not machine or machine.encode() in self._contents

    @property
    def _contents(self) -> bytes:
        return _payload(self.data) if self.kind == "uf2" else self.data


def chip_of(machine: str) -> str:
    """ "RP2040" of "Raspberry Pi Pico W with RP2040", "ESP32-S3" of "... with ESP32S3"; "": not known."""
    found = re.search(r"with (RP\d{4}|ESP32)-?([A-Z]\d)?", machine)
    if not found:
        return ""
    return f"{found[1]}-{found[2]}" if found[2] else found[1]


def read_image(path: Path) -> Image:
    """UsageError with what to do when it is no whole image of MicroPython for a board of ours."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name the image with --image.") from error
    if data[:4] == struct.pack("<I", UF2_MAGIC[0]):
        kind, offset = "uf2", 0
        chip = _uf2_chip(path, data)
        contents = _payload(data)
    elif data[:1] == bytes((ESP_MAGIC,)):
        kind = "esp"
        chip, offset = _esp_chip(path, data)
        contents = data
    else:
        raise UsageError(
            f"{path} is no image that a board starts from: take a .uf2 for an RP2040 or RP2350, or a .bin "
            "for an ESP32, from the board's page at micropython.org."
        )
    found = BANNER.search(contents)
    if not found:
        raise UsageError(
            f"There is no MicroPython in {path}: take the image of your board from micropython.org."
        )
    return Image(path, kind, chip, found[0].decode(), (int(found[2]), int(found[3])), data, offset)


# UF2


def _blocks(data: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """(flags, number, of how many, family, payload) of each block whose magic numbers are right."""
    found = []
    for at in range(0, len(data) - UF2_BLOCK + 1, UF2_BLOCK):
        first, second, flags, _, size, number, count, family = struct.unpack_from("<8I", data, at)
        (last,) = struct.unpack_from("<I", data, at + UF2_BLOCK - 4)
        if (first, second, last) != UF2_MAGIC or size > UF2_PAYLOAD_MAX:
            break
        found.append((flags, number, count, family, data[at + 32 : at + 32 + size]))
    return found


def _payload(data: bytes) -> bytes:
    return b"".join(payload for *_, payload in _blocks(data))


def _uf2_chip(path: Path, data: bytes) -> str:
    blocks = _blocks(data)
    if len(blocks) * UF2_BLOCK != len(data):
        raise UsageError(
            f"{path} is damaged or cut short: of its {-(-len(data) // UF2_BLOCK):,} blocks the first "
            f"{len(blocks):,} are right. Copy it again from where it came."
        )
    families = {family if flags & UF2_HAS_FAMILY else 0 for flags, _, _, family, _ in blocks}
    families.discard(UF2_ABSOLUTE)
    names = [UF2_FAMILIES.get(family, f"family 0x{family:08x}") for family in sorted(families)]
    if len(names) != 1 or names[0] not in RP2_CHIPS:
        raise UsageError(
            f"{path} is for {' and '.join(names) or 'nobody'}; our boards take an image for RP2040 or RP2350."
        )
    main = [block for block in blocks if block[3] in families]
    count = main[0][2]
    if [number for _, number, *_ in main] != list(range(count)) or {block[2] for block in main} != {count}:
        raise UsageError(
            f"{path} is cut short: it has {len(main):,} of its {count:,} blocks. Copy it again from where "
            "it came."
        )
    return names[0]


# ESP


def _esp_chip(path: Path, data: bytes) -> tuple[str, int]:
    if len(data) < ESP_HEADER:
        raise UsageError(f"{path} is cut short: copy it again from where it came.")
    (number,) = struct.unpack_from("<H", data, 12)
    if number not in ESP_CHIPS:
        raise UsageError(f"{path} is for a chip of Espressif's that is not known here (number {number}).")
    chip, offset = ESP_CHIPS[number]
    _whole(path, data, 0, "boot loader")
    partitions, app = ESP_PARTITIONS - offset, ESP_APP - offset
    if data[partitions : partitions + 2] != ESP_PARTITIONS_MAGIC or data[app : app + 1] != bytes(
        (ESP_MAGIC,)
    ):
        raise UsageError(
            f"{path} is not a whole image of an {chip}: take the .bin of the board's page, not the one for "
            "updates over the air."
        )
    _whole(path, data, app, "program")
    return chip, offset


def _whole(path: Path, data: bytes, start: int, what: str) -> None:
    """Check sum and SHA-256 of one image within the file. UsageError when it is not as its header says."""
    fault = UsageError(f"{path} is damaged or cut short in its {what}: copy it again from where it came.")
    at, total = start + ESP_HEADER, ESP_CHECKSUM
    try:
        for _ in range(data[start + 1]):
            (size,) = struct.unpack_from("<I", data, at + 4)
            at += ESP_SEGMENT
            if at + size > len(data):
                raise fault
            for byte in data[at : at + size]:
                total ^= byte
            at += size
        end = at + 16 - (at - start) % 16  # the check sum is the last byte of a row of 16
        if data[end - 1] != total:
            raise fault
        hashed = data[start + 23] == 1
    except (IndexError, struct.error):
        raise fault from None
    if hashed and hashlib.sha256(data[start:end]).digest() != data[end : end + 32]:
        raise fault
