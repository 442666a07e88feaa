# Updates and changes of the configuration on a chip that loses its power (torn.py): after every cut the
# device starts one whole firmware, reads one whole configuration, and knows whether it is on trial.
#
#   micropython -m tests.power.update_cuts SCENARIO FOLDER BLOCKS SIZE PROGRAM NESTED [BROKEN]
#
# FOLDER (on this machine) holds the packages new and newer, update.pub, and expected.json: name of a firmware
# -> {path: SHA-256}. BROKEN names one of BROKEN below: a device that does it wrongly.

import binascii
import hashlib
import json
import os
import sys

from firmware import starter, trial, update
from firmware.files import Files
from tests.power import torn

FOLDER = sys.argv[2]
NESTED = sys.argv[6] == "nested"
NOW = 1760000000000

_TARGET = '        target = "b" if running == "a" else "a"\n'
_STATE_FIRST = """        yield True
        files.remove(target + "/complete")
        yield from _clear(files.path(target))
        files.make(target)
        files.replace(target + "/complete", json.dumps([counter, version, False]).encode())
        state = {"slot": target, "old": running, "version": version, "counter": counter, "highest": counter}
        state["trying"] = True
        state["tries"] = 0
        trial.save(files, trial.SLOT_FILE, state)
"""
_REMOVE = '        files.remove(target + "/complete")\n'
_SAVE = '    save(files, TRIAL_FILE, {"hash": _hash(data), "tries": 0})\n'
_REPLACE = "    files.replace(FILE, data)\n"
_NAMES = "    for name in names:\n"
_BACKWARDS = "    for name in reversed(names):\n"
BROKEN = {  # name -> (module, {what it says: what instead})
    "state first": (update, {_TARGET: _TARGET + _STATE_FIRST}),
    "cleared late": (update, {_REMOVE: "", _NAMES: _BACKWARDS}),
    "trial last": (trial, {_SAVE + _REPLACE: _REPLACE + _SAVE}),
    "in place": (trial, {_REPLACE: "    files.remove(FILE)\n    files.append(FILE, data)\n"}),
}


def _host(name):
    with open(f"{FOLDER}/{name}", "rb") as file:
        return file.read()


_EXPECTED = json.loads(_host("expected.json"))
_PACKAGES = {name: _host(name) for name in ("new", "newer")}
_PUBLIC = _host("update.pub")


# What a slot holds: the name of a firmware, whole; AssertionError for anything else.
def _whole(directory, slot):
    found = {}

    def walk(path, name):
        for entry in os.ilistdir(path):
            inside = name + entry[0]
            if entry[1] & 0x4000:
                walk(path + "/" + entry[0], inside + "/")
            elif inside not in ("complete", "complete.new"):
                with open(path + "/" + entry[0], "rb") as file:
                    found[inside] = binascii.hexlify(hashlib.sha256(file.read()).digest()).decode()

    walk(f"{directory}/{slot}", "")
    for name, files in _EXPECTED.items():
        if files == found:
            return name
    raise AssertionError(f"slot {slot} is a mixture: {sorted(found)}")


def _install(directory, name):
    files = Files(directory)
    data = _PACKAGES[name]
    files.remove("stage")
    for at in range(0, len(data), 900):
        files.append("stage", data[at : at + 900])
    for _ in update.steps(files, "unix", NOW, "stage", []):
        pass


# Every slot that is marked complete is whole, and a device that lost `slot` starts one of them.
def _marked(directory):
    for slot in ("a", "b"):
        if "complete" in [name for name, _ in Files(directory).names(slot)]:
            _whole(directory, slot)
    os.remove(directory + "/slot")
    _whole(directory, starter.choose(directory + "/"))


# A power-up, as far as it matters here: which slot, and what the application sees of it.
def _start(directory):
    slot = starter.choose(directory + "/")
    sys.path[0] = f"{directory}/{slot}"
    return slot, trial.started(Files(directory))


# A device in the field: "old", confirmed, in slot a.
def _prepare(directory):
    files = Files(directory)
    files.make("state")
    files.replace("update.pub", _PUBLIC)
    sys.path[0] = directory  # not from a slot: the first installation goes to a
    files.replace("stage", _host("old"))
    for _ in update.steps(files, "unix", NOW, "stage", []):
        pass
    assert _start(directory)[0] == "a"
    trial.confirm(files)
    files.replace("station.json", b"old configuration" * 40)


# ---- from the first chunk to the switch


def _installing(directory, seen):
    _start(directory)
    _install(directory, "new")
    seen["done"] = True


def _old_or_new(directory, seen):
    slot, _ = _start(directory)
    running = _whole(directory, slot)
    assert running in ("old", "new")
    if seen.get("done"):
        assert running == "new", "it said that the new one is installed"
    assert _whole(directory, "a") == "old", "the confirmed one is gone"
    if running == "old" and not NESTED:  # whatever the cut left: the same package can be sent again
        _install(directory, "new")
        assert _whole(directory, _start(directory)[0]) == "new"
    _marked(directory)


