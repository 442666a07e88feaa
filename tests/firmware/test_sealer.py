# The seals of a device, in memory and on files of this machine. In MicroPython this file runs once more from
# tests/power, where heap is no matter; the whole device with its verifier is in test_seal_device.py.

import binascii
import hashlib

from firmware import identity, pack, sealer, store
from firmware.sealer import Sealer
from protocol import cbor, messages, quality, seal
from protocol.errors import ConfigError
from protocol.messages import Event, Readings, Seal, Summary
from tests.firmware.flash_rig import SmallFiles, Station, T, fresh_directory, remove_tree
from tests.firmware.memory_files import MemoryFiles
from tests.protocol._check import raises

KEY = bytes(range(32))
DEVICE = "st-01"


class Flash:
    def __enter__(self):
        self.path = fresh_directory()
        self.files = SmallFiles(self.path)
        self.files.append("seal.key", binascii.hexlify(KEY) + b"\n", "wb")
        return self

    def __exit__(self, *_):
        remove_tree(self.path)

    def life(self, boot=7, **more):
        state = identity.seal(self.files)
        return Station(self.files, boot, sealer=Sealer(self.files, DEVICE, state), **more)


# Everything that the store holds, as messages, without acknowledging it.
def held(store):
    boot, number = store.first()
    found = []
    while True:
        message = store.batch(boot, number)
        if message is None:
            return found
        found.append(messages.decode(messages.encode(message)))
        number += len(message.rows) if type(message) in (Readings, Summary) else 1


# The seals among messages of one boot, each held against a chain that is computed here, record by record, by
# what protocol/seal.py says.
def proved(found, start=None, key=KEY):
    h = start or bytes(32)
    count = 0
    for message in found:
        told = 0x80 if message.clock else 0
        if type(message) is Readings:
            for i, (channel, offset_ms, raw, why, calibration) in enumerate(message.rows):
                first = told | why | (0x20 if raw is None else 0)
                h = step(
                    h,
                    first,
                    channel,
                    calibration,
                    raw or 0,
                    message.first_seq + i,
                    message.base_ms + offset_ms,
                )
        elif type(message) is Summary:
            for i, (channel, mean, low, high, n, why, calibration) in enumerate(message.rows):
                more = (low or 0).to_bytes(4, "big") + (high or 0).to_bytes(4, "big")
                more += n.to_bytes(4, "big") + message.span_ms.to_bytes(2, "big")
                first = told | why | 0x60
                h = step(
                    h, first, channel, calibration, mean or 0, message.first_seq + i, message.time_ms, more
                )
        elif type(message) is Event:
            more = cbor.dumps(message.detail)
            h = step(h, told | 0x40, message.kind, 0, 0, message.seq, message.time_ms, more)
        else:
            assert message.chain == h, message
            its_tag = seal.tag(
                key,
                DEVICE.encode(),
                message.epoch,
                message.seq,
                message.life,
                message.time_ms,
                message.clock,
                h,
            )
            assert its_tag == message.tag
            more = message.life.to_bytes(4, "big") + message.epoch.to_bytes(4, "big") + h + its_tag
            h = step(h, told | 0x40, 0, 0, 0, message.seq, message.time_ms, more)
            count += 1
    return count, h


def step(h, first, channel, calibration, raw, seq, time_ms, more=b""):
    data = bytes([first, channel]) + calibration.to_bytes(2, "big") + raw.to_bytes(4, "big")
    data += seq.to_bytes(4, "big") + time_ms.to_bytes(8, "big") + more
    return hashlib.sha256(h + data).digest()


# ---- the file


def test_what_the_inspector_wrote_is_a_key_of_epoch_0():
    files = MemoryFiles()
    assert identity.seal(files) is None
    for text in (binascii.hexlify(KEY), b" " + binascii.hexlify(KEY) + b"\r\n"):
        files.content["seal.key"] = text
        assert identity.seal(files) == (0, 0, KEY, bytes(32))


def test_a_file_that_is_wrong_is_a_sentence_and_no_other_key():
    files = MemoryFiles()
    good = binascii.hexlify(KEY)
    for text in (
        b"",
        b"x" * 64,
        good[:-2],
        good + b"00",
        b"1 2 " + good,
        b"-1 2 " + good + b" " + good,
        good * 2,
    ):
        files.content["seal.key"] = text
        assert "inspector" in str(raises(ConfigError, identity.seal, files)), text


def test_what_is_on_flash_is_what_the_next_life_begins_with():
    with Flash() as flash:
        station = flash.life()
        station.put(5)
        station.store.seal()
        station.store.release(7, station.store.emitted)
        station.go(1000)
        state = identity.seal(flash.files)
        assert state[:3] == (0, 2, KEY)
        assert flash.files.read("seal.key").split()[2] == binascii.hexlify(KEY)
        found = station.store.sealer
        assert state == (found.epoch, found._count, found._key, found._kept)


