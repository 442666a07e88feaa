"""The protocol's number handling on a Cortex-M0 (QEMU), as far as MicroPython 1.9.2 in 9 KB can carry it.

Its floats are boxed into 30 bits: every arithmetic step cuts two bits off the fraction. So what moves bits or
computes with integers has to agree exactly with the vectors, and a scaled value may differ by a few of its
last bits. A Pico has whole 32-bit floats.
"""

from __future__ import annotations

import json

import pytest

from tests.emulated.microbit import ROOT, Microbit, OnMicrobit

STEP_ULP = 4  # two bits lost in each operand and result
ERRORS = """
class ProtocolError(Exception): pass
class CodecError(ProtocolError): pass
class BadReply(ProtocolError): pass
class ConfigError(ProtocolError): pass
class ExceptionReply(ProtocolError):
 def __init__(self, code): self.code = code
"""
BINASCII = """
def crc32(data):
 crc = 0xFFFFFFFF
 for byte in data:
  crc ^= byte
  for _ in range(8): crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
 return crc ^ 0xFFFFFFFF
"""
"""This image has no binascii: the one function of it that framing.py takes."""


def vectors(name: str) -> list:
    with (ROOT / "protocol/vectors" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def board():
    machine = Microbit()
    try:
        machine.run(ERRORS)
        yield machine
    finally:
        machine.close()


def test_registers(board):
    names = (
        "TYPES", "ORDERS", "_CODES", "_WORDS", "_INFINITE", "words_of", "_big_endian", "raw_bits", "_float",
        "_round", "int_bits", "_shift_even", "_from_double",
    )  # fmt: skip
    board.load("registers", *names)
    rows = vectors("registers")
    calls = [f"raw_bits({tuple(words)},{kind!r},{order!r},{m},{d},{o})"
             for kind, order, words, _, m, d, o, _ in rows]  # fmt: skip
    exact = near = 0
    for row, call, answer in zip(rows, calls, board.each(calls), strict=True):
        raw, plain = row[7], row[4] == 1 and row[5] == 1 and row[6] == 0
        if plain or raw & 0x7FFFFFFF > 0x7F800000:
            assert int(answer) == raw, call
            exact += 1
        else:
            assert abs(int(answer) - raw) <= 3 * STEP_ULP, (call, answer, raw)
            near += 1
    assert exact >= 80 and near >= 80


def test_numbers_to_registers(board):
    names = (
        "TYPES",
        "ORDERS",
        "_CODES",
        "_WORDS",
        "_LIMITS",
        "words_of",
        "_big_endian",
        "encode",
        "_finite",
        "_round",
    )
    board.load("registers", *names)
    rows = [row for row in vectors("registers") if isinstance(row[3], int) and "int" in row[0]]
    answers = board.each([f"encode({row[3]},{row[0]!r},{row[1]!r})" for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        assert answer == repr(tuple(row[2])), row
    wrong = ["encode(32768,'int16','ABCD')", "encode(1,'int8','ABCD')"]
    assert board.each(wrong) == ["CodecError", "ConfigError"]


def test_modbus_replies(board):
    board.load("modbus", "array", "_crc_table", "_CRC", "crc16")
    rows = [row for row in vectors("modbus") if row[0] in ("rtu", "bad rtu")]
    adus = [row[-1] if row[0] == "bad rtu" else row[-2] for row in rows]
    checked = 0
    answers = board.each([f"crc16({bytes.fromhex(adu)[:-2]!r})" for adu in adus])
    for row, adu, answer in zip(rows, adus, answers, strict=True):
        right = int(answer) == int.from_bytes(bytes.fromhex(adu)[-2:], "little")
        assert right or row[0] == "bad rtu", row
        checked += right
    assert checked > 60


def test_frames(board):
    board.run(BINASCII)
    board.run("const = lambda x: x")
    names = ("_RESIDUE", "_decode")  # encode needs bytearray.find, which is younger
    board.load("framing", *names)
    rows = [row for row in vectors("framing") if "frame" in row and len(row["frame"]) < 400]
    good = [row for row in rows if "body" in row]
    assert len(good) >= 9
    calls = [f"_decode({bytes.fromhex(row['frame'])[:-1]!r})" for row in good]
    assert board.each(calls) == [repr(bytes.fromhex(row["body"])) for row in good]
    broken = [
        bytes([frame[0] ^ 0x40, *frame[1:-1]]) for row in good if (frame := bytes.fromhex(row["frame"]))
    ]
    assert board.each([f"_decode({frame!r})" for frame in broken]) == ["None"] * len(good)


def test_what_the_old_interpreter_raises_is_seen(board):
    """A control of the rig itself: a failing expression is not taken for an answer."""
    with pytest.raises(OnMicrobit, match="ZeroDivisionError"):
        board.run("1/0")
    assert board.each(["1/0", "2+2"]) == ["ZeroDivisionError", "4"]
