# An instrument's profile, from the table that its TOML file holds to plain, checked objects.
#
# Rule 1: no I/O. protocol.instruments reads the files; the device never sees a profile, only station.json.
# Rule 2: a profile is strict: an unknown key, a wrong type or an impossible register is a fault.
#         All faults are reported at once: ConfigError.faults, each naming the field and what to write.
# Rule 3: a register is the address on the wire, from 0. `printed` is what the manual calls it.
# Rule 4: link settings that the source does not state stay out of the file. Link.stated says which it gives;
#         the others hold a usual value, so that somebody has to check them on site.
#
# Sizes: timeouts and gaps in ms, update_s in s, plausible and scale in the quantity's own unit:
#        value = register number x scale + offset.

from collections import namedtuple

from protocol import fields
from protocol.errors import ConfigError
from protocol.modbus_requests import TABLES
from protocol.quality import NAMES, by_name
from protocol.registers import ORDERS, TYPES, words_of

MARKS = ("MAKER", "CODE", "GENERIC")  # read in the maker's document, in other people's code, made for a demo
KINDS = ("wastewater", "stack", "surface-water", "ambient-air", "groundwater", "water-level")
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)

Link = namedtuple(
    "Link", "baud parity stopbits unit timeout_ms gap_ms startup_ms max_block merge whole stated"
)
Quantity = namedtuple(  # status: the first of statuses, or None
    "Quantity",
    "id symbol unit table register printed type word_order scale offset plausible decimals update_s status"
    " statuses",
)
Status = namedtuple("Status", "id table register type mask values otherwise")
Start = namedtuple("Start", "function register words wait_ms")
Identify = namedtuple("Identify", "table register words type equals contains at mask")

FLOAT32_EXACT = 1 << 24  # whole numbers up to here are the same on a device with 32-bit floats


# (multiply, divide) for a scale, whole numbers where possible: 0.01 is a division by 100. A hundredth has no
# exact binary form and 100 has: 253 x 0.1 in 32-bit floats is 25.300001, 253 / 10 is 25.3. The decimal text
# of the scale counts, so that any float does the same. (scale, 1) when the numbers would be too large.
def ratio(scale):
    mantissa, _, exponent = repr(float(scale)).partition("e")
    whole, _, part = mantissa.partition(".")
    power = int(exponent or "0") - len(part)
    if abs(power) > 30:
        return float(scale), 1
    multiply, divide = int(whole + part) * 10 ** max(power, 0), 10 ** max(-power, 0)
    a, b = abs(multiply), divide
    while b:
        a, b = b, a % b
    multiply, divide = multiply // a, divide // a
    if abs(multiply) <= FLOAT32_EXACT and divide <= FLOAT32_EXACT:
        return multiply, divide
    return float(scale), 1


class Profile:
    # name, title, maker, mark, source, station_kinds; link; quantities, statuses, starts, identify (tuples)

    def __init__(self, head, link, quantities, statuses, starts, identify):
        self.name = head["name"]
        self.title = head["title"]
        self.maker = head["maker"]
        self.mark = head["mark"]
        self.source = head["source"]
        self.station_kinds = tuple(head["station_kinds"])
        self.link = link
        self.quantities = quantities
        self.statuses = statuses
        self.starts = starts
        self.identify = identify

    def quantity(self, id):
        for quantity in self.quantities:
            if quantity.id == id:
                return quantity
        known = ", ".join([q.id for q in self.quantities])
        raise ConfigError(f'{self.name} has no quantity "{id}": write one of {known}')

    def status(self, id):
        for status in self.statuses:
            if status.id == id:
                return status
        raise ConfigError(f'{self.name} has no status "{id}"')


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
    if good and all([_code(key) is not None and name in NAMES for key, name in value.items()]):
        return None
    return "code = quality for each code, with a quality of " + ", ".join(NAMES)


def _code(key):
    # A key of a status map as a number: decimal, or hexadecimal as in 0x4E; None when it is neither.
    digits, base, allowed = key, 10, "0123456789"
    if key[:2] == "0x":
        digits, base, allowed = key[2:], 16, "0123456789abcdefABCDEF"
    if not digits or any([digit not in allowed for digit in digits]):
        return None
    return int(digits, base)


_REGISTER = fields.whole(0, 0xFFFF)

