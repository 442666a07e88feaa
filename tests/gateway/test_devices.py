"""A device's bytes become journal entries and answers, or a count, and never anything else. No I/O here."""

from __future__ import annotations

from random import Random

import pytest

from gateway.counters import LinkCounters
from gateway.ingest.devices import DeviceIngest, Moment
from gateway.journal.kinds import EVENT, FRAME, HELLO
from gateway.windows import Channel, Settings, Windows
from protocol import cbor, framing
from protocol.cose import Mac0, payload_of
from protocol.errors import CodecError
from protocol.messages import Ack, Event, Result, Seal, Welcome, decode, encode
from tests.gateway.intake_rig import KEY, OTHER_KEY, START, hello, readings, wire

MOMENT = Moment(START + 1000, 77_000_000)
SOURCE = 5


def ingest(position=(0, 0)) -> DeviceIngest:
    windows = Windows([Channel("COD", "mg/l", "device/st-01", "cod")], Settings())
    return DeviceIngest("st-01", KEY, SOURCE, position, windows.lanes["device/st-01"], LinkCounters())


def answers(data: bytes) -> list:
    return [decode(Mac0("st-01", KEY).open(body)) for body in framing.Decoder().feed(data)]


def counts(device: DeviceIngest) -> dict:
    return {name: number for name, number in device.counters.snapshot().items() if number}


def test_a_greeting_is_answered_and_its_table_journaled_once():
    device = ingest(position=(1, 40))
    entries, answer = device.feed(wire(hello(boot=2, nonce=9)), MOMENT)
    assert answers(answer) == [Welcome(1, (9).to_bytes(8, "big"), 1, 40, MOMENT.now_ms, True)]
    [entry] = entries
    assert entry[0] == HELLO and entry[1] == SOURCE and decode(payload_of(entry[9])) == hello(boot=2, nonce=9)
    assert device.feed(wire(hello(boot=2, nonce=10)), MOMENT)[0] == []  # the same boot, the same table
    assert len(device.feed(wire(hello(boot=3, nonce=11)), MOMENT)[0]) == 1


def test_frames_are_journaled_as_they_came_and_acknowledged_after_the_commit():
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    frames = [
        wire(readings(1, 1)),
        wire(Event(1, 11, START, 1, 3, "open")),
        wire(Seal(1, 12, START, 1, 1, 0, bytes(32), bytes(32))),
    ]
    entries, answer = device.feed(b"".join(frames), MOMENT)
    assert answer == b"" and device.acknowledgement(MOMENT, 0) == b""
    assert [entry[:5] for entry in entries] == [
        (FRAME, SOURCE, 1, 1, 10),
        (FRAME, SOURCE, 1, 11, 11),
        (FRAME, SOURCE, 1, 12, 12),
    ]
    assert [framing.encode(entry[9]) for entry in entries] == frames
    assert (entries[0][5], entries[0][6], entries[0][7]) == (MOMENT.now_ms, 77, START)
    device.committed(entries[:1])
    assert answers(device.acknowledgement(MOMENT, 250)) == [
        Ack((1).to_bytes(8, "big"), 1, 10, MOMENT.now_ms, True, 250)
    ]
    device.committed(entries[1:])
    assert answers(device.acknowledgement(MOMENT, 0))[0].seq == 12
    assert device.acknowledgement(MOMENT, 0) == b""
    assert counts(device)["journaled"] == 3 and counts(device)["readings"] == 10


def test_repeats_and_gaps_are_answered_with_what_is_held():
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    entries, _ = device.feed(wire(readings(1, 1)) + wire(readings(1, 1)), MOMENT)
    assert len(entries) == 1 and counts(device)["repeats"] == 1
    assert answers(device.acknowledgement(MOMENT, 0))[0].seq == 0  # taken, but not on disk
    device.committed(entries)
    assert answers(device.acknowledgement(MOMENT, 0))[0].seq == 10
    assert device.feed(wire(readings(1, 31)), MOMENT)[0] == [] and counts(device)["gaps"] == 1
    assert answers(device.acknowledgement(MOMENT, 0))[0].seq == 10


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (wire(readings(1, 1), key=OTHER_KEY), "bad_tag"),
        (wire(readings(1, 1), device="st-02"), "wrong_device"),
        (wire(hello(device="st-02"), device="st-02", key=OTHER_KEY), "wrong_device"),
        (framing.encode(b"neither COSE nor anything"), "bad_tag"),
        (framing.encode(Mac0("st-01", KEY).seal(b"\x01\x02")), "undecodable"),
        (wire(Ack(bytes(8), 1, 1, 1, True, 0)), "refused"),
        (wire(hello(device="st-99")), "refused"),
    ],
)
def test_what_is_not_ours_is_counted_and_nothing_else(data, name):
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    before = counts(device)
    entries, answer = device.feed(data, MOMENT)
    assert (entries, answer, device.acknowledgement(MOMENT, 0)) == ([], b"", b"")
    after = counts(device)
    changed = {key for key in after if after[key] != before.get(key, 0)} - {"bytes", "frames"}
    assert changed == {name} and after[name] == 1


