# Fills a littlefs of a board's size with segments until the oldest has to go. Inside MicroPython:
#
#   micropython -m tests.power.fill BLOCKS RESERVE PACKAGE
#
# PACKAGE: bytes of the firmware, which is put there twice, as slots a and b. Prints, as JSON, the bytes of
# records that it holds then, what the file system says, and what a start reads.

import json
import sys

from firmware.files import Files
from firmware.moving import scan
from firmware.segments import Segments
from tests.power import torn


def main(blocks, reserve, package):
    flash = torn.Flash(blocks)
    torn.mount(flash, True)
    files = Files(torn.ROOT)
    for slot in ("a", "b"):
        slot_bytes = files.free()
        for at in range(0, package, 1024):
            files.append(slot + ".pkg", bytes(min(1024, package - at)))
        free = files.free()
        slot_bytes -= free
    segments = Segments(files)
    scan(segments, files, reserve)
    number = 1

    def record(number):  # 12 channels, three bytes of value and now and then of time: as steady ones are
        return number % 12, 128, 0, number * 40503 & 0xFFFFFF, number // 12 * 1000, None

    while not segments.full(1, number):
        number += segments.write(1, number, record, 128)
    held = sum([entry[3] for entry in segments.entries])
    counts = {
        "flash": blocks * 4096,
        "slot": slot_bytes,
        "free": free,
        "budget": segments.budget,
        "held": held,
        "segments": len(segments.entries),
        "left": files.free(),
    }
    torn.umount()
    again = torn.Flash(blocks, image=flash.data)
    torn.mount(again)
    again.reads = again.read_bytes = 0
    segments = Segments(Files(torn.ROOT))
    scan(segments, Files(torn.ROOT), reserve)
    counts["start_reads"] = again.reads
    counts["start_bytes"] = again.read_bytes
    assert segments.entries[-1][2] == number - 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*[int(word) for word in sys.argv[1:]])
