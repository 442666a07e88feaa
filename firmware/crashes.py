# What is remembered of crashes, in state/crash, and what follows from it. Loaded when needed by watch.py and
# app.py.
#
# Rule 1: the file is the whole memory, and safe mode is a function of it (decide). A file that cannot be read
#         is an empty one: no damage to it keeps a station from starting.
# Rule 2: a start counts as died until up() was called, five seconds after its tasks have begun, unless it
#         was ended by a reset that somebody asked for (the cause says "asked"). When the power went
#         meanwhile, as the board says, it weighs half: a flickering supply is no fault of the firmware.
# Rule 3: crashes that weigh CRASHES together within TEN_MIN of uptime: safe mode. It stays until ten healthy
#         minutes have passed, or a command ends it.
# Rule 4: a crash report is sent until the gateway holds it. It is kept for the "log" command.
#
# The file (JSON): boot       of the start under way, or the last one
#                  starting   true until up()
#                  noted      true when that start has written its own report
#                  streak     [[weight, uptime in ms], ...] since the last ten healthy minutes
#                  safe       the reason of safe mode, or ""
#                  reports    [[boot, uptime in ms, text, sent], ...], the last REPORTS_MAX

import json
import sys

from firmware import trial
from protocol.messages import CRASH, SAFE_MODE

FILE = "state/crash"
TEN_MIN = 600000
CRASHES = 3
REPORTS_MAX = 4
TEXT_MAX = 400  # characters of a report
_HALVES = 2  # weight of a crash; of a start that the power ended: 1


def load(files):
    table = trial.load(files, FILE)
    kinds = {"boot": int, "starting": bool, "noted": bool, "streak": list, "safe": str, "reports": list}
    for name, kind in kinds.items():
        if not isinstance(table.get(name), kind):
            table[name] = kind()
    streak = table["streak"]
    if [1 for entry in streak if not isinstance(entry, list) or [type(x) for x in entry] != [int, int]]:
        table["streak"] = []
    for entry in table["reports"]:
        if not isinstance(entry, list) or [type(x) for x in entry] != [int, int, str, bool]:
            table["reports"] = []
            break
    return table


def _save(files, table):
    files.make("state")
    files.replace(FILE, json.dumps(table).encode())


# Why this station must not start as usual, or "". table: as load() gives it.
def decide(table):
    if table["safe"]:
        return table["safe"]
    weight = 0
    up_ms = 0
    for halves, ms in reversed(table["streak"]):
        weight += halves
        if weight >= CRASHES * _HALVES:
            if table["streak"][-1][0] == 1 and not table["reports"]:
                return f"{len(table['streak'])} starts ended within seconds, as it seems for want of power"
            last = table["reports"][-1][2] if table["reports"] else "unknown"
            return f"{CRASHES} crashes within ten minutes, the last: {last}"
        up_ms += ms
        if up_ms >= TEN_MIN:
            break
    return ""


def _add(table, boot, up_ms, text):
    table["reports"].append([boot, up_ms, text[:TEXT_MAX], False])
    table["reports"] = table["reports"][-REPORTS_MAX:]


def _count(table, halves, up_ms):
    table["streak"].append([halves, up_ms])
    table["streak"] = table["streak"][-CRASHES * _HALVES :]


# At each start, before anything else that may fail. cause: of the reset, as the board tells it.
# (reason of safe mode or "", events: [(kind, text)])
def begin(files, boot, cause):
    table = load(files)
    if not table["noted"] and (cause == "watchdog" or cause.startswith("crash")):
        text = "watchdog: nothing ran for eight seconds" if cause == "watchdog" else cause
        _add(table, table["boot"], 0, text)
        _count(table, _HALVES, 0)
    elif table["starting"] and not table["noted"] and "asked" not in cause:
        if cause == "power":
            _count(table, 1, 0)
        else:
            _add(table, table["boot"], 0, f"a start ended before its tasks ran, then: {cause}")
            _count(table, _HALVES, 0)
    table["boot"] = boot
    table["starting"] = True
    table["noted"] = False
    table["safe"] = decide(table)
    try:
        _save(files, table)
    except OSError as error:
        sys.stderr.write(f"{FILE} cannot be written: {error}\n")
    events = [(CRASH, text) for _, _, text, sent in table["reports"] if not sent]
    if table["safe"]:
        events.append((SAFE_MODE, table["safe"][:TEXT_MAX]))
    return table["safe"], events + trial.started(files)


# A crash of this start. dead: the board is reset after it. Its text.
def record(files, boot, up_ms, reason, error, dead):
    if error is not None:
        reason += " | " + _lines(error)
    table = load(files)
    _add(table, boot, up_ms, reason)
    if dead:
        table["noted"] = True
        _count(table, _HALVES, up_ms)
    _save(files, table)
    if dead:
        trial.failed(files, reason)
    return reason[:TEXT_MAX]


# The exception first, then where it came from, innermost first, as far as there is room.
def _lines(error):
    import io

    out = io.StringIO()
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, out)  # pyright: ignore[reportArgumentType]
    else:
        import traceback

        traceback.print_exception(error, file=out)
    lines = [line.strip() for line in out.getvalue().strip().split("\n")]  # pyright: ignore[reportAttributeAccessIssue]
    lines.reverse()
    return " | ".join([line for line in lines if not line.startswith(("Traceback", "^", "~"))])


def up(files):
    table = load(files)
    table["starting"] = False
    _save(files, table)


# The gateway holds all reports.
def sent(files):
    table = load(files)
    for report in table["reports"]:
        report[3] = True
    _save(files, table)


# What of the store makes a start or the link fail: out of its way, for somebody to look at. Its notes first;
# the records, which then are not sent, when there are no notes, or at once (records).
def set_aside(files, boot, records=False):
    for name in ("state/gone", "state/move", "log"):
        try:
            files.rename(name, f"{name}.{boot:08x}")
        except OSError:
            continue  # there is none
        if not records:
            break


# Ten minutes without a fault. Events.
def healthy(files):
    leave(files)
    return trial.confirm(files)


# Somebody says that it is good again.
def leave(files):
    table = load(files)
    if table["streak"] or table["safe"]:
        table["streak"] = []
        table["safe"] = ""
        _save(files, table)
