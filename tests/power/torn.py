# A flash chip that loses its power, inside MicroPython: a RAM block device for vfs.VfsLfs2, and a way to try
# a scenario with a cut at every single operation.
#
#   from tests.power import torn
#   counts = torn.run(scenario, check, prepare=None, recover=None, seed=1, blocks=64, size=4096, program=256)
#
#   prepare(directory)          what is on the flash before anything is counted (optional)
#   scenario(directory, seen)   what is cut. seen: an empty dict, to note for check what happened;
#                               seen["flash"] is the chip, whose `dead` tells that the power is gone.
#                               Exceptions after the cut are swallowed, before it they are not.
#   check(directory, seen)      after power-up: asserts. It may write (start-up does) and is not cut.
#   recover(directory, seen)    with nested=True: what happens at power-up is itself cut at each of its
#                               operations, then check comes. It gets a copy of `seen`. Default: check.
#
# Rule 1: an operation is a program, an erase or a sync. Operation number `cut` is torn: of a program some
#         bytes from the front arrive and of the next one some bits (NOR: bits only go from 1 to 0), of an
#         erase some pages. A sync is torn by not happening. After it the chip is off: everything fails with
#         EIO, reading as well.
# Rule 2: programming what is not erased is a fault of the file system, and stops the test.
# Rule 3: the same seed gives the same tears.
# Rule 4: what comes back between two cuts runs once, and its operations are noted: what the second cut leaves
#         is made from the notes. After a cut nothing reaches the chip, so it is the same as running it again
#         up to each operation, at a third of the cost.

import random

import vfs

ROOT = "/torn"
_EIO = -5


class Flash:
    def __init__(self, blocks=64, size=4096, program=256, image=None):
        self.blocks = blocks
        self.size = size
        self.program = program
        self.data = bytearray(image) if image else bytearray(b"\xff" * (blocks * size))
        self.cut = 0  # the operation that is torn; 0: none
        self.dead = False
        self.programs = self.erases = self.syncs = 0
        self.notes = None  # (block, offset, bytes) of a program, (block,) of an erase, () of a sync
        self._view = memoryview(self.data)
        self._blank = b"\xff" * size

    @property
    def operations(self):
        return self.programs + self.erases + self.syncs

    def image(self):
        return bytes(self.data)

    # ---- what littlefs calls

    def readblocks(self, block, into, offset=0):
        if self.dead:
            return _EIO
        at = block * self.size + offset
        into[:] = self._view[at : at + len(into)]
        return 0

    def writeblocks(self, block, what, offset=0):
        if self.dead:
            return _EIO
        at = block * self.size + offset
        n = len(what)
        if self.data[at : at + n] != self._blank[:n]:
            raise AssertionError(f"block {block} is programmed at {offset} without an erase")
        if self.notes is not None:
            self.notes.append((block, offset, bytes(what)))
        self.programs += 1
        if self.operations == self.cut:
            self.dead = True
            whole = random.randrange(n)
            self.data[at : at + whole] = what[:whole]
            self.data[at + whole] = what[whole] | random.randrange(256)
            return _EIO
        self.data[at : at + n] = what
        return 0

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return self.size
        if op == 6:
            return self._erase(arg)
        if op == 3:
            if self.dead:
                return _EIO
            if self.notes is not None:
                self.notes.append(())
            self.syncs += 1
            if self.operations == self.cut:
                self.dead = True
                return _EIO
        return 0

    def _erase(self, block):
        if self.dead:
            return _EIO
        if self.notes is not None:
            self.notes.append((block,))
        self.erases += 1
        torn = self.operations == self.cut
        self.dead = torn
        for at in range(block * self.size, (block + 1) * self.size, self.program):
            if not torn or random.randrange(2):
                self.data[at : at + self.program] = self._blank[: self.program]
        return _EIO if torn else 0

    # An operation that was noted, once more.
    def again(self, note):
        if len(note) == 3:
            block, offset, what = note
            return self.writeblocks(block, what, offset)
        return self.ioctl(6, note[0]) if note else self.ioctl(3, 0)


# A file system on the chip, at ROOT. fresh: made anew.
def mount(flash, fresh=False):
    if fresh:
        vfs.VfsLfs2.mkfs(flash, progsize=flash.program)
    vfs.mount(vfs.VfsLfs2(flash, readsize=flash.program, progsize=flash.program, mtime=False), ROOT)


def umount():
    vfs.umount(ROOT)


# Runs step(ROOT, seen) on the chip, with the power cut at that operation (0: not at all).
def _powered(flash, cut, step, seen):
    mount(flash)
    flash.programs = flash.erases = flash.syncs = 0
    flash.cut = cut
    seen["flash"] = flash
    try:
        step(ROOT, seen)
    except Exception:
        if not flash.dead:
            raise
    finally:
        umount()
        flash.cut = 0


# The chip as a cut at each of these operations leaves it.
def _torn(whole, notes):
    for note in notes:
        flash = Flash(whole.blocks, whole.size, whole.program, whole.data)
        flash.cut = 1
        flash.again(note)
        assert flash.dead
        yield flash.data
        whole.again(note)


# Cuts scenario at every operation from `since` on, or at each `every`-th. Returns counts: operations of the
# uncut run, cuts, nested cuts. A failure carries its place: AssertionError("cut 17 ...").
def run(
    scenario,
    check,
    prepare=None,
    recover=None,
    nested=False,
    seed=1,
    blocks=64,
    size=4096,
    program=256,
    every=1,
    since=1,
):
    def chip(image):
        return Flash(blocks, size, program, image)

    random.seed(seed)
    flash = chip(None)
    mount(flash, True)
    try:
        if prepare:
            prepare(ROOT)
    finally:
        umount()
    before = flash.image()
    seen = {}
    _powered(flash, 0, scenario, seen)
    counts = {
        "operations": flash.operations,
        "programs": flash.programs,
        "erases": flash.erases,
        "syncs": flash.syncs,
        "cuts": 0,
        "nested": 0,
    }
    _powered(chip(flash.image()), 0, check, dict(seen))
    for cut in range(since, counts["operations"] + 1, every):
        place = where = f"seed {seed}, {blocks} x {size}, program {program}: cut at operation {cut}"
        random.seed(seed * 1000003 + cut)
        flash = chip(before)
        seen = {}
        try:
            _powered(flash, cut, scenario, seen)
            assert flash.dead, "the same scenario did less than before"
            after = flash.image()
            flash = chip(after)
            _powered(flash, 0, check, dict(seen))
            counts["cuts"] += 1
            again = 0
            if nested:
                flash = chip(after)
                flash.notes = []
                _powered(flash, 0, recover or check, dict(seen))
                for data in _torn(chip(after), flash.notes):
                    again += 1
                    where = f"{place}, and again at operation {again}"
                    _powered(chip(data), 0, check, dict(seen))
                counts["nested"] += again
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
    return counts
