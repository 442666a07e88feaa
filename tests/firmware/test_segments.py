# The store on flash: files of this machine, whose flash can be small, full and faulty. Power cuts on littlefs
# are in tests/power, where this file runs once more, inside MicroPython: it needs more heap than a device
# has, for what it remembers to compare.

from firmware.store import AGE_MS, SILENT_MS
from protocol import messages
from protocol.gateway_session import GatewaySession
from protocol.reading import bits_float
from protocol.session import DeviceSession
from tests.firmware.flash_rig import SmallFiles, Station, T, drain, fresh_directory, remove_tree


# Calls the test with files of their own, and clears up.
def _on_flash(size=10000000):
    def around(test):
        def run():
            directory = fresh_directory()
            try:
                test(SmallFiles(directory, size))
            finally:
                remove_tree(directory)

        return run

    return around


def _names(files):
    return [name for name, _ in files.names("log")]


@_on_flash()
def test_nothing_goes_to_flash_while_acknowledgements_come(files):
    station = Station(files)

    def second(station):
        station.second()
        station.store.release(station.store.boot, station.store.emitted - 5)

    station.go(60000, second)
    assert station.store.emitted == 720 and files.writes == 0 and _names(files) == []
    assert station.alive >= 60


@_on_flash()
def test_an_outage_is_on_flash_and_comes_back_in_order(files):
    station = Station(files, ring=256)
    station.store.event(messages.DOOR, "mở cửa " * 40)
    station.go(60000, Station.second)
    store = station.store
    assert (store.held, store.discarded, store.first()) == (721, 0, (7, 1))
    assert store.flushed > 600 and store.flash_bytes > 0
    assert 2 <= files.writes <= 8  # full batches, no dribble
    events = []
    assert drain(store, events=events) == station.made
    assert events == [(messages.DOOR, "mở cửa " * 40)]
    assert store.held == 0 and store.acked == 721
    station.go(500)
    assert _names(files) == [] and store.flash_bytes == 0


# The header promises: no record older than AGE_MS is in memory only.
@_on_flash()
def test_a_single_record_is_on_flash_after_its_age(files):
    station = Station(files)
    station.go(30000)
    station.put()
    station.go(AGE_MS - 500)
    assert files.writes == 0
    station.go(800)
    assert files.writes == 1 and station.store.flushed == 1
    for _ in range(10):
        station.go(SILENT_MS)
        station.put()
    assert station.store.flushed >= 8
    reader = Station(SmallFiles(files.path("")), 8)
    assert reader.store.held == station.store.flushed


@_on_flash()
def test_a_full_batch_goes_after_the_silence_and_half_of_the_memory_at_once(files):
    station = Station(files)
    station.put(127)
    station.go(SILENT_MS + 300)
    assert files.writes == 0  # a batch wants one more
    station.put(1)
    station.go(300)
    assert files.writes == 1 and station.store.flushed == 128


@_on_flash()
def test_mains_that_go_flush_at_once(files):
    station = Station(files, ring=2048)
    station.put(300)
    station.store.flush_soon()
    station.go(300)
    assert station.store.flushed == 300 and station.store.held == 300
    station.put(1)
    station.go(300)
    assert station.store.flushed == 300  # once


@_on_flash()
def test_before_a_reset_all_is_on_flash_in_time_or_not_at_all(files):
    station = Station(files, ring=2048)
    station.put(300)
    station.store.save()
    assert station.store.flushed == 300
    station.put(10)
    files.fails = lambda operation, name: 5
    station.store.save()  # one attempt
    assert station.store.flushed == 300 and station.store.flash_faults == 1
    files.fails = None
    found = drain(Station(files, boot=8).store)
    assert found == {name: station.made[name] for name in sorted(station.made)[:300]}


@_on_flash()
def test_former_boots_come_first_and_half_acknowledged_segments_go_on(files):
    first = Station(files, 7)
    first.go(60000, Station.second)
    second = Station(files, 8)
    second.go(30000, Station.second)
    third = Station(files, 9)
    assert third.store.first() == (7, 1)
    assert third.store.held == second.store.flushed == len(first.flushed() + second.flushed())
    third.put(5)
    third.store.release(7, 333)  # WELCOME says how far the gateway is
    assert third.store.first() == (7, 334) and third.store.batch(7, 333) is None
    found = drain(third.store)
    expected = {}
    for station, low in ((first, 333), (second, 0), (third, 0)):
        for name, record in station.made.items():
            if low < name[1] and (station is third or name[1] < station.store._oldest):
                expected[name] = record
    assert found == expected
    third.go(1000)
    assert _names(files) == []