# ---- first start, confirmation, the next update into the other slot


def _tried(directory):
    _prepare(directory)
    _start(directory)
    _install(directory, "new")


def _confirming(directory, seen):
    assert _start(directory)[0] == "b"
    trial.confirm(Files(directory))
    seen["confirmed"] = True
    _install(directory, "newer")
    seen["installed"] = True
    assert _start(directory)[0] == "a"
    trial.confirm(Files(directory))
    seen["newer"] = True


def _confirmed(directory, seen):
    slot, _ = _start(directory)
    running = _whole(directory, slot)
    state = trial.load(Files(directory), "slot")
    if seen.get("newer"):
        assert running == "newer" and not state["trying"]
    elif seen.get("installed"):
        assert running == "newer" or NESTED  # two cuts while it is tried are two failed starts
    elif seen.get("confirmed"):
        assert (running == "newer") == state["trying"]
    elif not NESTED:
        assert running == "new"
    if seen.get("confirmed"):
        assert running != "old" and _whole(directory, "b") == "new", "the confirmed one is gone"
    assert state["highest"] >= 2
    _marked(directory)


# ---- two starts that die, and back


def _reverting(directory, seen):
    for _ in range(starter.TRIES):
        assert _start(directory)[0] == "b"
        trial.failed(Files(directory), "died")
    slot, events = _start(directory)
    assert slot == "a" and "reverted, 2, died" in events[0][1]
    seen["back"] = True
    assert _start(directory)[0] == "a"


def _reverted(directory, seen):
    for _ in range(starter.TRIES + 1):
        slot, events = _start(directory)
        assert _whole(directory, slot) == ("old" if slot == "a" else "new")
        if seen.get("back"):
            assert slot == "a"
    assert slot == "a" and "reverted, 2" in events[0][1], "after all of its tries it is back, and tells"
    trial.confirm(Files(directory))
    slot, events = _start(directory)
    assert slot == "a" and not events
    try:
        _install(directory, "new")
    except update.ConfigError:
        return
    raise AssertionError("what went back was installed again")


# What comes back between two cuts: the check above ends the story, and cannot stand twice.
def _on_again(directory, seen):
    for _ in range(starter.TRIES + 1):
        _start(directory)


# ---- the configuration: changed and confirmed; changed, dead twice and back

_OLD = b"old configuration" * 40
_NEW = b"new configuration" * 60


def _changing(directory, seen):
    files = Files(directory)
    trial.begin(files, _NEW)
    seen["begun"] = True
    assert _start(directory)[1] == []
    trial.confirm(files)
    seen["confirmed"] = True
    trial.begin(files, _OLD)
    for _ in range(trial.TRIES):
        trial.started(files)
    assert "refused" in trial.started(files)[0][1]
    seen["reverted"] = True


def _changed(directory, seen):
    files = Files(directory)
    try:
        before = files.read("station.json")
    except OSError:
        before = None
    assert before in (_OLD, _NEW), "none, or a mixture"
    told = trial.started(files)
    now = files.read("station.json")
    on_trial = "tries" in trial.load(files, trial.TRIAL_FILE)
    assert now in (_OLD, _NEW), "a mixture"
    if not seen.get("begun"):
        assert now == _OLD or (on_trial and files.read("station.old") == _OLD), "accepted without a trial"
    elif not seen.get("confirmed"):
        assert NESTED or now == _NEW
        assert now == _OLD or not on_trial or files.read("station.old") == _OLD
    elif seen.get("reverted"):
        assert now == _NEW and not on_trial
    else:
        assert now == _NEW or (on_trial and files.read("station.old") == _NEW), "the confirmed one is gone"
    if on_trial:  # it dies: back to what was confirmed, and told until somebody has heard it
        confirmed = files.read("station.old")
        for _ in range(trial.TRIES):
            told = trial.started(files)
        assert files.read("station.json") == confirmed and "refused" in told[0][1]
    assert trial.started(files) == told
    trial.confirm(files)
    assert trial.started(files) == []


SCENARIOS = {
    "install": (_installing, _old_or_new, _prepare, None),
    "confirm": (_confirming, _confirmed, _tried, None),
    "revert": (_reverting, _reverted, _tried, _on_again),
    "configure": (_changing, _changed, _prepare, None),
}


# The code of the module, wrongly: in place, so that everybody who imported it has it.
def _break(name):
    module, changes = BROKEN[name]
    with open(module.__file__) as file:
        source = file.read()
    for before, after in changes.items():
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    exec(source, module.__dict__)


def main():
    blocks, size, program = [int(word) for word in sys.argv[3:6]]
    if len(sys.argv) > 7:
        _break(sys.argv[7])
    sys.path.insert(0, "/torn")
    scenario, check, prepare, recover = SCENARIOS[sys.argv[1]]
    chip = {"blocks": blocks, "size": size, "program": program}
    counts = torn.run(scenario, check, prepare, recover, nested=NESTED, **chip)
    print(json.dumps(counts))


main()
