"""The small types of the configuration: codes, ids, paths, ranges, layouts, links.

Each is a function from what TOML gave to a checked value. It raises `said(what, instead)`: what is wrong and
what to write instead, in sentences; no type ever converts silently.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from gateway import config_links as links
from gateway.config_base import PlainValidator, PydanticCustomError, ValidationInfo
from gateway.limits.choose import COMPARED
from gateway.reports.alert_words import RULES as RULE_WORDS
from gateway.reports.alert_words import STATES as STATE_WORDS
from gateway.reports.layout import PRESETS, layout_fault

LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
CREDENTIAL = "credential:"
SEND_KINDS = ("windows", "hours", "alerts", "events", "checkpoints", "status", "readings", "public")

ALERT_RULES, ALERT_STATES = tuple(RULE_WORDS), tuple(STATE_WORDS)
"""What notifications can be chosen by; "limit" and "near" of whatever span."""


def said(what: str, instead: str) -> PydanticCustomError:
    """A fault in our own words; config_words.py passes both sentences on."""
    return PydanticCustomError("said", "{what}", {"what": what, "instead": instead})


def _code(value: Any) -> str:
    if not isinstance(value, str):
        raise said("A code is text in quotes.", "Write the code exactly as the department assigned it.")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,16}", value):
        raise said(
            f"The code '{value}' would break the file name.",
            "Write 1 to 16 letters A-Z a-z, digits or '-', without spaces and underscores, as assigned.",
        )
    return value


def _id(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", value):
        raise said(
            f"{value!r} is not usable as an id.", "Write 1 to 32 letters, digits, '.', '_' or '-' in quotes."
        )
    return value


def _word(value: Any) -> str:
    """A field of the provincial file: the receiver splits lines at white space."""
    if not isinstance(value, str):
        raise said("This is text in quotes.", 'Write it in quotes, for example "COD".')
    if not value.isprintable() or re.search(r"\s", value) or value.startswith("\ufeff") or len(value) > 32:
        raise said(
            f"{value!r} cannot stand in the provincial file: its receiver splits lines at white space.",
            "Write at most 32 printable characters without any space.",
        )
    return value


def _symbol(value: Any) -> str:
    if not _word(value):
        raise said(
            "The symbol is empty.", "Write the parameter's symbol as the department knows it, such as COD."
        )
    return value


def _host(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", value):
        raise said(f"{value!r} is not a host.", 'Write a name or an address, for example "10.0.0.5".')
    return value


_URL = re.compile(
    r"https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~%+/-]{0,200})?"
)


def _url(value: Any) -> str:
    """An address to which something is added: without a slash at its end, a query, a user."""
    found = _URL.fullmatch(value) if isinstance(value, str) else None
    if not found or int((found[2] or ":1")[1:]) > 65535:
        raise said(
            f"{value!r} is not an address of a witness.",
            'Write it as "http://127.0.0.1:8099" or "https://witness.example.org/path".',
        )
    return value.rstrip("/")


def _post_url(value: Any) -> str:
    """Where documents are posted: https, or http within this machine; kept to its last slash."""
    found = _URL.fullmatch(value) if isinstance(value, str) else None
    if not found or int((found[2] or ":1")[1:]) > 65535:
        raise said(
            f"{value!r} is not an address to post to.",
            'Write it as "https://data.example.org/path", without user, password, ? and #.',
        )
    if value.startswith("http:") and found[1] not in LOOPBACK:
        raise said(f"{value!r} is not encrypted.", "Write https://: plain http is for 127.0.0.1 only.")
    return value


def _path(value: Any, info: ValidationInfo) -> Path:
    """A path, relative ones meant from the folder of the configuration file."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise said(
            f"{value!r} is not a path.",
            "Write a path in quotes; a relative one starts at this file's folder.",
        )
    return Path((info.context or {}).get("base", ".")) / value


def _file_path(value: Any, info: ValidationInfo) -> Path:
    """A path as above, or a credential's."""
    if is_credential(value):
        return credential(value)
    return _path(value, info)


def is_credential(value: Any) -> bool:
    """Whether a file is given as "credential:NAME": one that systemd hands to the service."""
    return isinstance(value, str) and value.startswith(CREDENTIAL)


def credential(value: str) -> Path:
    """Where the credential is that `value` names: $CREDENTIALS_DIRECTORY/NAME, see systemd.exec(5)."""
    name, folder = value.removeprefix(CREDENTIAL), os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}", name):
        raise said(f"{value!r} names no credential.", 'Write it as "credential:province-password".')
    if not folder:
        raise said(
            f"The credential {name} is there only for a service that systemd starts.",
            f"Write LoadCredential={name}:FILE into its unit. To check by hand, set CREDENTIALS_DIRECTORY.",
        )
    return Path(folder) / name


def _range(value: Any) -> tuple[float, float]:
    instead = "Write two numbers, the smaller first, for example [0.0, 500.0]."
    if not isinstance(value, list) or len(value) != 2:
        raise said("A range is a list of two numbers.", instead)
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= 1e12:
            raise said(f"{number!r} is not a number of a range.", instead)
    low, high = float(value[0]), float(value[1])
    if low >= high:
        raise said(f"The range [{low:g}, {high:g}] is reversed or empty.", instead)
    return low, high


def _link(parse: Any) -> Any:
    def checked(value: Any) -> Any:
        try:
            return parse(value)
        except links.LinkFault as fault:
            raise said(fault.what, fault.instead) from None

    return checked


