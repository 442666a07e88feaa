"""What a technician chose for a new station: from arguments, from a file, from the site that is there.

Rule: whatever it came from, it is one Choices, whose names are those of the file (example.toml shows all).
"""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol import fields, instruments, profile_ask
from protocol.errors import ConfigError
from protocol.profile import Profile, answered
from tools.people import UsageError
from tools.station import words

WIRED = ("calibrations", "inputs", "outputs", "analogs", "counters", "alarms", "store")
POLL_MS_LEAST, POLL_MS_MOST = 10_000, 60_000
"""Between which a poll is chosen for an instrument, by how often it has a new value."""
NO_KEY = "0" * 64
EXAMPLES = {"limits": '{ max = 75.0, basis = "QCVN 40:2011 A" }', "channels": '{ symbol = "COD" }'}
_OF_UNIT = ("bus", "profile", "unit", "quantities", "rename", "every", "answers", "parity", *words.NUMBERS)
_FILE = (
    ("id", fields.text, ""),
    ("kind", fields.text, ""),
    ("link", fields.text, ""),
    ("gateway_link", fields.text, ""),
    ("basis", fields.text, ""),
    ("update_public", fields.text, ""),
    ("seal", fields.flag, True),
    ("buses", None, {}),
    ("instrument", None, []),
    ("limits", None, {}),
    ("channels", None, {}),
    ("network", None, None),
    ("board", None, None),
    *((name, None, None) for name in WIRED),
)


@dataclass
class Choices:
    """What was chosen, as far as it was. Names are those of the file; `wired`: as wiring.py has it."""

    id: str = ""
    kind: str = ""
    link: dict[str, Any] = field(default_factory=dict)  # the device's: of identity.json
    gateway_link: str = ""
    buses: list[dict[str, Any]] = field(default_factory=list)
    instruments: list[dict[str, Any]] = field(default_factory=list)
    limits: dict[str, dict[str, Any]] = field(default_factory=dict)  # by symbol or channel
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)  # keys of [[channel]], by channel
    wired: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)  # network and board, of identity.json
    basis: str = ""
    update_public: Path | None = None
    seal: bool = True


# A file


