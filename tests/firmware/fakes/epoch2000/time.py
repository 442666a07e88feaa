# Time as the ESP32 port counts it: from 2000.

from utime import gmtime as _gmtime
from utime import mktime as _mktime
from utime import sleep_ms, ticks_add, ticks_diff, ticks_ms, ticks_us  # noqa: F401
from utime import time as _time

_ZERO = 946684800


def gmtime(s=None):
    return _gmtime(_time() if s is None else s + _ZERO)


def mktime(t):
    return _mktime(t) - _ZERO


def time():
    return _time() - _ZERO
