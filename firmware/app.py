# The start: from what is on flash to a running station, or to the reason why it cannot run as usual.
#
# Rule 1: identity.json and link.key decide whether there is a device at all; without them it says so and
#         ends. Everything else has a way on: a wrong station.json, pins that are not there, a third crash
#         within ten minutes end in safe mode, which has the link, the commands and what can be measured.
# Rule 2: what is needed only here is loaded for the call and forgotten, and before the parts that stay: a
#         board has no room for both.
# Rule 3: a configuration that is on trial and cannot be used is taken back by the next start (trial.py).
# Rule 4: what makes a station fail in the making is found by leaving it out, from the third crash on: first
#         the configuration, then what the store has on flash, piece by piece; set aside, not deleted.

import asyncio
import sys

from firmware.board import open_board
from firmware.lazy import call
from protocol.errors import ConfigError

FILE = "station.json"
OLD_FILE = "station.old"
DOG_MS = 8000  # as in starter.py
_NOTHING = (
    b'{"buses":[],"units":[],"channels":[],"memory_records":0,"inputs":[],"outputs":[],"analogs":[],'
    b'"counters":[],"alarms":[],"store":{"thin_at":0.5,"hold_ms":2400}}'
)


# (Config, why it is not the one that should be or "")
def _configuration(files):
    why = ""
    for name in (FILE, OLD_FILE):
        try:
            return call("firmware.config", "parse", files.read(name)), why
        except ConfigError as error:
            why = why or str(error)
        except Exception as error:  # not there, or more than there is memory for
            why = why or f"{FILE} cannot be read: {error!r}"
    return call("firmware.config", "parse", _NOTHING), why


def _station(board, identity):
    files = board.files
    boot = board.next_boot()
    board.watchdog(DOG_MS)  # the starter has armed it already: from here on it can be fed
    safe, events = call("firmware.crashes", "begin", files, boot, board.reset_reason)
    config, why = _configuration(files)
    if why and call("firmware.trial", "failed", files, why, True):
        board.reset("former configuration asked")
    call("firmware.calibrations", "apply", files, config.channels)
    board.feed()

    from firmware.station import Station

    passes = bool(safe)  # by itself, after ten healthy minutes
    try:
        return Station(board, identity, config, boot, safe or why, passes, events)
    except ConfigError as error:
        why = str(error)
    except Exception as error:
        board.crash(error)
        call("firmware.crashes", "record", files, boot, board.station_ticks(), "start", error, True)
        if not safe:
            board.reset("crash: start")
        why = safe  # the third time: without a configuration
    if call("firmware.trial", "failed", files, why, True):
        board.reset("former configuration asked")
    config = call("firmware.config", "parse", _NOTHING)
    try:
        return Station(board, identity, config, boot, why, False, events)
    except Exception as error:  # then what is kept on flash makes it fail: out of the way with it
        board.crash(error)
        if safe:
            call("firmware.crashes", "set_aside", files, boot)
        board.reset("crash: start")


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "/"
    station = None
    try:
        board = open_board(directory)
        if board.repl:
            return
        station = _station(board, call("firmware.identity", "load", board.files))
    except (ConfigError, OSError) as error:
        print(f"the station cannot start in {directory}: {error}", file=sys.stderr)
    if station is None:
        sys.exit(2)
    try:
        asyncio.run(station.run())
    except KeyboardInterrupt:
        sys.exit(130)
