# What the store does once at a start, and when its boots move to other numbers. Loaded for it (lazy.py).
#
# Rule 1: a start reads the names and sizes of segments, and of each boot the last segment. What a power cut
#         interrupted is finished first: discards that were noted, moves that were begun.
# Rule 2: a gateway that is ahead of us takes none of our numbers, and its next WELCOME would free them all as
#         if it had them. So all boots that we hold move above it, in their order, before we greet again.
# Rule 3: MOVE_FILE says what is being moved, until it is done. Whoever keeps the boot number takes the new
#         one after that, not before.
# Rule 4: a life that cannot read the flash sends its own records all the same, and the next life's WELCOME
#         would free what is stored as if it had been sent before. So APART_FILE keeps how far the gateway was
#         then, and when the flash can be read again, all that it holds moves above, as by rule 2.

import json

from firmware.segments import FOLDER, name_of
from firmware.store import GONE_FILE
from protocol._compat import const

MOVE_FILE = "state/move"  # [[boot, its new number], ...]
APART_FILE = "state/apart"  # [boot, number]
_BLOCK = const(4096)
_SEGMENTS = const(64)  # so many fill the flash, whatever its size
_BYTES_MAX = const(16777216)


# What is on flash. reserve: bytes that are left to others, but never more than half.
def scan(segments, files, reserve):
    files.make(FOLDER)
    found = []
    for name, size in files.names(FOLDER):
        try:
            boot, first = [int(part, 16) for part in name.split("-")]
        except ValueError:
            continue  # not ours
        if not size:  # created, and then the power went
            files.remove(FOLDER + "/" + name)
        else:
            found.append((boot, first, size))
    for i, (boot, first, size) in enumerate(found):
        if i + 1 < len(found) and found[i + 1][0] == boot:
            last = found[i + 1][1] - 1
        else:
            last = first - 1
            at = 0
            files.feed()
            try:
                with open(files.path(name_of(boot, first)), "rb") as file:
                    while True:
                        batch = segments.batch(file, at)
                        if batch is None:
                            break
                        last = first + batch[2] + batch[1] - 1
                        at = batch[4]
            except OSError:  # of this one, which is no reason to do without all others: told as lost when its
                last = max(last, first)  # turn comes, or read then
        segments.entries.append((boot, first, last, size))
    room = files.free() + segments.used
    segments.budget = min(max(room - reserve, room // 2), _BYTES_MAX)
    segments.size = (segments.budget // _SEGMENTS // _BLOCK + 1) * _BLOCK


# The store begins with what is on flash. OSError when it cannot be read.
def start(store, segments, files, reserve):
    files.make("state")
    scan(segments, files, reserve)
    try:
        boot, number, store._gone, store._told, *at = json.loads(files.read(GONE_FILE))
        store._done = boot, number
        store._told_at = boot, first, last = tuple(at)
        store._noted = True
        there = [1 for e in segments.entries for n in (first, last) if e[0] == boot and e[1] <= n <= e[2]]
        if len(there) < 2 or (boot, first) <= store._done:  # the events were not on flash yet
            store._gone = store._told + store._gone
            store._told = []
        store.discarded = sum([gone[0] for gone in store._gone])
    except (OSError, ValueError, TypeError):
        pass
    moves = None
    try:
        moves = json.loads(files.read(MOVE_FILE))
    except (OSError, ValueError):
        pass
    if moves:
        _move(store, segments, files, moves)
    if segments.entries:
        store.boot = max(store.boot, segments.entries[-1][0] + 1)
    at = _apart(files)
    if at is not None:
        store._done = max(store._done, at)
        renumber(store, segments, files, store.boot)
        files.remove(APART_FILE)


def _apart(files):
    try:
        boot, number = json.loads(files.read(APART_FILE))
        return boot, number
    except (OSError, ValueError, TypeError):
        return None


# In a life without the flash: the gateway holds everything up to here. The first word counts.
def apart(files, boot, number):
    try:
        if _apart(files) in (None, (0, 0)):
            files.make("state")
            files.replace(APART_FILE, json.dumps([boot, number]).encode())
    except OSError:
        pass  # no flash at all: nothing will come back


# All boots get numbers above this one; store.boot is the highest. OSError: half of it is done, and the flash
# is not to be used before the next start has finished it.
def renumber(store, segments, files, above):
    moves = []
    for entry in segments.entries if segments else ():
        if entry[0] != store.boot and not (moves and moves[-1][0] == entry[0]):
            moves.append([entry[0], above + 1 + len(moves)])
    moves.append([store.boot, above + 1 + len(moves)])
    store.boot = moves[-1][1]
    if segments and segments.entries:
        files.replace(MOVE_FILE, json.dumps(moves).encode())
    _move(store, segments, files, moves)


# From wherever it was interrupted: new numbers are above all old ones.
def _move(store, segments, files, moves):
    if segments:
        segments.close()
    for boot, to in moves if segments else ():
        for i, (its_boot, first, last, size) in enumerate(segments.entries):
            if its_boot == boot:
                files.feed()
                files.rename(name_of(boot, first), name_of(to, first))
                segments.entries[i] = to, first, last, size
        segments.entries.sort()
    moved = dict(moves)
    boot, number = store._done
    store._done = moved.get(boot, boot), number
    boot, first, last = store._told_at
    store._told_at = moved.get(boot, boot), first, last
    for gone in store._gone + store._told:
        gone[1] = moved.get(gone[1], gone[1])
        gone[3] = moved.get(gone[3], gone[3])
    if store._noted:
        store._note()
    if segments:
        files.remove(MOVE_FILE)
