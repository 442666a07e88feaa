# Tables of a configuration file against a list of fields: every fault at once, with what to write instead.
#
# Rule 1: a field is (key, check, default). A check returns None when the value will do, otherwise what to
#         write, worded so that "write ..." can stand before it. With MUST as default the field is required.
# Rule 2: an unknown key is a fault. A wrong or missing value becomes None, so that later checks can go on.
# Rule 3: types are exact: true is no 1, and 1.0 is no whole number.

from protocol.errors import ConfigError

MUST = object()


def read(faults, where, given, fields):
    # A table as a dict with every field, faults noted; None when it is no table at all.
    if not isinstance(given, dict):
        faults.append(f"{where or 'file'}: write a table")
        return None
    dot = where + "." if where else ""
    known = [key for key, _, _ in fields]
    for key in sorted(given):
        if key not in known:
            faults.append(f"{dot}{key}: unknown, write one of {', '.join(known)}")
    values = {}
    for key, check, default in fields:
        values[key] = given.get(key, None if default is MUST else default)
        wanted = check(given[key]) if check and key in given else None
        if wanted:
            faults.append(f"{dot}{key} = {given[key]!r}: write {wanted}")
            values[key] = None
        elif default is MUST and key not in given:
            faults.append(f"{dot}{key}: missing, write {check(None) if check else 'a table'}")
    return values


def each(faults, name, given, fields, make):
    # An array of tables as a tuple of make(faults, where, values); an id that comes twice is a fault.
    if given is None:
        return ()
    if not isinstance(given, list):
        faults.append(f"{name}: write a list of tables, each under [[{name}]]")
        return ()
    made = []
    seen = []
    for i, table in enumerate(given):
        where = f"{name}[{i}]"
        values = read(faults, where, table, fields)
        if values is None:
            continue
        id = values.get("id")
        if id is not None and id in seen:
            faults.append(f'{where}.id = "{id}": twice, write another')
        seen.append(id)
        made.append(make(faults, where, values))
    return tuple(made)


def fail(name, faults):
    # The ConfigError that holds them all: .faults is the list, the text is all of it.
    error = ConfigError(name + ": " + "; ".join(faults))
    error.faults = faults
    return error


# Checks


def whole(low, high):
    wanted = f"a whole number from {low} to {high}"

    def check(value):
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else wanted

    return check


def number(value):
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0
    return None if good else "a number"


def not_zero(value):
    return "a number other than 0" if number(value) or value == 0 else None


def seconds(value):
    return "a number of seconds above 0" if number(value) or value <= 0 else None


def choice(options):
    wanted = "one of " + ", ".join([str(option) for option in options])

    def check(value):
        good = any([value == option and type(value) is type(option) for option in options])
        return None if good else wanted

    return check


def flag(value):
    return None if value is True or value is False else "true or false"


def text(value):
    return None if isinstance(value, str) else "a text"


def filled(value):
    return None if isinstance(value, str) and value.strip() else "a text that is not empty"


def _octet(text):
    return 0 < len(text) < 4 and not text.strip("0123456789") and text == str(int(text)) and int(text) < 256


def address(value):
    parts = value.split(".") if isinstance(value, str) else ()
    good = len(parts) == 4 and all([_octet(part) for part in parts])
    return None if good else "an IPv4 address such as 192.168.1.20 (a device looks no names up)"


def identifier(value):
    good = isinstance(value, str) and value and not value.strip("abcdefghijklmnopqrstuvwxyz0123456789-_")
    return None if good else "small letters, digits, - and _"


def solid(value):
    good = isinstance(value, str) and len(value.split()) < 2 and value == value.strip()
    return None if good else "a text without spaces"


def span(value):
    good = isinstance(value, list) and len(value) == 2 and not number(value[0]) and not number(value[1])
    return None if good and value[0] < value[1] else "[lowest, highest], two numbers that rise"


def list_of(check):
    wanted = "a list of " + check(None)

    def check_all(value):
        good = isinstance(value, list) and not any([check(item) for item in value])
        return None if good else wanted

    return check_all
