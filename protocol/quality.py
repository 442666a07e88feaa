# Quality: why a reading can be used, or why not. A closed set of small integers that travels unchanged
# from the instrument to the provincial file.
#
# Rule 1: the numbers are on the wire and in journals: never renumber, only add at the end, and to
#         messages.cddl.
# Rule 2: a reading carries a value if and only if has_value(quality); without one its raw bits are None.
# Rule 3: each quality has one provincial status: "00" measured, "01" calibration or maintenance, "02" no good
#         value.

from protocol._compat import const
from protocol.errors import ConfigError

OK = const(0)  # measured, in range
CALIBRATING = const(1)  # a person or the instrument says so; the value is of the calibration gas or liquid
MAINTENANCE = const(2)  # a person or the instrument says so
FAULT = const(3)  # the instrument reports a fault of its own, or gives a NaN
TIMEOUT = const(4)  # it did not answer
BAD_REPLY = const(5)  # it answered, but damaged, or with a Modbus exception
OUT_OF_RANGE = const(6)  # outside of the plausible range of its profile
OFF = const(7)  # switched off on purpose
OVERLOAD = const(8)  # current loop below 3.6 mA or above 21 mA
TIME_UNTRUSTED = const(9)  # measured, but nobody knows when
NO_DATA = const(10)  # a window without any reading
COVERAGE = const(11)  # a window with too few good readings

NAMES = (
    "OK",
    "CALIBRATING",
    "MAINTENANCE",
    "FAULT",
    "TIMEOUT",
    "BAD_REPLY",
    "OUT_OF_RANGE",
    "OFF",
    "OVERLOAD",
    "TIME_UNTRUSTED",
    "NO_DATA",
    "COVERAGE",
)

_WITHOUT_VALUE = (TIMEOUT, BAD_REPLY, OFF, NO_DATA)


# by_name("FAULT") -> 3; ConfigError for any other word (profiles and station files name qualities).
def by_name(name):
    for number, known in enumerate(NAMES):
        if known == name:
            return number
    known = ", ".join(NAMES)
    raise ConfigError(f"no quality is called {name!r}: write one of {known}")


# The provincial status of a quality, as text: "00", "01" or "02" (Thông tư 10/2021/TT-BTNMT).
def status(quality):
    if quality == OK:
        return "00"
    if quality in (CALIBRATING, MAINTENANCE):
        return "01"
    return "02"


# Whether a reading of this quality carries a value: a faulty instrument still indicates something, a dead one
# does not.
def has_value(quality):
    return quality not in _WITHOUT_VALUE
