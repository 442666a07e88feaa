"""How a log came to its present key: its handovers, from one key, or epoch, to the next.

    chain = handovers(bundle, named, entries, log)      EvidenceError names the first thing that is wrong

Rule 1: every LOG entry of the bundle has its handover: the receipt of that entry in the log that it is the
        last entry of, signed by the new key and by the old one. It has one text but for the signatures, since
        the entry's own receipt holds all hashes of the log up to it; so it is of this log or it is wrong.
Rule 2: another key of the same log is good only with the old one's signature. An epoch may stand without,
        where the old key is gone: then nobody vouches for it, and a key from before it is not trusted beyond.
Rule 3: what an epoch gave up is shown by notes that a key of the log had signed until then.
Rule 4: a checkpoint by any key of the log counts as one of this log, as far as it was gone on with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.reports.message import rfc3339
from gateway.succession import EPOCH, LogEntry, epoch_of, parse_log_entry
from gateway.verify_bundle import PROOF_MAX, handover_name
from gateway.verify_entries import Entries
from gateway.verify_places import Bundle
from gateway.verify_run import beside
from protocol import note as notes
from protocol import receipt as receipts
from protocol.checkpoint import Checkpoint, open_checkpoint
from protocol.merkle import EMPTY_ROOT, EvidenceError, node_hash
from protocol.note import Note, Verifier
from protocol.receipt import Receipt

SOURCE = "gateway"


class History:
    """The keys of a log by its LOG entries, in their order; `log` is the present one."""

    def __init__(self, log: Verifier, entries: Sequence[LogEntry]):
        self.log, self.entries = log, entries
        told = [key for entry in entries for key in (entry.old_key, entry.new_key)]
        self.keys: tuple[Verifier, ...] = tuple(dict.fromkeys([*told, log]))

    def opened(self, what: str, data: bytes) -> Checkpoint:
        """A checkpoint that a key of this log has signed and that the log goes on from, if it is the same
        log's: whoever asks compares the roots. EvidenceError.
        """
        try:
            note = notes.parse(data)
            origin = note.text.partition("\n")[0]
            signed = open_checkpoint(data, self.signer_of(note) or self.log)
        except EvidenceError as error:
            raise EvidenceError(f"{what}: {error}") from None
        ended = self._end_of(origin)
        if ended is not None and signed.size > ended.kept:
            raise EvidenceError(
                f"{what}: entries {ended.kept} to {signed.size - 1} were signed, and given up when "
                f"{_began(ended)}"
            )
        if ended is not None and signed in ended.given_up():
            raise EvidenceError(
                f"{what}: another history of the first {signed.size} entries was signed, and given up when "
                f"{_began(ended)}"
            )
        return signed

    def signer_of(self, note: Note) -> Verifier | None:
        """The key of this log that has, by its own words, signed a note about the log."""
        signers = {signature[:2] for signature in note.signatures}
        origin = note.text.partition("\n")[0]
        return next((key for key in self.keys if key.name == origin and key[:2] in signers), None)

    def _end_of(self, origin: str) -> LogEntry | None:
        """The entry that began the epoch behind this one; None for the present one."""
        ended = None
        for entry in reversed(self.entries):
            if origin in (self.log.name, entry.new_key.name):
                break
            if entry.what == EPOCH:
                ended = entry
        return ended


class Step(NamedTuple):
    """A LOG entry whose handover is good."""

    said: LogEntry
    vouching: tuple[Verifier, ...]  # keys from before it that have signed the handover


class Chain:
    """The handovers of a bundle. `roots`: those of the log's first so many entries, as far as they follow."""

    def __init__(self, log: Verifier, steps: Sequence[Step], roots: dict[int, bytes]):
        self.history, self.roots = History(log, [step.said for step in steps]), roots
        self._log, self._steps = log, steps

    def check_leads_from(self, key: Verifier) -> int:
        """How many handovers lead from a trusted key to the present one. EvidenceError: they do not."""
        if key not in self.history.keys:
            raise EvidenceError(
                "log.vkey is another key than the one given, and no handover leads to it from there: "
                "another log, or a forged one"
            )
        reached, count, behind = {self._log}, 0, None
        for step in reversed(self._steps):
            if key in reached:
                return count
            if step.said.new_key not in reached:
                break
            reached.update(step.vouching)
            count, behind = count + 1, step.said
        if key in reached or behind is None:
            return count
        raise EvidenceError(
            f"nobody vouches for it that {behind.new_key.name} goes on with the log of the key given: no "
            f"earlier key has signed the handover of entry {behind.kept}. If those who run the log gave you "
            "its new key, verify with that one"
        )

    def claims(self) -> Iterator[tuple[bool, str]]:
        """(whether it is shown, a sentence) for each step."""
        for said, vouching in self._steps:
            if said.what == EPOCH:
                text = f"entry {said.kept}: {_began(said)}. {_given_up(said)}"
            else:
                text = (
                    f"entry {said.kept}, {_time(said)}: {_short(said.old_key)} handed over to "
                    f"{_short(said.new_key)}, another key of the same log: {said.reason!r}"
                )
            if not vouching:
                text += f". Nobody vouches for it: {_short(said.old_key)} has not signed it"
            yield bool(vouching), text


# Checking ---------------------------------------------------------------------------------------------------


