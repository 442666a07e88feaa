# The store on flash: files of this machine, whose flash can be small and full; where it fails or is damaged:
# test_segments_faults.py. Power cuts on littlefs are in tests/power, where both run once more, inside
# MicroPython: they need more heap than a device has, for what they remember to compare.

from firmware.store import AGE_MS, SILENT_MS
from protocol import messages
from protocol.gateway_session import GatewaySession
from protocol.reading import bits_float
from protocol.session import DeviceSession
from tests.firmware.flash_rig import SmallFiles, Station, T, drain, names, on_flash, ranges


@on_flash()
def test_nothing_goes_to_flash_while_acknowledgements_come(files):
    station = Station(files)

    def second(station):
        station.second()
        station.store.release(station.store.boot, station.store.emitted - 5)

    station.go(60000, second)
    assert station.store.emitted == 720 and files.writes == 0 and names(files) == []
    assert station.alive >= 60


@on_flash()
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
    assert names(files) == [] and store.flash_bytes == 0


# The header promises: no record older than AGE_MS is in memory only.
@on_flash()
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


@on_flash()
def test_a_full_batch_goes_after_the_silence_and_half_of_the_memory_at_once(files):
    station = Station(files)
    station.put(127)
    station.go(SILENT_MS + 300)
    assert files.writes == 0  # a batch wants one more
    station.put(1)
    station.go(300)
    assert files.writes == 1 and station.store.flushed == 128


@on_flash()
def test_mains_that_go_flush_at_once(files):
    station = Station(files, ring=2048)
    station.put(300)
    station.store.flush_soon()
    station.go(300)
    assert station.store.flushed == 300 and station.store.held == 300
    station.put(1)
    station.go(300)
    assert station.store.flushed == 300  # once


@on_flash()
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


@on_flash()
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
    assert names(files) == []


@on_flash()
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


@on_flash(_SMALL)
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
    assert ranges(events) == [(7, 1, oldest[1] - 1)]
    assert len(found) == len(station.made) - store.discarded


@on_flash(_SMALL)
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


@on_flash(_SMALL)
def test_a_discard_is_told_even_after_a_restart(files):
    station = Station(files, reserve=_SMALL // 2, thin_at=100)
    while station.store.discarded < 500:
        station.go(10000, lambda station: station.put(100))
    lost, oldest = station.store.discarded, station.store.first()
    again = Station(files, 8, reserve=_SMALL // 2)
    assert again.store.discarded == lost and again.store.first() == oldest
    events = []
    found = drain(again.store, events=events)
    assert ranges(events) == [(7, 1, lost)]
    assert min(found) == oldest
    again.go(500)
    assert [name for name, _ in files.names("state")] == []
    third = Station(files, 9)
    assert third.store.discarded == 0 and third.store.held == 0


# The power goes between note and deletion: the next start finishes it, and nothing comes that was counted.
@on_flash(_SMALL)
def test_a_discard_that_was_only_noted_is_finished_at_the_next_start(files):
    station = Station(files, reserve=_SMALL // 2, thin_at=100)
    files.fails = lambda operation, name: 5 if operation + name[:3] == "removelog" else 0
    while not [name for name, _ in files.names("state")]:
        station.go(1000, lambda station: station.put(100))
    files.fails = None
    segments = names(files)
    again = Station(files, 8, reserve=_SMALL // 2)
    assert again.store.first()[1] > 1 and again.store.discarded == again.store.first()[1] - 1
    again.go(500)
    assert names(files) == segments[1:]


@on_flash()
def test_a_flash_that_is_full_before_its_time_makes_room(files):
    station = Station(files)
    station.go(300000, Station.second)
    big = max(size for _, size in files.names("log"))
    station2 = Station(files, 8, thin_at=100)
    station2.store._segments.size = 4096  # short segments, so that there are several
    files.fails = lambda operation, name: (
        28 if operation + name[:3] == "appendlog" and len(names(files)) > 3 else 0
    )
    station2.go(300000, lambda station: station.put(50))
    assert station2.store.flash_faults == 0 and station2.store.discarded >= big // 10
    files.fails = None
    events = []
    found = drain(station2.store, events=events)
    lost = sum([last - first + 1 for _, first, last in ranges(events)])
    assert lost == station2.store.discarded and len(ranges(events)) >= 1
    assert len(found) + lost == len(station.flushed()) + len(station2.made)


# ---- thinning


# A flash that fails is no reason to fill memory with THINNING begun, ended, begun.
@on_flash(_SMALL)
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


@on_flash(_SMALL)
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


@on_flash()
def test_the_watchdog_is_fed_however_many_lives_are_on_flash(files):
    """Looking through them takes a board seconds, and so does giving them other numbers."""
    for boot in range(1, 31):
        station = Station(files, boot)
        station.go(30000, Station.second)
    fed = []
    files.feed = lambda: fed.append(1)
    station = Station(files, 31)
    assert len(names(files)) == len(fed) == 30
    station.go(30000, Station.second)
    station.store.renumber(9000)
    assert len(fed) == 61 and station.store.boot == 9031
