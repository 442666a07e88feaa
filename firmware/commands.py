# What the gateway, or a technician in its place, may ask of the device. Loaded for each command, then
# forgotten.
#
#   ok, text, data = await run(app, command)        command: a messages.Command whose tag is right
#
# Rule 1: a command acts once. Its counter (Unix ms of the sender) has to be above that of the last one, and
#         is kept before anything is done. The last command again, with its counter and id, gets the last
#         answer again. Any other is refused, with the counter that is needed in data. So is one of more than
#         ten minutes ago, where the time is known: somebody may have held it up.
# Rule 2: what changes nothing (QUIET) is not worth a write to flash: the counter of those is kept in memory.
# Rule 3: every command is answered; whatever is wrong with its arguments is a sentence.
# Rule 4: no argument is ever part of a file's name. link.key, seal.key and identity.json are known to
#         identity.py only, which nothing here loads.
# Rule 5: what takes the device down (a reset) goes through app.leave(reason), after the answer.
#
# name        arguments                                   does
# time        {time_ms}                                   sets the clock
# relay       {id, on, pulse_ms?}                         switches a relay
# sample      {reason?}                                   draws a sample
# reboot      none                                        starts the device anew
# repl        none                                        starts it with a free prompt, for who stands there
# safe        none                                        ends safe mode
# status log read                                         inform.py
# calibrate stage chunk apply config                      change.py

from firmware.lazy import call
from protocol import cbor, messages
from protocol.errors import CodecError, ConfigError, ProtocolError

FILE = "state/counter"
QUIET = ("status", "log", "read", "chunk")
_ELSEWHERE = {
    "status": "firmware.inform",
    "log": "firmware.inform",
    "read": "firmware.inform",
    "calibrate": "firmware.change",
    "stage": "firmware.change",
    "chunk": "firmware.change",
    "apply": "firmware.change",
    "config": "firmware.change",
}
_HERE = ("time", "relay", "sample", "reboot", "repl", "safe")
_OLD_MS = 600000
_DATA_MAX = 620  # bytes: with a text of 256 in one frame, whatever the device's name
_TEXT_MAX = 250


# app.answered: [counter, id, (ok, text, data)] of the last command, or None. app.counter: highest seen.
async def run(app, command):
    counter, number, name, given = command
    files = app.board.files
    if app.answered and app.answered[:2] == [counter, number]:
        return app.answered[2]
    if app.counter is None:
        try:
            app.counter = int(files.read(FILE))
        except (OSError, ValueError):  # the first one, or flash has lost it
            app.counter = 0
    least = app.counter + 1
    if app.clock.told:
        least = max(least, app.clock.now() - _OLD_MS)
    if counter < least:
        return False, f"counter {counter} was used or is old: write {least} or more", least
    known = name in _HERE or name in _ELSEWHERE
    if known and name not in QUIET:
        try:
            files.make("state")
            await app.arbiter.flash(lambda: files.replace(FILE, str(counter).encode()))
        except OSError as error:
            return False, f"not done, its counter cannot be kept: {error}", None
    app.counter = counter
    if known:
        try:
            if name in _ELSEWHERE:
                ok, text, data = await call(_ELSEWHERE[name], name, app, given)
            else:
                ok, text, data = _act(app, name, given)
        except (ProtocolError, OSError, MemoryError) as error:
            ok, text, data = False, str(error) or "not enough memory", None
        except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
            ok, text, data = False, f"{name}: its arguments are wrong: {error!r}", None
    else:
        names = sorted(_HERE + tuple(_ELSEWHERE))
        ok, text, data = False, "no such command: write one of " + ", ".join(names), None
    while len(text.encode()) > _TEXT_MAX:
        text = text[: _TEXT_MAX - 50] if len(text) > _TEXT_MAX else text[:-10]
    try:
        if len(cbor.dumps(data)) > _DATA_MAX:
            text, data = "done, but the answer does not fit a frame", None
    except CodecError as error:
        text, data = f"done, but the answer cannot be sent: {error}", None
    if known and name not in QUIET and name != "stage":
        app.store.event(messages.COMMAND, f"{name}, {counter}, {'ok' if ok else 'refused'}")
    app.answered = [counter, number, (ok, text, data)]
    return ok, text, data


def _act(app, name, given):
    if name == "time":
        time_ms = given["time_ms"]
        if type(time_ms) is not int or not 1600000000000 <= time_ms < 1 << 43:
            raise ConfigError("time_ms: write Unix ms")
        app.uplink.tell(time_ms, True, 0)
        return True, f"it is {app.clock.now()}", app.clock.now()
    if name in ("relay", "sample"):
        if app.io is None:
            return False, "there are no outputs in safe mode: end it with the command safe", None
        if name == "sample":
            reason = (given or {}).get("reason", "command")
            ok, text = app.io.sample(str(reason)[:60])
            return ok, text, None
        pulse_ms = given.get("pulse_ms", 0)
        if type(given["on"]) is not bool or type(pulse_ms) is not int or not 0 <= pulse_ms <= 86400000:
            raise ConfigError("on: write true or false; pulse_ms: a whole number of ms up to a day")
        ok, text = app.io.relay(given["id"], given["on"], pulse_ms)
        return ok, text, None
    if name == "safe":
        if not app.watch.safe:
            return False, "the device is not in safe mode", None
        call("firmware.crashes", "leave", app.board.files)
    app.leave("repl asked" if name == "repl" else "reset asked")
    return True, "the device starts anew", None
