# runs on: cpython
"""What a verifier with the seal key finds: every change, and no fault in what is honest."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from protocol import cbor, seal_check
from protocol.errors import ConfigError
from protocol.messages import DISCARDED, DOOR, Event, Now, Readings, Seal, Summary, decode
from protocol.seal import BODY, KEY_SEALS, Chain, next_key, tag
from protocol.seal_check import EPOCHS_MAX, LOST, SEALED, UNSEALED, WRONG, check, key_of
from tests.protocol._check import vectors

KEY = bytes(range(32))
DEVICE = "st-01"
T = 1_780_000_000_000


class Device:
    """A device that seals, in a few lines: what it emits is in `out`, one message for each record."""

    def __init__(self, key: bytes = KEY, name: str = DEVICE):
        self.key, self.epoch, self.name = key, 0, name
        self.kept = bytes(32)  # where the chain stands behind the last seal that is safe
        self.out: list[Any] = []
        self.life = 6
        self.start()

    def start(self) -> None:
        self.life += 1
        self.seq, self.time_ms = 1, T + self.life * 3_600_000
        self.chain = Chain(self.kept)
        self.seal()

    def seal(self, safe: bool = True) -> None:
        value = self.chain.value
        numbers = self.epoch, self.seq, self.life, self.time_ms, 1
        its_tag = tag(self.key, self.name.encode(), *numbers, value)
        body = struct.pack(BODY, self.life, self.epoch, value, its_tag)
        self.chain.add(self.seq, 0, 0xC0, 0, 0, self.time_ms, body)
        self.out.append(Seal(self.life, self.seq, self.time_ms, 1, self.life, self.epoch, value, its_tag))
        self.seq += 1
        if safe:
            self.kept = self.chain.value

    def turn(self) -> None:
        self.epoch += 1
        self.key = next_key(self.key)

    def read(self, n: int = 1) -> None:
        for _ in range(n):
            self.time_ms += 1000
            bits = 0x41C80000 + self.seq
            self.chain.add(self.seq, self.seq % 5, 0x80, 0, bits, self.time_ms, b"")
            row = (self.seq % 5, 0, bits, 0, 0)
            self.out.append(Readings(self.life, self.seq, self.time_ms, 1, (row,)))
            self.seq += 1

    def event(self, kind: int, detail: Any) -> None:
        self.chain.add(self.seq, kind, 0xC0, 0, 0, self.time_ms, cbor.dumps(detail))
        self.out.append(Event(self.life, self.seq, self.time_ms, 1, kind, detail))
        self.seq += 1


def day(boots: int = 3) -> Device:
    device = Device()
    for boot in range(boots):
        for _ in range(3):
            device.read(4)
            device.event(DOOR, "open")
            device.seal()
        device.turn()
        if boot + 1 < boots:
            device.start()
    return device


def verdicts(messages, key: bytes = KEY, name: str = DEVICE) -> list:
    return list(check(messages, name, key))


def kinds(found) -> set[str]:
    return {verdict.kind for verdict in found}


def wrong(messages, key: bytes = KEY) -> str:
    """The first thing wrong."""
    return next((verdict.text for verdict in verdicts(messages, key) if verdict.kind == WRONG), "")


def test_the_vectors_of_another_implementation_are_all_sealed():
    first = next(iter(vectors("seal")))
    messages = [decode(bytes.fromhex(vector["hex"])) for vector in vectors("seal") if "hex" in vector]
    found = verdicts(messages, bytes.fromhex(first["seal"]["key"]), first["device"])
    assert [verdict.kind for verdict in found[:10]] == [SEALED] * 10
    # the third boot of the vectors has high numbers, and nothing before them
    assert [verdict.kind for verdict in found[10:]] == [LOST, *[SEALED] * 4, WRONG]
    assert "records 1 to 4294967294 of boot 10 are missing" in found[-1].text


def test_an_honest_device_is_sealed_from_end_to_end():
    device = day()
    found = verdicts(device.out)
    assert kinds(found) == {SEALED} and len(found) == 12
    assert sum(verdict.records for verdict in found) == 45
    assert sum(verdict.readings for verdict in found) == 36
    assert found[-1].epoch == 2 and found[-1].time_ms == device.out[-1].time_ms
    assert (found[-1].first, found[-1].last) == ((9, 14), (9, 19))


def test_a_key_is_64_digits():
    assert key_of(KEY.hex().encode() + b"\n") == key_of(KEY) == KEY
    for text in (b"", b"x" * 64, KEY.hex().encode()[:-2], KEY + b"\n"):
        with pytest.raises(ConfigError, match="inspector"):
            key_of(text)
    assert kinds(verdicts(day().out, KEY.hex().encode())) == {SEALED}


def test_batches_are_no_part_of_it():
    """The same records in frames of other sizes."""
    device = day()
    for size in (2, 3, 4):
        joined: list[Any] = []
        for message in device.out:
            last = joined[-1] if joined else None
            if isinstance(message, Readings) and isinstance(last, Readings) and len(last.rows) < size:
                (row,) = message.rows
                row = (row[0], message.base_ms - last.base_ms, *row[2:])
                joined[-1] = last._replace(rows=(*last.rows, row))
            else:
                joined.append(message)
        assert len(joined) < len(device.out)
        assert verdicts(joined) == verdicts(device.out)


def changes(message: Any):
    """Every field of a record, a little different."""
    if isinstance(message, Readings):
        (row,) = message.rows
        for place, value in ((0, row[0] + 1), (1, 1), (2, row[2] ^ 1), (3, 1), (4, 1)):
            yield message._replace(rows=((*row[:place], value, *row[place + 1 :]),))
        yield message._replace(rows=((row[0], 0, None, 4, 0),))
        yield message._replace(base_ms=message.base_ms + 1)
        yield message._replace(clock=0)
    elif isinstance(message, Event):
        for field, value in (("time_ms", T + 5), ("clock", 0), ("kind", 4), ("detail", "")):
            yield message._replace(**{field: value})
    else:
        other = bytes([message.chain[0] ^ 1]) + message.chain[1:]
        tagged = bytes([message.tag[0] ^ 1]) + message.tag[1:]
        for field, value in (
            ("time_ms", message.time_ms + 1),
            ("clock", 0),
            ("life", message.life + 1),
            ("epoch", message.epoch + 1),
            ("chain", other),
            ("tag", tagged),
        ):
            yield message._replace(**{field: value})


def test_every_change_of_every_record_is_found():
    device = day()
    count = 0
    for place, message in enumerate(device.out):
        for changed in changes(message):
            assert wrong([*device.out[:place], changed, *device.out[place + 1 :]]), (place, changed)
            count += 1
    assert count > 350


class Blind(Chain):
    """A chain that says yes to everything."""

    class Yes(bytes):
        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return False

        __hash__ = bytes.__hash__

    @property
    def value(self):
        return self.Yes(super().value)


def test_control_without_the_chain_or_without_the_tag_changes_pass(monkeypatch):
    out = day().out
    reading = [*out[:3], next(changes(out[3])), *out[4:]]
    seal = [*out[:6], out[6]._replace(time_ms=T), *out[7:]]
    assert wrong(reading) and wrong(seal)
    monkeypatch.setattr(seal_check, "Chain", Blind)
    assert not wrong(reading) and wrong(seal)
    monkeypatch.undo()
    monkeypatch.setattr(seal_check, "compare_digest", lambda a, b: True)
    # what a SEAL says is chained as well, so the next one does not fit
    assert wrong(reading) and "seal 13 of boot 7: records" in wrong(seal)


def test_what_is_left_out_doubled_swapped_or_added_is_found():
    out = day().out
    for place in range(len(out) - 1):
        left_out = out[:place] + out[place + 1 :]
        if place:  # else it begins later, as a bundle may
            assert wrong(left_out), place
        assert wrong([*out[: place + 1], *out[place:]]), place
        assert wrong([*out[:place], out[place + 1], out[place], *out[place + 2 :]]), place
    added = Readings(7, 6, out[4].base_ms + 500, 1, ((0, 0, 5, 0, 0),))
    moved = [message for message in out]
    for place in range(5, 20):  # all later numbers of its boot one higher, as far as no tag stands against it
        message = moved[place]
        if message.boot == 7:
            field = "first_seq" if isinstance(message, Readings) else "seq"
            moved[place] = message._replace(**{field: getattr(message, field) + 1})
    assert "seal 8 of boot 7" in wrong([*moved[:5], added, *moved[5:]])


def test_what_was_left_out_is_named():
    out = day().out
    assert wrong(out[:3] + out[4:]).startswith("record 4 of boot 7 is missing, and no sealed event")
    assert "record 4 of boot 7 stands behind record 4" in wrong([*out[:4], out[3], *out[4:]])
    assert "records 14 to 18 of boot 7 are not what was sealed" in wrong(
        [*out[:15], next(changes(out[15])), *out[16:]]
    )


def test_two_readings_cannot_change_places_nor_the_time_of_one():
    out = day().out
    one, two = out[1], out[2]
    swapped = [one._replace(rows=two.rows), two._replace(rows=one.rows)]
    assert "changed, added, left out or swapped" in wrong([out[0], *swapped, *out[3:]])


def test_whole_boots_and_the_end_of_a_boot_cannot_go():
    out = day().out
    boots = [[message for message in out if message.boot == boot] for boot in (7, 8, 9)]
    assert kinds(verdicts([*boots[0], *boots[1]])) == {SEALED}  # the end of what is here: nobody can know
    assert "behind record 19 of boot 7 and before boot 9 is missing" in wrong([*boots[0], *boots[2]])
    assert "behind record 13 of boot 7" in wrong([*boots[0][:-6], *boots[1], *boots[2]])
    bare = [message for message in boots[1] if not isinstance(message, Seal)]
    assert wrong([*boots[0], *bare, *boots[2]])  # "it had no key that day"
    assert wrong([*boots[0], *boots[2], *boots[1]])
    # from the middle on, as in a bundle of one day
    assert kinds(verdicts([*boots[1], *boots[2]])) == {SEALED}
    some = verdicts([*boots[1][3:], *boots[2]])
    assert [verdict.kind for verdict in some[:2]] == [UNSEALED, SEALED] and WRONG not in kinds(some)


def test_a_boot_cannot_be_copied():
    out = day().out
    for boot, what in ((9, "boot 10 repeats boot 9"), (8, "goes back from 2 to 1")):
        copy = [message._replace(boot=10) for message in out if message.boot == boot]
        assert what in wrong([*out, *copy])


def test_renumbered_boots_are_what_they_were():
    """The gateway was ahead: what the device held got higher numbers, half of a boot perhaps."""
    out = day().out
    moved = [message if message.boot < 8 else message._replace(boot=message.boot + 100) for message in out]
    assert kinds(verdicts(moved)) == {SEALED}
    half = [m._replace(boot=m.boot + 100) if i > 9 else m for i, m in enumerate(out)]
    assert half[9].boot == 7 and half[10].boot == 107
    assert kinds(verdicts(half)) == {SEALED}
    lower = [message._replace(boot=message.boot - 1) for message in out]
    assert "made in boot 7, which is later" in wrong(lower)


def test_a_power_cut_leaves_what_can_be_explained():
    device = Device()
    device.read(4)
    device.seal()
    device.read(3)  # and then the power goes
    device.start()
    device.read(2)
    device.seal(safe=False)  # sent, and then the power goes before that is known
    device.start()
    device.read(2)
    device.seal()
    found = verdicts(device.out)
    assert kinds(found) == {SEALED, UNSEALED}
    assert [verdict.records for verdict in found if verdict.kind == UNSEALED] == [3]
    assert sum(verdict.records for verdict in found if verdict.kind == SEALED) == 8
    assert [v.text for v in found if "earlier seal" in v.text] == [
        "boot 9 goes on behind an earlier seal: the power went before the last was safe"
    ]


def test_discarded_records_are_explained_as_far_as_the_device_says():
    def story(text: str, gone: range, unsealed: bool = False) -> list:
        device = Device()
        device.read(20)
        device.seal()
        device.read(20)
        device.seal()
        device.event(DISCARDED, text)
        if not unsealed:
            device.seal()
        return [message for i, message in enumerate(device.out) if i + 1 not in gone]

    told = "8 records, 5 to 12 of boot 7"
    found = verdicts(story(told, range(5, 13)))
    assert [verdict.kind for verdict in found] == [SEALED, LOST, SEALED, SEALED]
    assert found[1].records == 12 and "records 5 to 12 of boot 7 are missing" in found[1].text
    assert WRONG not in kinds(verdicts(story(told, range(6, 8))))  # some came all the same
    for gone in (range(4, 13), range(5, 14), range(30, 32)):
        assert "no sealed event" in wrong(story(told, gone)), gone
    assert "no sealed event" in wrong(story("7 records, 5 to 12 of boot 7", range(5, 13)))
    assert "no sealed event" in wrong(story("8 records, 5 to 12 of boot 6", range(5, 13)))
    assert "no sealed event" in wrong(story(told, range(5, 13), unsealed=True))  # anybody could say so
    assert "no sealed event" in wrong(story("", range(5, 13)))


def test_a_lost_end_of_a_boot_and_lost_boots_are_explained():
    device = Device()
    device.read(5)
    device.seal()
    device.start()
    device.read(5)
    device.seal()
    device.start()
    device.event(DISCARDED, "10 records, 5 of boot 7 to 7 of boot 8")
    device.seal()
    here = [message for message in device.out if message.boot == 9]
    assert WRONG not in kinds(verdicts(device.out[:4] + here))
    assert WRONG in kinds(verdicts(device.out[:3] + here))  # one more than it says


def test_a_gateway_without_the_key_cannot_forge():
    out = day().out
    rng = random.Random(1)
    for key in (bytes(32), rng.randbytes(32), next_key(next_key(next_key(KEY)))):
        forger = Device(key)
        forger.read(4)
        forger.seal()
        assert "not made with this device's key" in wrong(forger.out)
    other = Device(KEY, "st-02")
    assert wrong(other.out)
    assert WRONG not in kinds(verdicts(out))


def test_todays_key_does_not_forge_yesterday():
    """A thief has all that the device holds after the key turned: he can go on, he cannot go back."""
    device = day(2)
    stolen, epoch = device.key, device.epoch
    assert epoch == 2
    honest = [message for message in device.out if message.boot == 7]
    second = [message for message in device.out if message.boot == 8]

    def forged(its_epoch: int, key: bytes) -> list:
        """Boot 8 with other readings, sealed as well as the thief can."""
        thief = Device(key)
        thief.epoch, thief.life, thief.out = its_epoch, 7, []
        ends = Chain(honest[-1].chain)
        last = honest[-1]
        body = struct.pack(BODY, last.life, last.epoch, last.chain, last.tag)
        ends.add(last.seq, 0, 0xC0, 0, 0, last.time_ms, body)
        thief.kept = ends.value
        thief.start()
        thief.read(9)
        thief.seal()
        return thief.out

    assert "not made with this device's key" in wrong([*honest, *forged(1, stolen)])
    # with the epoch of his key it is good, and gives itself away where later seals of the device are known:
    assert WRONG not in kinds(verdicts([*honest, *forged(2, stolen)]))
    rest = [message._replace(boot=9) for message in second]
    assert wrong([*honest, *forged(2, stolen), *rest])
    # control: with the key of the day it would be forged
    assert WRONG not in kinds(verdicts([*honest, *forged(1, next_key(KEY))]))


def test_an_epoch_never_goes_back():
    device = Device()
    device.read(2)
    device.turn()
    device.seal()
    device.key, device.epoch = KEY, 0
    device.read(2)
    device.seal()
    assert "goes back from 1 to 0" in wrong(device.out)


def test_an_epoch_out_of_reach_costs_nothing():
    out = day().out
    out[6] = out[6]._replace(epoch=EPOCHS_MAX + 1)
    assert "no device comes to" in wrong(out)


def test_what_is_no_record_is_passed_by():
    out = day().out
    now = Now(bytes(8), T, 1, ((0, 0, 5, 0, 0),))
    assert verdicts([now, *out[:5], now, *out[5:]]) == verdicts(out)


def test_means_and_reasons_are_sealed_too():
    device = Device()
    device.chain.add(2, 4, 0xE0, 9, 77, T + 60000, struct.pack(">IIIH", 70, 80, 60, 60000))
    device.chain.add(3, 5, 0xE0 | 4, 0, 0, T + 60000, struct.pack(">IIIH", 0, 0, 12, 60000))
    device.chain.add(4, 5, 0x80 | 4 | 0x20, 0, 0, T + 60001, b"")
    rows = (4, 77, 70, 80, 60, 0, 9), (5, None, None, None, 12, 4, 0)
    summary = Summary(7, 2, T + 60000, 1, 60000, rows)
    absent = Readings(7, 4, T + 60001, 1, ((5, 0, None, 4, 0),))
    device.seq = 5
    device.seal()
    first, last = device.out
    found = verdicts([first, summary, absent, last])
    assert kinds(found) == {SEALED} and found[1].readings == 73
    for place, value in ((1, 78), (2, 71), (3, 81), (4, 61), (5, 1), (6, 8), (0, 3)):
        row = (*rows[0][:place], value, *rows[0][place + 1 :])
        assert wrong([first, summary._replace(rows=(row, rows[1])), absent, last]), place
    assert wrong([first, summary._replace(span_ms=59999), absent, last])
    assert wrong([first, summary, absent._replace(rows=((5, 0, None, 5, 0),)), last])


def test_a_day_has_288_seals():
    assert KEY_SEALS == 24 * 60 // 5


def test_whatever_the_records_are_there_is_a_verdict():
    """Records in any order, of any boots: no exception, and nothing is called sealed that was not so."""
    out = day().out
    honest = {(type(message), message[1:]) for message in out}  # a boot may have got another number
    rng = random.Random(5)
    changed = 0
    for _ in range(2000):
        some = list(out)
        for _ in range(rng.randrange(1, 4)):
            what, place = rng.randrange(4), rng.randrange(len(some))
            if what == 0:
                del some[place]
            elif what == 1:
                some.insert(place, rng.choice(out))
            elif what == 2:
                some[place] = rng.choice(list(changes(some[place])))
            else:
                some.insert(place, some[place]._replace(boot=rng.randrange(1, 12)))
        found = verdicts(some)
        passed = {v.first for v in found if v.kind == WRONG and "stands behind" in v.text}  # by name
        proved = [verdict[1:3] for verdict in found if verdict.kind == SEALED]
        for message in some:
            boot, seq, *_ = message
            within = [
                1
                for first, last in proved
                if (boot == first[0] and seq >= first[1] and (boot < last[0] or seq <= last[1]))
                or (first[0] < boot == last[0] and seq <= last[1])
            ]
            if within and (type(message), message[1:]) not in honest:
                assert (boot, seq) in passed, message
                changed += 1
    assert changed
