"""A department's commands and our answers, read and signed by Go's sumdb/note."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.commands import message as m
from protocol.note import Signer, parse_vkey, to_base64
from simulator.department import Department, digest_of
from tests.oracles.go_evidence import Oracle, build

pytestmark = [pytest.mark.xdist_group("go"), pytest.mark.timeout(180)]

STATION = "quantrac/LCa/DEMO/NUO001"
SEED = bytes(range(32))
DEPARTMENT = Department(Signer("dept.example", Ed25519PrivateKey.from_private_bytes(SEED)))
LOG = Signer(STATION, Ed25519PrivateKey.from_private_bytes(b"l" * 32))
COMMAND = DEPARTMENT.command(STATION, "sample", issued_s=1_774_371_600, bottles=2, reason="mùi lạ")


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with Oracle(build(tmp_path_factory.mktemp("go"))) as oracle:
        yield oracle


def test_go_reads_a_command_and_an_answer(go):
    text = m.result_text(
        m.Result(STATION, digest_of(COMMAND), 7, "sample", 0, m.DONE, "Đã lấy mẫu.", {"bottles": [1]})
    )
    answer = f"{text}\n{LOG.sign(text)}".encode()
    for data, key in ((COMMAND, DEPARTMENT.vkey), (answer, LOG.verifier.vkey)):
        assert go.ask("note", data=data, keys=[key])["names"] == [parse_vkey(key).name]
        for at in range(0, len(data), 7):
            changed = bytearray(data)
            changed[at] ^= 1
            assert not go.believes("note", data=bytes(changed), keys=[key])


def test_what_go_signs_is_a_command(go):
    text = COMMAND.decode().rpartition("\n\n")[0] + "\n"
    key = parse_vkey(DEPARTMENT.vkey)
    skey = f"PRIVATE+KEY+{key.name}+{key.key_id.hex()}+{to_base64(bytes((1,)) + SEED)}"
    theirs = b64decode(go.ask("sign", data=text.encode(), key=skey)["data"])
    assert theirs == COMMAND
    assert m.parse(m.opened(theirs, [key]).text).args == {"bottles": 2, "reason": "mùi lạ"}
