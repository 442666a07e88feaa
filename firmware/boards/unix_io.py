# Pins and clock of the unix board. Loaded through lazy.call; what it returns keeps its code alive.
#
# A pin is a file in DIR/io, named after the pin (letters, digits, "-" and "_"):
#   an input    "0" or "1", its level; no file: 1 with a pull-up, else 0
#   an output   "0" or "1", its level, written when it is made (inactive) and at every change
#   an ADC      microvolts; no file: 0
#   a counter   pulses so far; no file: 0
#   rtc         the board has a clock of its own when this file is there. "UNIX_MS", what it shows when it is
#               read first, or "UNIX_MS TICKS", what it showed at these ticks of this machine, as it is set
# DIR/io/identity is what `identity` says; without it: a hash of DIR's name.
#
# Rule 1: a pin's name leads nowhere but into DIR/io, whatever station.json says.
# Rule 2: a file that holds nonsense, or half of something, counts as none.

import binascii
import hashlib

from protocol.errors import ConfigError


def _text(files, pin):
    try:
        return files.read(f"io/{pin}").decode().strip()
    except (OSError, UnicodeError):
        return ""


def _pin(pin):
    name = str(pin)
    for c in name:
        if not (c.isalpha() or c.isdigit() or c in "-_"):
            name = ""
    if name in ("", "rtc", "identity"):
        raise ConfigError(f'there is no pin "{pin}" here')
    return name


def level(files, pin, pull):
    name = _pin(pin)
    rest = "1" if pull == "up" else "0"
    return lambda: 1 if (_text(files, name) or rest) == "1" else 0


def output(files, pin, active):
    name = "io/" + _pin(pin)
    files.make("io")

    def put(on):
        files.replace(name, b"1" if bool(on) == bool(active) else b"0")

    put(False)
    return put


def number(files, pin):
    name = _pin(pin)

    def read():
        try:
            return int(_text(files, name) or 0)
        except ValueError:
            return 0

    return read


def identity(files):
    path = files.path("")
    return _text(files, "identity") or binascii.hexlify(hashlib.sha256(path.encode()).digest()[:8]).decode()


# ticks: of this machine, now
def rtc(files, ticks):
    try:
        shown = [int(word) for word in _text(files, "rtc").split()]
    except ValueError:
        return None
    if len(shown) == 1:
        set_rtc(files, shown[0], ticks)
        return shown[0]
    return shown[0] + ticks - shown[1] if len(shown) == 2 else None


def set_rtc(files, time_ms, ticks):
    if _text(files, "rtc"):
        files.replace("io/rtc", f"{time_ms} {ticks}".encode())
