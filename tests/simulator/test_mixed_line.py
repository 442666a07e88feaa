"""simulator/mixed_line.py and mixed_ends.py: units with settings of their own, and the faults of a cable."""

from __future__ import annotations

import time

import pytest
import serial
from pymodbus.simulator import DataType, SimData, SimDevice

from protocol.instruments import load
from protocol.modbus import crc16, rtu
from protocol.modbus_requests import read_pdu, write_register_pdu
from simulator.mixed_ends import PtyEnd, Rfc2217End, TcpEnd
from simulator.mixed_line import MixedFaults, MixedLine, MixedUnit, Serial, both, heard, reordered, wave

READ = read_pdu(3, 0, 2)
ENOUGH_S = 60


def unit(address, words=(0x1234, 0x5678), settings=None, **manners):
    data = SimData(0, values=list(words), datatype=DataType.REGISTERS)
    return MixedUnit(SimDevice(address, [data]), settings or Serial(), **manners)


def ask(port, address, size=9, pdu=READ):
    """The answer's bytes; what does not come is missing."""
    port.write(rtu(address, pdu))
    return port.read(size)


def is_whole(answer):
    return len(answer) > 4 and crc16(answer[:-2]) == answer[-2] | answer[-1] << 8


def opened(end, timeout_s=ENOUGH_S, **settings):
    return serial.serial_for_url(end.url, **{"baudrate": 9600, "timeout": timeout_s} | settings)


def test_a_unit_answers_at_its_own_settings_only():
    units = [unit(1), unit(1, (7, 8), Serial(19200, "E", 1)), unit(2, (9, 9), Serial(9600, "N", 2))]
    line = MixedLine(units)
    with Rfc2217End(line) as end, opened(end) as port:
        assert ask(port, 1)[3:7] == b"\x12\x34\x56\x78"
        port.apply_settings({"baudrate": 19200, "parity": "E"})
        assert line.serial == Serial(19200, "E", 1)
        assert ask(port, 1)[3:7] == b"\0\7\0\x08"
        port.apply_settings({"baudrate": 9600, "parity": "N", "stopbits": 2})
        assert ask(port, 2)[3:7] == b"\0\x09\0\x09"
        before = line.answers
        port.apply_settings({"parity": "O", "stopbits": 1})
        port.write(rtu(1, READ) + rtu(2, READ))
        port.apply_settings({"parity": "N"})  # acknowledged once the line is silent
        assert line.answers == before and not port.in_waiting
        assert (line.requests, line.writes) == (5, 0)


def test_the_line_takes_the_time_of_its_bytes():
    line = MixedLine([unit(1, latency_s=0.02)])
    with PtyEnd(line) as end, opened(end) as port:
        began_s = time.monotonic()
        assert is_whole(ask(port, 1))
        took_s = time.monotonic() - began_s
    characters = 8 + 9 + 3.85 + 3.85  # the 3.5 of the specification have 11 bits each
    assert line.busy_s == pytest.approx(characters * 10 / 9600 + 0.02, abs=1e-4)
    assert took_s >= line.busy_s - 3.85 * 10 / 9600 - 0.001


def test_two_units_that_answer_at_once_destroy_each_other_s_answer():
    units = [unit(3, (1, 2), latency_s=0.004), unit(3, (0xFFFF, 3), latency_s=0.0063)]
    with PtyEnd(MixedLine(units)) as end, opened(end, 0.5) as port:
        assert not is_whole(ask(port, 3, 20))
        units.pop()
        assert is_whole(ask(port, 3))


