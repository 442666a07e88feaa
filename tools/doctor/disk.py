"""The disk of state_dir: how long a flush takes, and whether that can be true; how it is mounted; swap.

Rule 1: only a small file of its own is written, beside the journal, for FLUSH_S_MAX at the most, and removed.
Rule 2: honesty cannot be proved from inside: only that a flush is faster than such a disk can be, or is not
        passed on, is said. What a power cut leaves is shown by a power cut.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from tools.doctor.findings import Finding, fault, good, unknown, warning

FLUSHES = 40
FLUSH_S_MAX = 3.0
BLOCK_BYTES = 4096
SLOW_MS, TOO_SLOW_MS = 500.0, 4000.0
"""A commit is due every few seconds, and windows wait for it."""
CARD_MS_MIN = 0.5
"""A card's or stick's flash takes 1 ms and more to be written; its answer cannot come before that."""
ANY_MS_MIN = 0.01
"""Not even a disk with a cache of its own power answers within this."""
MEMORY = ("tmpfs", "ramfs")
OVERLAY = "overlay"
"""What a Pi with a protected card writes to, and loses; elsewhere a container's disk."""


class Device(NamedTuple):
    """Where a folder lies; "" for what the system does not say."""

    name: str  # "mmcblk0", "sda", "nvme0n1"
    write_cache: str  # of the kernel's queue: "write back" or "write through"
    removable: bool  # a card, or something on USB
    filesystem: str
    options: tuple[str, ...]
    mount: str


def flushes(folder: Path) -> list[float]:
    """How long writing a block and flushing it took, again and again, in ms, ascending. OSError."""
    path = folder / f".doctor-{secrets.token_hex(4)}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        took, block, began = [], b"\0" * BLOCK_BYTES, perf_counter()
        while len(took) < FLUSHES and perf_counter() - began < FLUSH_S_MAX:
            at = perf_counter()
            os.pwrite(handle, block, len(took) * BLOCK_BYTES)
            os.fdatasync(handle)
            took.append((perf_counter() - at) * 1000)
        return sorted(took)
    finally:
        os.unlink(path)
        os.close(handle)


def device_of(folder: Path, root: Path = Path("/")) -> Device:
    """What /proc and /sys below `root` say of the disk that `folder` lies on."""
    number = os.stat(folder).st_dev
    name, cache, removable = "", "", False
    place = root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    if place.exists():
        disk = place.resolve()
        if not (disk / "queue").exists():
            disk = disk.parent  # a partition
        name, cache = disk.name, _read(disk / "queue/write_cache")
        removable = name.startswith("mmcblk") or _read(disk / "removable") == "1" or "/usb" in str(disk)
    mount, filesystem, options = mounted(_read(root / "proc/self/mounts"), folder)
    return Device(name, cache, removable, filesystem, options, mount)


def mounted(mounts: str, folder: Path) -> tuple[str, str, tuple[str, ...]]:
    """(where, file system, options) of the mount that `folder` lies in, by the text of /proc/mounts."""
    found: tuple[str, str, tuple[str, ...]] = ("", "", ())
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) >= 4:
            place = fields[1].replace("\\040", " ")
            if folder.absolute().is_relative_to(place) and len(place) >= len(found[0]):
                found = (place, fields[2], tuple(fields[3].split(",")))
    return found


def judged(took: Sequence[float], device: Device) -> Iterator[Finding]:
    """What these times (ms, ascending) on this device mean."""
    middle, slow, most = took[len(took) // 2], took[len(took) * 95 // 100], took[-1]
    text = f"a flush takes {_ms(middle)}, at worst {_ms(most)} of {len(took)}"
    if slow > TOO_SLOW_MS:
        yield fault("disk", f"The disk is too slow: {text}. Put another card in, of class A2 or better.")
    elif slow > SLOW_MS:
        yield warning("disk", f"The disk is slow: {text}. It may be worn: plan to change it.")
    elif middle < ANY_MS_MIN or (device.removable and middle < CARD_MS_MIN):
        yield warning(
            "disk",
            f"The disk says it is done before it can be: {text}. Either it has a cache that keeps its "
            "power, or it claims to store what it has not: then a power cut may lose acknowledged readings. "
            "Use another card, or a disk with power-loss protection, or give the machine a battery.",
        )
    else:
        yield good("disk", f"{text[0].upper()}{text[1:]}: as a disk does that writes what it confirms.")
    if device.write_cache == "write back":
        yield good("disk", f"{device.name} has a write cache, and the kernel flushes it.")
    elif device.write_cache == "write through" and device.removable:
        yield good("disk", f"{device.name} says it has no write cache: whether that is true, only it knows.")


def mount_findings(device: Device) -> Iterator[Finding]:
    """What the way the disk is mounted means."""
    options, where = device.options, device.mount
    if device.filesystem in MEMORY:
        yield fault(
            "disk", f"state_dir lies in memory ({device.filesystem}): all is gone with the power. Move it."
        )
        return
    if device.filesystem == OVERLAY:
        yield warning("disk", f"{where} is an overlay: is what is written there still there after a restart?")
    if "ro" in options:
        yield fault(
            "disk", f"{where} is mounted read-only: nothing can be stored. Look at dmesg, change the card."
        )
    if "nobarrier" in options or "barrier=0" in options:
        yield fault(
            "disk", f"{where} is mounted without barriers: a flush is not passed on. Remove nobarrier."
        )
    if options and not {"noatime", "relatime"} & set(options):
        yield warning(
            "disk", f"{where} notes each reading of a file: mount it with noatime to spare the card."
        )
    elif "relatime" in options and device.removable:
        yield good(
            "disk", f"{where} is mounted with relatime; noatime in /etc/fstab spares the card a little more."
        )


def swap_findings(swaps: str) -> Iterator[Finding]:
    """By the text of /proc/swaps: swap on a card wears it. zram is memory."""
    names = [line.split()[0] for line in swaps.splitlines()[1:] if line.split()]
    for name in names:
        if "zram" not in name:
            yield warning(
                "disk",
                f"{name} is swap on the disk, which wears a card: systemctl disable --now dphys-swapfile.",
            )


def look(folder: Path, root: Path = Path("/")) -> list[Finding]:
    """All of it, for state_dir."""
    device = device_of(folder, root)
    found = [*mount_findings(device), *swap_findings(_read(root / "proc/swaps"))]
    try:
        found += judged(flushes(folder), device)
    except OSError as error:
        found.append(
            unknown("disk", f"Nothing can be written into {folder} ({error.strerror}): as another user?")
        )
    return found


def _ms(ms: float) -> str:
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.2g} ms"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