def _device_link(value: Any, info: ValidationInfo) -> Any:
    base = Path((info.context or {}).get("base", "."))
    return _link(lambda text: links.device_link(text, base))(value)


def _layout(value: Any) -> str:
    fault = layout_fault(value)
    if fault:
        raise said(*fault)
    return PRESETS.get(str(value), str(value))


def _send(value: Any) -> tuple[str, ...]:
    known = f"Write a list of {', '.join(SEND_KINDS)}."
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise said("What to send is a list of words.", known)
    for kind in value:
        if kind not in SEND_KINDS:
            raise said(f"'{kind}' is not something to send.", known)
    if len(set(value)) != len(value):
        raise said("Something to send is named twice.", "Name each kind once.")
    return tuple(value)


def _ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise said("This is a list of ids.", 'Write it as ["province"], or [] for none.')
    return tuple(dict.fromkeys(_id(each) for each in value))


def _symbols(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise said("Channels are a list of symbols.", 'Write it as ["COD", "pH"], or [] for none.')
    symbols = tuple(_symbol(each) for each in value)
    if len(set(symbols)) != len(symbols):
        raise said("A channel is named twice.", "Name each once.")
    return symbols


def _compare(value: Any) -> tuple[str, ...]:
    known = f"Write a list of {', '.join(COMPARED)}."
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise said("What is compared is a list of words.", known)
    for word in value:
        if word not in COMPARED:
            raise said(f"'{word}' is nothing that can be compared.", known)
    if len(set(value)) != len(value):
        raise said("Something to compare is named twice.", "Name each once.")
    return tuple(value)


def _file_paths(value: Any, info: ValidationInfo) -> tuple[Path, ...]:
    if not isinstance(value, list):
        raise said("Files are a list of paths.", 'Write it as ["permit.toml"].')
    return tuple(_path(each, info) for each in value)


def _chosen(known: tuple[str, ...], what: str) -> Any:
    """A list of some of the words in `known`, each once; `what` they are, as a sentence says it."""
    instead = f"Write a list of {', '.join(known)}; [] for all."

    def checked(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise said(f"This is no list of {what}.", instead)
        for word in value:
            if word not in known:
                raise said(f"'{word}' is none of the {what}.", instead)
        if len(set(value)) != len(value):
            raise said(f"One of the {what} is named twice.", "Name each once.")
        return tuple(value)

    return checked


RATE_MAX = 1e9
"""đ/kg: mercury, the dearest, has 20 million."""


class RateTable(dict[str, float]):
    """đ/kg by the symbol of a channel."""


def _rates(value: Any) -> RateTable:
    """What a kilogram costs, by the symbol of a channel."""
    instead = "Write a table of symbols and đ/kg as the decree gives them, for example { COD = 2000 }."
    if not isinstance(value, dict):
        raise said("Rates are a table.", instead)
    for symbol, rate in value.items():
        _symbol(symbol)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= RATE_MAX:
            raise said(f"{rate!r} is no rate of '{symbol}': it is from 0 to {RATE_MAX:,.0f} đ/kg.", instead)
    return RateTable({symbol: float(rate) for symbol, rate in value.items()})


def _coordinates(value: Any) -> tuple[float, float]:
    """Latitude and longitude in degrees (WGS 84)."""
    instead = "Write [latitude, longitude] in degrees, for example [22.4856, 103.9707]."
    if not isinstance(value, list) or len(value) != 2:
        raise said("Coordinates are a list of two numbers.", instead)
    for number, most in zip(value, (90, 180), strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= most:
            raise said(f"{number!r} is not a coordinate: it is from -{most} to {most}.", instead)
    return float(value[0]), float(value[1])


def _typed(check: Any, schema: Any = str) -> PlainValidator:
    return PlainValidator(check, json_schema_input_type=schema)


Code = Annotated[str, _typed(_code)]
Id = Annotated[str, _typed(_id)]
Ids = Annotated[tuple[str, ...], _typed(_ids, list[str])]
Word = Annotated[str, _typed(_word)]
Symbol = Annotated[str, _typed(_symbol)]
Host = Annotated[str, _typed(_host)]
Url = Annotated[str, _typed(_url)]
PostUrl = Annotated[str, _typed(_post_url)]
FolderPath = Annotated[Path, _typed(_path)]
FilePath = Annotated[Path, _typed(_file_path)]
Range = Annotated[tuple[float, float], _typed(_range, list[float])]
DeviceLink = Annotated[links.SerialLink | links.TcpListen | links.TlsListen, _typed(_device_link)]
BusLink = Annotated[links.ModbusTcp | links.ModbusRtu, _typed(_link(links.bus_link))]
Layout = Annotated[str, _typed(_layout)]
Send = Annotated[tuple[str, ...], _typed(_send, list[str])]
Rules = Annotated[tuple[str, ...], _typed(_chosen(ALERT_RULES, "rules of alerts"), list[str])]
States = Annotated[tuple[str, ...], _typed(_chosen(ALERT_STATES, "states of alerts"), list[str])]
Symbols = Annotated[tuple[str, ...], _typed(_symbols, list[str])]
Compare = Annotated[tuple[str, ...], _typed(_compare, list[str])]
FilePaths = Annotated[tuple[Path, ...], _typed(_file_paths, list[str])]
Rates = Annotated[RateTable, _typed(_rates, dict[str, float])]
Coordinates = Annotated[tuple[float, float], _typed(_coordinates, list[float])]
