"""`quantrac rebuild`: windows and documents made once more from the journal, and held against what is stored.

Rule 1: reads only; the gateway may run meanwhile. The whole comparison is of one moment of the journal.
Rule 2: compared, byte for byte: each entry with its hash, the root with every checkpoint, rows with the
        entries before them, the window table with the rows, the outbox's documents with the rows, the
        checkpoints and the events, calibrations with the greetings that bring them. Not hours and alerts:
        what they are written with (labels, decimals) may have been configured otherwise at the time.
Rule 3: what retention has pruned cannot be made again: windows are compared from where all entries are there.
        The hashes that were kept are held against the nodes and checkpoints like all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from gateway import config as configuration
from gateway.errors import JournalError
from gateway.feed_entries import KINDS, event_of
from gateway.ingest.calibrations import Check
from gateway.journal.bodies import event
from gateway.journal.checkpoints import origin
from gateway.journal.kinds import EVENT, FRAME, POLL, WINDOW
from gateway.journal.leaf import Leaf
from gateway.journal.reader import Reader, Stored, Whole, reading
from gateway.journal.retention import PRUNED
from gateway.reports import message
from gateway.reports.layout import named_after, stamp
from gateway.reports.message import rfc3339
from gateway.verify_files import Codes, codes_of, compare, rendered
from gateway.verify_replay import EVER_MS, Replay
from gateway.verify_windows import Group, Recomputation
from gateway.windows import Window, parse_body
from protocol import checkpoint, note
from protocol.merkle import HASH_BYTES, TILE_LEVELS, EvidenceError, Frontier, leaf_hash
from tools.log.progress import Bar
from tools.people import Failure

_CHECKPOINTS = "SELECT size, note FROM checkpoint ORDER BY size"
_CHECKPOINT = "SELECT at_ms, note FROM checkpoint WHERE size = ?"
_SIDE = "SELECT destination, key, name, body FROM outbox WHERE kind = 'checkpoints' ORDER BY id"
_EVENTS = "SELECT destination, key, body FROM outbox WHERE kind = 'events' ORDER BY id"
_DOCUMENT = "SELECT name, body FROM outbox WHERE destination = ? AND key = ?"
_DOCUMENTS = "SELECT destination, key FROM outbox WHERE kind = 'windows' AND key LIKE 'window/%' ORDER BY id"
_ROWLESS = f"SELECT idx FROM window LEFT JOIN entry USING (idx) WHERE kind IS NOT {WINDOW} LIMIT 1"
_HOLDING = (
    "SELECT idx FROM entry JOIN source ON source.id = source WHERE idx >= ? AND idx <= ? AND name = ? "
    f"AND first_ms IS NOT NULL AND kind IN ({FRAME}, {POLL}, {EVENT})"
)


class Rebuilt(NamedTuple):
    """What was compared."""

    entries: int
    pruned: int  # of them, whose hashes alone are left
    checkpoints: int
    from_ms: int | None  # start of the first window that was compared
    windows: int
    revisions: int
    rows: int
    documents: int  # of windows
    calibrations: int
    sent: int  # documents with a checkpoint
    events: int  # documents with an event


def rebuild(config_path: Path) -> Rebuilt:
    """Raises EvidenceError that names the first difference; Failure, JournalError, ConfigFaults."""
    config = configuration.load(config_path)
    path = config.gateway.state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    station = config.station
    codes = codes_of(origin(station.province, station.facility, station.code))
    with reading(path) as reader:
        reader.rows("BEGIN")
        return _Rebuild(reader, codes).run()


class _Rebuild:
    def __init__(self, reader: Reader, codes: Codes):
        self._reader, self._codes = reader, codes
        self._destinations = [id for (id,) in reader.rows("SELECT DISTINCT destination FROM outbox")]
        self._made: set[tuple[str, str]] = set()
        self._sent = 0  # checkpoints
        self._events = 0
        self._from_ms: int | None = None

    def run(self) -> Rebuilt:
        reader = self._reader
        whole, told = reader.whole(), _told(reader)
        if told < whole.first:
            raise EvidenceError(f"entries {told} to {whole.first - 1} were pruned, and no entry tells of it")
        recomputation = Recomputation(
            self._leaf, whole.from_ms, EVER_MS, whole.first, self._group, self._replay
        )
        calibrations = Check()
        entries, pruned, checkpoints = 0, 0, 0
        signed = iter(reader.rows(_CHECKPOINTS))
        ahead = next(signed, None)
        frontier = Frontier()
        with Bar("entries", reader.size()) as bar:
            for leaf, stored in self._leaves(whole.first):
                frontier.append(leaf)
                entries += 1
                while ahead is not None and ahead[0] <= entries:
                    _check_root(ahead, frontier)
                    checkpoints, ahead = checkpoints + 1, next(signed, None)
                if stored is None:
                    pruned += 1
                else:
                    self._look(stored, whole)
                    recomputation.take(stored.idx, _leaf_of(stored))
                    calibrations.take(stored.idx, _leaf_of(stored))
                bar.advance()
        if ahead is not None:
            raise EvidenceError(f"{ahead[0]} entries were signed, and the journal holds {entries}")
        for (idx,) in reader.rows(_ROWLESS):
            raise EvidenceError(f"the table of windows has a row of entry {idx}, which is missing")
        recomputation.end()
        calibrations.end()
        for row in reader.rows(_SIDE):
            self._check_checkpoint(*row)
        for row in reader.rows(_EVENTS):
            self._check_event(*row)
        if not whole.first:
            for destination, key in reader.rows(_DOCUMENTS):
                if (destination, key) not in self._made:
                    raise EvidenceError(f"the document {key} for {destination} follows from no window")
        return Rebuilt(
            entries, pruned, checkpoints, self._from_ms, recomputation.windows, recomputation.revisions,
            recomputation.rows, len(self._made), calibrations.found, self._sent,
            self._events,
        )  # fmt: skip

    def _leaves(self, first: int) -> Iterator[tuple[bytes, Stored | None]]:
        """Every leaf, with its entry; before entry `first` that may have been pruned."""
        blocks = self._reader.blocks()
        block, leaves = next(blocks, (-1, b""))
        index = 0
        for stored in self._reader.entries():
            while index <= stored.idx:
                while 0 <= block < index >> TILE_LEVELS:
                    block, leaves = next(blocks, (-1, b""))
                at = HASH_BYTES * (index & 255)
                kept = leaves[at : at + HASH_BYTES] if block == index >> TILE_LEVELS else None
                if index < stored.idx:
                    if kept is None or index >= first:
                        raise EvidenceError(f"entry {index} is missing")
                    yield kept, None
                else:
                    if leaf_hash(stored.leaf_bytes()) != stored.leaf or kept not in (None, stored.leaf):
                        raise EvidenceError(f"entry {index} does not match its hash")
                    yield stored.leaf, stored
                index += 1

    def _look(self, stored: Stored, whole: Whole) -> None:
        """What recomputation believes: rows of the time before."""
        if stored.kind == WINDOW and stored.idx < whole.first:
            window, _ = parse_body(stored.body)
            rows = self._reader.windows(window.start_ms, window.start_ms + 1, window.symbol)
            if window not in rows:
                raise EvidenceError(f"the table of windows differs from {_name(window)}")

    def _leaf(self, index: int) -> Leaf:
        stored = next(self._reader.entries(index, index), None)
        if stored is None:
            raise JournalError(f"Entry {index} is needed, and was pruned or is missing.")
        return _leaf_of(stored)

    def _replay(self, *arguments: Any) -> Replay:
        return _JournalReplay(self._reader, *arguments)

    # Rows ---------------------------------------------------------------------------------------------------

    def _group(self, group: Group) -> None:
        """Rows that follow from their readings: so must what was made of them."""
        first = group.windows[0]
        if self._from_ms is None:
            self._from_ms = first.start_ms
        stored = {
            window.symbol: window
            for window in self._reader.windows(first.start_ms, first.start_ms + 1)
            if window.revision == group.revision
        }
        for window in group.windows:
            if stored.get(window.symbol) != window:
                raise EvidenceError(f"the table of windows differs from {_name(window)}")
        if any(channel.decimals is None for channel in group.channels):
            return
        label_ms = named_after(group.settings.label, first.start_ms, first.end_ms)
        key = f"window/{self._codes.code}/{stamp(label_ms)}/{group.revision}"
        for destination in self._destinations:
            for name, data in self._reader.rows(_DOCUMENT, destination, key):
                self._made.add((destination, key))
                self._compare(f"{key} for {destination}", name, data, group)

    def _compare(self, what: str, name: str, data: bytes, group: Group) -> None:
        if not name.endswith(".txt"):
            told = message.checkpoint_in(data)
            if told and self._known(what, told)[0] > group.idx:
                raise EvidenceError(f"{what} holds a checkpoint that is newer than its windows")
            if data != _message(self._codes, group, told):
                raise EvidenceError(f"{what} is not what its windows give")
            return
        made = rendered(self._codes, group)
        if made is None or made[1] is None or made[0] != name:
            raise EvidenceError(f"{what}: its windows give no file {name}")
        compare(what, data, made[1])

    # Checkpoints --------------------------------------------------------------------------------------------

    def _check_checkpoint(self, destination: str, key: str, name: str, data: bytes) -> None:
        """A document with a checkpoint holds one of the journal's, and nothing else."""
        what = f"{key} for {destination}"
        is_file = name.endswith(".checkpoint")
        told = data if is_file else message.checkpoint_in(data)
        size, at_ms = self._known(what, told)
        config: Any = SimpleNamespace(station=self._codes)
        made = told if is_file else message.checkpoint_message(config, size, at_ms, told)
        if key != f"checkpoint/{self._codes.code}/{size}" or data != made:
            raise EvidenceError(f"{what} is not what its checkpoint gives")
        self._sent += 1

    def _check_event(self, destination: str, key: str, data: bytes) -> None:
        """A document with an event tells its entry, and holds a checkpoint of the journal's or none."""
        what = f"{key} for {destination}"
        index, _, digits = key.rpartition("/")[2].partition("-")
        stored = next(self._reader.entries(int(index), int(index)), None) if index.isdigit() else None
        if stored is None or stored.leaf[:4].hex() != digits or stored.kind not in KINDS:
            raise EvidenceError(f"{what} tells of no entry of the journal")
        told = message.checkpoint_in(data)
        if told:
            self._known(what, told)
        config: Any = SimpleNamespace(station=self._codes)
        more = {"checkpoint": told.decode()} if told else {}
        name = f"{index}-{digits}"
        if data != message.entry_message(config, "events", name, stored.arrived_ms, event_of(stored) | more):
            raise EvidenceError(f"{what} is not what its entry gives")
        self._events += 1

    def _known(self, what: str, told: bytes) -> tuple[int, int]:
        """(entries, time) of a checkpoint of the journal. It may have been told before it was cosigned, or
        cosigned anew; but the log's own signature is the same.
        """
        try:
            found = note.parse(told)
            signed = checkpoint.parse(found.text)
        except EvidenceError as error:
            raise EvidenceError(f"{what} holds no checkpoint: {error}") from None
        rows = self._reader.rows(_CHECKPOINT, signed.size)
        if rows:
            held = note.parse(rows[0][1])
            keys = {signature[:2] for signature in held.signatures}
            ours = [s for s in found.signatures if s.name == signed.origin]
            if (
                held.text == found.text
                and ours == [s for s in held.signatures if s.name == signed.origin]
                and ours
                and keys.issuperset([signature[:2] for signature in found.signatures])
            ):
                return signed.size, rows[0][0]
        raise EvidenceError(f"{what} holds a checkpoint that is not the journal's")


