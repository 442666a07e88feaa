"""Checks of what others can check: an export that holds, a cosignature, signs that a series is too good.

Rule 1: the export's check has its control with it: a bit of an entry is changed, and it must not hold then.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from gateway import config as configuration
from gateway.journal.checkpoints import VKEY_FILE
from gateway.journal.reader import reading
from gateway.spans import Span
from gateway.suspicion import Sign, track
from gateway.suspicion.look import look
from gateway.verify import Trust, verify
from gateway.verify_places import opened
from gateway.zone import DAY_MS, day_of
from protocol.merkle import EvidenceError
from protocol.note import Verifier, parse_vkey
from protocol.note import parse as parse_note
from protocol.note import verify as signers_of
from tools.log.export import export
from tools.scenario.check_read import GRID_MS, Evidence

EXPORTED_MS = 6 * 3_600_000
RECENT = 12  # checkpoints: there is one with every window, and the witness is asked after it is made
_CHECKPOINTS = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT ?"


def export_holds(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """A bundle of the last hours is verified with the log's key, and a changed one is not."""
    del given
    assert evidence.config_path is not None, "there is nothing to export"
    state_dir = configuration.load(evidence.config_path).gateway.state_dir
    key = parse_vkey((state_dir / VKEY_FILE).read_text(encoding="utf-8").strip())
    from_ms = max(evidence.begins_ms, evidence.ends_ms - EXPORTED_MS)
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "bundle"
        made = export(evidence.config_path, from_ms, evidence.ends_ms, bundle)
        wrong = _wrong(bundle, key)
        changed = _changed(bundle, random.Random(f"{evidence.scenario.name}/bit"))
        noticed = _wrong(bundle, key)
    found = f"{made.manifest.windows} windows; " + (
        wrong or f"a bit changed in {changed}: {noticed or 'unseen'}"
    )
    return made.manifest.windows > 0 and not wrong and bool(noticed), found


def _wrong(bundle: Path, key: Verifier) -> str:
    """What does not hold; "" when all does."""
    place = opened(bundle)
    try:
        list(verify(place, Trust(key)))
    except EvidenceError as error:
        return str(error)
    finally:
        place.close()
    return ""


def _changed(bundle: Path, source: random.Random) -> str:
    """Change one bit of one entry; its name."""
    one = source.choice(sorted((bundle / "entries").iterdir()))
    data = bytearray(one.read_bytes())
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    one.write_bytes(data)
    return one.name


def cosigned(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Of the newest checkpoints one carries the witness's signature, and it holds."""
    del given
    assert evidence.config_path is not None, "there is no journal"
    witness = parse_vkey(evidence.witness_vkey.strip())
    with reading(configuration.load(evidence.config_path).gateway.state_dir / "journal.db") as reader:
        notes = [note for (note,) in reader.rows(_CHECKPOINTS, RECENT)]
    for place, note in enumerate(notes):
        try:
            signers_of(parse_note(note), [witness])
        except EvidenceError:
            continue
        return True, f"{place} newer ones than the one that {witness.name} has signed"
    return False, f"{witness.name} has signed none of the {len(notes)} newest"


def sign(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """The list has this sign of the channel, in the span if one is given."""
    found = _signs(evidence, given["channel"])
    first_ms = evidence.begins_ms + given.get("from", 0)
    last_ms = evidence.begins_ms + given.get("to", evidence.scenario.station.length_ms)
    hits = [s for s in found if s.name == given["name"] and s.start_ms < last_ms and s.end_ms > first_ms]
    return bool(hits), _told(found)


def no_sign(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """The list is empty for the channel, which had enough windows to be looked at."""
    found = _signs(evidence, given["channel"])
    return not found and bool(evidence.newest), _told(found)


def _signs(evidence: Evidence, channel: str) -> list[Sign]:
    first_ms = day_of(evidence.begins_ms - 1) + DAY_MS  # the first day that is whole
    period = Span(first_ms, day_of(evidence.ends_ms))
    tracks = []
    for symbol, limits in evidence.channels.items():
        windows = {start: w for (name, start), w in evidence.newest.items() if name == symbol}
        tracks.append(track(windows, symbol, period, GRID_MS, limits.decimals))
    upper = {symbol: one.upper for symbol, one in evidence.channels.items() if one.upper is not None}
    return [found for found in look(tracks, upper) if channel in found.symbol.split(", ")]


def _told(signs: list[Sign]) -> str:
    return ", ".join(f"{one.name} ({one.symbol})" for one in signs) or "none"
