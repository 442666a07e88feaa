# The fields of a profile's file: each table's keys, what they may hold, and what stands for one left out.
#
# Rule 1: rows are (key, check, default), as protocol/fields.py reads them. What takes two fields to be told
#         is told in profile.py.
# Rule 2: the order of the rows is the order of the named tuples in profile.py.
#
# Sizes: timeouts and gaps in ms, update_s in s, plausible and scale in the quantity's own unit.

from protocol import fields
from protocol.modbus_requests import TABLES
from protocol.quality import NAMES
from protocol.registers import ORDERS, TYPES

MARKS = ("MAKER", "CODE", "GENERIC")  # read in the maker's document, in other people's code, made for a demo
KINDS = ("wastewater", "stack", "surface-water", "ambient-air", "groundwater", "water-level")
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)


def _symbol(value):
    # The provincial file splits at spaces and tabs.
    return "a text without spaces" if fields.solid(value) or not value else None


def _kinds(value):
    good = not fields.list_of(fields.choice(KINDS))(value) and value
    return None if good else "a list of " + ", ".join(KINDS)


def _words(value):
    wrong = fields.list_of(_REGISTER)(value) or len(value) > 123
    return "a list of at most 123 numbers from 0 to 65535" if wrong else None


def _status_ids(value):
    good = not fields.identifier(value) or (not fields.list_of(fields.identifier)(value) and value)
    return None if good else "the id of a [[status]], or a list of them"


def _wanted(value):
    good = isinstance(value, str) or not fields.whole(0, 0xFFFFFFFF)(value)
    return None if good else "a text or a whole number"


def _map(value):
    good = isinstance(value, dict) and value
    if good and all([code_of(key) is not None and name in NAMES for key, name in value.items()]):
        return None
    return "code = quality for each code, with a quality of " + ", ".join(NAMES)


def code_of(key):
    # A key of a status map as a number: decimal, or hexadecimal as in 0x4E; None when it is neither.
    digits, base, allowed = key, 10, "0123456789"
    if key[:2] == "0x":
        digits, base, allowed = key[2:], 16, "0123456789abcdefABCDEF"
    if not digits or any([digit not in allowed for digit in digits]):
        return None
    return int(digits, base)


_REGISTER = fields.whole(0, 0xFFFF)

HEAD = (
    ("name", fields.identifier, fields.MUST),
    ("title", fields.filled, fields.MUST),
    ("maker", fields.filled, fields.MUST),
    ("mark", fields.choice(MARKS), fields.MUST),
    ("source", fields.filled, fields.MUST),
    ("station_kinds", _kinds, fields.MUST),
    ("link", None, {}),
    ("quantity", None, fields.MUST),
    ("status", None, []),
    ("start", None, []),
    ("identify", None, []),
    ("ask", None, []),
    ("trap", None, []),
)
LINK = (
    ("baud", fields.choice(BAUDS), 9600),
    ("parity", fields.choice(("N", "E", "O")), "N"),
    ("stopbits", fields.choice((1, 2)), 1),
    ("unit", fields.whole(1, 247), 1),
    ("timeout_ms", fields.whole(10, 60000), 500),
    ("gap_ms", fields.whole(0, 60000), 0),
    ("startup_ms", fields.whole(0, 600000), 0),
    ("max_block", fields.whole(1, 125), 125),
    ("merge", fields.flag, True),
    ("whole", fields.flag, False),  # true: reads always cover all registers of the profile, chosen or not
)
QUANTITY = (
    ("id", fields.identifier, fields.MUST),
    ("symbol", _symbol, fields.MUST),
    ("unit", fields.solid, fields.MUST),
    ("table", fields.choice(sorted(TABLES)), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("printed", fields.text, ""),
    ("type", fields.choice(TYPES), fields.MUST),
    ("word_order", fields.choice(ORDERS), "ABCD"),
    ("scale", fields.not_zero, 1.0),
    ("offset", fields.number, 0.0),
    ("plausible", fields.span, fields.MUST),
    ("decimals", fields.whole(0, 6), fields.MUST),
    ("update_s", fields.seconds, fields.MUST),
    ("status", _status_ids, []),
)
STATUS = (
    ("id", fields.identifier, fields.MUST),
    ("table", fields.choice(sorted(TABLES)), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("type", fields.choice(("uint16", "uint32")), "uint16"),
    ("mask", fields.whole(1, 0xFFFFFFFF), 0xFFFF),
    ("values", _map, fields.MUST),
    ("otherwise", fields.choice(NAMES), "FAULT"),
)
START = (
    ("function", fields.choice((3, 4, 5, 6, 15, 16)), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("words", _words, fields.MUST),
    ("wait_ms", fields.whole(0, 60000), fields.MUST),
)
IDENTIFY = (
    ("table", fields.choice(("holding", "input")), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("words", fields.whole(1, 125), fields.MUST),
    ("type", fields.choice(("text", "uint16", "uint32")), fields.MUST),
    ("equals", _wanted, None),
    ("contains", fields.filled, None),
    ("at", fields.whole(0, 249), None),
    ("mask", fields.whole(1, 0xFFFFFFFF), None),
)
