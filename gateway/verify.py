"""`quantrac verify`: whether a bundle shows what it claims, offline, trusting nobody but the keys given.

    for claim in verify(bundle, trust): print(claim.text)       EvidenceError: the first thing that is wrong

Rule 1: no gateway, no database, no network, no clock. Bundles come from strangers: whatever is in one, the
        result is claims or one EvidenceError, in less than 200 MB.
Rule 2: in this order, each step on what the ones before have shown: the files that are there; the key; the
        checkpoint; every entry and its receipt; how the log came to its key; an earlier checkpoint in hand;
        the windows; the provincial files; what was delivered; the device's seals.
Rule 3: what was not shown is said, too, and never counts as shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple

from gateway import verify_bundle as bundles
from gateway import verify_cut as cuts
from gateway.lane import FUTURE_MS
from gateway.verify_bundle import CHECKPOINT, CONSISTENCY, FILE_MAX, README, VKEY, Manifest
from gateway.verify_cut import Cut, Later
from gateway.verify_deliveries import Deliveries
from gateway.verify_entries import EVER, Entries
from gateway.verify_files import Files, codes_of, compare
from gateway.verify_handovers import Chain, History, handovers
from gateway.verify_pictures import Pictures
from gateway.verify_places import Bundle
from gateway.verify_seal import PREFIX, check_seals
from gateway.verify_windows import Recomputation
from protocol import note as notes
from protocol import receipt as receipts
from protocol.checkpoint import Checkpoint, open_checkpoint
from protocol.merkle import EvidenceError, check_consistency
from protocol.note import Verifier, parse_vkey

Progress = Callable[[str, int, int], None]
"""(what, done, of how many)"""


class Trust(NamedTuple):
    """What whoever verifies has in hand, from elsewhere than the bundle."""

    log: Verifier | None = None
    witnesses: tuple[Verifier, ...] = ()  # all of them must have cosigned
    seen: tuple[bytes, ...] = ()  # checkpoints of this log, signed notes
    seal_key: bytes | None = None
    device: str = ""  # whose seal key it is; "" for the only one


class Claim(NamedTuple):
    """One thing that was checked; `shown` is False for what could not be."""

    what: str
    text: str
    shown: bool = True


def verify(bundle: Bundle, trust: Trust, progress: Progress = lambda what, done, of: None) -> Iterator[Claim]:
    """The claims that hold, in order. EvidenceError names the first thing that is wrong."""
    manifest = bundles.parse_manifest(bundle.read(bundles.MANIFEST, FILE_MAX))
    named = bundles.check_names(bundle.names, manifest)
    if sha256(bundle.read(README, FILE_MAX)).hexdigest() != manifest.readme:
        raise EvidenceError(f"{README} was changed")
    log = _key(bundle)
    if trust.log in (None, log):
        yield _key_claim(log, trust)
    elif not named:
        raise EvidenceError(f"{VKEY} is another key than the one given: another log, or a forged one")
    note = bundle.read(CHECKPOINT, FILE_MAX)
    checkpoint = opened_as("the checkpoint", note, log, trust.witnesses)
    yield Claim("checkpoint", _signed(checkpoint, trust))
    entries = Entries(bundle, manifest, checkpoint, note, progress)
    cut = cuts.find(entries, manifest) if entries.beside else None
    with entries.receipts_shown(lambda: _later(entries, manifest, checkpoint, cut)) as later:
        chain = handovers(bundle, named, entries, log)
        rest = list(_led_to(chain, log, trust))
        rest += _goes_on(bundle, manifest, trust, checkpoint, entries, chain)
        rest += _content(bundle, manifest, trust, checkpoint, entries, cut, later, progress)
    yield from rest


def _led_to(chain: Chain, log: Verifier, trust: Trust) -> Iterator[Claim]:
    """How the log came to its key."""
    if trust.log not in (None, log):
        steps = chain.check_leads_from(trust.log)
        yield Claim("key", f"the key given leads to {log.vkey}, over {steps} handover{'s' * (steps > 1)}")
    for shown, text in chain.claims():
        yield Claim("handover", text, shown)


def _goes_on(
    bundle: Bundle, manifest: Manifest, trust: Trust, checkpoint: Checkpoint, entries: Entries, chain: Chain
) -> Iterator[Claim]:
    """The log goes on behind the checkpoints in hand."""
    earlier = _earlier(bundle, manifest, checkpoint, chain.history)
    known = chain.roots if earlier is None else {**chain.roots, earlier.size: earlier.root}
    for seen in trust.seen:
        yield _consistent(chain.history.opened("--seen", seen), checkpoint, entries, known)
    yield Claim("entries", entries.text())


def _content(
    bundle: Bundle,
    manifest: Manifest,
    trust: Trust,
    checkpoint: Checkpoint,
    entries: Entries,
    cut: Cut | None,
    later: Callable[[], Later | None],
    progress: Progress,
) -> Iterator[Claim]:
    """What follows from the entries."""
    files = Files(codes_of(checkpoint.origin))
    windows = Recomputation(entries.leaf, manifest.from_ms, manifest.to_ms, manifest.first, files.hear)
    deliveries, pictures = Deliveries(manifest.files), Pictures()
    _recompute(entries, windows, progress, end=EVER if cut is None else cut.first)
    rest = later()
    if rest is not None:
        rest.join(windows, files)
    elif cut is not None:
        _recompute(entries, windows, progress, begin=cut.first)
    _check_range(entries, windows, manifest)
    for index in sorted(entries.rare):
        leaf = entries.leaf(index)
        deliveries.take(leaf)
        pictures.take(index, leaf)
    yield Claim("windows", _windows_text(windows, manifest))
    yield check_files(bundle, manifest, files)
    seen = pictures.claim(bundle, manifest)
    if seen is not None:
        yield Claim("pictures", seen[1], seen[0])
    for said in deliveries.lines():
        yield Claim("deliveries", f"the log says: {said}")
    if manifest.files and deliveries.lines():
        yield Claim("deliveries", _confirmed_text(bundle, manifest, deliveries))
    if trust.seal_key is not None:
        device = trust.device or _only_device(entries)
        for shown, text in check_seals(entries.of_run(), trust.seal_key, device):
            yield Claim("seals", text, shown)


# Keys and checkpoints ---------------------------------------------------------------------------------------


def _key(bundle: Bundle) -> Verifier:
    data = bundle.read(VKEY, FILE_MAX)
    try:
        log = parse_vkey(data.decode().removesuffix("\n"))
    except (UnicodeDecodeError, EvidenceError) as error:
        raise EvidenceError(f"{VKEY}: {error if isinstance(error, EvidenceError) else 'no text'}") from None
    if data != log.vkey.encode() + b"\n":
        raise EvidenceError(f"{VKEY} is not written as a gateway writes it")
    return log


def _key_claim(log: Verifier, trust: Trust) -> Claim:
    if trust.log is None:
        text = f"whose key it is was not checked: give the one you trust with --vkey ({log.vkey})"
        return Claim("key", text, False)
    return Claim("key", f"the key is the one given: {log.vkey}")


def opened_as(what: str, note: bytes, log: Verifier, witnesses: tuple[Verifier, ...] = ()) -> Checkpoint:
    """A checkpoint of this log that all of the witnesses have cosigned. EvidenceError."""
    try:
        return open_checkpoint(note, log, witnesses, len({witness.public for witness in witnesses}))
    except EvidenceError as error:
        raise EvidenceError(f"{what}: {error}") from None


def _signed(checkpoint: Checkpoint, trust: Trust) -> str:
    also = "".join(f" and {witness.name}" for witness in trust.witnesses)
    return f"{checkpoint.origin}{also} signed a log of {checkpoint.size} entries"


def _earlier(bundle: Bundle, manifest: Manifest, checkpoint: Checkpoint, log: History) -> Checkpoint | None:
    """What `consistency` shows: the log of the bundle's checkpoint goes on behind this one."""
    if manifest.consistent_with is None:
        return None
    try:
        proof, _, note = bundle.read(CONSISTENCY, FILE_MAX).partition(b"\n\n")
        found = receipts.parse(_AS_RECEIPT + proof + b"\n\n" + note)
    except EvidenceError as error:
        raise EvidenceError(f"{CONSISTENCY}: {error}") from None
    earlier = log.opened(f"the checkpoint in {CONSISTENCY}", found.note)
    if len(notes.parse(found.note).signatures) != 1:
        raise EvidenceError(f"the checkpoint in {CONSISTENCY} has signatures that nothing is shown with")
    if earlier.size != manifest.consistent_with or found.index != earlier.size:
        raise EvidenceError(f"{CONSISTENCY} is about another checkpoint than bundle.json says")
    try:
        check_consistency(earlier.size, checkpoint.size, earlier.root, checkpoint.root, found.proof)
    except EvidenceError as error:
        raise EvidenceError(f"{CONSISTENCY}: {error}") from None
    return earlier


