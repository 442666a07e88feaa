"""A bundle as `quantrac export` writes it: which files it has, and what its bundle.json says.

    bundle.json                 what is in it: see Manifest. Nobody signed it: it only says what to hold
                                against what was signed
    checkpoint, log.vkey        the signed note that all proofs lead to, and the public key of the log
    entries/<index>.bin         the leaf bytes of an entry (gateway/journal/leaf.py)
    proofs/<index>.tlog-proof   the receipt of the same entry
    handovers/<index>.tlog-proof   for each LOG entry up to the checkpoint: the receipt that its old key and
                                its new key have signed (gateway/verify_handovers.py)
    files/<name>.txt            a provincial file of a window in the range
    pictures/<sha256>.jpg       a picture that an entry of the run names (gateway/verify_pictures.py), or .png
    consistency                 only when asked for: that the log goes on behind an earlier checkpoint
    README.txt                  how to check it with other people's tools

Rule 1: the entries are a run first..last without a gap, and `others` before and behind it. Whatever else lies
        in the folders makes the bundle wrong, and so does what is missing.
Rule 2: it may come from an enemy: every file has a limit, numbers are canonical decimals. Whatever is in it,
        reading it raises EvidenceError or returns (verify_places.py brings the bytes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from gateway.reports.message import rfc3339
from gateway.verify_run import RUN_MAX
from protocol.merkle import SIZE_MAX, EvidenceError

FORMAT = "quantrac-bundle-1"
LEAF_MAX = 262_144
"""Bytes of an entry. A frame has some 1,500; a configuration of 1,000 channels 100,000."""
PROOF_MAX = 65_536
"""Bytes of a receipt: 63 hashes and a checkpoint with its cosignatures."""
FILE_MAX = 1_000_000
"""Bytes of any other file, bundle.json included."""
OTHERS_MAX = 50_000
"""Entries beside the run."""
FILES_MAX = 200_000
"""Provincial files: two years of them."""
PICTURES_MAX = 20_000
"""A month of one every two minutes."""
HANDOVERS_MAX = 1000
"""Keys and epochs of one log: a key for each month of 80 years."""
CHECKPOINT, VKEY, MANIFEST, README, CONSISTENCY = (
    "checkpoint", "log.vkey", "bundle.json", "README.txt", "consistency",
)  # fmt: skip
TOP = (CHECKPOINT, VKEY, MANIFEST, README)
_FOLDERS = {"entries": ".bin", "proofs": ".tlog-proof", "handovers": ".tlog-proof"}
_MANY = ("entries", "proofs/")
"""How the names of most files begin."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9_.\-]{1,200}\.txt", re.ASCII)
_PICTURE = re.compile(r"[0-9a-f]{64}\.(jpg|png)", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def entry_name(index: int) -> str:
    return f"entries/{index}.bin"


def proof_name(index: int) -> str:
    return f"proofs/{index}.tlog-proof"


def handover_name(index: int) -> str:
    return f"handovers/{index}.tlog-proof"


def picture_name(name: str) -> str:
    return f"pictures/{name}"


class Manifest(NamedTuple):
    """What bundle.json says. All windows that start in from_ms <= start < to_ms are in the run."""

    from_ms: int
    to_ms: int
    windows: int  # how many times from_ms to to_ms hold, first revisions
    first: int  # the run
    last: int
    others: tuple[int, ...]  # rising
    files: tuple[str, ...]  # rising
    readme: str  # SHA-256 of README.txt
    consistent_with: int | None  # size of the earlier checkpoint that `consistency` is about
    pictures: tuple[str, ...] = ()  # rising

    def encode(self) -> bytes:
        said = {
            "format": FORMAT,
            "from": rfc3339(self.from_ms),
            "to": rfc3339(self.to_ms),
            "windows": self.windows,
            "first": self.first,
            "last": self.last,
            "others": list(self.others),
            "files": list(self.files),
            "readme": self.readme,
            "consistent_with": self.consistent_with,
        }
        if self.pictures:  # else as a version wrote it that knew of none
            said["pictures"] = list(self.pictures)
        return json.dumps(said, indent=1).encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """The inverse of encode(). EvidenceError."""
    try:
        said: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise EvidenceError(f"{MANIFEST} is not JSON") from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise EvidenceError(f"{MANIFEST} is not of the format {FORMAT}: this program knows no other")
    try:
        windows, first, last = (_index(said[name]) for name in ("windows", "first", "last"))
        found = Manifest(
            _time_ms(said["from"]), _time_ms(said["to"]), windows, first, last,
            tuple(_index(index) for index in said["others"]),
            tuple(_matching(_FILE, name) for name in said["files"]),
            _matching(_SHA256, said["readme"]),
            None if said["consistent_with"] is None else _index(said["consistent_with"]),
            tuple(_matching(_PICTURE, name) for name in said.get("pictures", ())),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError):
        raise EvidenceError(f"a field of {MANIFEST} is missing, or not what it must be") from None
    rising = all(tuple(sorted(set(some))) == some for some in (found.others, found.files, found.pictures))
    if found.encode() != data or not rising:
        raise EvidenceError(f"{MANIFEST} is not as `quantrac export` writes it: changed, or damaged")
    if not (found.first <= found.last and found.last - found.first < RUN_MAX):
        raise EvidenceError(f"{MANIFEST}: its run of entries is empty, or longer than {RUN_MAX}")
    if len(found.others) > OTHERS_MAX or len(found.files) > FILES_MAX:
        raise EvidenceError(f"{MANIFEST} names more entries or files than are read")
    if len(found.pictures) > PICTURES_MAX:
        raise EvidenceError(f"{MANIFEST} names more than {PICTURES_MAX} pictures")
    if any(found.first <= index <= found.last for index in found.others):
        raise EvidenceError(f"{MANIFEST} names an entry of the run among the others")
    return found


def _index(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= SIZE_MAX:
        raise ValueError
    return value


def _time_ms(text: Any) -> int:
    time = datetime.fromisoformat(text)
    return round(time.timestamp()) * 1000 + time.microsecond // 1000


def _matching(pattern: re.Pattern[str], text: Any) -> str:
    if not pattern.fullmatch(text) or ".." in text:
        raise ValueError
    return text


# What must be in it -----------------------------------------------------------------------------------------


def check_names(names: Callable[[], Iterator[str]], manifest: Manifest) -> set[int]:
    """Nothing lies in the bundle but what bundle.json names; what it names is looked for when it is read.

    Returns the entries that have a file among the handovers, for verify_handovers.py to hold against the log.
    Every entry and every receipt is read by its name later: where there are just as many, no other is there,
    and their names need not be looked at (half a second less for 100,000).
    """
    count = manifest.last - manifest.first + 1 + len(manifest.others)
    counted: dict[str, int] = dict.fromkeys(_MANY, 0)
    known = _Known(manifest)
    for name in names():
        if name[:7] in counted and name[-1] != "/":
            counted[name[:7]] += 1
        else:
            known.check(name)
    if any(found != count for found in counted.values()):
        for name in names():
            known.check(name)
    return known.handovers


class _Known:
    """Which names a bundle may have."""

    def __init__(self, manifest: Manifest):
        self._first, self._last = manifest.first, manifest.last
        self._others, self._files = set(manifest.others), set(manifest.files)
        self._top = {*TOP, "entries/", "proofs/", "files/", "handovers/"}
        if manifest.pictures:
            self._top |= {"pictures/", *map(picture_name, manifest.pictures)}
        if manifest.consistent_with is not None:
            self._top.add(CONSISTENCY)
        self.handovers: set[int] = set()

    def check(self, name: str) -> None:
        folder, _, file = name.partition("/")
        ending = _FOLDERS.get(folder)
        if ending is not None:
            number = file.removesuffix(ending) if file.endswith(ending) else ""
            if _NUMBER.fullmatch(number) and self._has(int(number)):
                if folder == "handovers":
                    self.handovers.add(int(number))
                if len(self.handovers) <= HANDOVERS_MAX:
                    return
        if name in self._top or (folder == "files" and file in self._files):
            return
        raise EvidenceError(f"{printable(name)} does not belong to the bundle: added, or of another one")

    def _has(self, index: int) -> bool:
        return self._first <= index <= self._last or index in self._others


def printable(text: str) -> str:
    """A name that strangers chose, for a terminal."""
    return text[:200].encode("ascii", "backslashreplace").decode() if text.isprintable() else repr(text[:200])
