"""`quantrac station backup`: a station's folder, and what its device says of itself, in one archive.

Rule 1: the folder is read, never changed, but for the record that says where its backup is.
Rule 2: what the device says is asked for before anything is written: calibrations that it got by command are
        known to nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.journal import durable
from gateway.zone import GMT7
from protocol.messages import Hello
from tools.people import Failure, UsageError
from tools.station.access import Access, station_at
from tools.station.archive import Archive, collect, packed
from tools.station.folder import BACKUPS, KEY
from tools.station.steady import GREETING_S
from tools.station.voice import Voice, harmless, whoever


def run_backup(access: Access, out: Path | None, with_key: bool, as_json: bool) -> int:
    """Make the archive, and the record of it. 0; Failure and UsageError with what to do."""
    folder = access.folder()
    id = folder.id
    path = out or folder.path / BACKUPS / f"{id}-{datetime.now(GMT7):%Y%m%d-%H%M%S}.zip"
    if path.exists():
        raise UsageError(f"{path} is there already: name another file with --out.")
    if access.port:
        Voice(as_json).hint(f"Waiting for {id} on {access.port} ...")
    said = asyncio.run(ask(access, id)) if access.port else None
    by = whoever(access.by)
    files, photos, left_out = collect(folder.path, with_key)
    archive = Archive(id, time.time_ns() // 1_000_000, by, files, photos, said)
    data = packed(archive)
    if out is None:
        durable.make_folder(path.parent)
    durable.replace(path, data, 0o600 if archive.secret else 0o644)
    inside = path.resolve().is_relative_to(folder.path.resolve())
    name = path.resolve().relative_to(folder.path.resolve()).as_posix() if inside else str(path.resolve())
    made = folder.record("backed-up", by, file=name, sha256=hashlib.sha256(data).hexdigest())
    if as_json:
        facts = {
            "file": str(path),
            "sha256": made["sha256"],
            "files": sorted(files),
            "asked": said is not None,
        }
        print(json.dumps({**facts, "left_out": left_out, "with_key": with_key}, ensure_ascii=False))
    else:
        _tell(Voice(), path, archive, len(data), left_out)
    return 0


async def ask(access: Access, id: str) -> dict[str, Any]:
    """What the device says of itself, as JSON has it. Failure when it does not answer, UsageError when it is
    another one."""
    try:
        async with station_at(access, GREETING_S) as (link, station):
            if station.id != id:
                raise UsageError(
                    f"{harmless(station.id)} answers on {access.port}, and the folder is of {id}."
                )
            result = await link.command("status")
            return {
                "asked_ms": time.time_ns() // 1_000_000,
                "hello": told(station.hello),
                "status": _plain(result.data) if result.ok else None,
            }
    except Failure as failure:
        raise Failure(f"{failure} Nothing was written; without --port the folder alone is kept.") from None


def told(hello: Hello) -> dict[str, Any]:
    """A greeting as JSON has it: what is restored of it are the calibrations."""
    return {
        "device": hello.device,
        "firmware": hello.firmware,
        "boot": hello.boot,
        "configuration": hello.config_hash.hex(),
        "reset": hello.reset,
        "store": [hello.store_boot, hello.store_seq],
        "channels": [
            {
                "name": name,
                "interval_ms": interval_ms,
                "calibration": number,
                "points": [list(point) for point in points],
            }
            for name, interval_ms, number, points in hello.channels
        ],
    }


def _plain(data: Any) -> Any:
    if isinstance(data, bytes):
        return data.hex()
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    return data


def _tell(voice: Voice, path: Path, archive: Archive, size: int, left_out: list[str]) -> None:
    voice.say(f"{path}: {len(archive.files)} files of {archive.id}, {size:,} bytes.")
    if archive.said is None:
        voice.say(
            "The device was not asked: calibrations that were written to it since are not in it. With --port "
            "they are."
        )
    else:
        if safe := (archive.said["status"] or {}).get("safe"):
            voice.say(f"The device is in SAFE MODE, and may not have told its calibrations: {harmless(safe)}")
        for row in archive.said["hello"]["channels"]:
            points = ", ".join(
                f"{_clean(raw, 0, row)} -> {_clean(value, 1, row)}" for raw, value in row["points"]
            )
            told = f"calibration {row['calibration']}" if row["calibration"] else "not calibrated"
            voice.say(f"{row['name']}: {told}{f', {points}' if points else ''}", "  ")
    if archive.photos:
        voice.say(f"Of {len(archive.photos)} photographs only the hashes are in it: keep the files, too.")
    if KEY in archive.files:
        voice.say(
            "The LINK KEY is in it: whoever has this file can speak as the station. Only you can read it."
        )
    else:
        voice.say(
            "The link key is not in it: a replacement needs the gateway's copy of it, or --with-key here."
        )
    if archive.secret and KEY not in archive.files:
        voice.say("A network's password is in it: only you can read the file.")
    for name in left_out:
        if not name.endswith(KEY):
            voice.say(f"{name} is secret and was left out.")


def _clean(number: float, at: int, row: dict[str, Any]) -> str:
    """An end of a calibration; what is less than a billionth of its span is the arithmetic's own, and 0."""
    numbers = [point[at] for point in row["points"]]
    return f"{0.0 if abs(number) < 1e-9 * (max(numbers) - min(numbers)) else number:g}"