# ---- what is sealed


def test_without_a_key_there_are_no_seals():
    station = Station(None)
    station.put(3)
    station.store.flush_soon()
    station.store.save()
    assert [type(message) for message in held(station.store)] == [Readings]
    assert station.store.emitted == 3


def test_the_first_record_of_a_boot_is_a_seal_and_one_follows_every_five_minutes():
    with Flash() as flash:
        station = flash.life(ring=1024)
        station.go(1000000, lambda station: station.put(1), 10000)
        found = []
        store = station.store
        for message in flash_messages(store):
            found.append(message)
        seals = [message for message in found if type(message) is Seal]
        assert found[0] is seals[0] and seals[0].seq == 1 and len(seals) == 4
        assert seals[0].time_ms == T
        for i in range(3):
            assert 300000 <= seals[i + 1].time_ms - seals[i].time_ms < 301000
        assert proved(found)[0] == 4


# Of the store, acknowledged one by one.
def flash_messages(store):
    while store.held:
        message = store.batch(*store.first())
        boot = message.boot
        last = message.first_seq + len(message.rows) - 1 if hasattr(message, "rows") else message.seq
        yield messages.decode(messages.encode(message))
        store.release(boot, last)


def test_every_kind_of_record_is_in_the_chain_from_memory_and_from_flash():
    for outage_s in (1, 100):
        with Flash() as flash:
            station = flash.life()
            put = station.store
            for i in range(20):
                time_ms = T + 10 * i - (5 if i == 7 else 0)  # once it runs backwards: another frame
                put.put(i % 5, (time_ms, 1), 0xFFFFFFFF - i, quality.FAULT, 65535 - i)
                put.put(i % 5, (time_ms, 1), None, quality.TIMEOUT, i)
                put.put(200, (i, 0), 0x7FA00001, quality.OK, 0)
            put.event(messages.DOOR, "cửa mở")
            put.event(messages.MAINS_BACK, "")
            put.event(messages.CLOCK_SET, [12345, T])
            put.event(messages.CRASH, "x" * 700)
            more = pack.struct.pack(pack.SPAN, 7, 8, 60, 60000)
            put._append(3, pack.SUMMARY, 9, 77, (T + 60000, 1), more)
            nothing = pack.struct.pack(pack.SPAN, 0, 0, 12, 59999)
            put._append(4, quality.TIMEOUT | pack.SUMMARY, 0, 0, (T + 60000, 1), nothing)
            put.seal()
            for _ in range(30):  # texts that there is no room for
                put.event(messages.DOOR, "y" * 500)
            put.event(messages.DISCARDED, "1 records, 1 to 1 of boot 6")
            station.go(outage_s * 1000)
            assert (station.store.flushed > 0) == (outage_s > 1)
            put.seal(True)
            found = list(flash_messages(put))
            assert len(set([type(message) for message in found])) == 4
            assert proved(found)[0] == 3


def test_thinned_readings_are_sealed_as_what_they_became():
    with Flash() as flash:
        station = flash.life(ring=512, thin_at=0)
        station.go(400000, Station.second)
        found = list(flash_messages(station.store))
        assert [1 for message in found if type(message) is Summary] and station.store.thinned
        assert proved(found)[0] == 2


# ---- from one life to the next


def test_the_next_life_goes_on_behind_the_last_seal_that_is_safe():
    with Flash() as flash:
        first = flash.life()
        first.put(5)
        first.store.seal()
        first.put(2)
        first.go(15000)  # to flash
        assert first.store.flushed == 9
        before = held(first.store)
        count, h = proved(before[:4])
        assert count == 2 and type(before[2]) is Seal
        second = flash.life(8)
        second.put(2)
        second.store.seal()
        found = list(flash_messages(second.store))
        mine = [message for message in found if message.boot == 8]
        assert mine[0].seq == 1 and mine[0].life == 8
        its_h = proved(before[:3])[1]
        assert mine[0].chain == its_h != h
        assert proved(mine, its_h)[0] == 2
        assert [message for message in found if message.boot == 7] == before


def test_a_seal_that_a_power_cut_took_is_nothing_to_go_on_behind():
    with Flash() as flash:
        first = flash.life()
        first.put(5)
        first.go(1000)
        first.store.seal()  # and then the power goes: nothing was flushed, nothing acknowledged
        second = flash.life(8)
        assert held(second.store)[0].chain == bytes(32)
        assert identity.seal(flash.files) == (0, 0, KEY, bytes(32))


