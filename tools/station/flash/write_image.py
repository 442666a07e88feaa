"""An image of MicroPython comes onto a board: by the drive that its UF2 boot loader shows, or by esptool.

Rule 1: the drive has to say itself what board it is (INFO_UF2.TXT), and it has to be the image's.
Rule 2: esptool finds out the chip, compares what it wrote, and erases nothing that it was not told to.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.people import Failure, UsageError
from tools.station.flash.images import Image
from tools.station.voice import harmless

INFO = "INFO_UF2.TXT"
BOARD_IDS = {"RPI-RP2": "RP2040", "RP2350": "RP2350"}
"""What the boot loaders in ROM call themselves in INFO_UF2.TXT."""
PLACES = ("/media", "/run/media", "/mnt", "/Volumes")
DRIVE_S = 45.0
PAUSE_S = 0.5
PIECE_BYTES = 65_536
ESPTOOL_BAUD = 460_800
BY_HAND = (
    "hold the button BOOTSEL down while you plug the cable in, let it go, and say the same again. Where "
    "no drive appears on this machine by itself, mount it and name it with --drive."
)


# UF2


def drives() -> list[Path]:
    """Drives of UF2 boot loaders that are mounted."""
    found = {
        path for place in PLACES for depth in ("*", "*/*") for path in Path(place).glob(f"{depth}/{INFO}")
    }
    try:
        mounted = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        mounted = []
    for line in mounted:
        place = line.split(" ")[1].encode().decode("unicode_escape")
        if (Path(place) / INFO).is_file():
            found.add(Path(place) / INFO)
    return sorted(path.parent for path in found)


def chip_of_drive(drive: Path) -> str:
    """The chip whose boot loader shows this drive. UsageError when it is none of ours."""
    try:
        text = (drive / INFO).read_text(encoding="ascii", errors="replace")
    except OSError:
        raise UsageError(
            f"{drive} is no drive of a boot loader: it holds no {INFO}. To get one, {BY_HAND}"
        ) from None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Board-ID":
            if value.strip() in BOARD_IDS:
                return BOARD_IDS[value.strip()]
            raise UsageError(f"{drive} is of a board {harmless(value.strip())}, which is none of ours.")
    raise UsageError(f"{drive}/{INFO} does not say which board it is (Board-ID).")


def find_drive(image: Image, named: Path | None, seconds: float = DRIVE_S) -> Path:
    """The drive to copy to, once it is there. Failure with what to do by hand when none appears."""
    end = time.monotonic() + seconds
    while True:
        found = [named] if named is not None and (named / INFO).is_file() else [] if named else drives()
        if len(found) > 1:
            raise UsageError(
                f"Several boards are in their boot loader: name one with --drive ({found[0]}, ...)."
            )
        if found:
            chip = chip_of_drive(found[0])
            if chip != image.chip:
                raise UsageError(
                    f"{found[0]} is an {chip}, and {image.path} is for {image.chip}: nothing was written."
                )
            return found[0]
        if time.monotonic() > end:
            where = f" at {named}" if named else ""
            raise Failure(f"No drive of a boot loader appeared{where}: {BY_HAND}")
        time.sleep(PAUSE_S)


def copy_uf2(image: Image, drive: Path, progress: Callable[[float], None]) -> None:
    """Copy it, and wait until it is on the drive. Failure when it is not wholly there."""
    done = 0
    try:
        with (drive / image.path.name).open("wb") as file:
            while done < len(image.data):
                file.write(image.data[done : done + PIECE_BYTES])
                file.flush()
                done = min(done + PIECE_BYTES, len(image.data))
                progress(done)
            os.fsync(file.fileno())
    except OSError as error:
        # The board starts as soon as it has its last block, and takes its drive away.
        if done < len(image.data) or (drive / INFO).exists():
            raise Failure(
                f"The image could not be copied to {drive} ({error.strerror}). The board waits in its boot "
                "loader: say the same again."
            ) from error


# ESP


def esptool_commands(image: Image, port: str, erase: bool) -> list[list[str]]:
    """The lines to run, without the interpreter in front."""
    chip = image.chip.lower().replace("-", "")
    common = ["esptool", "--chip", chip, "--port", port, "--baud", str(ESPTOOL_BAUD)]
    place = [f"0x{image.offset:x}", str(image.path)]
    erased = [[*common, "erase-flash"]] if erase else []
    return [*erased, [*common, "write-flash", *place], [*common, "verify-flash", *place]]


def check_esptool() -> None:
    """UsageError when it is not installed."""
    if importlib.util.find_spec("esptool") is None:
        raise UsageError(
            "esptool is not installed, which writes images of an ESP32: run `make station` once."
        )


def run_esptool(command: list[str]) -> None:
    """Failure with what it said last, and what to do by hand."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
        check=False,
    )
    if done.returncode:
        what = next(word for word in command if word.endswith("-flash"))
        lines = [
            line.strip(" \t\u2502") for line in done.stdout.splitlines()
        ]  # errors of words come in a box
        said = [line for line in lines if re.search(r"\w", line)] or ["it says nothing."]
        fatal = next((line for line in reversed(said) if "fatal error" in line), said[-1])
        fatal = harmless(fatal.partition("occurred: ")[2] or fatal)
        raise Failure(
            f"esptool {what} failed: {fatal} Hold the button BOOT down while you press RESET (or plug the "
            "cable in), and say the same again."
        )
