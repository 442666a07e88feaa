# Updates and changes of the configuration on a chip that loses its power (torn.py): after every cut the
# device starts one whole firmware, reads one whole configuration, and knows whether it is on trial.
#
#   micropython -m tests.power.update_cuts SCENARIO FOLDER BLOCKS SIZE PROGRAM NESTED [BROKEN]
#
# FOLDER (on this machine) holds the packages old, new and newer, and update.pub. BROKEN names one of BROKEN
# below: a device that does it wrongly.

import json
import os
import sys

from firmware import first, starter, trial, update
from firmware.files import Files
from tests.power import torn

FOLDER = sys.argv[2]
NESTED = sys.argv[6] == "nested"
NOW = 1760000000000

_RENAME = "    files.rename(name, target + trial.PACKAGE)\n"
_COPY = """    files.remove(target + trial.PACKAGE)
    for at in range(0, 10000, 900):
        files.append(target + trial.PACKAGE, files.read(name, at, 900))
"""
_TRIAL = "    trial.save(files, trial.SLOT_FILE, state)\n"
_SAVE = '    save(files, TRIAL_FILE, {"hash": _hash(data), "tries": 0})\n'
_REPLACE = "    files.replace(FILE, data)\n"
BROKEN = {  # name -> (module, {what it says: what instead})
    "state first": (update, {_RENAME: "", _TRIAL: _TRIAL + "    yield True\n" + _RENAME}),
    "copied": (update, {_RENAME: _COPY}),
    "trial last": (trial, {_SAVE + _REPLACE: _REPLACE + _SAVE}),
    "in place": (trial, {_REPLACE: "    files.remove(FILE)\n    files.append(FILE, data)\n"}),
}


def _host(name):
    with open(f"{FOLDER}/{name}", "rb") as file:
        return file.read()


_PACKAGES = {name: _host(name) for name in ("old", "new", "newer")}
_PUBLIC = _host("update.pub")


# What a slot holds: the name of a firmware, whole, and readable as a device reads it.
def _whole(directory, slot):
    path = f"{directory}/{slot}.pkg"
    with open(path, "rb") as file:
        data = file.read()
    for name, package in _PACKAGES.items():
        if package == data:
            _, _, index, at = starter.read(path)
            files = first.Package(path, index, at)
            assert files.stat("/firmware")[0] == 0x4000
            with files.open("/firmware/app.mpy", "rb") as file:
                assert file.read(len(name) + 9) == f"MARK = {name!r}".encode()
            return name
    raise AssertionError(f"{slot}.pkg is no package any more")


def _install(directory, name):
    files = Files(directory)
    data = _PACKAGES[name]
    files.remove("stage")
    for at in range(0, len(data), 900):
        files.append("stage", data[at : at + 900])
    for _ in update.steps(files, "unix", NOW, "stage", []):
        pass


# A device that lost `slot` starts a whole one all the same.
def _lost(directory):
    os.remove(directory + "/slot")
    for _ in range(starter.TRIES + 1):
        _whole(directory, starter.choose(directory + "/"))


# A power-up, as far as it matters here: which slot, and what the application sees of it. Every file that is
# called a slot is a whole one.
def _start(directory):
    for name, _ in Files(directory).names(""):
        if name.endswith(".pkg"):
            _whole(directory, name[0])
    slot = starter.choose(directory + "/")
    sys.path[0] = starter.MOUNT + slot
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
        try:
            _install(directory, "new")
        except update.ConfigError as error:
            raise AssertionError(f"it cannot be sent again: {error}") from None
        assert _whole(directory, _start(directory)[0]) == "new"
    _lost(directory)


# What comes back between two cuts, here and below: the checks end the story, and cannot stand twice.
def _sent_again(directory, seen):
    _start(directory)
    try:
        _install(directory, "new")
    except update.ConfigError:  # it is installed, and on trial
        pass


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
        assert NESTED or (running == "newer") == state["trying"]
    elif not NESTED:
        assert running == "new"
    if seen.get("confirmed"):
        assert running != "old" and _whole(directory, "b") == "new", "the confirmed one is gone"
    assert state["highest"] >= 2
    _lost(directory)


def _confirmed_again(directory, seen):
    _start(directory)
    trial.confirm(Files(directory))
    try:
        _install(directory, "newer")
    except update.ConfigError:
        pass


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
    "install": (_installing, _old_or_new, _prepare, _sent_again),
    "confirm": (_confirming, _confirmed, _tried, _confirmed_again),
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
