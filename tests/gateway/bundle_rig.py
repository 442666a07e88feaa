"""Bundles for tests: in memory, so that a change and a verification cost a millisecond; and forged ones, by
somebody who holds a key and can sign whatever he likes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.journal import leaf as leaves
from gateway.journal.kinds import WINDOW
from gateway.verify import Claim, Trust, verify
from gateway.verify_bundle import Manifest, entry_name, parse_manifest, proof_name
from gateway.verify_run import Run
from gateway.windows import body, parse_body
from protocol import checkpoint
from protocol.checkpoint import Checkpoint
from protocol.merkle import EvidenceError, inclusion_proof, leaf_hash, root_of
from protocol.note import Signer, Verifier, parse_vkey
from tests.gateway.evidence_rig import START, Story, greeting, live
from tools.log.export import export, export_to

NAME = "quantrac/LCa/DEMO/NUO001"
TO = START + 1_000_000_000


@dataclasses.dataclass
class Memory:
    """A bundle as a dictionary."""

    files: dict[str, bytes]
    is_shared: ClassVar[bool] = True

    @classmethod
    def of(cls, folder: Path) -> Memory:
        return cls({str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})

    def read(self, name: str, most: int) -> bytes:
        data = self.files.get(name)
        if data is None:
            raise EvidenceError(f"{name} is missing")
        if len(data) > most:
            raise EvidenceError(f"{name} has {len(data)} bytes")
        return data

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def names(self) -> Iterator[str]:
        return iter(self.files)

    def but(self, changed: dict[str, bytes | None]) -> Memory:
        """The same with some files changed, added, or (None) left out."""
        files = {**self.files, **changed}
        return Memory({name: data for name, data in files.items() if data is not None})

    def put(self, folder: Path) -> Path:
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    @property
    def manifest(self) -> Manifest:
        return parse_manifest(self.files["bundle.json"])

    @property
    def key(self) -> Verifier:
        return parse_vkey(self.files["log.vkey"].decode().strip())

    def entries(self) -> list[bytes]:
        """Of the run."""
        manifest = self.manifest
        return [self.files[entry_name(index)] for index in range(manifest.first, manifest.last + 1)]

    def saying(self, **fields) -> Memory:
        """The same with other words in bundle.json."""
        return self.but({"bundle.json": self.manifest._replace(**fields).encode()})


def claims(bundle: Memory, **trust) -> list[Claim]:
    """What holds; trusting the bundle's own key unless told otherwise."""
    trust.setdefault("log", bundle.key)
    return list(verify(bundle, Trust(**trust)))


def wrong(bundle: Memory, **trust) -> str:
    """What is wrong with it; "" for nothing."""
    try:
        list(verify(bundle, Trust(**trust)))
    except EvidenceError as error:
        return str(error)
    return ""


def exported(
    story: Story, out: Path, from_ms: int = START, to_ms: int = TO, seen: Path | None = None
) -> Memory:
    export(story.config, from_ms, to_ms, out, seen)
    return Memory.of(out)


def told(story: Story, from_ms: int = START, to_ms: int = TO) -> Memory:
    """The same without a disk, on which ten thousand small files cost more than what is in them."""
    bundle = Memory({})
    export_to(nullcontext(bundle), story.config, from_ms, to_ms)
    return bundle


def simple(folder: Path, windows: int = 7) -> tuple[Story, Memory]:
    """A journal without anything late, and the bundle of all of it: one run from entry 0 on."""
    story = Story(folder).start(greeting, live(windows))
    return story, exported(story, folder / "bundle")


def forged(
    bundle: Memory, entries: list[bytes], hashed: Callable[[bytes], bytes] = leaf_hash, key: bytes = bytes(32)
) -> Memory:
    """The log that begins with these entries, signed by somebody's key: a bundle that is consistent in all
    but what follows from the entries.
    """
    signer = Signer(NAME, Ed25519PrivateKey.from_private_bytes(key))
    leaves = [hashed(data) for data in entries]
    size = len(leaves)

    def hash_at(level: int, index: int) -> bytes:
        return root_of(leaves[index << level : (index + 1) << level])

    note = checkpoint.sign(Checkpoint(NAME, size, root_of(leaves)), signer)
    run = Run(0, b"".join(leaves), size, *(inclusion_proof(i, size, hash_at) for i in (0, size - 1)))
    files: dict[str, bytes | None] = {
        name: None for name in bundle.files if name.startswith(("entries/", "proofs/"))
    }
    for index, data in enumerate(entries):
        files[entry_name(index)], files[proof_name(index)] = data, run.receipt(index, note)
    files |= {"checkpoint": note, "log.vkey": signer.verifier.vkey.encode() + b"\n"}
    return bundle.but(files).saying(first=0, last=size - 1, others=())


def changed_row(bundle: Memory, which: int = 0) -> list[bytes]:
    """The entries, with one window's value made a little nicer."""
    entries = bundle.entries()
    rows = [i for i, data in enumerate(entries) if leaves.parse(data).kind == WINDOW]
    leaf = leaves.parse(entries[rows[which]])
    row, through = parse_body(leaf.body)
    assert row.value is not None
    entries[rows[which]] = leaves.leaf_bytes(*leaf[:4], body(row._replace(value=row.value / 2), through))
    return entries
