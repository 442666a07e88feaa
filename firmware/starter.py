# The first file that runs. On a device it is /main.py: it picks a firmware, starts it, and goes back to the
# former one when the new one does not live.
#
# Rule 1: written once at provisioning, never updated, so it depends on nothing of ours: no slot can break
#         it.
# Rule 2: whatever the flash holds, it starts something: what `slot` says, or the best complete slot.
# Rule 3: a slot on trial is started only after that start was counted; after TRIES of them without ten
#         healthy minutes the former slot is back. A death, a watchdog reset and a power cut count alike.
# Rule 4: on a board it starts the watchdog itself, so that a firmware which hangs while it is imported is a
#         failed start, too. The application has to feed it within DOG_MS of its start.
# Rule 5: without slots it runs the firmware that is beside it, or on the path: development.
#
# `slot` (JSON, replaced atomically, made by update.py, ended by trial.py). Firmware older and newer than this
# file reads it: only add.
#   slot      what to start: "a", "b", "" (no slot)         old   where to go back, None: nowhere
#   version, counter   of `slot`                highest   counter of the newest package ever installed
#   trying    true until it has lived ten minutes
#   tries     on trial: its starts; otherwise: how often in a row it could not even be imported
#   why       how the last start ended, if it could say
#   reverted  [version, reason] once it went back, until the next confirmation
# a/complete, b/complete: [counter, version, confirmed], written last: without it a slot is not one.
#
# A way out: the file `hold` with the number of a pin. When that pin is low at the start, nothing is started
# and the board's prompt is free.

import json
import os
import sys

TRIES = 2
DOG_MS = 8000  # RP2 can count to 8,388
AGAIN_S = 5  # time to press Ctrl-C before a board starts again
AGAIN_STATUS = 75  # "start me again", where a process cannot reset the machine

_on_board = sys.platform not in ("linux", "darwin")


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
    try:
        return _choose(root, _load(root + "slot"), _save)
    except Exception:  # flash that cannot be written, a state that nobody wrote: go where it is safest
        return _choose(root, None, None)


def _choose(root, state, save):
    marks = {}
    for slot in ("a", "b"):
        mark = _load(root + slot + "/complete")
        if isinstance(mark, list) and len(mark) == 3 and isinstance(mark[0], int):
            marks[slot] = mark
    lost = ""
    if not isinstance(state, dict) or state.get("slot") not in ("a", "b", ""):
        state = {}
    elif state["slot"] not in marks and state["slot"] != "":
        lost = "its files are not complete"
    elif state["tries"] < TRIES or not (state["old"] == "" or state["old"] in marks):
        if state["trying"]:
            state["tries"] += 1
            save(root, state)
        return state["slot"]
    else:
        lost = state.get("why") or f"did not live ten minutes, {TRIES} times"
    # Back to where it came from; without a state, to the slot that is confirmed and the newest.
    best = state.get("old", "")
    if not lost or (best != "" and best not in marks):
        best = ""
        for slot, mark in marks.items():
            if best == "" or (mark[2] is True, mark[0]) > (marks[best][2] is True, marks[best][0]):
                best = slot
    if save and (marks or state):
        mark = marks.get(best, (0, "", True))
        after = {"slot": best, "old": None, "version": mark[1], "counter": mark[0], "trying": False}
        after["tries"] = 0
        after["highest"] = max([state.get("highest", 0)] + [each[0] for each in marks.values()])
        if lost:
            after["reverted"] = [state.get("version", ""), lost]
        save(root, after)
    return best


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


def run(root):
    if _held(root):
        print("the pin in the file hold is low: nothing is started")
        return 0
    slot = choose(root)
    if slot:
        sys.path.insert(0, root + slot)
        if _on_board and not _prompt_asked(root):
            __import__("machine").WDT(timeout=DOG_MS)
    imported = False
    try:
        from firmware.app import main

        imported = True
        main()
        return 0
    except SystemExit as end:
        status = (end.args[0] if end.args else 0) or 0
        why = f"ended with status {status}"
    except Exception as error:
        status = 1
        why = f"{type(error).__name__}: {error}"
        show = getattr(sys, "print_exception", None) or __import__("traceback").print_exception
        show(error)
    if slot and status not in (0, AGAIN_STATUS):
        try:
            if _note(root, slot, imported, why):
                status = AGAIN_STATUS
        except Exception:  # the start is counted, only its reason is lost
            pass
    if status and _on_board:
        import time

        time.sleep(AGAIN_S)
        __import__("machine").reset()
    return status


if __name__ == "__main__":
    if _on_board:
        run("/")
    else:
        if len(sys.argv) < 2:  # a device's directory is where its main.py is
            sys.argv.append(sys.argv[0].rpartition("/")[0] or ".")
        sys.exit(run(sys.argv[1].rstrip("/") + "/"))
