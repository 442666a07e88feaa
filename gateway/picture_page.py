"""What /api/v1/pictures and /api/v1/picture/<sha256> show, from the journal and state_dir/pictures.

    {"station": "LCa/DEMO/NUO001", "from": t, "to": t, "pictures": [{"t", "camera", "sha256", "bytes", "why",
     "about": [alert, ...], "entry", "there"}, ...]}

Rule 1: pictures taken within from <= t < to, the newest first; the newest day where no times are given;
        `there` is false for one that is kept no more (keep_days). `entry` is what its receipt is asked for
        by.
Rule 2: LISTED_MAX at the most, and the journal is read between the moments that are asked for only.
Times are RFC 3339 in GMT+7.
"""

from __future__ import annotations

import asyncio

import msgspec

from gateway import pictures
from gateway.camera.picture import parse
from gateway.camera.store import place
from gateway.config_model import Config
from gateway.errors import NotThere
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.reports.message import rfc3339
from gateway.zone import DAY_MS

LISTED_MAX = 2000
AROUND_MS = 600_000
"""An entry follows its picture; a clock that was set back may make it seem to come before."""
_ARRIVED = "SELECT arrived_ms FROM entry WHERE idx >= ? ORDER BY idx LIMIT 1"


class PicturePage:
    """`ask_list`, `ask_one` and `keep` for gateway/web/pictures.py."""

    def __init__(self, config: Config, journal: Journal):
        self._config = config
        self._journal = journal
        self._state_dir = config.gateway.state_dir

    async def ask_list(self, from_ms: int | None, to_ms: int | None, camera: str | None) -> bytes:
        """ValueError: these are too many; JournalError."""
        if to_ms is None:
            newest_ms = await self._journal.read(lambda reader: reader.newest_ms()) + 1
            to_ms = newest_ms if from_ms is None else max(newest_ms, from_ms + 1)
        from_ms = to_ms - DAY_MS if from_ms is None else from_ms
        rows = await self._journal.read(self._rows, from_ms, to_ms, camera)
        station = self._config.station
        head = {
            "station": f"{station.province}/{station.facility}/{station.code}",
            "from": rfc3339(from_ms), "to": rfc3339(to_ms), "pictures": rows,
        }  # fmt: skip
        return msgspec.json.encode(head)

    def _rows(self, reader: Reader, from_ms: int, to_ms: int, camera: str | None) -> list[dict[str, object]]:
        first, last = (_entry_at(reader, at) for at in (from_ms - AROUND_MS, to_ms + AROUND_MS))
        found: list[dict[str, object]] = []
        for entry in reader.entries(first, last, (EVENT,)):
            taken = parse(entry.body or b"")
            if taken is None or not from_ms <= taken.t_ms < to_ms or camera not in (None, taken.camera):
                continue
            if len(found) >= LISTED_MAX:
                raise ValueError(f"These are more than {LISTED_MAX} pictures: ask for a shorter time.")
            digest = taken.digest.hex()
            found.append(
                {
                    "t": rfc3339(taken.t_ms), "camera": taken.camera, "sha256": digest,
                    "bytes": taken.bytes, "why": taken.why, "about": taken.about, "entry": entry.idx,
                    "there": place(self._state_dir, taken.camera, taken.t_ms, digest).is_file(),
                }
            )  # fmt: skip
        return found[::-1]

    async def keep(self, data: bytes) -> str:
        """Keep the photo of a calibration; its SHA-256. NoPicture, OSError."""
        return await asyncio.to_thread(pictures.keep, self._state_dir, data)

    async def ask_one(self, digest: str) -> tuple[str, bytes]:
        """(media type, bytes). NotThere."""
        found = await asyncio.to_thread(self._one, digest)
        if found is None:
            raise NotThere("There is no picture with this hash here; cameras' pictures are kept for a time.")
        return found

    def _one(self, digest: str) -> tuple[str, bytes] | None:
        path = pictures.find(self._state_dir, digest)
        data = None if path is None else pictures.read(path)
        return None if path is None or data is None else (pictures.MEDIA[path.suffix], data)


def _entry_at(reader: Reader, at_ms: int) -> int:
    """The first entry that arrived at this moment or later, where arrival times rise."""
    low, high = 0, reader.size()
    while low < high:
        middle = (low + high) // 2
        rows = reader.rows(_ARRIVED, middle)
        if rows and rows[0][0] < at_ms:
            low = middle + 1
        else:
            high = middle
    return low
