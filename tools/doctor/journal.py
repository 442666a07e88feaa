"""The journal: can it be read, is its tail whole, is its newest checkpoint true, how long will the disk do?

Rule 1: it is opened read-only; the gateway may run. Nothing is written, and no lock is held for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.backup import log_name
from gateway.config import Config
from gateway.errors import JournalError
from gateway.journal import keys
from gateway.journal.checkpoints import LOG_ENTRIES, standing
from gateway.journal.database import check_tail
from gateway.journal.reader import Reader, reading
from gateway.journal.room import DAYS_MIN, FREE_BYTES_MIN, look
from gateway.succession import parse_log_entry
from protocol.merkle import EvidenceError
from tools.doctor.findings import Finding, fault, good, unknown, warning

_PRUNED = "SELECT COUNT(*) * 256 FROM pruned"
"""At the most: blocks of 256 went, with their other entries left where they are."""


def journal_of(config: Config) -> Path:
    return config.gateway.state_dir / "journal.db"


def findings(config: Config, now_ms: int) -> tuple[list[Finding], int | None]:
    """(what was found, when the newest entry arrived)."""
    path = journal_of(config)
    if not path.exists():
        text = f"{path} is not there yet: the gateway makes it when it starts for the first time."
        return [warning("journal", text)], None
    try:
        with reading(path) as reader:
            entries = check_tail(reader._connection)  # pyright: ignore[reportPrivateUsage]
            found = [good("journal", f"It can be read, has {entries} entries, and the newest are whole.")]
            found += _log(reader, config, entries)
            found += _room(reader, config, now_ms)
            return found, reader.newest_ms()
    except JournalError as error:
        return [fault("journal", str(error))], None


def _log(reader: Reader, config: Config, entries: int) -> Iterator[Finding]:
    """The newest checkpoint, and all that was remembered, against the tree of the journal."""
    state_dir = config.gateway.state_dir
    try:
        key = keys.published(state_dir, log_name(config))
        if key is None:
            yield warning("log", f"{state_dir / keys.VKEY_FILE} is not there: nobody can check this log.")
            return
        history = [parse_log_entry(body, index) for index, body in reader.rows(LOG_ENTRIES)]
        stored = reader.checkpoint()
        notes = [] if stored is None else [stored]
        notes += [one.read_bytes() for one in keys.remembered(state_dir)]
        found = standing(key, history, notes, entries, reader.tree().hash_at)
    except (EvidenceError, OSError) as error:
        yield fault("log", f"What was signed cannot be compared with the journal: {error}")
        return
    for apart in found.apart:
        yield fault(
            "log", f"The journal is not what was signed: {apart.why} Look at /healthz for the way on."
        )
    if not found.apart and not notes:
        yield good("log", "Nothing was signed yet.")
    elif not found.apart:
        size = found.latest.split(b"\n")[1].decode("ascii", "replace")
        yield good("log", f"The newest checkpoint, of {size} entries, is true of the journal.")


def _room(reader: Reader, config: Config, now_ms: int) -> Iterator[Finding]:
    days = config.gateway.retention_days
    room = look(reader, now_ms, reader.rows(_PRUNED)[0][0])
    if room.free_bytes < FREE_BYTES_MIN:
        yield fault(
            "space", f"{room.free_bytes >> 20} MiB are left: make room, or nothing can be stored any more."
        )
    if room.fits_days is None:
        yield unknown(
            "space", "There is too little data to tell how long the disk will do: ask again in an hour."
        )
    elif problem := room.problem(days):
        yield (fault if room.fits_days < DAYS_MIN else warning)("space", problem)
    else:
        fits = f"{min(room.fits_days, 36_500):,.0f}"
        yield good("space", f"{fits} days of readings fit at the present rate; {DAYS_MIN} must be kept.")