class Clock:
    """Time that passes when told, in the place of the module `time`."""

    now_s = 100.0

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def test_a_host_that_does_not_wait_runs_over_a_slow_answer(monkeypatch):
    clock, came = Clock(), []
    monkeypatch.setattr("simulator.mixed_line.time", clock)
    line = MixedLine([unit(1, latency_s=0.005), unit(2, latency_s=0.05)])
    line.write = came.append

    def asked(*pauses_s):
        """What is heard when unit 2 and then unit 1 are asked, with these pauses after each request."""
        came.clear()
        for address, pause_s in zip((2, 1), pauses_s, strict=True):
            line.sent(rtu(address, READ))
            clock.sleep(pause_s)
            line.deliver(clock.now_s)
        return b"".join(came)

    assert len(asked(0.2, 0.2)) == 18 and line.run_over == 0  # the control
    tail = asked(0.06, 0.2)  # it begins 0.3 ms before unit 1 is asked, and is heard again when that has ended
    assert line.run_over == 1 and 0 < len(tail) < 9 and line.due_s() is None
    assert len(asked(0.02, 0.2)) == 18 and line.run_over == 1  # in between there is room for unit 1
    line.close()


def test_requests_that_had_only_piled_up_are_no_collision(monkeypatch):
    clock, came = Clock(), []
    monkeypatch.setattr("simulator.mixed_line.time", clock)
    line = MixedLine([unit(1), unit(2)])
    line.write = came.append
    line.sent(rtu(1, READ) + rtu(2, READ), lag_s=0.5)
    line.settle()
    assert [part[0] for part in (b"".join(came)[:9], b"".join(came)[9:])] == [1, 2] and line.run_over == 0
    line.close()


@pytest.mark.parametrize("kind", [PtyEnd, TcpEnd, Rfc2217End])
def test_faults_of_the_wiring(kind):
    faults = MixedFaults()
    with kind(MixedLine([unit(1)], faults, seed=1)) as end, opened_end(end) as port:
        assert is_whole(ask(port, 1))  # the control
        faults.echo = True
        answer = ask(port, 1, 17)
        assert answer[:8] == rtu(1, READ) and is_whole(answer[8:])
        faults.echo, faults.no_termination = False, True
        whole = [is_whole(ask(port, 1)) for _ in range(25)]
        assert any(whole) and not all(whole)
        faults.no_termination, faults.swapped = False, True
        rubbish = ask(port, 1, 2)
        assert len(rubbish) == 2 and set(rubbish) <= {0x00, 0xFE, 0xFF}


def opened_end(end):
    if end.url.startswith("tcp"):
        return serial.serial_for_url(end.url.replace("tcp", "socket"), timeout=ENOUGH_S)
    return opened(end)


def test_a_unit_of_the_silent_kind_and_one_that_was_just_powered_up():
    line = MixedLine([unit(1, quiet=True), unit(2, silent_s=1e9), unit(3)])
    with PtyEnd(line) as end, opened(end, 0.3) as port:
        far = read_pdu(3, 900, 1)
        assert ask(port, 3, 5, far)[1] == 0x83  # the control: an exception
        assert ask(port, 1, 5, far) == b"" and ask(port, 2) == b""
        assert is_whole(ask(port, 1))
        line.units[1].silent_s = 0.0
        assert is_whole(ask(port, 2))


def test_writes_are_counted():
    line = MixedLine([unit(1)])
    with PtyEnd(line) as end, opened(end) as port:
        ask(port, 1)
        assert line.writes == 0
        ask(port, 1, 8, write_register_pdu(0, 5))
        assert line.writes == 1


def test_what_is_heard_at_other_settings_is_garbage():
    data = rtu(1, READ)
    own = Serial(9600, "E", 1)
    levels = wave(data, own)
    assert heard(levels, 9600, own) == data  # the control
    for other in (Serial(19200, "E", 1), Serial(4800, "E", 1), Serial(4800, "N", 1)):
        assert heard(levels, own.baud, other) != data
    assert heard(both([(0, levels), (0, levels)]), 9600, own) == data
    assert heard(both([(0, levels), (7, wave(data, own))]), 9600, own) != data


def test_an_instrument_in_another_word_order_is_the_same_otherwise():
    profile = load("aqualabo-ntu")
    other = reordered(profile, "CDAB")
    assert {q.word_order for q in other.quantities} == {"CDAB"} != {q.word_order for q in profile.quantities}
    assert other.identify == profile.identify and other.name == profile.name
