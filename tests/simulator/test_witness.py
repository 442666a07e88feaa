"""simulator/witness.py: what C2SP tlog-witness demands of a witness, one case after the other; its HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import stat
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint
from protocol.merkle import EvidenceError, consistency_proof, leaf_hash, root_of
from protocol.note import Signer
from simulator import witness as witnesses
from simulator.witness import REQUEST_BYTES_MAX, Witness
from simulator.witness_server import WitnessProcess, WitnessServer

NAME = "witness.example/w1"
LOG = Signer("quantrac/LCa/DEMO/NUO001", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
OTHER_LOG = Signer("quantrac/LCa/DEMO/NUO002", Ed25519PrivateKey.from_private_bytes(b"m" * 32))
STRANGER = Signer("quantrac/LCa/DEMO/NUO003", Ed25519PrivateKey.from_private_bytes(b"s" * 32))
FORGER = Signer(LOG.verifier.name, Ed25519PrivateKey.from_private_bytes(b"f" * 32))
NOW_S = 1_774_000_000
SIZES = 40


class Log:
    """A log's leaves; `size` entries of it are asked for."""

    def __init__(self, signer: Signer = LOG, changed: int | None = None):
        self.signer = signer
        self.leaves = [leaf_hash(b"%d" % i) for i in range(SIZES)]
        if changed is not None:
            self.leaves[changed] = leaf_hash(b"rewritten")

    def hash_at(self, level: int, index: int) -> bytes:
        return root_of(self.leaves[index << level : (index + 1) << level])

    def signed(self, size: int, signer: Signer | None = None) -> bytes:
        root = root_of(self.leaves[:size])
        return checkpoint.sign(Checkpoint(self.signer.verifier.name, size, root), signer or self.signer)

    def request(self, old: int, size: int, data: bytes | None = None) -> bytes:
        proof = consistency_proof(old, size, self.hash_at)
        return request(old, proof, self.signed(size) if data is None else data)


def request(old: object, proof: list[bytes], data: bytes) -> bytes:
    lines = [f"old {old}", *(base64.b64encode(h).decode() for h in proof), "", ""]
    return "\n".join(lines).encode() + data


@pytest.fixture
def known(tmp_path) -> Path:
    path = tmp_path / "logs.vkeys"
    path.write_text(f"{LOG.verifier.vkey}\n{OTHER_LOG.verifier.vkey}\n")
    return path


@pytest.fixture
def witness(tmp_path, known) -> Witness:
    return Witness(tmp_path / "witness", NAME, [known], lambda: NOW_S)


def time_of(witness: Witness, answer, data: bytes) -> int:
    """When it was cosigned: what `answer` adds to the checkpoint `data` holds for this witness's key."""
    assert answer.status == 200, answer
    assert answer.body.startswith("— ".encode()) and answer.body.endswith(b"\n")
    found = note.parse(data + answer.body)
    return dict(note.verify(found, [note.parse_vkey(witness.vkey)])).popitem()[1]


# What is cosigned -------------------------------------------------------------------------------------------


def test_every_step_of_a_growing_log(witness):
    log = Log()
    steps = [1, 2, 3, 7, 8, 9, 16, 31, 40]
    for old, size in zip([0, *steps], steps, strict=False):
        assert time_of(witness, witness.add(log.request(old, size)), log.signed(size)) == NOW_S


def test_the_same_checkpoint_again(witness):
    log = Log()
    for _ in range(2):
        witness.add(log.request(0, 5))
        time_of(witness, witness.add(log.request(5, 5)), log.signed(5))


def test_an_empty_log_and_then_one_with_entries(witness):
    log = Log()
    for old, size in ((0, 0), (0, 0), (0, 3)):
        time_of(witness, witness.add(log.request(old, size)), log.signed(size))


def test_logs_do_not_mix(witness):
    assert witness.add(Log().request(0, 30)).status == 200
    assert witness.add(Log(OTHER_LOG).request(0, 3)).status == 200
    assert witness.add(Log().request(3, 31)) == (409, b"30\n", "text/x.tlog.size")


def test_signatures_of_strangers_are_ignored_and_not_passed_on(witness):
    data = Log().signed(5)
    data += STRANGER.sign(note.parse(data).text).encode() + FORGER.sign(note.parse(data).text).encode()
    time_of(witness, witness.add(Log().request(0, 5, data)), data)
    kept = note.parse(witness.newest(hashlib.sha256(LOG.verifier.name.encode()).hexdigest()).body)
    assert [s.name for s in kept.signatures] == [LOG.verifier.name, NAME]
    assert checkpoint.open_checkpoint(
        kept.encode(), LOG.verifier, [note.parse_vkey(witness.vkey)], 1
    ).size == 5  # fmt: skip


def test_extension_lines_are_cosigned_with_the_rest(witness):
    text = Checkpoint(LOG.verifier.name, 5, root_of(Log().leaves[:5]), ("an extension",)).text()
    data = f"{text}\n{LOG.sign(text)}".encode()
    time_of(witness, witness.add(Log().request(0, 5, data)), data)


