"""Which firmware a station runs, by its records: the flashed one, or an update confirmed since. Pure."""

from __future__ import annotations

from typing import Any

from tools.station.sheet import plain
from tools.station.sheet.model import Sheet

MAKE = "quantrac "
FALL_BACK, REPLACED = "fall_back", "replaced"


def version(said: object) -> str:
    """0.2.0: a device greets with the make before it, a package has the number alone."""
    return plain.text(said, 120).removeprefix(MAKE)


def running(sheet: Sheet) -> dict[str, Any]:
    """The record of it: of a flash, or of a confirmed update behind it; {} when there is neither."""
    return next((one for one in reversed(sheet.records) if one["kind"] == "flashed" or _kept(one)), {})


def running_update(sheet: Sheet) -> dict[str, Any]:
    """The update that runs; {} while it is what was flashed."""
    record = running(sheet)
    return record if record.get("kind") == "updated" else {}


def flashed_package(sheet: Sheet) -> str:
    """What the package that was flashed still is: "" while it runs, then FALL_BACK, until an update came into
    its slot."""
    if not running_update(sheet):
        return ""
    flashed = next(at for at in reversed(range(len(sheet.records))) if sheet.records[at]["kind"] == "flashed")
    since = {plain.text(one.get("sha256")) for one in sheet.records[flashed:] if _of_firmware(one)}
    return FALL_BACK if len(since) == 1 else REPLACED


def _of_firmware(record: dict[str, Any]) -> bool:
    return record["kind"] == "updated" and record.get("what", "firmware") == "firmware"


def _kept(record: dict[str, Any]) -> bool:
    """Whether it is of an update of the firmware that the device keeps."""
    return _of_firmware(record) and record.get("confirmed") is True
