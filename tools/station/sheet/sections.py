"""From a Sheet to its sections, in one language: what the station is, and how it is wired. Pure.

sections_work.py says what was done to it.
"""

from __future__ import annotations

from typing import Any

from gateway.limits.rule import NOT_VERIFIED
from tools.station.sheet import firmware, plain, sections_work
from tools.station.sheet.blocks import (
    Block,
    Column,
    Facts,
    Note,
    Points,
    Section,
    Table,
    Wiring,
    cleared,
    listed,
)
from tools.station.sheet.missing import missing
from tools.station.sheet.model import Channel, Live, Pin, Sheet, Target
from tools.station.sheet.words import NONE, Words

COUNTS = ("requests", "timeouts", "bad_replies", "exceptions", "response_ms")
"""Of a unit, in the order in which the device's status has them, behind its bus and its address."""


def sections(sheet: Sheet, words: Words) -> list[Section]:
    """All of them, in order; keys are in none."""
    found = [
        ("missing", _missing(sheet, words)),
        ("identity", _identity(sheet, words)),
        *([("live", _live(sheet, sheet.live, words))] if sheet.live else []),
        ("wiring", _wiring(sheet, words)),
        ("channels", _channels(sheet, words)),
        *sections_work.sections(sheet, words),
        ("signed", _signed(sheet, words)),
    ]
    return cleared([Section(name, words(f"section_{name}"), made) for name, made in found], sheet.secrets)


def points(sheet: Sheet, words: Words) -> list[str]:
    """What is missing, in words."""
    return [words(f"missing_{item.key}", **item.parts) for item in missing(sheet)]


def lead(count: int, words: Words) -> str:
    """How many points are open, in a sentence."""
    if count == 1:
        return words("missing_one")
    return words("missing_count", count=count) if count else words("missing_nothing")


def _missing(sheet: Sheet, words: Words) -> list[Block]:
    rows = points(sheet, words)
    return [Points(lead(len(rows), words), rows)]


def _signed(sheet: Sheet, words: Words) -> list[Block]:
    """What stands above the signatures, so that they hold for this sheet and no other."""
    count, seal = len(missing(sheet)), sheet.seal or words("not_there")
    rows = [
        (words("id"), sheet.id or NONE),
        (words("signed_open"), str(count) if count else words("none")),
        (words("config_hash"), sheet.config.sha256 or words("not_there")),
        (words("seal_fingerprint"), seal),
    ]
    return [Facts(rows), Note(words("signed_note"))]


# ---- identity


def _identity(sheet: Sheet, words: Words) -> list[Block]:
    flashed = sheet.newest("flashed")
    none = words("not_flashed") if not flashed else NONE
    there = words("not_there")
    rows = [
        (words("id"), sheet.id or NONE),
        (words("kind_of"), words.known("kind", sheet.kind)),
        (words("link"), link_said(sheet.link, words)),
        *([(words("gateway_link"), sheet.gateway_link)] if sheet.gateway_link else []),
        (words("board"), plain.text(flashed.get("board")) or none),
        (words("micropython"), plain.text(flashed.get("micropython")) or none),
        (words("firmware"), _firmware(sheet, words) or none),
        (words("image"), plain.text(flashed.get("image")) or NONE),
    ]
    if update := firmware.running_update(sheet):
        rows.append((words("package"), plain.text(update.get("sha256")) or NONE))
    rows += [
        (
            words("config_hash"),
            sheet.config.sha256 or there,
        ),
        (words("link_fingerprint"), sheet.link_key or there),
        (words("seal_fingerprint"), sheet.seal or there),
        (words("update_key"), sheet.update_key.sha256 or there),
    ]
    return [Facts(rows), Note(words("fingerprint_note"))]


def link_said(link: dict[str, Any], words: Words) -> str:
    """How the device reaches its gateway."""
    kind = link.get("kind")
    parts = {key: plain.text(link.get(key)) for key in ("path", "baud", "host", "port")}
    parts["baud"] = parts["baud"] or "115200"
    return words(f"link_{kind}", **parts) if kind in ("serial", "tcp", "usb") else plain.text(kind) or NONE


def _firmware(sheet: Sheet, words: Words) -> str:
    """The version that runs: that of the newest flash, or of a confirmed update behind it."""
    record = firmware.running(sheet)
    if not record:
        return ""
    kind = record["kind"]
    version = firmware.version(record.get("firmware" if kind == "flashed" else "to")) or NONE
    when = words.when(record.get("at_ms"))
    return words("firmware_from", version=version, how=words(f"how_{kind}"), when=when)


