# A change is tried before it is trusted: a firmware in its slot (starter.py, update.py), a station.json.
#
# Rule 1: what is on trial and lives for HEALTHY_MS is confirmed; after two starts without that, the former
#         one is back. Every start counts, whatever ended the one before.
# Rule 2: one atomic replacement is the change, in both directions. After a power cut at any place the device
#         has the old file or the new one, and knows which.
# Rule 3: what went back is told at every start until the next confirmation: an event in memory can be lost.
#
# station.old is the last confirmed configuration while another is on trial. state/trial (JSON):
#   hash      first 8 bytes of the SHA-256 of the station.json on trial, hex (the hash that HELLO tells)
#   tries     its starts so far            why       how the last one ended, if somebody said
#   reverted  the reason, once station.old is back
# A station.json that is neither of the two was not brought by begin(): write none by hand during a trial.
#
#   began = trial.begin(files, data)       "config" command, after config.parse(data) was content; then reset
#   trial.started(files)                   at each start, before station.json is read -> events
#   trial.failed(files, why, final)        before a reset that the change may have caused
#   trial.confirm(files)                   after HEALTHY_MS without a fault -> events
# Events are (kind, text) for store.event().

import binascii
import hashlib
import json
import sys

from protocol.messages import CONFIGURED, FLASH_FAULT, UPDATE

HEALTHY_MS = 600000
TRIES = 2
FILE = "station.json"
OLD_FILE = "station.old"
TRIAL_FILE = "state/trial"
SLOT_FILE = "slot"
PACKAGE = ".pkg"  # behind the letter of a slot: its file


# What the JSON file holds when it is a table, else {}.
def load(files, name):
    try:
        table = json.loads(files.read(name))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def save(files, name, table):
    files.replace(name, json.dumps(table).encode())


# The slot that this code was started from, "" when from none.
def slot():
    path = sys.path[0] if sys.path else ""
    return path[2:] if path in ("/qa", "/qb") else ""  # where starter.py mounts it


def _hash(data):
    return binascii.hexlify(hashlib.sha256(data).digest()[:8]).decode()


# Makes data the configuration from the next start on. OSError: nothing has changed.
def begin(files, data):
    trial = load(files, TRIAL_FILE)
    if "tries" not in trial:  # what is on trial is no place to go back to: keep what was before it
        try:
            before = files.read(FILE)
        except OSError as error:
            if error.errno != 2:  # ENOENT: there is none; anything else must not cost the one there is
                raise
            before = b""
        files.replace(OLD_FILE, before)
    files.make("state")
    save(files, TRIAL_FILE, {"hash": _hash(data), "tries": 0})
    files.replace(FILE, data)


def started(files):
    events = []
    state = load(files, SLOT_FILE)
    if state.get("reverted"):
        events.append((UPDATE, "reverted, {}, {}".format(*state["reverted"])))
    if state.get("trying") and state.get("slot") == slot():
        events.append((UPDATE, f"tried, {state['version']}, start {state['tries']} of {TRIES}"))
    trial = load(files, TRIAL_FILE)
    tries = trial.get("tries")
    told = trial.get("hash")
    try:
        if type(tries) is not int:
            pass
        elif tries < TRIES and _hash(files.read(FILE)) == told:
            trial["tries"] = tries + 1
            save(files, TRIAL_FILE, trial)
        else:  # after a power cut in here: the same again
            files.replace(FILE, files.read(OLD_FILE))
            why = "power was cut while it was written"
            if tries:
                why = trial.get("why") or f"did not live ten minutes, {tries} times"
            trial = {"hash": told, "reverted": why}
            save(files, TRIAL_FILE, trial)
    except OSError as error:
        events.append((FLASH_FAULT, f"the trial of {FILE} cannot be kept: {error}"))
    if "reverted" in trial:
        events.append((CONFIGURED, f"refused, {told}, {trial['reverted']}"))
    return events


# Something on trial is not well. final: another start would end the same way, so the next one goes back.
# Whether a configuration was on trial.
def failed(files, why, final=False):
    state = load(files, SLOT_FILE)
    if state.get("trying") and state.get("slot") == slot():
        state["why"] = why[:200]
        save(files, SLOT_FILE, state)
    trial = load(files, TRIAL_FILE)
    if "tries" not in trial:
        return False
    trial["why"] = why[:200]
    if final:
        trial["tries"] = TRIES
    save(files, TRIAL_FILE, trial)
    return True


def confirm(files):
    events = []
    state = load(files, SLOT_FILE)
    if state and state.get("slot") == slot() and (state["trying"] or state["tries"] or "reverted" in state):
        tried = state["trying"]
        state["trying"] = False
        state["tries"] = 0
        for name in ("why", "reverted"):
            state.pop(name, None)
        save(files, SLOT_FILE, state)
        if tried:
            events.append((UPDATE, f"confirmed, {state['version']}"))
    trial = load(files, TRIAL_FILE)
    if trial:
        files.remove(TRIAL_FILE)
        if "tries" in trial:
            events.append((CONFIGURED, f"accepted, {trial.get('hash')}"))
    return events