def handovers(bundle: Bundle, named: set[int], entries: Entries, log: Verifier) -> Chain:
    """`named`: entries that have a file among the handovers."""
    told = sorted(entries.about_log)
    for index in told:
        if index not in named:
            raise EvidenceError(f"{handover_name(index)} is missing")
    for index in sorted(named - set(told)):
        raise EvidenceError(f"{handover_name(index)}: entry {index} tells of no handover of the log")
    steps: list[Step] = []
    roots: dict[int, bytes] = {}
    earlier: dict[Verifier, None] = {}  # keys that the log had so far
    for index in told:
        leaf = entries.leaf(index)
        if leaf.source != SOURCE:
            raise EvidenceError(f"entry {index} speaks of the log, and is not of the gateway itself")
        said = parse_log_entry(leaf.body, index)
        before = steps[-1].said.new_key if steps else said.old_key
        if said.old_key != before and said.what != EPOCH:
            raise EvidenceError(
                f"entry {index} hands over from {_short(said.old_key)}, and the key was {_short(before)}"
            )
        earlier[said.old_key] = None
        again = said.new_key in earlier
        if again or (said.what == EPOCH and said.new_key.name in {key.name for key in earlier}):
            raise EvidenceError(f"entry {index} hands over to {_short(said.new_key)}, which was there before")
        _check_given_up(index, said, [key for key in earlier if key.name == said.old_key.name])
        earlier[said.new_key] = None
        lefts = _lefts(index, entries)
        roots[index] = _folded(lefts)
        roots[index + 1] = _folded([entries.hash_of(index), *lefts])
        candidates = tuple(dict.fromkeys([said.old_key, before]))
        data = bundle.read(handover_name(index), PROOF_MAX)
        steps.append(Step(said, _vouching(index, data, said, candidates, lefts, roots[index + 1])))
    _check_end(steps, log)
    return Chain(log, steps, roots)


def _check_end(steps: Sequence[Step], log: Verifier) -> None:
    if steps and steps[-1].said.new_key != log:
        raise EvidenceError(
            f"the last handover, of entry {steps[-1].said.kept}, leads to {steps[-1].said.new}, and log.vkey "
            f"is {log.vkey}"
        )
    began = any(step.said.what == EPOCH and step.said.new_key.name == log.name for step in steps)
    if epoch_of(log.name)[1] > 1 and not began:
        raise EvidenceError(f"the bundle does not hold the entry that {log.name} began with")


def _check_given_up(index: int, said: LogEntry, keys: Sequence[Verifier]) -> None:
    """What an epoch gives up was signed for the log before it (rule 3)."""
    for number, (data, signed) in enumerate(zip(said.signed, said.given_up(), strict=True), 1):
        try:
            notes.verify(notes.parse(data), keys)
            if signed.origin != said.old_key.name:
                raise EvidenceError(f"it is of {signed.origin}")
        except EvidenceError as error:
            raise EvidenceError(f"entry {index} gives up a checkpoint ({number}): {error}") from None


def _lefts(index: int, entries: Entries) -> list[bytes]:
    """The complete subtrees that the entries before `index` consist of, smallest first: they stand in its
    receipt, however long the log is by now.
    """
    found = beside(index, entries.size, entries.path(index))
    return [found[level] for level in sorted(found) if index >> level & 1]


def _folded(subtrees: Sequence[bytes]) -> bytes:
    root = subtrees[0] if subtrees else EMPTY_ROOT
    for left in subtrees[1:]:
        root = node_hash(left, root)
    return root


def _vouching(
    index: int, data: bytes, said: LogEntry, candidates: Sequence[Verifier], lefts: list[bytes], root: bytes
) -> tuple[Verifier, ...]:
    """Who of the keys of before has signed the handover. EvidenceError."""
    name = handover_name(index)
    try:
        note = receipts.parse(data).note
        if data != Receipt(index, lefts, note).encode():
            raise EvidenceError(f"it is not the receipt of entry {index}, the last one of this log then")
        signed = open_checkpoint(note, said.new_key)
        if signed != Checkpoint(said.new_key.name, index + 1, root):
            raise EvidenceError(f"its checkpoint is not of this log's first {index + 1} entries")
        signers = [signature[:2] for signature in notes.parse(note).signatures]
        vouching = tuple(key for key in candidates if key[:2] in signers)
        if signers != [key[:2] for key in (said.new_key, *vouching)]:
            raise EvidenceError("its checkpoint is signed by others than the keys that it is about")
        notes.verify(notes.parse(note), (said.new_key, *vouching))
        if said.what != EPOCH and not vouching:
            raise EvidenceError(f"{_short(said.old_key)}, the key until then, has not signed it")
    except EvidenceError as error:
        raise EvidenceError(f"{name}: {error}") from None
    return vouching


# For people -------------------------------------------------------------------------------------------------


def _short(key: Verifier) -> str:
    return f"{key.name}+{key.key_id.hex()}"


def _time(said: LogEntry) -> str:
    try:
        return rfc3339(said.at_ms)
    except (ValueError, OverflowError, OSError):
        raise EvidenceError(f"entry {said.kept} is of no time that there is") from None


def _began(said: LogEntry) -> str:
    return f"{said.new_key.name} began, {_time(said)}: {said.reason!r}"


def _given_up(said: LogEntry) -> str:
    """What was signed before an epoch and is not in the log any more."""
    signed = said.given_up()
    if not signed:
        return f"All {said.kept} entries before it were kept; nothing that was signed is known to be missing"
    largest = max(checkpoint.size for checkpoint in signed)
    if largest > said.kept:
        return f"Entries {said.kept} to {largest - 1} were signed before it, and are not in this log any more"
    return f"Another history of the first {largest} entries was signed before it, and is not this log's"
