# runs on: cpython, micropython

from protocol import gateway_session, session
from protocol.gateway_session import GatewaySession
from protocol.messages import VERSION, Ack, Command, Event, Now, Readings, Result, Seal, Summary, Welcome
from protocol.session import DeviceSession
from tests.protocol._check import vectors
from tests.protocol._store import Hellos, Store, nonce

HALF = 1 << 29  # ticks of a device wrap at 2**30


def plain_diff(later, earlier):
    return later - earlier


def wrapping_diff(later, earlier):
    return ((later - earlier + HALF) & (2 * HALF - 1)) - HALF


# ---- The gateway's end, step by step


def gateway_message(step):
    what = step[0]
    if what == "readings":
        return Readings(step[1], step[2], 0, 1, ((0, 0, 1, 0, 0),) * step[3])
    if what == "summary":
        return Summary(step[1], step[2], 60000, 1, 60000, ((0, 1, 1, 1, 60, 0, 0),) * step[3])
    if what == "now":
        return Now(nonce(step[1]), 0, 1, ((0, 0, 1, 0, 0),))
    if what == "event":
        return Event(step[1], step[2], 0, 1, 9, None)
    if what == "seal":
        return Seal(step[1], step[2], 0, 0, 1, 1, bytes(32), bytes(32))
    if what == "hello":
        return hello(step[1], step[2], step[3], step[4])
    return {
        "WELCOME": Welcome(1, nonce(1), 0, 0, 0, True),
        "ACK": Ack(nonce(1), 0, 0, 0, True, 0),
        "COMMAND": Command(1, 1, "mark", None),
        "RESULT": Result(1, True, "", None),
        "OTHER": hello(3, 50, 3, 11, device="st-02"),
        "NONSENSE": hello(3, 51, 4, 1),
        "VERSION": hello(3, 52, 3, 11, version=2),
    }[step[1]]


def hello(boot, number, store_boot, store_seq, device="st-01", version=VERSION):
    made = Hellos(Store(boot), device)()
    values = list(made)
    values[0] = version
    values[4] = nonce(number)
    values[7] = store_boot
    values[8] = store_seq
    return type(made)(*values)


def run_gateway(vector):
    gateway = GatewaySession("st-01", *vector["position"])
    received = 0
    for step in vector["steps"]:
        what = step[0]
        if what == "commit":
            gateway.committed(step[1], step[2])
        elif what == "fall_back":
            gateway.fall_back()
        elif what == "skipped":
            assert gateway.skipped == step[1], step
        elif what == "ack":
            assert gateway.ack(5, True, 7) == Ack(nonce(step[3]), step[1], step[2], 5, True, 7), step
        elif what == "welcome":
            assert gateway.welcome(5, False) == Welcome(
                VERSION, nonce(step[3]), step[1], step[2], 5, False
            ), step
        else:
            verdict = gateway.receive(gateway_message(step))
            assert verdict == step[-1], (step, verdict)
            received += 1
    assert sum(gateway.counts.values()) == received


# ---- The device's end


def shown(message):
    if isinstance(message, Readings):
        return f"{message.boot} {message.first_seq}-{message.first_seq + len(message.rows) - 1}"
    if isinstance(message, Event):
        return f"EVENT {message.boot} {message.seq}"
    return f"HELLO {message.store_boot} {message.store_seq} {message.nonce[-1]}"


def sent(device, now):
    found = []
    while True:
        message = device.next(now)
        if message is None:
            return found
        found.append(shown(message))


# begin: the ticks that stand for 0
def run_device(vector, ticks_diff, begin):
    def at(ms):
        return (begin + ms) % (2 * HALF) if begin else ms

    store = Store(1, vector.get("capacity", 1000000))
    device = DeviceSession(Hellos(store), store, ticks_diff, vector.get("window", 8))
    happened = ()
    for step in vector["steps"]:
        what = step[0]
        if what == "make":
            store.make(step[1])
        elif what == "event":
            store.make(1, 1)
        elif what == "restart":
            store.restart(step[1])
        elif what == "batch":
            store.batch_rows = step[1]
        elif what == "up":
            device.link_up(at(step[1]))
        elif what == "down":
            device.link_down(at(step[1]))
        elif what == "sends":
            found = sent(device, at(step[1]))
            assert found == step[2], (vector["why"], step, found)
        elif what == "welcome":
            message = Welcome(VERSION, nonce(step[2]), step[3], step[4], 99, True)
            happened = device.receive(message, at(step[1]))
        elif what == "ack":
            message = Ack(nonce(step[2]), step[3], step[4], 99, True, step[5])
            happened = device.receive(message, at(step[1]))
        elif what == "command":
            happened = device.receive(Command(step[1], 1, "mark", None), 0)
        elif what == "happened":
            if step[1]:
                assert happened[0][: len(step[1])] == tuple(step[1]), (step, happened)
            else:
                assert happened == (), (step, happened)
        elif what == "state":
            assert device.state == step[1], (step, device.state)
        elif what == "held":
            assert len(store.records) == step[1], (vector["why"], step, store.records)
        else:
            assert what == "ignored" and device.ignored == step[1], (step, device.ignored)


