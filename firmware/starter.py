# Which firmware a device starts, and how it goes back to the former one when a new one does not live. On a
# device it is /starter.py, and first.py is /main.py.
#
# Rule 1: written once at provisioning, never updated, so it depends on nothing of ours: no slot can break
#         it. It is loaded before the firmware and again after it ended, and takes no memory in between.
# Rule 2: a slot is a package, a.pkg or b.pkg (update.py drew its format), as it was received: it is mounted
#         at /qa or /qb and read where it lies. What it is follows from the file alone: at every start its
#         length and its SHA-256 are right, or it is none.
# Rule 3: whatever the flash holds, it starts something: what `slot` says, or the newest whole package, or at
#         last one that is damaged.
# Rule 4: a slot on trial is started only after that start was counted; after TRIES of them without ten
#         healthy minutes the former slot is back. A death, a watchdog reset and a power cut count alike.
# Rule 5: on a board it starts the watchdog itself, before it reads a package, so that a firmware which hangs
#         while it is imported is a failed start, too. The application has to feed it within DOG_MS of its
#         start.
# Rule 6: without packages it runs the firmware that is beside it, or on the path: development. So it does on
#         CPython, which can mount none.
#
# `slot` (JSON, replaced atomically, made by update.py, ended by trial.py). Firmware older and newer than this
# file reads it: only add.
#   slot      what to start: "a", "b", "" (no slot)         old   where to go back, None: nowhere
#   version, counter   of `slot`; another counter than the package's: the state is not about it, and void
#   highest   counter of the newest package ever installed
#   trying    true until it has lived ten minutes
#   tries     on trial: its starts; otherwise: how often in a row it could not even be imported
#   why       how the last start ended, if it could say
#   reverted  [version, reason] once it went back, until the next confirmation
# Without a state the newest whole package is on trial, the other one is where to go back.
#
# A way out: the file `hold` with the number of a pin. When that pin is low at the start, nothing is started
# and the board's prompt is free.

import binascii
import hashlib
import json
import os
import sys

TRIES = 2
DOG_MS = 8000  # RP2 can count to 8,388
AGAIN_S = 5  # time to press Ctrl-C before a board starts again
AGAIN_STATUS = 75  # "start me again", where a process cannot reset the machine
MOUNT = "/q"  # and the slot's letter

_on_board = sys.platform not in ("linux", "darwin")


# (counter, version, index, where the contents begin), None when it is no package. whole: nor when its
# contents are not what was signed. It never fails.
def read(path, whole=True):
    try:
        with open(path, "rb") as file:
            head = file.read(10)
            length = int.from_bytes(head[8:], "big")
            if head[:8] != b"QTUPDATE" or length > 8192:
                return None
            lines = file.read(length).split(b"\n", 7)
            size, digest = lines[6].split(b" ")
            at = 10 + length + 384
            if file.seek(0, 2) != at + int(size):
                return None
            sha = hashlib.sha256()
            part = memoryview(bytearray(1024))
            n = file.seek(at) if whole else 0
            while n:
                n = file.readinto(part)
                sha.update(part[:n])
            if whole and binascii.hexlify(sha.digest()) != digest:
                return None
            return int(lines[3]), lines[2].decode(), b"\n" + lines[7], at
    except Exception:  # no such file, a list that nobody wrote, no memory for it
        return None


def _load(path):
    try:
        with open(path) as file:
            return json.loads(file.read())
    except (OSError, ValueError):
        return None


def _save(root, state):
    path = root + "slot"
    with open(path + ".new", "w") as file:
        file.write(json.dumps(state))
    os.rename(path + ".new", path)


# root: "/" or a path that ends with "/". The slot to start, "" for none; what was decided is kept first.
def choose(root):
    state = _load(root + "slot")
    if not isinstance(state, dict):
        state = {}
    try:
        return _choose(root, state)
    except Exception:  # flash that cannot be written, a state that nobody wrote
        pass
    # Where it is safest: not what is on trial; the oldest, which has lived once.
    packs = _packages(root) or _packages(root, False)
    slot = state.get("old" if state.get("trying") else "slot")
    if slot == "" or slot in list(packs):
        return slot
    return min([(pack[0], slot) for slot, pack in packs.items()] or [(0, "")])[1]