def test_records_before_a_greeting_and_of_an_older_boot_are_stale():
    device = ingest(position=(3, 10))
    assert device.feed(wire(readings(3, 11)), MOMENT) == ([], b"")
    device.feed(wire(hello(boot=4)), MOMENT)
    assert device.feed(wire(readings(2, 1)), MOMENT) == ([], b"")
    assert device.feed(wire(hello(boot=3, nonce=2)), MOMENT)[0] == []
    assert counts(device)["stale"] == 3


@pytest.mark.parametrize("greeted", [False, True])
def test_a_device_that_lost_its_boot_number_is_told_which_one_is_known(greeted):
    device = ingest(position=(9000, 10))
    if greeted:
        device.feed(wire(hello(boot=9001)), MOMENT)
    entries, answer = device.feed(wire(hello(boot=42, nonce=2)), MOMENT)
    (told,) = answers(answer)
    assert entries == [] and counts(device)["stale"] == 1
    assert (told.nonce, told.boot) == ((2).to_bytes(8, "big"), 9001 if greeted else 9000)
    _, answer = device.feed(wire(hello(boot=told.boot + 1, nonce=3)), MOMENT)
    assert answers(answer)[0].nonce == (3).to_bytes(8, "big")
    entries, _ = device.feed(wire(readings(told.boot + 1, 1)), MOMENT)
    assert len(entries) == 1
    assert device.feed(wire(hello(boot=42, nonce=2)), MOMENT)[0] == []  # recorded, and sent again: no harm
    assert len(device.feed(wire(readings(told.boot + 1, 11)), MOMENT)[0]) == 1


def test_a_replayed_greeting_of_this_boot_is_stale():
    device = ingest()
    first, second = wire(hello(nonce=1)), wire(hello(nonce=2))
    device.feed(first + second, MOMENT)
    assert device.feed(first, MOMENT) == ([], b"") and counts(device)["stale"] == 1


def test_every_flipped_bit_of_a_frame_is_refused():
    frame = wire(readings(1, 1))
    accepted = 0
    for bit in range(len(frame) * 8 - 8):
        device = ingest()
        device.feed(wire(hello()), MOMENT)
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        accepted += len(device.feed(bytes(flipped), MOMENT)[0])
    assert accepted == 0
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    assert len(device.feed(frame, MOMENT)[0]) == 1


def test_every_flipped_bit_behind_a_right_checksum_is_refused():
    body = Mac0("st-01", KEY).seal(encode(readings(1, 1)))
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    for bit in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        assert device.feed(framing.encode(bytes(flipped)), MOMENT) == ([], b"")
    found = counts(device)
    assert found["bad_tag"] + found["wrong_device"] == len(body) * 8 and found["wrong_device"] > 10


def test_how_the_stream_is_sliced_does_not_matter():
    stream = wire(hello()) + b"".join(wire(readings(1, 1 + 10 * i)) for i in range(20))
    whole = ingest().feed(stream, MOMENT)[0]
    rng = Random(3)
    device, pieces, at = ingest(), [], 0
    while at < len(stream):
        size = rng.randint(1, 200)
        pieces += device.feed(stream[at : at + size], MOMENT)[0]
        at += size
    assert pieces == whole and len(whole) == 21