# ---- the device itself


def _live(sheet: Sheet, live: Live, words: Words) -> list[Block]:
    if live.problem:
        told = words("live_no_answer", what=live.problem)
        return [Facts([(words("live_port"), live.port), (words("result"), told)])]
    same = bool(sheet.config.sha256) and sheet.config.sha256.startswith(live.config)
    config = words("live_same" if same else "live_other", hash=live.config)
    up = NONE if live.up_ms is None else words.length(live.up_ms)
    rows = [
        (words("live_port"), live.port),
        (words("id"), live.id),
        (words("firmware"), firmware.version(live.firmware)),
        (words("board"), live.board or NONE),
        (words("live_config"), config),
        (words("live_boot"), words("live_boot_text", boot=live.boot, reset=live.reset or NONE, up=up)),
        (words("live_safe"), live.safe or words("no")),
        (words("live_trial"), live.trial or words("no")),
        (words("live_time"), NONE if live.told is None else words("yes" if live.told else "no")),
    ]
    if live.inputs:
        said = ", ".join(f"{name}: {_level(sheet, name, level, words)}" for name, level in live.inputs)
        rows.append((words("live_inputs"), said))
    numbers = ", ".join(f"{name}: {number}" for name, (number, _) in live.calibrations.items() if number)
    rows.append((words("live_number"), numbers or words("none")))
    blocks: list[Block] = [Facts(rows)]
    if live.units:
        columns = [
            Column(words("bus"), 1.2), Column(words("address"), 1, True),
            *(Column(words(f"count_{name}"), 1.2, True) for name in COUNTS), Column(words("live_lost"), 1),
        ]  # fmt: skip
        table = [
            [*unit[:2], *_counts(unit), words("yes" if unit[-1] == "1" else "no")] for unit in live.units
        ]
        blocks.append(Table(columns, table, words("live_units")))
    return blocks


def _counts(unit: tuple[str, ...]) -> list[str]:
    """Its counters, each at its place; no time of an answer where nothing was asked yet."""
    found = [*unit[2:-1], *[NONE] * len(COUNTS)][: len(COUNTS)]
    return [*found[:-1], NONE] if found[0] == "0" else found


def _level(sheet: Sheet, name: str, level: str, words: Words) -> str:
    """A state as its kind of contact calls it: a door is open, a relay is on."""
    if level not in ("0", "1"):
        return level or NONE
    kind = next((pin.kind for pin in sheet.pins if pin.name == name), "")
    return words(f"level_{kind if kind in ('door', 'mains') else 'other'}_{level}")


# ---- wiring


def _wiring(sheet: Sheet, words: Words) -> list[Block]:
    blocks: list[Block] = [Wiring(), Note(words("wiring_note"))]
    columns = [
        Column(words("bus"), 1.1), Column(words("bus_kind"), 1), Column(words("bus_path"), 2.6),
        Column(words("baud"), 1, True), Column(words("parity"), 0.9), Column(words("stopbits"), 0.9, True),
    ]  # fmt: skip
    rows = [
        [line.id, words.known("bus", line.kind), line.path]
        + [said or NONE for said in (line.baud, line.parity, line.stopbits)]
        for line in sheet.lines
    ]
    blocks += listed(columns, rows, words, words("buses"))
    columns = [
        Column(words("bus"), 0.9), Column(words("address"), 0.8, True), Column(words("instrument"), 2),
        Column(words("profile"), 1.9), Column(words("maker"), 1.3), Column(words("mark"), 1),
        Column(words("source"), 2.6),
    ]  # fmt: skip
    rows = [
        [
            one.bus, plain.text(one.address), one.profile.title,
            f"{one.profile.name} ({one.answers})" if one.answers else one.profile.name,
            one.profile.maker, one.profile.mark, one.profile.source,
        ]
        for one in sheet.instruments
    ]  # fmt: skip
    blocks += listed(columns, rows, words, words("units"))
    if rows:
        blocks.append(Note(words("marks_note")))
    columns = [
        Column(words("pin"), 0.7, True), Column(words("name"), 1.2), Column(words("kind"), 1.6),
        Column(words("details"), 4),
    ]  # fmt: skip
    rows = [[pin.pin, pin.name, pin_kind(pin, words), _pin_details(pin, words)] for pin in sheet.pins]
    blocks += listed(columns, rows, words, words("pins"))
    return blocks + (_alarms(sheet, words) if sheet.alarms else [])