def _packages(root, whole=True):
    packs = {}
    for slot in ("a", "b"):
        pack = read(root + slot + ".pkg", whole)
        if pack:
            packs[slot] = pack
    return packs


def _choose(root, state):
    slot = state.get("slot")
    old = state.get("old")
    lost = ""
    if slot == "":
        return slot
    if slot in ("a", "b"):
        pack = read(root + slot + ".pkg")
        if not pack:
            lost = "its file is damaged"
        elif pack[0] != state.get("counter") or type(state.get("tries")) is not int or "trying" not in state:
            slot = None
        elif state["tries"] < TRIES or not (old == "" or (old in ("a", "b") and read(root + old + ".pkg"))):
            if state["trying"]:
                state["tries"] += 1
                _save(root, state)
            return slot
        else:
            lost = state.get("why") or f"did not live ten minutes, {TRIES} times"
    else:
        slot = None
    # Back to where it came from; without a state, the newest has to show that it lives.
    packs = _packages(root)
    order = sorted(packs, key=lambda slot: -packs[slot][0])
    if lost and (old == "" or old in order):
        order = [old]
    if not order:
        packs = _packages(root, False)
        return slot if slot in packs else (list(packs) or [""])[0]
    highest = state.get("highest")
    after = {"slot": order[0], "old": None, "trying": False, "tries": 0}
    after["counter"], after["version"] = packs[order[0]][:2] if order[0] else (0, "")
    after["highest"] = max([highest if type(highest) is int else 0] + [pack[0] for pack in packs.values()])
    if lost:
        after["reverted"] = [state.get("version", ""), lost]
    elif len(order) > 1:
        after["old"] = order[1]
        after["trying"] = True
        after["tries"] = 1
    _save(root, after)
    return order[0]


# A start that ended by itself: remembered, so that the next one can say why. Whether it is to be tried again.
def _note(root, slot, imported, why):
    state = _load(root + "slot")
    if isinstance(state, dict) and state.get("slot") == slot and (state["trying"] or not imported):
        if not state["trying"]:
            state["tries"] += 1
        state["why"] = why[:200]
        _save(root, state)
        return True
    return False


def _held(root):
    pin = _load(root + "hold")
    if not isinstance(pin, int):
        return False
    if not _on_board:
        return _load(f"{root}io/{pin}") == 0
    machine = __import__("machine")  # by name: the one file outside boards/ that has to
    return machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP).value() == 0


# Whether the reset was to free the prompt (boards/common.py, which takes the note away).
def _prompt_asked(root):
    try:
        with open(root + "state/reset") as file:
            return file.read() == "repl asked"
    except OSError:
        return False


# The slot that is to be started, with the watchdog on; "" for what is beside this file.
def _pick(root):
    names = os.listdir(root)
    if "a.pkg" not in names and "b.pkg" not in names:
        return ""
    if sys.implementation.name != "micropython":
        print("a package starts on MicroPython only: what is beside it is started", file=sys.stderr)
        return ""
    if _on_board and not _prompt_asked(root):
        __import__("machine").WDT(timeout=DOG_MS)
    return choose(root)


# Before the firmware: its slot is mounted and first on the path. None: nothing is to be started. mounted: the
# class that reads a package, of first.py.
def begin(root, mounted):
    if _held(root):
        print("the pin in the file hold is low: nothing is started")
        return None
    slot = _pick(root)
    pack = read(f"{root}{slot}.pkg", False)
    if slot and pack:
        __import__("vfs").mount(mounted(f"{root}{slot}.pkg", pack[2], pack[3]), MOUNT + slot)
        sys.path.insert(0, MOUNT + slot)
    return slot


# After it, when it has ended by itself with something else than 0. imported: it could at least be loaded.
# Returns the status for whoever started this process; a board starts again.
def end(root, slot, imported, status, why):
    try:
        if slot and status != AGAIN_STATUS and _note(root, slot, imported, why):
            status = AGAIN_STATUS
    except Exception:  # the start is counted, only its reason is lost
        pass
    if _on_board:
        import time

        time.sleep(AGAIN_S)
        __import__("machine").reset()
    return status