# What is not ------------------------------------------------------------------------------------------------


def test_an_unknown_log(witness):
    assert witness.add(Log(STRANGER).request(0, 5)).status == 404


def test_a_log_made_known_later(witness, known):
    with known.open("a") as file:
        file.write(STRANGER.verifier.vkey + "\n")
    assert witness.add(Log(STRANGER).request(0, 5)).status == 200


def test_a_signature_that_is_missing_wrong_or_of_another_key(witness):
    data = Log().signed(5)
    changed = bytearray(data)
    changed[-10] ^= 1  # within the base64 of the signature
    line = FORGER.sign(note.parse(data).text)
    raw = base64.b64encode(LOG.verifier.key_id + base64.b64decode(line.split()[2])[4:]).decode()
    claimed = f"{note.parse(data).text}\n— {LOG.verifier.name} {raw}\n".encode()
    for forged in (Log().signed(5, FORGER), bytes(changed), claimed):
        assert witness.add(Log().request(0, 5, forged)).status == 403
    good_too = data + claimed[claimed.rindex(b"\n\n") + 2 :]
    assert witness.add(Log().request(0, 5, good_too)).status == 403
    assert witness.add(Log().request(1, 5)) == (409, b"0\n", "text/x.tlog.size"), "nothing was remembered"


def test_an_old_size_above_the_checkpoints(witness):
    assert witness.add(request(6, [], Log().signed(5))).status == 400


@pytest.mark.parametrize("old", [0, 1, 11, 13, 20])
def test_an_old_size_that_is_not_its_own(witness, old):
    witness.add(Log().request(0, 12))
    assert witness.add(Log().request(old, 20)) == (409, b"12\n", "text/x.tlog.size")
    assert witness.add(Log().request(12, 20)).status == 200


def test_a_proof_that_does_not_hold(witness):
    log = Log()
    witness.add(log.request(0, 12))
    good = consistency_proof(12, 20, log.hash_at)
    bad = [[], good[:-1], [*good, good[0]], good[::-1], consistency_proof(11, 20, log.hash_at)]
    for proof in bad:
        assert witness.add(request(12, proof, log.signed(20))).status == 422, proof
    assert witness.add(request(12, good, log.signed(20))).status == 200


def test_a_proof_where_none_belongs(witness):
    proof = consistency_proof(3, 5, Log().hash_at)
    assert witness.add(request(0, proof, Log().signed(5))).status == 422
    witness.add(Log().request(0, 5))
    assert witness.add(request(5, proof, Log().signed(5))).status == 422


def test_another_root_of_the_same_size(witness):
    witness.add(Log().request(0, 12))
    assert witness.add(Log(changed=3).request(12, 12)).status == 422


def test_an_empty_log_with_a_root(witness):
    text = f"{LOG.verifier.name}\n0\n{base64.b64encode(b'x' * 32).decode()}\n"
    data = f"{text}\n{LOG.sign(text)}".encode()
    assert witness.add(request(0, [], data)).status == 422


def forks(witness: Witness) -> list[int]:
    """The answers to a log whose entry 3 was rewritten after 12 entries had been cosigned."""
    witness.add(Log().request(0, 12))
    return [witness.add(Log(changed=3).request(12, size)).status for size in (12, 13, 16, 40)]


def test_a_forked_log_is_refused(witness):
    assert forks(witness) == [422] * 4
    assert witness.add(Log().request(12, 40)).status == 200


def test_control_a_witness_that_checks_no_proof_cosigns_the_fork(witness, monkeypatch):
    monkeypatch.setattr(witnesses, "check_consistency", lambda *proof: None)
    assert 200 in forks(witness)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n\n", b"old 0", b"old 0\n\n", b"old 0\nAAAA\n\n%s", b"old 00\n\n%s", b"old -1\n\n%s",
        b"old 9223372036854775808\n\n%s", b"old  0\n\n%s", b"old 0 \n\n%s", b"new 0\n\n%s",
        b"old 0\r\n\r\n%s",
        b"old \xd9\xa3\n\n%s", b"old 0\n" + b"A" * 43 + b"\n\n%s", b"old 0\n" + b"A" * 42 + b"B=\n\n%s",
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n%s", b"%s", b"old 0\n%s",
        b"old 0\n\nno note", b"old 0\n\nquantrac/LCa/DEMO/NUO001\n5\nroot\n\n\xe2\x80\x94 a AAAAAAAA",
    ],
)  # fmt: skip
def test_what_is_no_request(witness, body):
    data = Log().signed(5)
    answer = witness.add(body.replace(b"%s", data))
    assert answer.status == 400 and answer.body.endswith(b"\n"), answer
    assert witness.add(Log().request(0, 5)).status == 200


def test_a_signed_note_that_is_no_checkpoint(witness):
    for text in (
        f"{LOG.verifier.name}\n",
        f"{LOG.verifier.name}\n05\nAAAA\n",
        f"{LOG.verifier.name}\nx\ny\n",
    ):
        assert witness.add(request(0, [], f"{text}\n{LOG.sign(text)}".encode())).status == 400