_AS_RECEIPT = b"c2sp.org/tlog-proof@v1\n"


def _consistent(seen: Checkpoint, checkpoint: Checkpoint, entries: Entries, known: dict[int, bytes]) -> Claim:
    if seen.size > checkpoint.size:
        raise EvidenceError(
            f"the bundle rests on a checkpoint of {checkpoint.size} entries, the one in hand has "
            f"{seen.size}: the end was cut off, or an older checkpoint is shown. Ask for a new bundle"
        )
    root = checkpoint.root if seen.size == checkpoint.size else entries.run.root_at(seen.size)
    if root is None:
        root = known.get(seen.size) if seen.size else seen.root
    if root is None:
        raise EvidenceError(
            f"nothing in the bundle shows that the log goes on behind the checkpoint in hand ({seen.size} "
            "entries): ask for a bundle made with `quantrac export --seen` and that checkpoint"
        )
    if root != seen.root:
        raise EvidenceError(
            f"the log's first {seen.size} entries are not those of the checkpoint in hand: "
            "history was rewritten"
        )
    return Claim("seen", f"the log goes on behind the checkpoint in hand, of {seen.size} entries")


# What follows from the entries ------------------------------------------------------------------------------


def _recompute(
    entries: Entries, windows: Recomputation, progress: Progress, begin: int = 0, end: int = EVER
) -> None:
    """The windows of the entries begin <= number < end."""
    total = min(entries.last + 1, end) - max(entries.first, begin)
    for done, (index, leaf) in enumerate(entries.leaves(begin, end)):
        windows.take(index, leaf)
        if not done % 1024:
            progress("windows", done, total)
    windows.end()