class _JournalReplay(Replay):
    """Finds what is needed again in the journal's own index, so that it remembers nothing."""

    def __init__(self, reader: Reader, *arguments: Any):
        super().__init__(*arguments)
        self._reader = reader

    def _place(self, index: int, first_ms: int, last_ms: int) -> None:
        pass

    def holding(self, from_ms: int, to_ms: int) -> Iterable[int]:
        """As of any moment: what came later is left out by feed() and by the windows."""
        found: set[int] = set()
        for first, last, source in self._reader.spans(from_ms, None if to_ms == EVER_MS else to_ms):
            found |= {idx for (idx,) in self._reader.rows(_HOLDING, first, last, source)}
        return sorted(found)


def _told(reader: Reader) -> int:
    """Raw entries before this one were pruned, by the log's own word."""
    end = 0
    for entry in reader.entries(kinds=(EVENT,)):
        name, details = event(entry.body)
        if name == PRUNED and details[0] == end:
            end = details[1] + 1
    return end


def _leaf_of(stored: Stored) -> Leaf:
    return Leaf(stored.kind, stored.source, stored.arrived_ms, stored.mono_ms, stored.body)


def _check_root(row: tuple[int, bytes], frontier: Frontier) -> None:
    size, data = row
    signed = checkpoint.parse(note.parse(data).text)
    if (signed.size, signed.root) != (size, frontier.root()):
        raise EvidenceError(
            f"the journal's first {size} entries are not those of the checkpoint that is stored"
        )