def read_file(path: Path) -> Choices:
    """The choices of a TOML file. UsageError with every fault in it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist: `quantrac station new --example > {path}` makes one to fill in."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no TOML: {error}. Compare it with `quantrac station new --example`."
        ) from None
    faults: list[str] = []
    given = fields.read(faults, "", table, _FILE)
    assert given is not None
    made = Choices(
        given["id"] or "",
        given["kind"] or "",
        words.link(faults, given["link"] or ""),
        given["gateway_link"] or "",
        basis=given["basis"] or "",
        seal=given["seal"] is not False,
    )
    if given["update_public"]:
        made.update_public = path.parent / given["update_public"]
    for id, text in _table(faults, "buses", given["buses"]).items():
        if isinstance(text, dict):
            made.buses.append({"id": id, **text})
        elif isinstance(text, str) and (found := words.bus(faults, id, text)):
            made.buses.append(found)
    made.instruments = _instruments(faults, given["instrument"])
    for name in ("limits", "channels"):
        tables = _table(faults, name, given[name])
        faults += [
            f"{name}.{key}: write a table, such as {EXAMPLES[name]}"
            for key, one in tables.items()
            if not isinstance(one, dict)
        ]
        setattr(made, name, {key: dict(one) for key, one in tables.items() if isinstance(one, dict)})
    for one in made.limits.values():
        if not {"basis", "rule"} & set(one) and made.basis:
            one["basis"] = made.basis
    made.identity = {name: given[name] for name in ("network", "board") if given[name] is not None}
    made.wired = {name: given[name] for name in WIRED if given[name] is not None}
    if faults:
        raise UsageError(told(f"{path} cannot be used", faults))
    return made


def _table(faults: list[str], where: str, given: Any) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    faults.append(f"{where}: write a table")
    return {}


def _instruments(faults: list[str], given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        faults.append("instrument: write a list of tables, each under [[instrument]]")
        return []
    known = ("profile", "bus", "unit", "parity", "quantities", "answers", *words.NUMBERS, *words.PER_QUANTITY)
    for i, one in enumerate(given):
        for key in one:
            if key not in known:
                faults.append(f"instrument[{i}].{key}: unknown, write one of {', '.join(known)}")
        for key in words.PER_QUANTITY:
            if not isinstance(one.get(key, {}), dict) and key != "range":
                faults.append(f"instrument[{i}].{key}: write {{ quantity = ... }}")
    return [dict(one) for one in given]


def told(what: str, faults: list[str]) -> str:
    """Faults as one text of lines below 80 columns."""
    said = f"{what}:" if len(faults) == 1 else f"{what}, {len(faults)} faults:"
    return "\n".join(
        [
            said,
            *(
                textwrap.fill(fault, 79, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
                for fault in faults
            ),
        ]
    )


# The site


def site_of(faults: list[str], choices: Choices) -> dict[str, Any]:
    """The content of site.json, which build.py reads, without keys."""
    channels = {name: dict(table) for name, table in choices.channels.items()}
    units = []
    for one in choices.instruments:
        unit = {key: one[key] for key in _OF_UNIT if one.get(key) not in (None, {})}
        if "bus" not in unit and len(choices.buses) == 1:
            unit["bus"] = choices.buses[0]["id"]
        if "answers" in unit:
            unit["answers"] = dict(unit["answers"])
        profile = profile_of(unit)
        unit.setdefault("poll_ms", poll_ms_of(profile))
        chosen = unit.get("quantities", [q.id for q in profile.quantities] if profile else [])
        if ranges := _ranges(faults, one, chosen):
            unit["ranges"] = ranges
        rename = unit.get("rename", {})
        for key, name in words.CHANNEL_KEYS.items():
            for quantity, value in one.get(key, {}).items():
                if quantity in chosen:
                    channels.setdefault(rename.get(quantity, quantity), {})[name] = value
                elif profile:
                    faults.append(
                        f"instrument {one.get('profile')}: {key}.{quantity} is no chosen quantity, write one "
                        f"of {', '.join(chosen)}"
                    )
        units.append(unit)
    return {
        "id": choices.id,
        "link": choices.link,
        "buses": [dict(bus) for bus in choices.buses],
        "units": units,
        **{name: given for name, given in choices.wired.items() if given},
        **choices.identity,
        "gateway": {"kind": choices.kind, "link": choices.gateway_link, "channels": channels},
    }


def profile_of(unit: dict[str, Any]) -> Profile | None:
    """The profile of an instrument with the answers that it has, read from text where they are typed.

    None when there is none of that name, or while a question is open.
    """
    try:
        profile = instruments.load(str(unit.get("profile")))
        answers = unit.get("answers", {})
        for ask in profile.asks:
            typed = answers.get(ask.id)
            found = profile_ask.from_text(ask, typed) if isinstance(typed, str) else None
            if found is not None:
                answers[ask.id] = found
        return answered(profile, answers)
    except (ConfigError, TypeError):
        return None


def poll_ms_of(profile: Profile | None) -> int:
    """How often it is worth asking an instrument."""
    if profile is None:
        return POLL_MS_MOST
    newest_ms = int(1000 * min(quantity.update_s for quantity in profile.quantities))
    return min(max(newest_ms, POLL_MS_LEAST), POLL_MS_MOST)


def _ranges(faults: list[str], one: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
    given = one.get("range")
    if given is None or isinstance(given, dict):
        return {id: span for id, span in (given or {}).items() if span is not None}
    if not chosen:
        return {}  # what is wrong with its profile is said elsewhere
    if len(chosen) != 1:
        said = ", ".join(f"range.{id}=0..250" for id in chosen[:2])
        faults.append(f"instrument {one.get('profile')}: range= of which quantity? Write {said} ...")
        return {}
    return {chosen[0]: given}


def of_site(site: dict[str, Any]) -> Choices:
    """The choices that made a site.json."""
    kept = site.get("gateway", {})
    channels = {name: dict(table) for name, table in kept.get("channels", {}).items()}
    limits = {name: table.pop("limits") for name, table in channels.items() if table.get("limits")}
    units = []
    for unit in site["units"]:
        one = dict(unit)
        if ranges := one.pop("ranges", None):
            one["range"] = ranges
        units.append(one)
    return Choices(
        site["id"], kept.get("kind", ""), site["link"], kept.get("link", ""),
        buses=site["buses"], instruments=units, limits=limits,
        channels={name: table for name, table in channels.items() if table},
        wired={name: site[name] for name in WIRED if name in site},
        identity={name: site[name] for name in ("network", "board") if name in site},
    )  # fmt: skip


def channel_names(choices: Choices) -> list[str]:
    """The channels that the choices make, as far as they can be read."""
    names = []
    for one in choices.instruments:
        profile = profile_of(one)
        known = [quantity.id for quantity in profile.quantities] if profile else []
        names += [one.get("rename", {}).get(id, id) for id in one.get("quantities", known)]
    for kind in ("analogs", "counters"):
        names += [str(row.get("channel")) for row in choices.wired.get(kind, []) if isinstance(row, dict)]
    return names


def prune(choices: Choices, names: list[str]) -> list[str]:
    """Drop what was chosen for channels that are no more; a sentence for each."""
    gone = []
    calibrations = choices.wired.get("calibrations", {})
    for what, tables in (
        ("settings", choices.channels),
        ("limits", choices.limits),
        ("calibration", calibrations),
    ):
        for name in [name for name in tables if name not in names]:
            del tables[name]
            gone.append(f"{what} of {name}, which is no more")
    return gone