def test_boots_that_are_renumbered_keep_their_seals():
    with Flash() as flash:
        first = flash.life()
        first.put(5)
        first.store.seal()
        first.go(15000)
        second = flash.life(8)
        second.put(3)
        before = first.store, held(second.store)
        second.store.renumber(100)
        second.put(1)
        second.store.seal()
        found = list(flash_messages(second.store))
        seals = [message for message in found if type(message) is Seal]
        assert [(one.boot, one.life) for one in seals] == [(101, 7), (101, 7), (102, 8), (102, 8)]
        _, h = proved([message for message in found if message.boot == 101])
        assert proved([message for message in found if message.boot == 102], h)[0] == 2
        assert before


def test_before_an_end_that_one_sees_coming_all_is_sealed_once():
    with Flash() as flash:
        for end in ("flush_soon", "save", "seal_rest"):
            station = flash.life()
            store = station.store
            station.put(3)
            for _ in range(3):
                getattr(store, end)()
            assert store.emitted == 5 and store.sealer.newest == 5
            station.put(1)
            getattr(store, end)()
            assert store.emitted == 7 and store.sealer.newest == 7


def test_discards_are_told_between_two_seals():
    station = Station(None, sealer=Sealer(MemoryFiles(), DEVICE, (0, 0, KEY, bytes(32))), ring=64)
    store = station.store
    station.put(100)
    store.release(7, 60)
    found = held(store)[-3:]
    assert [type(message) for message in found] == [Seal, Event, Seal]
    assert found[1].kind == messages.DISCARDED and found[2].seq == store.emitted
    assert proved(found, found[0].chain)[0] == 2  # whatever went before
    # what tells of them is told until its seal is with the gateway
    store.release(7, store.emitted - 1)
    assert store._told
    store.release(7, store.emitted)
    assert not store._told


# ---- the key


def test_the_key_turns_after_a_day_of_seals_whatever_the_clock_says():
    with Flash() as flash:
        station = flash.life()
        for step_ms in (0, 86400000 * 400, -86400000 * 800):
            station.clock.tell(T + step_ms, True)
            station.put(1)
            station.go(1000)
            assert station.store.sealer.epoch == 0
        for _ in range(seal.KEY_SEALS - 1):
            station.store.seal()
            station.store.release(7, station.store.emitted)
        assert station.store.sealer.epoch == 0
        station.go(1000)
        found = station.store.sealer
        assert (found.epoch, found._key) == (1, hashlib.sha256(b"seal" + KEY).digest())
        text = flash.files.read("seal.key")
        assert binascii.hexlify(KEY) not in text and text.startswith(b"1 0 ")
        station.store.seal()
        last = held(station.store)[-1]
        numbers = last.epoch, last.seq, last.life, last.time_ms, last.clock, last.chain
        assert last.epoch == 1 and last.tag == seal.tag(found._key, DEVICE.encode(), *numbers)
        station.store.release(7, station.store.emitted)
        station.go(1000)
        assert identity.seal(flash.files) == (1, 1, found._key, found._kept)


def test_a_clock_that_is_never_told_does_not_keep_the_key():
    with Flash() as flash:
        station = flash.life(told=False, ring=1024)
        station.board.stride = 40

        def acknowledge(station):
            station.put(1)
            station.store.release(7, station.store.emitted)

        station.go(86400000 + 3600000, acknowledge, 300000)
        assert station.store.sealer.epoch == 1


def test_flash_that_fails_stops_no_seal_and_turns_no_key():
    with Flash() as flash:
        station = flash.life()
        flash.files.fails = lambda operation, name: 5 if name.startswith("seal.key") else 0
        for _ in range(seal.KEY_SEALS + 5):
            station.store.seal()
            station.store.release(7, station.store.emitted)
        station.go(300)
        writes = []
        flash.files.fails = lambda operation, name: writes.append(name) or 5
        station.go(50000)
        assert not writes, "flash that fails is left alone for a minute"
        station.go(15000)
        assert writes and station.store.sealer.epoch == 0
        assert identity.seal(flash.files) == (0, 0, KEY, bytes(32))
        flash.files.fails = None
        station.go(61000)
        assert station.store.sealer.epoch == 1 and identity.seal(flash.files)[0] == 1


def test_memory_is_bounded_where_nothing_is_acknowledged_and_there_is_no_flash():
    station = Station(None, sealer=Sealer(MemoryFiles(), DEVICE, (0, 0, KEY, bytes(32))), ring=256)
    store = station.store
    for _ in range(200):
        store.seal()
    assert store.emitted < 30 and len(store._details) == store.emitted
    for number in range(1, store.emitted + 1):
        assert type(store.batch(7, number)) is Seal
    station.put(5)
    store.release(7, store.emitted - 5)
    store.seal()
    assert type(store.batch(7, store.emitted)) is Seal


# ---- constants that stand in two places


def test_what_stands_twice_is_the_same():
    assert store._SEAL == seal.BODY and sealer.FILE == identity.SEAL_FILE
    assert (pack.NO_RAW, pack.EVENT, pack.SUMMARY, pack.TOLD, pack.QUALITY) == (0x20, 0x40, 0x60, 0x80, 0x1F)
