# Which board is this? The only place that asks, and boards/ the only folder that imports machine, network,
# termios, select or sockets.
#
# A board is one object. Every port module defines `class Board` with:
#   name                      "unix", "rp2", "esp32"
#   reset_reason              text for the START event and HELLO
#   ticks_ms(), ticks_diff(a, b)   real ms for time-outs; they may wrap, so compare with ticks_diff only
#   station_ticks()           ms since start in the station's time, never wraps, never runs backwards
#   station_speed()           station ms per real ms: 1, except in simulation
#   real_ms(station_ms)       real ms in which that much station time passes, from now, rounded up
#   sleep_ms(ms)              coroutine
#   idle()                    called when nothing is due for a while: collects garbage
#   random_bytes(n)
#   next_boot(above=0)        a number of this start that is new, and above `above`; kept before it returns.
#                             One more than the last. Where none is kept (a new board, wiped flash): drawn by
#                             chance, 1 to 2**24. Numbers from 1 would be those of the device's former life:
#                             the gateway's "I hold everything up to (1, 200)" would free records of this life
#                             that were never sent.
#   read_file(name), write_file(name, data)   small files of the device; write_file replaces atomically
#   open_rtu(bus), open_tcp(host, port), open_link(link)   coroutines -> a stream; OSError when there is none
#   command()                 coroutine -> a line typed to the device, or None at the end of input; what is no
#                             text is skipped, noise on the console is no reason to stop
#   report(text)              one line for whoever watches; never blocks
#   crash(error)              a task ended by an exception that nobody expected: show where
#
# A stream has read(n, timeout_ms=None) -> bytes (empty: time is up), read_now(), write(data), close().
# Reading and writing are coroutines that let other tasks run and raise OSError when the other side has gone.

import sys

from protocol.errors import ConfigError


def open_board(directory):
    port = sys.platform
    if port in ("linux", "darwin"):
        from firmware.boards import unix

        return unix.Board(directory)
    raise ConfigError(
        f'no board module for "{port}": write firmware/boards/{port}.py after the list in board.py'
    )
