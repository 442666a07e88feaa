"""The department's commands as bytes: one encoding, nothing believed unsigned, never a checkpoint."""

from __future__ import annotations

from random import Random

import pytest

from gateway.commands import message as m
from gateway.journal.checkpoints import origin
from protocol import checkpoint, note
from protocol.merkle import EvidenceError
from simulator.department import Department

STATION = origin("LCa", "DEMO", "NUO001")
ISSUED_S = 1_774_371_600  # 2026-03-25T00:00:00+07:00
SAMPLE = {"bottles": 2, "reason": "vượt giới hạn ban đêm"}
RESEND = {
    "from_": "2026-03-24T00:05:00+07:00", "to": "2026-03-25T00:00:00+07:00", "symbols": "COD PM2,5",
    "what": "windows",
}  # fmt: skip
DEPARTMENT, STRANGER = Department.made("dept.example"), Department.made("dept.example")
KEYS = [note.parse_vkey(DEPARTMENT.vkey)]


def made(verb: str = "sample", **args) -> bytes:
    return DEPARTMENT.command(STATION, verb, counter=7, issued_s=ISSUED_S, **(args or SAMPLE))


def read(data: bytes) -> m.Command:
    return m.parse(m.opened(data, KEYS).text)


def code_of(data: bytes) -> str:
    with pytest.raises(m.Wrong) as error:
        read(data)
    return error.value.code


def test_what_the_department_wrote_is_read():
    """The simulator writes it by itself: 00:00:00+07:00 of 25 March is 17:00 UTC of the 24th."""
    assert read(made()) == m.Command(
        STATION, 7, ISSUED_S * 1000, (ISSUED_S + 3600) * 1000, "sample",
        {"bottles": 2, "reason": "vượt giới hạn ban đêm"},
    )  # fmt: skip
    asked = read(made("resend", **RESEND))
    assert asked.args == {
        "from": (ISSUED_S - 86_400 + 300) * 1000, "to": ISSUED_S * 1000, "symbols": ("COD", "PM2,5"),
        "what": "windows",
    }  # fmt: skip
    assert read(made("resend", **{**RESEND, "symbols": "*"})).args["symbols"] == ()
    command = DEPARTMENT.command(STATION, "status", counter=8, issued_s=ISSUED_S)
    assert (read(command).verb, read(command).args) == ("status", {})


def test_it_has_one_encoding_and_one_name():
    for verb, args in (("sample", SAMPLE), ("resend", RESEND)):
        signed = m.opened(made(verb, **args), KEYS)
        assert m.text_of(m.parse(signed.text)) == signed.text
        other = made(verb, **args) + STRANGER._signer.sign(signed.text).encode()
        assert m.digest_of(other) == signed.digest == m.digest_of(made(verb, **args))


@pytest.mark.parametrize(
    "args",
    [
        {"bottles": 0, "reason": "x"}, {"bottles": 25, "reason": "x"}, {"bottles": "01", "reason": "x"},
        {"bottles": "+1", "reason": "x"}, {"bottles": 1, "reason": " x"}, {"bottles": 1, "reason": "x" * 201},
        {"bottles": 1, "reason": "a\u202eb"}, {"bottles": 1, "reason": ""}, {"reason": "x", "bottles": 1},
        {"bottles": 1}, {"bottles": 1, "reason": "x", "more": "y"}, {"bottles": 1, "reason": "x\nmore y"},
    ],
)  # fmt: skip
def test_wrong_arguments(args):
    assert code_of(made(**args)) == m.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"from_": "2026-03-25T00:05:00+07:00"}, {"to": "2026-03-25T00:00:00Z"}, {"symbols": "COD  pH"},
        {"symbols": "COD COD"}, {"what": "readings"}, {"to": "2026-02-30T00:00:00+07:00"},
        {"to": "2026-03-25T24:00:00+07:00"}, {"from_": "0000-01-01T00:00:00+07:00"},
    ],
)  # fmt: skip
def test_wrong_ranges(change):
    assert code_of(made("resend", **{**RESEND, **change})) == m.MALFORMED


def test_verbs_and_times():
    assert code_of(DEPARTMENT.command(STATION, "reboot", issued_s=ISSUED_S)) == m.UNKNOWN_VERB
    for life_s in (0, -1, 31 * 86_400 + 1):
        command = DEPARTMENT.command(STATION, "status", counter=1, issued_s=ISSUED_S, life_s=life_s)
        assert code_of(command) == m.MALFORMED
    assert code_of(DEPARTMENT.command(STATION, "status", counter=0, issued_s=ISSUED_S)) == m.MALFORMED
    assert code_of(DEPARTMENT.command(STATION, "status", counter=1 << 63, issued_s=ISSUED_S)) == m.MALFORMED


def test_who_signed_it():
    assert code_of(STRANGER.command(STATION, "sample", counter=7, issued_s=ISSUED_S, **SAMPLE)) == m.WRONG_KEY
    renamed = Department.made("other.example").command(STATION, "status", issued_s=ISSUED_S)
    assert code_of(renamed) == m.WRONG_KEY
    assert code_of(b"") == code_of(b"{}") == code_of(bytes(100)) == m.MALFORMED
    assert code_of(made() + bytes(m.BYTES_MAX)) == m.TOO_LARGE


def test_every_changed_bit_is_refused():
    data = made()
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            assert code_of(bytes(changed)) in (m.WRONG_KEY, m.MALFORMED)


def test_the_control_unsigned_text_would_let_changes_through(monkeypatch):
    """Without the signature a changed reason is read as if the department had written it."""
    monkeypatch.setattr("gateway.commands.message.note.verify", lambda found, keys: [(KEYS[0], None)])
    with pytest.raises(pytest.fail.Exception):
        test_every_changed_bit_is_refused()


def test_whatever_the_bytes_it_is_read_or_wrong():
    rng, data = Random(1), made()
    for _ in range(3000):
        lines = data.decode().split("\n")
        at = rng.randrange(len(lines))
        lines[at : at + rng.randrange(2)] = rng.choices([*lines, "", "x", "bottles 9"], k=rng.randrange(3))
        changed = "\n".join(lines).encode()
        if rng.random() < 0.5:  # signed by the department all the same: it may err
            changed = DEPARTMENT.signed("\n".join(lines).rpartition("\n\n")[0] + "\n")
        try:
            read(changed)
        except (m.Wrong, EvidenceError):
            pass


def test_answers_are_read_back_and_are_one_line_each():
    result = m.Result(
        STATION, "ab" * 32, 7, "sample", ISSUED_S * 1000, m.DONE, "Bottle 3\nis\tfull.", {"b": [1.5]}
    )
    text = m.result_text(result)
    assert m.parse_result(text) == result._replace(reason="Bottle 3 is full.")
    assert text.count("\n") == 9
    large = m.result_text(result._replace(details={"x": "y" * m.DETAILS_BYTES_MAX}))
    assert "left_out" in m.parse_result(large).details and len(large) < m.DETAILS_BYTES_MAX


def test_neither_is_ever_a_checkpoint():
    """What the log's key signs as an answer nobody can show as a checkpoint of that log, or of another."""
    signed = m.opened(made(), KEYS).text
    answer = m.result_text(m.Result(STATION, "0" * 64, 0, "-", 0, m.REFUSED, "no", {}))
    for text in (signed, answer):
        with pytest.raises(EvidenceError):
            checkpoint.parse(text)
        assert not text.startswith("quantrac/")