def _message(codes: Codes, group: Group, told: bytes) -> bytes:
    """As gateway/documents.py makes it; a configuration's parts by their names."""
    config: Any = SimpleNamespace(
        station=codes, gateway=SimpleNamespace(label=group.settings.label), channel=group.channels
    )
    return message.window_message(config, group.windows, group.revision, told)


def _name(window: Window) -> str:
    return f"the window of {window.symbol!r} from {rfc3339(window.start_ms)}, revision {window.revision}"


def print_rebuild(config: Path, as_json: bool) -> int:
    """What `quantrac rebuild` says; a difference is raised, and said by tools.people."""
    found = rebuild(config)
    if as_json:
        print(json.dumps({"ok": True, **found._asdict()}))
        return 0
    for line in _lines(found):
        print(line)
    return 0


def _lines(found: Rebuilt) -> Iterator[str]:
    yield f"{found.entries} entries match their hashes, and {found.checkpoints} checkpoints their roots"
    if found.pruned:
        yield f"{found.pruned} of them were pruned by retention, and their hashes are among these"
    if found.from_ms is None:
        yield "no window could be made again: none is closed, or their readings were pruned"
        return
    yield (
        f"{found.windows} windows from {rfc3339(found.from_ms)} on, and {found.revisions} later revisions "
        f"({found.rows} rows), come out bit for bit"
    )
    yield f"{found.documents} documents in the outbox are what these windows give, byte for byte"
    yield f"{found.calibrations} calibrations are what greetings bring"
    yield f"{found.sent} checkpoints in the outbox are as they were signed"
    yield f"{found.events} events in the outbox are as they are in the journal"
