# Which board is this? The only place that asks, and boards/ the only folder that imports machine, network,
# termios, select or sockets.
#
# A board is one object. Every port module defines `class Board` with:
#   name                      "unix", "rp2", "esp32", "stepped"
#   identity                  hexadecimal text, this one board's own for ever
#   reset_reason              text for the START event and HELLO: what reset() was given, else "power",
#                             "watchdog", "soft reset", ... as far as the port knows
#   repl                      the reset was to free the prompt: return from main() at once, arm no watchdog
#   flash_stops_uart          writing flash loses bytes that come in on a UART meanwhile
#   files                     a Files (files.py)
#   ticks_ms(), ticks_us(), ticks_diff(a, b)   real time for time-outs; they may wrap, so compare with
#                             ticks_diff only
#   station_ticks()           ms since start in the station's time, never wraps, never runs backwards
#   station_speed()           station ms per real ms: 1, except in simulation
#   real_ms(station_ms)       real ms in which that much station time passes, from now, rounded up
#   sleep_ms(ms)              coroutine
#   rtc(), set_rtc(ms)        Unix ms by the board's own clock, None when it has none or that was never set
#   idle()                    called when nothing is due for a while: collects garbage
#   heap()                    (bytes free, bytes allocated); (0, 0) where nobody knows
#   random_bytes(n)
#   next_boot(above=0)        a number of this start that is new, and above `above`; kept before it returns.
#                             One more than the last. Where none is kept (a new board, wiped flash), or no
#                             number: drawn by chance, 1 to 2**24. Numbers from 1 would be those of the
#                             device's former life: the gateway's "I hold everything up to (1, 200)" would
#                             free records of this life that were never sent.
#   read_file(name), write_file(name, data)   files.read and files.replace
#   watchdog(ms)              arms it: from now on feed() at least so often (RP2: 8,388 ms at most), for ever
#   feed()                    also counts, on every board: longest_feed_ms, missed_feeds
#   reset(reason)             starts anew. On a board it does not return; the unix port ends with status 75,
#                             and on MicroPython that is a SystemExit, which no `except Exception` stops
#   enter_repl()              the same, and the next start has `repl`
#   input(pin, pull)          -> f() -> 0 or 1, the level. pull: "up", "down" or None
#   output(pin, active=1)     -> f(on). Inactive from this moment; active: the level of "on"
#   adc_uv(pin)               microvolts
#   counter(pin, pull="up", gap_ms=2)   -> f() -> pulses since some moment, never fewer than before. Edges
#                             less than gap_ms apart are a contact that bounces
#                             All four raise ConfigError for a pin that is not there, or not free.
#   open_rtu(bus), open_tcp(host, port)   coroutines -> a stream; OSError when there is none
#   open_link(link)           likewise. Kinds: "serial" (path, baud), "tcp" (host, port), "tls" (also "ca":
#                             a file's name, "name": the server's, "since": Unix s before which it cannot
#                             be), "usb". A path is that of a tty, on a board like "uart1 tx=4 rx=5 de=6".
#                             May take half a minute (Wi-Fi, handshake); feeds the watchdog where one step
#                             alone takes seconds.
#   command()                 coroutine -> a line typed to the device, or None at the end of input; what is
#                             no text is skipped, noise on the console is no reason to stop. Never returns
#                             on a board
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
        from os import getenv

        if getenv("QUANTRAC_STEPPED"):
            from firmware.boards import stepped

            return stepped.Board(directory, sys.argv[2:])
        from firmware.boards import unix as port_module
    elif port == "rp2":
        from firmware.boards import rp2 as port_module
    elif port == "esp32":
        from firmware.boards import esp32 as port_module
    else:
        raise ConfigError(
            f'no board module for "{port}": write firmware/boards/{port}.py after the list in board.py'
        )
    return port_module.__dict__["Board"](directory)  # a type checker must not mix the ports' types