def test_every_changed_bit_of_a_request_is_refused(witness):
    witness.add(Log().request(0, 3))
    body = Log().request(3, 5)
    for position in range(len(body) * 8):
        changed = bytearray(body)
        changed[position // 8] ^= 1 << position % 8
        assert witness.add(bytes(changed)).status in (400, 403, 404, 409, 422), position
    assert witness.add(body).status == 200


# Memory -----------------------------------------------------------------------------------------------------


def test_it_remembers_through_a_restart(tmp_path, witness, known):
    witness.add(Log().request(0, 12))
    again = Witness(tmp_path / "witness", NAME, [known])
    assert again.add(Log().request(0, 20)).body == b"12\n"
    assert stat.S_IMODE((tmp_path / "witness/witness.key").stat().st_mode) == 0o600
    assert not list((tmp_path / "witness").rglob("*.new"))


def test_what_is_not_on_disk_is_not_answered(tmp_path, witness, monkeypatch):
    witness.add(Log().request(0, 12))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(witnesses.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        witness.add(Log().request(12, 20))
    monkeypatch.undo()
    assert witness.add(Log().request(0, 20)).body == b"12\n"


def test_a_damaged_memory_is_not_a_log_never_seen(tmp_path, witness):
    witness.add(Log().request(0, 12))
    (path,) = (tmp_path / "witness").glob("*/checkpoint")
    for damage in (b"", path.read_bytes().replace(b"\n12\n", b"\n11\n")):
        path.write_bytes(damage)
        with pytest.raises(EvidenceError):
            witness.add(Log().request(0, 20))


def test_rolled_back_it_knows_less(witness):
    witness.add(Log().request(0, 12))
    before = witness.snapshot()
    witness.add(Log().request(12, 20))
    witness.roll_back(before)
    assert witness.add(Log().request(20, 30)).body == b"12\n"
    witness.roll_back({})
    assert witness.add(Log().request(12, 30)).body == b"0\n"


# HTTP -------------------------------------------------------------------------------------------------------


def http(url: str, body: bytes | None = None) -> tuple[int, str | None, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def test_over_http(witness):
    async def main():
        server = await WitnessServer(witness).start()

        async def ask(path: str, body: bytes | None = None):
            return await asyncio.to_thread(http, server.url + path, body)

        origin = "/" + hashlib.sha256(LOG.verifier.name.encode()).hexdigest() + "/checkpoint"
        assert (await ask(origin))[0] == 404
        status, _, body = await ask("/add-checkpoint", Log().request(0, 12))
        assert status == 200 and body.startswith("— witness.example/w1 ".encode())
        assert await ask("/add-checkpoint", Log().request(0, 20)) == (409, "text/x.tlog.size", b"12\n")
        assert (await ask("/add-checkpoint", Log(STRANGER).request(0, 5)))[0] == 404
        assert (await ask("/add-checkpoint", bytes(REQUEST_BYTES_MAX + 1)))[0] == 413
        assert (await ask("/add-checkpoint"))[0] == 405 and (await ask("/"))[0] == 404
        assert (await ask("/..%2fwitness.key/checkpoint"))[0] == 404
        assert (await ask(origin))[2] == Log().signed(12) + body
        port = server.port
        await server.cut()
        with pytest.raises(urllib.error.URLError):
            await ask(origin)
        await server.restore()
        assert server.port == port and (await ask(origin))[0] == 200
        await server.stop()
        await server.stop()

    asyncio.run(main())


def test_killed_again_and_again_it_never_forgets_what_it_answered(tmp_path, known):
    async def main():
        log, answered = Log(), 0
        process = WitnessProcess(tmp_path / "witness", NAME, [known], tmp_path / "log")
        for _ in range(4):
            await process.start()
            status, kind, body = await asyncio.to_thread(
                http, process.url + "/add-checkpoint", log.request(0, 1)
            )
            if status == 409:
                assert kind == "text/x.tlog.size" and int(body) >= answered
                size = int(body)
            else:
                size = 1
            assert process.process is not None
            asyncio.get_running_loop().call_later(0.05, os.kill, process.process.pid, signal.SIGKILL)
            while size < SIZES:
                try:
                    status, _, _ = await asyncio.to_thread(
                        http, process.url + "/add-checkpoint", log.request(size, size + 1)
                    )
                except (OSError, HTTPException):  # killed before, or within, its answer
                    break
                assert status == 200
                size = answered = size + 1
            await process.process.wait()
        assert answered > 4

    asyncio.run(main())


def test_a_process_that_cannot_start_says_so(tmp_path, known):
    async def main():
        (tmp_path / "witness").write_text("a file where the folder should be")
        process = WitnessProcess(tmp_path / "witness", NAME, [known], tmp_path / "log")
        with pytest.raises(RuntimeError, match="did not start"):
            await process.start()
        assert not process.running

    asyncio.run(main())