def test_vectors_of_the_gateway():
    count = 0
    for vector in vectors("session"):
        if vector["end"] == "gateway":
            run_gateway(vector)
            count += 1
    assert count >= 20


def test_vectors_of_the_device():
    count = 0
    for vector in vectors("session"):
        if vector["end"] == "device":
            run_device(vector, plain_diff, 0)
            run_device(vector, wrapping_diff, 2 * HALF - 2500)
            count += 1
    assert count >= 15


def test_times_and_positions_are_reported():
    store = Store(1)
    store.make(2)
    device = DeviceSession(Hellos(store), store, plain_diff)
    device.link_up(0)
    device.next(0)
    happened = device.receive(Welcome(VERSION, nonce(1), 0, 0, 1780000000000, False), 1)
    assert happened == (("time", 1780000000000, False), ("acked", 0, 0))
    device.next(1)
    happened = device.receive(Ack(nonce(1), 1, 2, 1780000000500, True, 0), 2)
    assert happened == (("time", 1780000000500, True), ("acked", 1, 2))
    assert device.receive(Ack(nonce(1), 1, 2, 1780000000600, True, 0), 3) == (("time", 1780000000600, True),)


def test_a_device_that_greets_with_a_boot_of_before_is_told_where_to_go_on():
    gateway = GatewaySession("st-01", 5, 10)
    old = hello(4, 1, 0, 1)
    assert gateway.receive(old) == gateway_session.STALE
    assert gateway.ahead(old, 9, True) == Welcome(VERSION, nonce(1), 5, 10, 9, True)
    assert gateway.ahead(hello(5, 2, 0, 1), 9, True) is None
    assert gateway.ahead(hello(4, 2, 0, 1, device="st-02"), 9, True) is None
    assert gateway.receive(hello(7, 3, 0, 1)) == gateway_session.GREET
    assert gateway.ahead(hello(6, 4, 0, 1), 9, False) == Welcome(VERSION, nonce(4), 7, 0, 9, False)
    assert gateway.pending == (5, 10)  # nothing changed


def test_a_version_that_is_not_ours_is_not_live():
    store = Store(1)
    device = DeviceSession(Hellos(store), store, plain_diff)
    device.link_up(0)
    device.next(0)
    assert device.receive(Welcome(2, nonce(1), 0, 0, 0, True), 1) == ()
    assert device.state == session.GREETING and device.ignored == 1


def test_every_state_and_input_of_the_gateway_has_an_entry():
    inputs = set(happened for _, happened in gateway_session._GATEWAY)
    for happened in inputs:
        assert (gateway_session.OPEN, happened) in gateway_session._GATEWAY
    for happened in ("hello", "old", "foreign", "result"):
        assert (gateway_session.NEW, happened) in gateway_session._GATEWAY


def test_a_pause_between_two_ends():
    store = Store(1)
    store.make(30)
    device = DeviceSession(Hellos(store), store, plain_diff)
    gateway = GatewaySession("st-01")
    device.link_up(0)
    now = 0
    journal = []
    while store.records and now < 1000:
        now += 1
        message = device.next(now)
        if message is None:
            continue
        verdict = gateway.receive(message)
        if verdict == gateway_session.GREET:
            device.receive(gateway.welcome(0, True), now)
        elif verdict == gateway_session.ACCEPT:
            boot, first, last = session.span(message)
            journal += [(boot, seq) for seq in range(first, last + 1)]
            gateway.committed(boot, last)
            device.receive(gateway.ack(0, True, 50), now)
    assert journal == [(1, seq) for seq in range(1, 31)]
    assert now > 350  # seven pauses
