"""An RS-485 line under a path in real time, as exact as this machine is: a process for `quantrac bench bus`.

    python -m simulator.paced_line PATH BAUD DEAD

Rule 1: a pty has no baud rate, so the pace is made here, in absolute time: a request that arrives counts as
        sent from that moment on; the answer comes 3.5 characters after its last bit, in pieces, each when its
        last bit would have come. The last 200 us before each moment are spent looking at the clock.
Rule 2: every unit answers function 3, but DEAD. Register pairs hold the unit and the number of the answer.
Rule 3: once a second it prints a line of JSON: seconds, good answers, the seconds that they need by physics,
        requests to the dead unit and what these took, and how many requests came before the line was silent
        for 3.5 characters. Ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import sys
import time
import tty
from pathlib import Path

from protocol import modbus

BITS_PER_BYTE = 10
SPIN_S = 0.0002
PIECE_S = 0.001  # a UART with a small FIFO hands over what came about so often


def wait_until(moment: float) -> None:
    """Sleep, then look at the clock until it shows `moment` (time.perf_counter)."""
    left = moment - time.perf_counter() - SPIN_S
    if left > 0:
        time.sleep(left)
    while time.perf_counter() < moment:
        pass


def answer_to(request: bytes, n: int) -> bytes:
    """The answer to a read of holding registers."""
    count = request[4] << 8 | request[5]
    words = [request[0] if i % 2 == 0 else n & 0xFFFF for i in range(count)]
    return modbus.rtu(request[0], bytes([3, 2 * count]) + struct.pack(f">{count}H", *words))


def serve(path: Path, baud: int, dead: int) -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    path.symlink_to(os.ttyname(theirs))
    byte_s, silence_s = BITS_PER_BYTE / baud, modbus.silence_us(baud) / 1e6
    good = asked_dead = too_soon = 0
    physics_s = dead_s = 0.0
    free = told = time.perf_counter()
    asked_dead_at = None
    held = b""
    while True:
        readable, _, _ = select.select([ours, 0], [], [], max(0.0, told + 1 - time.perf_counter()))
        now = time.perf_counter()
        if now >= told + 1:
            told = now
            print(json.dumps({
                "t": now, "good": good, "physics_s": physics_s, "dead": asked_dead, "dead_s": dead_s,
                "too_soon": too_soon,
            }), flush=True)  # fmt: skip
        if 0 in readable and not os.read(0, 100):
            return
        if ours not in readable:
            continue
        held += os.read(ours, 256)
        if len(held) < 8:
            continue
        request, held = held[:8], b""
        if asked_dead_at is not None:  # what the device spent on waiting for nobody
            dead_s, asked_dead_at = dead_s + now - asked_dead_at, None
        too_soon += now < free + silence_s
        if request[0] == dead:
            asked_dead, asked_dead_at = asked_dead + 1, now
            continue
        good += 1
        answer = answer_to(request, good)
        begin = now + len(request) * byte_s + silence_s
        size = max(1, round(PIECE_S / byte_s))
        for at in range(0, len(answer), size):
            part = answer[at : at + size]
            wait_until(begin + (at + len(part)) * byte_s)
            os.write(ours, part)
        free = begin + len(answer) * byte_s
        physics_s += (len(request) + len(answer)) * byte_s + 2 * silence_s


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