@_on_flash()
def test_the_session_and_the_gateway_get_every_record_once(files):
    expected = {}
    for boot in (7, 8, 9):
        station = Station(files, boot)
        station.go(40000, Station.second)
        station.store.flush_soon()
        station.go(500)
        for name in station.made:
            expected[name] = station.made[name]
    station = Station(files, 10)
    station.put(30)
    for name in station.made:
        expected[name] = station.made[name]
    store = station.store
    hellos = []

    def hello():
        hellos.append(1)
        nonce = bytes([len(hellos)]) * 8
        return messages.Hello(1, "", "st-01", 10, nonce, bytes(8), (), *store.first(), 1, 0, "")

    device = DeviceSession(hello, store, lambda a, b: a - b)
    gateway = GatewaySession("st-01", 7, 100)
    device.link_up(0)
    accepted = {}
    for now in range(0, 400000, 50):
        message = device.next(now)
        if message is None:
            if not store.held:
                break
            continue
        verdict = gateway.receive(message)
        if verdict == "GREET":
            device.receive(gateway.welcome(T, True), now)
        elif verdict == "ACCEPT":
            number = message.first_seq
            for channel, _, raw, why, calibration in message.rows:
                assert (message.boot, number) not in accepted
                accepted[message.boot, number] = channel, raw, why, calibration
                number += 1
            gateway.committed(*gateway.pending)
            if now % 200 == 0:  # acknowledged in lots, as gateways do
                device.receive(gateway.ack(T, True), now)
        else:
            assert verdict == "REPEAT", verdict
            device.receive(gateway.ack(T, True), now)
    for number in range(1, 101):
        del expected[7, number]
    assert accepted == expected and gateway.skipped == 0


# ---- a flash that is full

_SMALL = 262144


def _ranges(events):
    found = []
    for kind, detail in events:
        if kind == messages.DISCARDED:
            words = detail.split()
            n, first, last, boot = int(words[0]), int(words[2]), int(words[4]), int(words[-1])
            found.append((boot, first, last))
            assert n == last - first + 1
    return found


