"""What `quantrac station new` tells, in 80 columns: what fits, what was made of it, and what changed."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.station import blocks, seal_paper, words
from tools.station.choices import Choices
from tools.station.fit import Fit
from tools.station.folder import DEVICE, KEY

if TYPE_CHECKING:
    from tools.station.new import NewOptions

WIDTH = 79


def summary(choices: Choices, fitting: Fit) -> list[str]:
    """The station as lines."""
    site, said = fitting.site, [f"Station {choices.id}, {choices.kind}"]
    said.append(
        f"  link      {words.text_of(site['link'])}; the gateway reaches it at {site['gateway']['link']}"
    )
    for bus in fitting.checked.buses:
        said.append(f"  line      {bus['id']}: {words.text_of(bus)}")
    for i, unit in enumerate(fitting.checked.units, 1):
        where = f"{unit.given['bus']}:{unit.given['unit']}"
        every = f"every {unit.given['poll_ms'] / 1000:g} s"
        said.append(f"  {i:>2}        {unit.profile.name} at {where}, {every} ({unit.profile.mark})")
    for name, one in fitting.channels.items():
        said += _channel(name, one, fitting.held.get(name, ""))
    said.append(f"  seal      {'with a seal key' if choices.seal else 'none: records are not sealed'}")
    if choices.update_public is not None:
        said.append(f"  updates   signed, by {choices.update_public}")
    return [part for line in said for part in _wrapped(line, " " * 12)]


def _channel(name: str, one: dict[str, Any], held: str) -> list[str]:
    low, high = one.get("plausible", (None, None))
    span = held or f"{'' if low is None else f'{low:g} to {high:g} '}{one.get('unit', '')}"
    said = [f"  channel   {name}: {one.get('symbol')}, {span}".rstrip(", ")]
    if limits := one.get("limits"):
        said.append(f"            limit {limit_text(limits)}")
    return said


def limit_text(limits: dict[str, Any]) -> str:
    """A limit for people."""
    figures = [
        f"{word} {limits[key]:g}" for key, word in (("min", "at least"), ("max", "at most")) if key in limits
    ]
    rest = [f"{key} {value}" for key, value in limits.items() if key not in ("min", "max", "rule", "basis")]
    named = [str(limits[key]) for key in ("rule", "basis") if key in limits]
    return ", ".join([*figures, *named, *rest])


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    ) or [""]


# The result


def print_result(
    options: NewOptions,
    choices: Choices,
    fitting: Fit,
    seal: str | None,
    changed: list[str] | None = None,
    asked: bool = False,
) -> None:
    """What was made; the seal key, when it is not on its way to paper. `changed`: of a station made again;
    `asked`: the summary was just shown.
    """
    path = options.dir
    if options.json:
        print(json.dumps(_table(options, choices, fitting, seal, changed), ensure_ascii=False))
        return
    said: list[str] = []
    if changed is None:
        said += [f"Made {path}.", *([] if asked else summary(choices, fitting))]
    elif changed:
        said.append(f"Made {path} again, with the same id and keys:")
        said += [part for line in changed for part in _wrapped(line, "    ")]
    else:
        said.append(f"{path} is as it would be made again: nothing was changed.")
    for note in () if asked else fitting.notes:
        said += ["", *_wrapped(f"Note: {note}.", "  ")]
    print("\n".join(said))
    if seal is not None:
        _show(options, choices.id, seal)
    if changed != []:
        _next(options, choices, fitting, seal)


def _show(options: NewOptions, id: str, seal: str) -> None:
    print()
    if options.seal_paper is not None:
        print(f"The seal key is in {options.seal_paper}, and was not shown. Print it for the inspector,")
        print("then delete the file: who has the key can seal what was never measured.")
        return
    code = seal_paper.code_lines(seal, coloured=sys.stdout.isatty())
    print("For the inspector, and shown only now:\n")
    print("\n".join(seal_paper.page(id, seal, code)))


def _next(options: NewOptions, choices: Choices, fitting: Fit, seal: str | None) -> None:
    path = options.dir
    config = options.gateway or Path("config.toml")
    kept = config.parent / blocks.key_file(choices.id)
    lines = ["", "Next:"]
    if not options.again:
        lines.append(f"  install -m 600 {path / KEY} {kept}")
    lines += [f"  put {path / blocks.NAME} into {config}", f"  quantrac gateway check {config}"]
    lines += [f"  quantrac station flash --dir {path} --port PORT"]
    print("\n".join(lines))
    if seal is not None:
        where = path / DEVICE / "seal.key"
        said = f"{where} holds the seal key until flash has handed it over. A disk may keep "
        print(
            "\n".join(_wrapped(said + "what was deleted: where that matters, make the folder in /dev/shm."))
        )


def _table(
    options: NewOptions, choices: Choices, fitting: Fit, seal: str | None, changed: list[str] | None
) -> dict[str, Any]:
    shown = seal if options.seal_paper is None else None
    return {
        "dir": str(options.dir),
        "id": choices.id,
        "kind": choices.kind,
        "channels": [{"channel": name, **one} for name, one in fitting.channels.items()],
        "held": fitting.held,
        "notes": fitting.notes,
        "seal": seal_paper.fingerprint(seal) if seal else None,
        "seal_key": shown,
        "seal_paper": None if options.seal_paper is None else str(options.seal_paper),
        **({} if changed is None else {"changed": changed}),
    }


# What changed


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Lines of what differs between two site.json: "+" is new, "-" is gone, "~" is different."""
    said = []
    for key in sorted({*before, *after} - {"units", "buses", "gateway"}):
        if before.get(key) != after.get(key):
            shown = "" if key == "network" else f": {_short(before.get(key))} -> {_short(after.get(key))}"
            said.append(f"~ {key}{shown}")
    said += _rows("line", _by(before["buses"], _bus_name), _by(after["buses"], _bus_name))
    said += _rows("instrument", _by(before["units"], _unit_name), _by(after["units"], _unit_name))
    old, new = before.get("gateway", {}), after["gateway"]
    for key in ("kind", "link"):
        if old.get(key) != new.get(key):
            said.append(f"~ gateway's {key}: {_short(old.get(key))} -> {_short(new.get(key))}")
    said += _rows("channel", old.get("channels", {}), new["channels"])
    return said


def _by(rows: list[dict[str, Any]], name: Any) -> dict[str, dict[str, Any]]:
    return {name(row): row for row in rows}


def _bus_name(bus: dict[str, Any]) -> str:
    return str(bus.get("id"))


def _unit_name(unit: dict[str, Any]) -> str:
    return f"{unit['profile']}@{unit['bus']}:{unit.get('unit', '(its own address)')}"


def _rows(what: str, before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    said = [f"- {what} {name}" for name in before if name not in after]
    for name, new in after.items():
        old = before.get(name)
        if old is None:
            said.append(f"+ {what} {name}")
            continue
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        differ = "; ".join(f"{key} {_short(old.get(key))} -> {_short(new.get(key))}" for key in keys)
        said += [f"~ {what} {name}: {differ}"] if differ else []
    return said


def _short(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False).strip('"')
