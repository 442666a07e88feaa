# An instrument's profile, from the table that its TOML file holds to plain, checked objects.
#
# Rule 1: no I/O. protocol.instruments reads the files; the device never sees a profile, only station.json.
# Rule 2: a profile is strict: an unknown key, a wrong type or an impossible register is a fault.
#         All faults are reported at once: ConfigError.faults, each naming the field and what to write.
# Rule 3: a register is the address on the wire, from 0. `printed` is what the manual calls it.
# Rule 4: link settings that the source does not state stay out of the file. Link.stated says which it gives;
#         the others hold a usual value, so that somebody has to check them on site.
# Rule 5: a profile with `asks` is open: fields that wait for an answer hold the reference as a text. Nothing
#         is made up for them; answered() gives the profile that can be used. See profile_ask.py.
#
# Sizes: timeouts and gaps in ms, update_s in s, plausible and scale in the quantity's own unit:
#        value = register number x scale + offset.

from collections import namedtuple

from protocol import fields, profile_ask, profile_trap
from protocol.errors import ConfigError
from protocol.profile_ask import Ask  # noqa: F401
from protocol.profile_fields import (  # noqa: F401
    BAUDS,
    HEAD,
    IDENTIFY,
    KINDS,
    LINK,
    MARKS,
    QUANTITY,
    START,
    STATUS,
    code_of,
)
from protocol.quality import by_name
from protocol.registers import words_of

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
    # name, title, maker, mark, source, station_kinds; link; quantities, statuses, starts, identify, traps and
    # asks (tuples); table: the file's, as it was parsed

    def __init__(self, table, head, link, quantities, statuses, starts, identify, traps, asks):
        self.table = table
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
        self.traps = traps
        self.asks = asks

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


_OPEN = ("link", "quantity", "status", "start")  # where a reference to a question may stand


def parse(table):
    # The Profile of a file's table. ConfigError with every fault when it holds any.
    faults = []
    head = fields.read(faults, "", table, HEAD)
    if head is None:
        raise fields.fail("profile", faults)
    before = len(faults)
    asks = profile_ask.parse(faults, head["ask"])
    given = {key: head[key] for key in _OPEN}
    profile_ask.check_references(faults, asks, given)
    readable = len(faults) == before
    if readable:  # an open profile is checked with answers that would do
        head.update(profile_ask.fill(given, profile_ask.examples(asks)))
    made = _parts(faults, head)
    if not readable:  # what waits for an answer is no fault of its field
        faults = [fault for fault in faults if "'?" not in fault]
    if faults:
        raise fields.fail(head["name"] or "profile", faults)
    link, quantities, statuses, starts, identify, traps = made
    if asks:
        link = _reopened(Link, LINK, [link], [given["link"]])[0]
        quantities = _reopened(Quantity, QUANTITY, quantities, given["quantity"])
        statuses = _reopened(Status, STATUS, statuses, given["status"])
        starts = _reopened(Start, START, starts, given["start"])
    return Profile(table, head, link, quantities, statuses, starts, identify, traps, asks)


def _parts(faults, head):
    link = _link(faults, head["link"])
    statuses = fields.each(faults, "status", head["status"], STATUS, _status)
    ids = [status.id for status in statuses if status.id is not None]
    make = _quantity(ids, head["mark"], link)
    quantities = fields.each(faults, "quantity", head["quantity"], QUANTITY, make)
    starts = fields.each(faults, "start", head["start"], START, _start)
    identify = fields.each(faults, "identify", head["identify"], IDENTIFY, _identify)
    traps = profile_trap.parse(faults, head["trap"], link, quantities, statuses, starts)
    if head["quantity"] == []:
        faults.append("quantity: write at least one [[quantity]]")
    return link, quantities, statuses, starts, identify, traps


def _reopened(kind, rows, made, tables):
    # The same objects with the references of their tables in place of the answers they were checked with.
    keys = [key for key, _, _ in rows]
    return tuple(
        [
            kind(
                *[
                    tables[i][keys[j]]
                    if j < len(keys) and profile_ask.references(tables[i].get(keys[j]))
                    else value
                    for j, value in enumerate(one)
                ]
            )
            for i, one in enumerate(made)
        ]
    )


def answered(profile, answers):
    # The profile that an open one becomes by the answers, {id of the question: answer}; one without questions
    # as it is. ConfigError naming every open question and every answer that will not do, at once.
    faults = profile_ask.check(profile.asks, answers)
    if faults:
        raise fields.fail(profile.name, faults)
    if not profile.asks:
        return profile
    table = profile_ask.without(profile.table, answers)
    given = {key: table[key] for key in _OPEN if key in table}
    table = dict(table, ask=[], **profile_ask.fill(given, answers))
    made = parse(table)
    for i, one in enumerate(made.quantities):
        for other in made.quantities[:i]:
            if one.table == other.table and _overlap(one, other):
                faults.append(
                    f"answers: {other.id} and {one.id} would both read register {one.register}, correct one"
                )
    if faults:
        raise fields.fail(profile.name, faults)
    return made


def _overlap(one, other):
    return one.register < other.register + words_of(other.type) and other.register < one.register + words_of(
        one.type
    )


def _link(faults, given):
    values = fields.read(faults, "link", given, LINK)
    if values is None:
        return None
    return Link(*[values[key] for key, _, _ in LINK], tuple(sorted(given)))


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
        return Quantity(*[values[key] for key, _, _ in QUANTITY], ids)

    return make


def _status(faults, where, values):
    _single_bits(faults, where, values)
    if values["type"]:
        _fits(faults, where, values, words_of(values["type"]))
    if values["type"] == "uint16" and values["mask"] and values["mask"] > 0xFFFF:
        faults.append(f"{where}.mask = {values['mask']}: wider than uint16, write 0xFFFF at most")
    codes = {}
    for key, name in (values["values"] or {}).items():
        code = code_of(key)
        if values["mask"] and code & values["mask"] != code:
            faults.append(f"{where}.values.{key}: the mask hides this code, write only bits of the mask")
        if code in codes:
            faults.append(f"{where}.values.{key}: twice, leave one out")
        codes[code] = by_name(name)
    values["values"] = codes
    values["otherwise"] = None if values["otherwise"] is None else by_name(values["otherwise"])
    return Status(*[values[key] for key, _, _ in STATUS])


def _start(faults, where, values):
    if values["function"] in (5, 6) and values["words"] is not None and len(values["words"]) != 1:
        faults.append(f"{where}.words: function {values['function']} takes one word")
    if values["function"] in (3, 4) and len(values["words"] or ()) > 1:
        faults.append(f"{where}.words: a read takes one word, its quantity, or none")
    if values["function"] == 15 and values["words"] == []:
        faults.append(f"{where}.words: function 15 takes one word a coil")
    values["words"] = tuple(values["words"] or ())
    return Start(*[values[key] for key, _, _ in START])


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
    return Identify(*[values[key] for key, _, _ in IDENTIFY])


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
