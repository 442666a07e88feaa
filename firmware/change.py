# Commands that change what the device is: calibrate, stage, chunk, apply, config. Loaded by commands.py.
# All: (app, arguments) -> (ok, text, data).
#
# calibrate  {channel, id, points: [[raw, engineering], ...]}   for the readings from now on; the id is above
#                               the channel's present one
# stage      {name: "station.json" | "update", size, sha256}    begins a transfer, or goes on with the same
#                               one: data is the offset that the device has
# chunk      {at, data}         the next bytes; where `at` is not the offset, data says it
# apply      none               what is staged, complete and right: a station.json is tried and kept after ten
#                               healthy minutes (trial.py), a package likewise (update.py)
# config     none               apply, but only a station.json
#
# Rule 1: state/update says what is coming, the length of `stage` how far it has come: both outlive a restart.
# Rule 2: nothing staged is used before its SHA-256 is right.

import binascii
import hashlib

from firmware import trial
from firmware.lazy import call
from protocol import messages
from protocol.errors import ConfigError

FILE = "state/update"
STAGE = "stage"
NAMES = {"station.json": 32768, "update": 1000000}  # bytes at most
_SLICE = 512
_SPARE = 16384  # bytes of flash that are left alone


async def calibrate(app, given):
    name, number, points = given["channel"], given["id"], given["points"]
    channels = app.config.channels
    files = app.board.files
    work = lambda: call("firmware.calibrations", "add", files, channels, name, number, points, app.fits)  # noqa: E731
    await app.arbiter.flash(work)
    app.store.event(messages.CALIBRATION_ENDED, f"{name}, {number}")
    app.uplink.greet_again()
    return True, f"{name} is calibrated by {number}", None


# (name, size, SHA-256 in hex, bytes there)
def _coming(files):
    table = trial.load(files, FILE)
    name, size, digest = table.get("name"), table.get("size"), table.get("sha256")
    if name not in NAMES or type(size) is not int or not isinstance(digest, str):
        raise ConfigError("nothing is staged: begin with the command stage")
    there = [length for other, length in files.names("") if other == STAGE]
    return name, size, digest, there[0] if there else 0


async def stage(app, given):
    name, size, digest = given["name"], given["size"], given["sha256"]
    files = app.board.files
    if name not in NAMES:
        raise ConfigError("name: write station.json or update")
    if type(size) is not int or not 0 < size <= NAMES[name]:
        raise ConfigError(f"size: write 1 to {NAMES[name]}")
    if not isinstance(digest, bytes) or len(digest) != 32:
        raise ConfigError("sha256: write 32 bytes")
    digest = binascii.hexlify(digest).decode()
    try:
        if _coming(files)[:3] == (name, size, digest):
            at = _coming(files)[3]
            return True, f"{at} of {size} bytes are here", at
    except ConfigError:
        pass

    def begin():
        files.remove(STAGE)
        if files.free() < size + _SPARE:
            raise ConfigError(f"{files.free()} bytes of flash are free: too few for {size}")
        files.make("state")
        trial.save(files, FILE, {"name": name, "size": size, "sha256": digest})

    await app.arbiter.flash(begin)
    return True, "ready", 0


async def chunk(app, given):
    at, data = given["at"], given["data"]
    files = app.board.files
    _, size, _, there = _coming(files)
    if not isinstance(data, bytes) or at != there or there + len(data) > size:
        return False, f"{there} of {size} bytes are here: go on from there", there
    await app.arbiter.flash(lambda: files.append(STAGE, data))
    return True, "", there + len(data)


async def config(app, given):
    if _coming(app.board.files)[0] != "station.json":
        raise ConfigError("what is staged is no station.json")
    return await apply(app, given)


async def apply(app, given):
    files = app.board.files
    name, size, digest, there = _coming(files)
    if there != size:
        return False, f"{there} of {size} bytes are here: send the rest", there
    sha = hashlib.sha256()
    for at in range(0, size, _SLICE):
        sha.update(files.read(STAGE, at, _SLICE))
        await app.board.sleep_ms(0)
    if binascii.hexlify(sha.digest()).decode() != digest:
        files.remove(STAGE)
        raise ConfigError("what was received is not what was announced: send it again")
    if name == "update":
        now_ms = app.clock.now() if app.clock.told else None
        ok, text, version = await call(
            "firmware.update", "install", files, app.board.name, now_ms, app.arbiter
        )
        app.store.event(messages.UPDATE, f"{'staged' if ok else 'refused'}, {version}, {text}")
    else:
        ok, text = await _configure(app, files, digest[:16])
    if ok:
        files.remove(FILE)
        app.leave("new " + ("firmware" if name == "update" else "configuration") + " asked")
    return ok, text, None


async def _configure(app, files, name):
    data = files.read(STAGE)
    why = None
    faults = ()
    try:
        call("firmware.config", "parse", data)
    except ConfigError as error:
        why = str(error)
        faults = getattr(error, "faults", ())
    except MemoryError:
        pass  # no room to look at it beside what runs: the next start will, and go back
    if why:
        app.store.event(messages.CONFIGURED, f"refused, {name}, {why[:400]}")
        return False, f"{len(faults) or 1} faults: {why}"
    await app.arbiter.flash(lambda: trial.begin(files, data))
    files.remove(STAGE)
    app.store.event(messages.CONFIGURED, f"tried, {name}")
    return True, "the device starts with it, and keeps it after ten healthy minutes"