@_on_flash(_SMALL)
def test_a_full_flash_drops_the_oldest_and_goes_on(files):
    station = Station(files, reserve=_SMALL // 2, thin_at=100)
    store = station.store
    for _ in range(60):
        station.go(60000, lambda station: station.put(40))
        assert store.flash_bytes <= _SMALL // 2 + 8192
        if store.discarded > 2000:
            break
    assert store.discarded > 2000 and store.flash_faults == 0
    assert store.held + store.discarded == store.emitted
    oldest = store.first()
    assert oldest == (7, store.discarded + 1)
    events = []
    found = drain(store, events=events)
    for name in found:
        assert found[name] == station.made[name]
    assert _ranges(events) == [(7, 1, oldest[1] - 1)]
    assert len(found) == len(station.made) - store.discarded


@_on_flash(_SMALL)
def test_before_a_reset_a_full_flash_gives_its_oldest(files):
    station = Station(files, reserve=_SMALL // 2, thin_at=100)
    for _ in range(1000):
        station.put(100)
        station.store.save()
        if station.store.discarded > 2000:
            break
    store = station.store
    assert store.discarded > 2000 and store.held == store.flushed and store.flash_faults == 0
    assert store.held + store.discarded == store.emitted


@_on_flash(_SMALL)
def test_a_discard_is_told_even_after_a_restart(files):
    station = Station(files, reserve=_SMALL // 2, thin_at=100)
    while station.store.discarded < 500:
        station.go(10000, lambda station: station.put(100))
    lost, oldest = station.store.discarded, station.store.first()
    again = Station(files, 8, reserve=_SMALL // 2)
    assert again.store.discarded == lost and again.store.first() == oldest
    events = []
    found = drain(again.store, events=events)
    assert _ranges(events) == [(7, 1, lost)]
    assert min(found) == oldest
    again.go(500)
    assert [name for name, _ in files.names("state")] == []
    third = Station(files, 9)
    assert third.store.discarded == 0 and third.store.held == 0


# The power goes between note and deletion: the next start finishes it, and nothing comes that was counted.
@_on_flash(_SMALL)
def test_a_discard_that_was_only_noted_is_finished_at_the_next_start(files):
    station = Station(files, reserve=_SMALL // 2, thin_at=100)
    files.fails = lambda operation, name: 5 if operation + name[:3] == "removelog" else 0
    while not [name for name, _ in files.names("state")]:
        station.go(1000, lambda station: station.put(100))
    files.fails = None
    segments = _names(files)
    again = Station(files, 8, reserve=_SMALL // 2)
    assert again.store.first()[1] > 1 and again.store.discarded == again.store.first()[1] - 1
    again.go(500)
    assert _names(files) == segments[1:]


@_on_flash()
def test_a_flash_that_is_full_before_its_time_makes_room(files):
    station = Station(files)
    station.go(300000, Station.second)
    big = max(size for _, size in files.names("log"))
    station2 = Station(files, 8, thin_at=100)
    station2.store._segments.size = 4096  # short segments, so that there are several
    files.fails = lambda operation, name: (
        28 if operation + name[:3] == "appendlog" and len(_names(files)) > 3 else 0
    )
    station2.go(300000, lambda station: station.put(50))
    assert station2.store.flash_faults == 0 and station2.store.discarded >= big // 10
    files.fails = None
    events = []
    found = drain(station2.store, events=events)
    lost = sum([last - first + 1 for _, first, last in _ranges(events)])
    assert lost == station2.store.discarded and len(_ranges(events)) >= 1
    assert len(found) + lost == len(station.flushed()) + len(station2.made)


# ---- a flash that fails


@_on_flash()
def test_faults_are_told_and_the_flash_is_tried_again(files):
    station = Station(files, ring=1024)
    files.fails = lambda operation, name: 5
    station.go(30000, lambda station: station.put(1))
    store = station.store
    assert 2 <= store.flash_faults <= 8 and store.flushed == 0 and store.discarded == 0
    files.fails = None
    station.go(30000, lambda station: station.put(1))
    assert store.flushed > 30
    events = []
    found = drain(store, events=events)
    assert found == station.made
    assert [kind for kind, _ in events] == [messages.FLASH_FAULT] * 2 and "works" in events[1][1]


@_on_flash()
def test_while_the_flash_fails_memory_goes_on_and_counts(files):
    station = Station(files, ring=256)
    station.go(20000, Station.second)
    on_flash = station.store.flushed
    files.fails = lambda operation, name: 5
    station.go(60000, Station.second)
    lost = station.store.discarded
    assert lost > 300
    files.fails = None
    station.go(700000, lambda station: station.put(1 if station.n % 7 else 2), 60000)
    events = []
    found = drain(station.store, events=events)
    assert len(found) == len(station.made) - lost + 1  # the first FLASH_FAULT went as well
    assert _ranges(events) == [(7, on_flash + 1, on_flash + lost)]


# What was written may be there although the flash said no: the numbers of both overlap, nothing comes twice.
@_on_flash()
def test_a_write_that_failed_and_happened_is_not_doubled(files):
    station = Station(files)
    wrong = []

    def fails(operation, name):
        if operation == "append" and name.startswith("log") and not wrong:
            wrong.append(name)
            segments = station.store._segments
            record = files.fails
            files.fails = None
            segments.write(7, station.store._oldest, station.store._ring, 100)
            segments.entries.pop()
            files.fails = record
            return 5
        return 0

    station.put(100)
    files.fails = fails
    station.go(60000, Station.second)
    assert wrong
    again = Station(files, 8)
    found = drain(again.store)
    assert len(found) == len(station.flushed())
    for name in found:
        assert found[name] == station.made[name]


def _no_memory(*_):
    raise MemoryError


def _fails(call, *arguments):
    try:
        call(*arguments)
    except MemoryError:
        return True
    return False


# Too little memory for a moment, in the middle of packing or reading: nothing is taken for damaged.
@_on_flash()
def test_a_lack_of_memory_costs_no_record(files):
    station = Station(files)
    station.go(30000, Station.second)
    segments = station.store._segments
    add, put = segments._writer.add, []

    def scarce(*record):
        put.append(1)
        add(*record) if len(put) < 50 else _no_memory()

    segments._writer.add = scarce
    assert _fails(station.go, 30000, Station.second) and len(put) == 50
    segments._writer.add = add
    station.go(30000, Station.second)
    take = segments._reader.take
    segments._reader.take = _no_memory
    for _ in range(10):
        assert _fails(station.store.batch, 7, 1)
    segments._reader.take = take
    assert drain(station.store) == station.made and station.store.discarded == 0


# A note finds no room: that is no reason to try a thousand times in one go, and what makes room comes first.
@_on_flash()
def test_a_note_without_room_is_tried_again_at_distances(files):
    station = Station(files)
    station.go(60000, Station.second)
    name = _names(files)[0]
    _flip(files, name, files.names("log")[0][1] // 2)
    again = Station(files, 8)
    tried = []

    def fails(operation, name):
        if name.startswith("state/gone"):
            tried.append(name)
            return 28
        return 0

    files.fails = fails
    drain(again.store)
    assert again.store.discarded
    again.go(5000)
    assert 1 <= len(tried) <= 4 and _names(files) == []


# ---- files that were damaged


def _flip(files, name, at):
    data = bytearray(files.read("log/" + name))
    data[at] ^= 0x10
    files.append("log/" + name, data, "wb")


def _damaged(files, damage):
    station = Station(files)
    station.go(300000, Station.second)
    damage(files, _names(files)[0])
    again = Station(files, 8)
    events = []
    return station, again, drain(again.store, events=events), events


@_on_flash()
def test_a_torn_end_is_as_if_it_had_never_been(files):
    def cut(files, name):
        files.append("log/" + name, files.read("log/" + name)[:-20], "wb")

    station, again, found, _ = _damaged(files, cut)
    assert 0 < station.store.flushed - len(found) <= 128 and again.store.discarded == 0
    assert sorted(found) == [(7, i + 1) for i in range(len(found))]


@_on_flash()
def test_damage_in_the_middle_leaves_the_rest_and_is_counted(files):
    station, again, found, events = _damaged(files, lambda files, name: _flip(files, name, 2000))
    lost = station.store.flushed - len(found)
    assert 0 < lost == again.store.discarded < 1500
    for name in found:
        assert found[name] == station.made[name]
    (gone,) = _ranges(events)
    assert gone[2] - gone[1] + 1 == lost
    assert max(found)[1] == station.store.flushed


# What cannot be read is noted before its segment goes: the power may, before the gateway is told.
@_on_flash()
def test_what_could_not_be_read_is_told_after_a_power_cut_too(files):
    station = Station(files)
    station.go(300000, Station.second)
    name = _names(files)[0]
    files.append("log/" + name, files.read("log/" + name)[:200], "wb")  # all but the first batch
    station = Station(files, 8)
    assert len(_names(files)) == 1
    files.append("log/00000007-000000f000", files.read("log/" + name))  # so that it is not its end
    station = Station(files, 8)
    drain(station.store, most=40)
    lost = station.store.discarded
    assert lost > 1000
    removed = []
    files.fails = lambda operation, name: operation == "remove" and name[:3] == "log" and removed.append(1)
    station.go(300)
    assert removed and Station(files, 9).store.discarded == lost


class _Always:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


# CONTROL: without the check sum, damage comes out as measured values.
@_on_flash()
def test_without_the_check_sum_damage_is_believed(files):
    from firmware import segments

    station = Station(files)
    station.go(300000, Station.second)
    name = _names(files)[0]
    real = segments.crc32
    wrong = 0
    try:
        segments.crc32 = lambda *_: _Always()
        for at in range(1500, 1560):
            _flip(files, name, at)
            again = Station(files, 8)
            found = {}
            while again.store.first()[0] == 7 and len(found) < 1000:
                boot, number = again.store.first()
                message = again.store.batch(boot, number)
                if message is None:
                    break
                for i, row in enumerate(message.rows):
                    found[boot, number + i] = row[0], row[2], row[3], row[4]
                again.store.release(boot, number + len(message.rows) - 1)
            wrong += len([1 for one in found if found[one] != station.made.get(one)])
            _flip(files, name, at)
            if wrong:
                break
    finally:
        segments.crc32 = real
    assert wrong


@_on_flash()
def test_what_is_no_segment_is_left_alone(files):
    files.make("log")
    files.append("log/readme", b"hello")
    files.append("log/0000000x-0000000001", b"hello")
    files.append("log/00000007-0000000001", b"")  # created, and then the power went
    station = Station(files, 8)
    station.put(5)
    station.go(20000)
    assert station.store.flushed == 5 and drain(station.store) == station.made
    assert "readme" in _names(files) and "00000007-0000000001" not in _names(files)


# ---- boot numbers


@_on_flash()
def test_a_higher_boot_on_flash_is_offered_and_never_overwritten(files):
    other = Station(files, 500)
    other.go(60000, Station.second)
    station = Station(files, 9)
    assert station.store.boot == 501
    station.put(50)
    station.go(20000)
    found = drain(station.store)
    assert len([1 for boot, _ in found if boot == 500]) == other.store.flushed
    assert len([1 for boot, _ in found if boot == 501]) == 50
    station.go(500)
    assert Station(files, 9).store.boot == 9  # nothing there any more


def _three_lives(files):
    made = []
    for boot in (5, 6):
        station = Station(files, boot)
        station.go(30000, Station.second)
        made += station.flushed()
    station = Station(files, 7)
    station.go(30000, Station.second)
    return made, station


# The gateway is at (9000, ...): our numbers are old to it.
@_on_flash()
def test_boots_move_above_what_the_gateway_has(files):
    made, station = _three_lives(files)
    made += [station.made[name] for name in sorted(station.made)]
    assert station.store.first() == (5, 1)
    station.store.renumber(9000)
    assert station.store.boot == 9003 and station.store.first() == (9001, 1)
    station.store.release(9000, 77)  # the next WELCOME
    found = drain(station.store)
    assert [found[name] for name in sorted(found)] == made
    assert sorted(set([boot for boot, _ in found])) == [9001, 9002, 9003]


@_on_flash()
def test_a_power_cut_while_boots_move_is_finished_at_the_next_start(files):
    made, station = _three_lives(files)
    made += station.flushed()
    moved = []

    def fails(operation, name):
        if operation == "rename" and name.startswith("log"):
            moved.append(name)
            return 5 if len(moved) > 1 else 0
        return 0

    files.fails = fails
    station.store.renumber(9000)
    files.fails = None
    assert len(moved) == 2 and station.store.first() == (9003, station.store._oldest)
    again = Station(files, 8)
    assert again.store.boot > 9004  # above all that the life which could not finish may have sent
    again.store.release(9003, 77)
    found = drain(again.store)
    assert [found[name] for name in sorted(found)] == made


# ---- lives without the flash


class _Blind(SmallFiles):
    def names(self, folder):
        if folder == "log":
            raise OSError(5, "flash")
        return SmallFiles.names(self, folder)


# 7 is stored and partly acknowledged; 8 cannot read that, and sends what it has itself; 9 can.
def _blind_life(files, welcome):
    first = Station(files, 7)
    first.go(60000, Station.second)
    for boot in (8, 9):
        blind = Station(_Blind(files.path("")), boot)
        assert blind.store.flash_faults == 1 and blind.store.first() == (boot, 1)
        blind.store.release(*welcome)
        blind.put(50)
        assert len(drain(blind.store)) == 50
        welcome = boot, blind.store.emitted
    return first, welcome


@_on_flash()
def test_what_a_life_could_not_read_is_sent_by_the_next_that_can(files):
    first, welcome = _blind_life(files, (7, 333))
    station = Station(files, 10)
    station.store.release(*welcome)  # of the blind lives' records: it frees none of these
    found = drain(station.store)
    expected = [first.made[name] for name in sorted(first.made) if 333 < name[1] < first.store._oldest]
    assert [found[name] for name in sorted(found)] == expected and station.store.discarded == 0
    assert station.store.boot > min(found)[0] > welcome[0]
    station.go(1000)
    assert _names(files) == [] and Station(files, 11).store.boot == 11  # once


@_on_flash()
def test_a_gateway_that_had_nothing_gets_all_that_could_not_be_read(files):
    first, _ = _blind_life(files, (0, 0))
    station = Station(files, 10)
    station.store.release(8, 50)
    assert len(drain(station.store)) == len(first.flushed())


# CONTROL: without the note, a WELCOME frees what was never sent, and nobody counts it.
@_on_flash()
def test_without_the_note_what_could_not_be_read_is_lost(files):
    first, welcome = _blind_life(files, (7, 333))
    files.remove("state/apart")
    station = Station(files, 10)
    assert station.store.held == len(first.flushed())
    station.store.release(*welcome)
    assert station.store.held == station.store.discarded == 0


@_on_flash()
def test_one_segment_that_cannot_be_opened_costs_no_other(files):
    lives = [Station(files, boot) for boot in (7, 8)]
    for station in lives:
        station.go(30000, Station.second)
    path = files.path
    files.path = lambda name: path("nowhere" if name.startswith("log/00000007") else name)
    again = Station(files, 9)
    events = []
    found = {}
    for _ in range(4):  # it is tried again before it is given up
        found.update(drain(again.store, events=events))
    files.path = path
    assert len(found) == len(lives[1].flushed()) and again.store.flash_faults == 0
    assert _ranges(events) == [(7, 1, 1)]  # how many it were, nobody can say


@_on_flash()
def test_what_is_set_aside_is_counted(files):
    first = Station(files, 7)
    first.go(30000, Station.second)
    station = Station(files, 8)
    station.go(30000, Station.second)
    on_flash = len(first.flushed()) + len(station.flushed())
    store = station.store
    store.release(7, 20)
    store.set_aside()
    assert store.discarded == on_flash - 20 and store.first() == (8, store._oldest)
    store.release(7, 21)
    events = []
    found = drain(store, events=events)
    assert on_flash + len(found) == first.store.flushed + len(station.made)
    told = [int(detail.split()[0]) for kind, detail in events if kind == messages.DISCARDED]
    assert sum(told) == on_flash - 20


# ---- thinning


# A flash that fails is no reason to fill memory with THINNING begun, ended, begun.
@_on_flash(_SMALL)
def test_thinning_does_not_begin_while_the_flash_fails(files):
    station = Station(files, reserve=_SMALL // 2, ring=512)
    while not station.store.thinned:
        station.go(60000, Station.second)
    files.fails = lambda operation, name: 5
    told = []
    event = station.store.event
    station.store.event = lambda kind, detail: told.append(detail) or event(kind, detail)
    station.go(300000, Station.second)
    assert told.count("begun") == 0 and told.count("ended") == 1
    files.fails = None
    station.go(700000, Station.second)
    assert told.count("begun") == 1


@_on_flash(_SMALL)
def test_at_half_of_the_flash_readings_are_thinned_until_the_link_is_back(files):
    station = Station(files, reserve=_SMALL // 2, ring=512)
    store = station.store
    for _ in range(30):
        station.go(60000, Station.second)
    assert store.thinned > 0 and store.discarded == 0
    begun = store.emitted
    station.go(600000, Station.second)
    assert store.emitted - begun <= 12 * (11 + 8)  # of 7,200; eight times the calibration changes
    store.link_heard()
    station.go(3000, Station.second)
    made = store.emitted
    station.go(10000, Station.second)
    assert store.emitted - made == 120
    events = []
    found = drain(store, events=events)
    names = [detail for kind, detail in events if kind == messages.THINNING]
    assert names == ["begun", "ended"]
    summaries = [found[name] for name in found if len(found[name]) == 7]
    assert len(summaries) >= 12 * 10
    assert sum([row[4] for row in summaries]) == store.thinned
    singles = len(found) - len(summaries)
    assert singles + store.thinned == station.n
    for _, mean, minimum, maximum, count, why, _ in summaries:
        assert bits_float(minimum) <= bits_float(mean) <= bits_float(maximum) and why == 0 and count <= 60


@_on_flash()
def test_the_watchdog_is_fed_however_many_lives_are_on_flash(files):
    """Looking through them takes a board seconds, and so does giving them other numbers."""
    for boot in range(1, 31):
        station = Station(files, boot)
        station.go(30000, Station.second)
    fed = []
    files.feed = lambda: fed.append(1)
    station = Station(files, 31)
    assert len(_names(files)) == len(fed) == 30
    station.go(30000, Station.second)
    station.store.renumber(9000)
    assert len(fed) == 61 and station.store.boot == 9031
