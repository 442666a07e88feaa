# The store on flash where the flash fails, files were damaged, or a life had none; see test_segments.py, and
# for power cuts on littlefs tests/power, where this file runs once more, inside MicroPython.

from protocol import messages
from tests.firmware.flash_rig import SmallFiles, Station, drain, names, on_flash, ranges

# ---- a flash that fails


@on_flash()
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


@on_flash()
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
    assert ranges(events) == [(7, on_flash + 1, on_flash + lost)]


# What was written may be there although the flash said no: the numbers of both overlap, nothing comes twice.
@on_flash()
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
@on_flash()
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
@on_flash()
def test_a_note_without_room_is_tried_again_at_distances(files):
    station = Station(files)
    station.go(60000, Station.second)
    name = names(files)[0]
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
    assert 1 <= len(tried) <= 4 and names(files) == []


# ---- files that were damaged


def _flip(files, name, at):
    data = bytearray(files.read("log/" + name))
    data[at] ^= 0x10
    files.append("log/" + name, data, "wb")


def _damaged(files, damage):
    station = Station(files)
    station.go(300000, Station.second)
    damage(files, names(files)[0])
    again = Station(files, 8)
    events = []
    return station, again, drain(again.store, events=events), events


@on_flash()
def test_a_torn_end_is_as_if_it_had_never_been(files):
    def cut(files, name):
        files.append("log/" + name, files.read("log/" + name)[:-20], "wb")

    station, again, found, _ = _damaged(files, cut)
    assert 0 < station.store.flushed - len(found) <= 128 and again.store.discarded == 0
    assert sorted(found) == [(7, i + 1) for i in range(len(found))]


@on_flash()
def test_damage_in_the_middle_leaves_the_rest_and_is_counted(files):
    station, again, found, events = _damaged(files, lambda files, name: _flip(files, name, 2000))
    lost = station.store.flushed - len(found)
    assert 0 < lost == again.store.discarded < 1500
    for name in found:
        assert found[name] == station.made[name]
    (gone,) = ranges(events)
    assert gone[2] - gone[1] + 1 == lost
    assert max(found)[1] == station.store.flushed


# What cannot be read is noted before its segment goes: the power may, before the gateway is told.
@on_flash()
def test_what_could_not_be_read_is_told_after_a_power_cut_too(files):
    station = Station(files)
    station.go(300000, Station.second)
    name = names(files)[0]
    files.append("log/" + name, files.read("log/" + name)[:200], "wb")  # all but the first batch
    station = Station(files, 8)
    assert len(names(files)) == 1
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
@on_flash()
def test_without_the_check_sum_damage_is_believed(files):
    from firmware import segments

    station = Station(files)
    station.go(300000, Station.second)
    name = names(files)[0]
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


@on_flash()
def test_what_is_no_segment_is_left_alone(files):
    files.make("log")
    files.append("log/readme", b"hello")
    files.append("log/0000000x-0000000001", b"hello")
    files.append("log/00000007-0000000001", b"")  # created, and then the power went
    station = Station(files, 8)
    station.put(5)
    station.go(20000)
    assert station.store.flushed == 5 and drain(station.store) == station.made
    assert "readme" in names(files) and "00000007-0000000001" not in names(files)


# ---- boot numbers


@on_flash()
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
@on_flash()
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


@on_flash()
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


@on_flash()
def test_what_a_life_could_not_read_is_sent_by_the_next_that_can(files):
    first, welcome = _blind_life(files, (7, 333))
    station = Station(files, 10)
    station.store.release(*welcome)  # of the blind lives' records: it frees none of these
    found = drain(station.store)
    expected = [first.made[name] for name in sorted(first.made) if 333 < name[1] < first.store._oldest]
    assert [found[name] for name in sorted(found)] == expected and station.store.discarded == 0
    assert station.store.boot > min(found)[0] > welcome[0]
    station.go(1000)
    assert names(files) == [] and Station(files, 11).store.boot == 11  # once


@on_flash()
def test_a_gateway_that_had_nothing_gets_all_that_could_not_be_read(files):
    first, _ = _blind_life(files, (0, 0))
    station = Station(files, 10)
    station.store.release(8, 50)
    assert len(drain(station.store)) == len(first.flushed())


# CONTROL: without the note, a WELCOME frees what was never sent, and nobody counts it.
@on_flash()
def test_without_the_note_what_could_not_be_read_is_lost(files):
    first, welcome = _blind_life(files, (7, 333))
    files.remove("state/apart")
    station = Station(files, 10)
    assert station.store.held == len(first.flushed())
    station.store.release(*welcome)
    assert station.store.held == station.store.discarded == 0


@on_flash()
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
    assert ranges(events) == [(7, 1, 1)]  # how many it were, nobody can say


@on_flash()
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
