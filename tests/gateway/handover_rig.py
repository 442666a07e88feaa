"""Logs with handovers: real ones, by what an operator does; and forged ones, by whoever holds keys."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.journal import leaf as leaves
from gateway.journal.handover import new_epoch, rotate_key
from gateway.journal.kinds import LOG
from gateway.journal.stopped import Now, StoppedLog
from gateway.succession import LogEntry
from gateway.verify_bundle import entry_name, handover_name, proof_name
from gateway.verify_run import Run
from protocol import cbor, checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import inclusion_proof, leaf_hash, root_of
from protocol.note import Note, Signer, Verifier
from protocol.receipt import Receipt
from tests.gateway.bundle_rig import NAME, Memory
from tests.gateway.evidence_rig import Story

SECOND = f"{NAME}/epoch-2"


# Real ones --------------------------------------------------------------------------------------------------


def key_of(story: Story) -> Verifier:
    return note.parse_vkey((story.state_dir / "log.vkey").read_text().strip())


def mark(story: Story) -> bytes:
    return (story.state_dir / "log.checkpoint").read_bytes()


def rotate(story: Story, reason: str = "once a year") -> None:
    with closing(StoppedLog(story.state_dir, NAME)) as log:
        rotate_key(log, reason, Now(story.now_ms, 0))


def begin_epoch(story: Story, reason: str = "the card died", with_key: bool = True) -> None:
    """A new epoch of a log that was found to be wrong; also without its old key."""
    if not with_key:
        (story.state_dir / "keys" / "log.key").unlink()
    with closing(StoppedLog(story.state_dir, NAME)) as log:
        new_epoch(log, reason, Now(story.now_ms, 0))


# Forged ones ------------------------------------------------------------------------------------------------


def signer(number: int, name: str = NAME) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


@dataclass
class Handover:
    """One of a forged log: its entry stands at `at`."""

    at: int
    old: Signer
    new: Signer
    signers: tuple[Signer, ...] | None = None  # of its checkpoint; None: as it must be
    what: str = "key"
    signed: tuple[bytes, ...] = ()
    kept: int | None = None  # None: as it must be
    note: bytes | None = None  # another checkpoint than its own
    source: str = "gateway"

    @property
    def leaf(self) -> bytes:
        kept = self.at if self.kept is None else self.kept
        old, new = self.old.verifier.vkey, self.new.verifier.vkey
        said = LogEntry(self.what, 1_774_397_200_000, "a reason", old, new, self.signed, kept)
        return leaves.leaf_bytes(LOG, self.source, 1_774_397_200_000, 7, cbor.dumps(said._asdict()))

    def receipt(self, hashes: list[bytes]) -> bytes:
        """Its file, in the log of these leaf hashes."""
        size = self.at + 1
        signers = (self.new, self.old) if self.signers is None else self.signers
        data = self.note or checkpoint_of(hashes[:size], *signers)
        return Receipt(self.at, inclusion_proof(self.at, size, hash_at(hashes)), data).encode()


def hash_at(hashes: list[bytes]):
    return lambda level, index: root_of(hashes[index << level : (index + 1) << level])


def checkpoint_of(hashes: list[bytes], *signers: Signer) -> bytes:
    """Of a log of these leaf hashes, in the name of the first signer."""
    text = Checkpoint(signers[0].verifier.name, len(hashes), root_of(hashes)).text()
    return note.with_signatures(Note(text, ()), *(signer.sign(text) for signer in signers)).encode()


def forged(bundle: Memory, handovers: list[Handover], last: Signer) -> Memory:
    """The log of the bundle's entries with these handovers in between, right in all but what they say."""
    entries = bundle.entries()
    for one in handovers:
        entries.insert(one.at, one.leaf)
    hashes = [leaf_hash(data) for data in entries]
    size = len(hashes)
    signed = checkpoint.sign(Checkpoint(last.verifier.name, size, root_of(hashes)), last)
    paths = [inclusion_proof(i, size, hash_at(hashes)) for i in (0, size - 1)]
    run = Run(0, b"".join(hashes), size, *paths)
    files: dict[str, bytes | None] = {
        name: None for name in bundle.files if name.startswith(("entries/", "proofs/", "handovers/"))
    }
    for index, data in enumerate(entries):
        files[entry_name(index)], files[proof_name(index)] = data, run.receipt(index, signed)
    files |= {handover_name(one.at): one.receipt(hashes) for one in handovers}
    files |= {"checkpoint": signed, "log.vkey": last.verifier.vkey.encode() + b"\n"}
    return bundle.but(files).saying(first=0, last=size - 1, others=())