_HEAD = (
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
)
_LINK = (
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
_QUANTITY = (
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
_STATUS = (
    ("id", fields.identifier, fields.MUST),
    ("table", fields.choice(sorted(TABLES)), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("type", fields.choice(("uint16", "uint32")), "uint16"),
    ("mask", fields.whole(1, 0xFFFFFFFF), 0xFFFF),
    ("values", _map, fields.MUST),
    ("otherwise", fields.choice(NAMES), "FAULT"),
)
_START = (
    ("function", fields.choice((3, 4, 5, 6, 15, 16)), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("words", _words, fields.MUST),
    ("wait_ms", fields.whole(0, 60000), fields.MUST),
)
_IDENTIFY = (
    ("table", fields.choice(("holding", "input")), fields.MUST),
    ("register", _REGISTER, fields.MUST),
    ("words", fields.whole(1, 125), fields.MUST),
    ("type", fields.choice(("text", "uint16", "uint32")), fields.MUST),
    ("equals", _wanted, None),
    ("contains", fields.filled, None),
    ("at", fields.whole(0, 249), None),
    ("mask", fields.whole(1, 0xFFFFFFFF), None),
)


def parse(table):
    # The Profile of a file's table. ConfigError with every fault when it holds any.
    faults = []
    head = fields.read(faults, "", table, _HEAD)
    if head is None:
        raise fields.fail("profile", faults)
    link = _link(faults, head["link"])
    statuses = fields.each(faults, "status", head["status"], _STATUS, _status)
    ids = [status.id for status in statuses if status.id is not None]
    make = _quantity(ids, head["mark"], link)
    quantities = fields.each(faults, "quantity", head["quantity"], _QUANTITY, make)
    starts = fields.each(faults, "start", head["start"], _START, _start)
    identify = fields.each(faults, "identify", head["identify"], _IDENTIFY, _identify)
    if head["quantity"] == []:
        faults.append("quantity: write at least one [[quantity]]")
    if faults:
        raise fields.fail(head["name"] or "profile", faults)
    return Profile(head, link, quantities, statuses, starts, identify)


def _link(faults, given):
    values = fields.read(faults, "link", given, _LINK)
    if values is None:
        return None
    return Link(*[values[key] for key, _, _ in _LINK], tuple(sorted(given)))


def _fits(faults, where, values, words):
    if values["register"] is not None and values["register"] + words > 0x10000:
        faults.append(f"{where}.register = {values['register']}: {words} words end beyond 65535, write less")


def _single_bits(faults, where, values):
    if values["table"] in ("coil", "discrete") and values["type"] not in ("uint16", None):
        faults.append(f'{where}.type = "{values["type"]}": a {values["table"]} is one bit, write uint16')


def _quantity(status_ids, mark, link):
    def make(faults, where, values):
        _single_bits(faults, where, values)
        if values["type"]:
            words = words_of(values["type"])
            _fits(faults, where, values, words)
            if link and link.max_block and words > link.max_block:
                faults.append(f"{where}.type: takes {words} registers, link.max_block is {link.max_block}")
        if mark == "MAKER" and not values["printed"]:
            faults.append(f"{where}.printed: missing, write the number as the maker's document prints it")
        ids = values["status"]
        ids = (ids,) if isinstance(ids, str) else tuple(ids or ())
        known = ", ".join(status_ids) or "a [[status]] of that id, and add it"
        for id in ids:
            if id not in status_ids:
                faults.append(f'{where}.status = "{id}": no such [[status]], write {known}')
        values["status"] = ids[0] if ids else None
        values["plausible"] = tuple(values["plausible"] or ())
        return Quantity(*[values[key] for key, _, _ in _QUANTITY], ids)

    return make


def _status(faults, where, values):
    _single_bits(faults, where, values)
    if values["type"]:
        _fits(faults, where, values, words_of(values["type"]))
    if values["type"] == "uint16" and values["mask"] and values["mask"] > 0xFFFF:
        faults.append(f"{where}.mask = {values['mask']}: wider than uint16, write 0xFFFF at most")
    codes = {}
    for key, name in (values["values"] or {}).items():
        code = _code(key)
        if values["mask"] and code & values["mask"] != code:
            faults.append(f"{where}.values.{key}: the mask hides this code, write only bits of the mask")
        if code in codes:
            faults.append(f"{where}.values.{key}: twice, leave one out")
        codes[code] = by_name(name)
    values["values"] = codes
    values["otherwise"] = None if values["otherwise"] is None else by_name(values["otherwise"])
    return Status(*[values[key] for key, _, _ in _STATUS])


def _start(faults, where, values):
    if values["function"] in (5, 6) and values["words"] is not None and len(values["words"]) != 1:
        faults.append(f"{where}.words: function {values['function']} takes one word")
    if values["function"] in (3, 4) and len(values["words"] or ()) > 1:
        faults.append(f"{where}.words: a read takes one word, its quantity, or none")
    if values["function"] == 15 and values["words"] == []:
        faults.append(f"{where}.words: function 15 takes one word a coil")
    values["words"] = tuple(values["words"] or ())
    return Start(*[values[key] for key, _, _ in _START])


def _identify(faults, where, values):
    wanted = values["contains"] if values["equals"] is None else values["equals"]
    if (values["equals"] is None) == (values["contains"] is None):
        faults.append(f"{where}: write either equals or contains")
    elif values["type"] and (values["type"] == "text") != isinstance(wanted, str):
        faults.append(f"{where}.equals: write a text for type text, a number for the others")
    if values["words"]:
        _fits(faults, where, values, values["words"])
    if values["type"] in ("uint16", "uint32") and values["words"] not in (words_of(values["type"]), None):
        faults.append(f"{where}.words: {values['type']} takes {words_of(values['type'])}")
    return Identify(*[values[key] for key, _, _ in _IDENTIFY])


def matches(identify, words):
    # Whether the registers read are those of this instrument.
    if len(words) != identify.words:
        return False
    if identify.type != "text":
        number = 0
        for word in words:
            number = (number << 16) | word
        return number & (identify.mask or 0xFFFFFFFF) == identify.equals
    text = bytes([byte for word in words for byte in (word >> 8, word & 0xFF)])
    if identify.contains:
        return identify.contains.encode() in text
    wanted = identify.equals.encode()
    if identify.at is not None:
        return text[identify.at : identify.at + len(wanted)] == wanted
    return text.rstrip(b"\0 ") == wanted
