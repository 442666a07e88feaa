# Commands that only look: status, log, read. Loaded by commands.py. All: (app, arguments) -> (ok, text,
# data).
#
# status   no arguments                      everything the console shows, in one frame; what is on trial (a
#                                            version, a configuration's hash), what went back and why
# log      {last?: 0 is the newest}          a crash report, and how many there are
# read     {bus, unit, function, address, count, timeout_ms?}   the registers, asked once, between two polls

import gc

from firmware import crashes, trial
from protocol import cbor, modbus_requests
from protocol.errors import ConfigError

_STATUS_MAX = 600  # bytes


async def status(app, given):
    board, store, clock, uplink, watch = app.board, app.store, app.clock, app.uplink, app.watch
    gc.collect()
    hello = app.hello()
    text = "safe mode: " + watch.safe if watch.safe else "running"
    slot = trial.load(board.files, trial.SLOT_FILE)
    table = trial.load(board.files, trial.TRIAL_FILE)
    for back in (slot.get("reverted"), [table.get("hash"), table.get("reverted")]):
        if back and back[-1]:
            text += f", back from {back[0]}: {back[-1]}"
    data = {
        "firmware": hello.firmware,
        "config": hello.config_hash,
        "board": board.name,
        "boot": app.boot,
        "up_ms": board.station_ticks(),
        "reset": board.reset_reason,
        "safe": watch.safe[:160],
        "trial": slot.get("version") if slot.get("trying") else table.get("hash") if "tries" in table else "",
        "time_ms": clock.now(),
        "told": clock.told,
        "heap": [board.heap()[0], watch.headroom],
        "crashes": watch.crashes,
        "records": [store.emitted, store.acked, store.held, store.discarded, store.flushed, store.thinned],
        "link": [uplink.losses, uplink.bad_frames, uplink.noise],
        "fed": [board.longest_feed_ms, board.missed_feeds],
        "inputs": [],
        "units": [],
    }
    rows = [("inputs", row) for row in (app.io.status() if app.io else ())]
    for poller in app.pollers:
        rows.extend([("units", row) for row in poller.status()])
    size = len(cbor.dumps(data)) + 4
    for name, row in rows:  # as many as fit
        size += len(cbor.dumps(row))
        if size > _STATUS_MAX:
            break
        data[name].append(row)
    return True, text, data


async def log(app, given):
    reports = crashes.load(app.board.files)["reports"]
    last = (given or {}).get("last", 0)
    if not reports:
        return True, "no crash is known", None
    if type(last) is not int or not 0 <= last < len(reports):
        raise ConfigError(f"last: write 0 to {len(reports) - 1}")
    boot, up_ms, text, _ = reports[-1 - last]
    data = {"boot": boot, "up_ms": up_ms, "reports": len(reports), "text": text}
    return True, f"boot {boot}, {up_ms // 1000} s after its start", data


async def read(app, given):
    timeout_ms = given.get("timeout_ms", 1000)
    if type(timeout_ms) is not int or not 10 <= timeout_ms <= 10000:
        raise ConfigError("timeout_ms: write 10 to 10000")
    count = given["count"]
    if type(count) is not int or not 1 <= count <= 125:
        raise ConfigError("count: write 1 to 125")
    if type(given["unit"]) is not int or not 0 < given["unit"] < 248:
        raise ConfigError("unit: write 1 to 247")
    for poller in app.pollers:
        if poller.line.id == given["bus"]:
            pdu = modbus_requests.read_pdu(given["function"], given["address"], count)
            words = await poller.read(given["unit"], pdu, timeout_ms)
            return True, f"{len(words)} values", list(words)
    raise ConfigError("bus: write one of " + ", ".join([poller.line.id for poller in app.pollers]))