def _later(entries: Entries, manifest: Manifest, checkpoint: Checkpoint, cut: Cut | None) -> Later | None:
    """All windows behind the cut."""
    return None if cut is None else cuts.compute(entries, manifest, cut, codes_of(checkpoint.origin))


def _check_range(entries: Entries, windows: Recomputation, manifest: Manifest) -> None:
    windows.check_range()
    if (windows.windows, windows.last) != (manifest.windows, manifest.last):
        raise EvidenceError(
            f"the run has {windows.windows} windows up to entry {windows.last}, and bundle.json says "
            f"{manifest.windows} up to entry {manifest.last}"
        )
    _check_begin(entries, manifest)


def _check_begin(entries: Entries, manifest: Manifest) -> None:
    """Nothing before the run arrived late enough to be in its first window, and nothing too much is in it."""
    before_ms, first = manifest.from_ms - FUTURE_MS, manifest.first
    early = entries.leaf(first).arrived_ms <= before_ms
    if not early and first > 0:
        raise EvidenceError(
            f"entry {first}, the first of the run, is too late: entries before it may belong to its windows"
        )
    if early and first < manifest.last and entries.leaf(first + 1).arrived_ms <= before_ms:
        raise EvidenceError(f"entry {first + 1} is earlier than the range asks for: bundle.json was changed")


def _windows_text(windows: Recomputation, manifest: Manifest) -> str:
    more = f", and {windows.revisions} later revisions of them" if windows.revisions else ""
    gaps = "" if not windows.replay.gaps else "; what lies between them was left out by an entry that says so"
    return (
        f"{windows.windows} windows from {bundles.rfc3339(manifest.from_ms)} to "
        f"{bundles.rfc3339(manifest.to_ms)}{more} ({windows.rows} rows) "
        f"follow from the readings, bit for bit{gaps}"
    )


def check_files(bundle: Bundle, manifest: Manifest, files: Files) -> Claim:
    """Every provincial file of the bundle is what its window gives."""
    for name in manifest.files:
        data = bundle.read(f"files/{name}", FILE_MAX)
        if name in files.unknown:
            raise EvidenceError(f"files/{name}: the log does not say how it is written")
        if name not in files.expected:
            raise EvidenceError(f"files/{name} is of no window in the range")
        compare(f"files/{name}", data, files.expected[name])
    text = f"{len(manifest.files)} provincial files follow from the windows, byte for byte"
    without = sorted(files.expected.keys() - set(manifest.files))
    if without:
        text += f"; {len(without)} windows have no file in the bundle, the first {without[0]}"
    if files.unknown:
        text += f"; of {len(files.unknown)} windows the log does not say how their file is written"
    return Claim("files", text, bool(manifest.files))


def _confirmed_text(bundle: Bundle, manifest: Manifest, deliveries: Deliveries) -> str:
    digests = {name: sha256(bundle.read(f"files/{name}", FILE_MAX)).digest() for name in manifest.files}
    count = deliveries.confirmed(digests)
    return f"of its {len(digests)} provincial files, {count} are confirmed in it with these very bytes"


def _only_device(entries: Entries) -> str:
    found = {leaf.source for _, leaf in entries.of_run() if leaf.source.startswith(PREFIX)}
    if len(found) != 1:
        raise EvidenceError(
            f"the entries are of {len(found)} devices: say whose seal key it is, as st-01=FILE"
        )
    return found.pop().removeprefix(PREFIX)
