"""What the demo may claim at its end, counted from what is on disk and not from anybody's counters.

Every frame in the journal is opened again with the device's key, every sequence number is looked at once;
every file that the department holds is set against the windows that the journal has closed.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gateway.journal import kinds
from gateway.journal.checkpoints import LOG_ENTRIES
from gateway.journal.database import connect_to_read
from gateway.journal.packed import stored_body
from gateway.succession import parse_log_entry
from protocol import messages
from protocol.cose import Mac0
from protocol.merkle import EvidenceError
from protocol.note import parse, parse_vkey, verify
from protocol.session import span
from tools.people import Failure


@dataclass
class JournalCount:
    """Readings and windows in a journal."""

    held: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    """(source, boot) -> sequence numbers of its records."""
    readings: int = 0
    duplicated: int = 0
    last_ms: int | None = None
    windows: int = 0
    last_window_ms: int | None = None


def count_journal(path: Path, device: str, link_key: bytes, only: str = "") -> JournalCount:
    """Read the journal at `path` from its first entry to its last; `only` names the one source to be read.

    Failure when it is no journal; AuthError for a frame that the device did not make.
    """
    count = JournalCount()
    if not path.exists():
        return count
    mac = Mac0(device, link_key)
    try:
        connection = connect_to_read(path)
    except sqlite3.Error as error:
        raise Failure(f"The journal {path} cannot be read: {error}.") from error
    try:
        rows = connection.execute(
            "SELECT entry.kind, source.name, body, last_ms FROM entry JOIN source ON source.id = entry.source"
            " WHERE kind IN (?, ?) AND ? IN ('', source.name) ORDER BY idx",
            (kinds.FRAME, kinds.POLL, only),
        )
        for kind, source, body, last_ms in rows:
            body = stored_body(kind, body)
            message = messages.decode(mac.open(body) if kind == kinds.FRAME else body)
            if isinstance(message, messages.Readings):
                count.readings += len(message.rows)
            elif isinstance(message, messages.Summary):  # each row stands for so many readings
                count.readings += sum(row[4] for row in message.rows)
            if names := span(message):
                boot, first, last = names
                _add(count, (source, boot), range(first, last + 1))
            if last_ms is not None:
                count.last_ms = max(count.last_ms or 0, last_ms)
        count.windows, count.last_window_ms = connection.execute(
            "SELECT count(DISTINCT start_ms), max(end_ms) FROM window"
        ).fetchone()
    finally:
        connection.close()
    return count


def _add(count: JournalCount, key: tuple[str, int], sequence: range) -> None:
    held = count.held.setdefault(key, set())
    before = len(held)
    held.update(sequence)
    count.duplicated += len(sequence) - (len(held) - before)


def missing_records(count: JournalCount, source: str, acknowledged: dict[int, int]) -> int:
    """Records that a device was told are on disk and that are not.

    acknowledged: boot -> highest sequence number acknowledged to the device in that boot.
    """
    return sum(
        len(set(range(1, last + 1)) - count.held.get((source, boot), set()))
        for boot, last in acknowledged.items()
    )


def count_checkpoints(journal: Path, log_vkey: Path, witness_vkey: Path) -> tuple[int, int]:
    """(checkpoints in the journal, how many of them the witness has cosigned), every signature verified.

    EvidenceError for one that the log's key has not signed, or whose cosignature does not hold.
    """
    if not log_vkey.exists():
        return 0, 0
    log, witness = (parse_vkey(path.read_text(encoding="utf-8").strip()) for path in (log_vkey, witness_vkey))
    connection = connect_to_read(journal)
    try:
        notes = [parse(note) for (note,) in connection.execute("SELECT note FROM checkpoint")]
        told = [parse_log_entry(body, idx) for idx, body in connection.execute(LOG_ENTRIES)]
    finally:
        connection.close()
    logs = {log, *(key for entry in told for key in (entry.old_key, entry.new_key))}
    signers = [[verifier for verifier, _ in verify(note, (*logs, witness))] for note in notes]
    if any(logs.isdisjoint(signed) for signed in signers):
        raise EvidenceError(f"a checkpoint in {journal} is not signed by {log_vkey}")
    return len(signers), sum(witness in signed for signed in signers)


@dataclass
class FileCount:
    """Provincial files: what should be there and what is."""

    expected: int
    delivered: int
    missing: list[str]
    doubled: list[str]


def count_files(journal: Path, destination: str, province: Path, ledger: list[str]) -> FileCount:
    """Set the department's folder against the journal's outbox.

    ledger: the final names in the order in which the department's server saw them appear.
    """
    connection = connect_to_read(journal)
    try:
        names = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM outbox WHERE destination = ? AND kind = 'windows'", (destination,)
            )
        }
    finally:
        connection.close()
    present = Counter(path.name for path in province.rglob("*.txt"))
    doubled = {name for seen in (Counter(ledger), present) for name, times in seen.items() if times > 1}
    return FileCount(
        expected=len(names),
        delivered=sum(1 for name in names if name in present),
        missing=sorted(names - set(present)),
        doubled=sorted(doubled),
    )
