# Inside MicroPython: what a device says to every package in DIR/cases, one JSON line each; then the figures.
#
#   micropython -X heapsize=192k tests/firmware/update_device.py DIR PORT UNIX_MS CASES

import asyncio
import gc
import json
import sys
import time

from firmware import update
from firmware.files import Files


def main():
    directory, port, now_ms = sys.argv[1], sys.argv[2], int(sys.argv[3])
    files = Files(directory)
    peak = 0
    for i in range(int(sys.argv[4])):
        data = files.read(f"cases/{i:04}")
        files.replace("stage", data)
        gc.collect()
        print(json.dumps(asyncio.run(update.install(files, port, now_ms))))
    # how long the signature takes, and how much memory its numbers
    length = int.from_bytes(data[8:10], "big")
    signed = data[10 : 10 + length], data[10 + length : 10 + length + 384]
    began = time.ticks_us()
    for _ in range(20):
        gc.collect()
        free = gc.mem_free()
        for _ in update._signed(files, *signed):
            pass
        peak = max(peak, free - gc.mem_free())
    took = time.ticks_diff(time.ticks_us(), began) // 20
    print(json.dumps({"rsa_us": took, "rsa_garbage_bytes": peak, "runtime": sys.implementation.name}))


main()