def pin_kind(pin: Pin, words: Words) -> str:
    """What is wired there: "input: door"."""
    group = words(f"one_{pin.group}")
    return f"{group}: {words.known('pin', pin.kind)}" if pin.kind else group


def _pin_details(pin: Pin, words: Words) -> str:
    row, said = pin.row, []
    if pin.group in ("inputs", "outputs"):
        said.append(words("pin_active", level=plain.text(row.get("active"))))
    if row.get("pull"):
        said.append(words.known("pull", row["pull"]))
    if pin.group == "inputs":
        said.append(words("pin_debounce", ms=plain.text(row.get("debounce_ms"))))
    if row.get("pulse_ms"):
        said.append(words("pin_pulse", ms=plain.text(row["pulse_ms"])))
    if row.get("per_day"):
        said.append(words("pin_per_day", count=plain.text(row["per_day"])))
    if row.get("lock_ms"):
        said.append(words("pin_lock", time=words.seconds(row["lock_ms"])))
    if row.get("feedback"):
        said.append(words("pin_feedback", name=plain.text(row["feedback"])))
    if pin.group == "analogs":
        said.append(words("pin_shunt", ohm=words.value(row.get("shunt_ohm"))))
        said.append(words("pin_ends", low=words.value(row.get("low")), high=words.value(row.get("high"))))
    if pin.group == "counters":
        scale = words.value((row.get("multiply") or 0) / (row.get("divide") or 1))
        take = "amount" if row.get("take") == "amount" else "rate"
        said.append(words(f"pin_{take}", scale=scale, time=words.seconds(row.get("per_ms"))))
        if row.get("wrap"):
            said.append(words("pin_wrap", count=plain.text(row["wrap"])))
    return "; ".join(said)


def _alarms(sheet: Sheet, words: Words) -> list[Block]:
    columns = [
        Column(words("channel"), 1.5), Column(words("alarm_output"), 1.5), Column(words("alarm_range"), 2),
        Column(words("alarm_hysteresis"), 1, True), Column(words("alarm_delay"), 1.5),
    ]  # fmt: skip
    rows = []
    for row in sheet.alarms:
        low, high = plain.number(row.get("min")), plain.number(row.get("max"))
        delay, hold = (words.seconds(row.get(key, 0)) for key in ("delay_ms", "hold_ms"))
        rows.append([
            plain.text(row.get("channel")), plain.text(row.get("output")) or NONE, words.span(low, high),
            words.value(row.get("hysteresis", 0)), f"{delay} / {hold}",
        ])  # fmt: skip
    return listed(columns, rows, words, words("alarms"))


# ---- channels


def _channels(sheet: Sheet, words: Words) -> list[Block]:
    columns = [
        Column(words("channel"), 1.5), Column(words("from"), 1.2), Column(words("range"), 1.6),
        Column(words("poll"), 0.9, True), Column(words("decimals"), 1, True),
        Column(words("parameter"), 1.2), Column(words("unit"), 0.8), Column(words("limits"), 2.6),
    ]  # fmt: skip
    rows = []
    for channel in sheet.channels:
        for target in channel.targets or (None,):
            rows.append(_channel(channel, target, words))
    return listed(columns, rows, words)


def _channel(channel: Channel, target: Target | None, words: Words) -> list[str]:
    own = NONE if channel.decimals is None else str(channel.decimals)
    return [
        channel.name,
        channel.source,
        words.span(channel.low, channel.high, channel.unit),
        words.seconds(channel.poll_ms),
        f"{own} / {target.decimals}" if target else own,
        target.symbol if target else words("no_target"),
        (target.unit if target else channel.unit) or NONE,
        _limits(target, words) if target else NONE,
    ]


def _limits(target: Target, words: Words) -> str:
    if target.rule:
        return words("limit_rule", rule=target.rule)
    said = []
    for figure in target.limits:
        doubt = f"; {words('limit_unverified')}" if figure.mark == NOT_VERIFIED else ""
        basis = f"; {figure.basis}" if figure.basis else ""
        span = words.span(figure.min, figure.max, target.unit)
        said.append(f"{span} ({words.known('span', figure.span)}{basis}{doubt})")
    return ", ".join(said) or words("no_limit")