def test_ticks_of_a_device_without_time_are_placed_by_its_greeting():
    device = ingest()
    entries, _ = device.feed(wire(hello(clock=0, ticks_ms=400)), MOMENT)
    assert [entry[0] for entry in entries] == [HELLO, EVENT]
    assert cbor.loads(entries[1][9]) == ["placed", "st-01", 1, START + 600]
    ticking = readings(1, 1)._replace(base_ms=500, clock=0)
    [entry] = device.feed(wire(ticking), MOMENT)[0]
    assert entry[7] == START + 1100
    assert device.feed(wire(hello(clock=0, ticks_ms=900, nonce=2)), MOMENT)[0] == []


def test_nothing_is_placed_by_a_clock_that_is_not_trusted():
    device = ingest()
    entries, answer = device.feed(wire(hello(clock=0, ticks_ms=400)), MOMENT._replace(trusted=False))
    assert [entry[0] for entry in entries] == [HELLO] and answers(answer)[0].trusted is False
    told, entry = device.feed(wire(readings(1, 1)._replace(base_ms=500, clock=0)), MOMENT)[0]
    assert entry[7] is None  # journaled, and in no window: for now
    assert (told[0], cbor.loads(told[9])) == (EVENT, ["untold", "st-01", 1])


def test_records_that_the_device_lost_are_written_down():
    device = ingest(position=(1, 10))
    entries, _ = device.feed(wire(hello(store=(1, 31))), MOMENT)
    assert cbor.loads(entries[1][9]) == ["skipped", "st-01", 1, 31, 20] and counts(device)["skipped"] == 20
    assert len(device.feed(wire(readings(1, 31)), MOMENT)[0]) == 1


def test_results_go_to_whoever_commands():
    results = []
    device = ingest()
    device.on_result = results.append
    device.feed(wire(Result(4, True, "done", None)), MOMENT)
    assert results == [Result(4, True, "done", None)]


@pytest.mark.parametrize("kid", ["a", "st-01", "x" * 23, "x" * 24, "x" * 32])
@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, 800])
def test_payloads_are_found_without_the_key(kid, size):
    payload = bytes(range(256))[: size % 256] + bytes(max(0, size - size % 256))
    assert payload_of(Mac0(kid, KEY).seal(payload)) == payload


def test_payloads_of_nothing_are_refused():
    for data in (b"", b"\xd1\x84", bytes(100)):
        with pytest.raises(CodecError):
            payload_of(data)


def test_an_accepted_record_is_journaled_whatever_the_arithmetic_says(monkeypatch):
    """Left out, it would be acknowledged together with the next one: lost for good."""
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    add = device.lane.add

    def poisoned(message, now_ms, mono_s):
        if message.first_seq == 11:
            raise ZeroDivisionError
        return add(message, now_ms, mono_s)

    monkeypatch.setattr(device.lane, "add", poisoned)
    entries, _ = device.feed(b"".join(wire(readings(1, first)) for first in (1, 11, 21)), MOMENT)
    assert [(entry[3], entry[7]) for entry in entries if entry[0] == FRAME][1] == (11, None)
    assert [entry[3] for entry in entries if entry[0] == FRAME] == [1, 11, 21]
    assert counts(device)["not_averaged"] == 1


def test_calibration_points_that_cannot_be_used_are_as_good_as_unknown():
    device = ingest()
    device.feed(wire(hello()), MOMENT)
    device.lane.describe(1, [("cod", 1000, 7, ((1.0, 0.0), (1.0, 10.0)))])
    assert ("cod", 7) not in device.lane.points


def test_a_greeting_that_was_held_up_does_not_set_the_clock_of_a_boot():
    """Delay only adds: the quickest greeting before the first record is the truest."""
    device = ingest()
    late = MOMENT._replace(now_ms=MOMENT.now_ms + 3_600_000)
    device.feed(wire(hello(clock=0, ticks_ms=400)), late)  # an hour on the way
    assert (
        len(device.feed(wire(hello(clock=0, ticks_ms=900, nonce=2)), MOMENT)[0]) == 1
    )  # journaled: "placed"
    assert device.lane.placements == {1: MOMENT.now_ms - 900}
    device.feed(wire(readings(1, 1)._replace(base_ms=500, clock=0)), MOMENT)
    quicker = MOMENT._replace(now_ms=MOMENT.now_ms - 5)
    assert device.feed(wire(hello(clock=0, ticks_ms=900, nonce=3)), quicker)[0] == []  # it has been used
    assert device.lane.placements == {1: MOMENT.now_ms - 900}
