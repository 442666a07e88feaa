# Helpers for tests that run in every runtime. No imports beyond what MicroPython has.
#
#   raises(exc, fn, *args)   fn(*args) must raise exc; returns it
#   vectors(name)            one dict after the other from protocol/vectors/<name>.jsonl, never all at once
#   unhex(text)              bytes of hexadecimal digits
#   value_of(json)           what the JSON of a vector stands for (see there)
#   Random(seed)             the same numbers in every runtime

import binascii
import json
import struct

import protocol
from protocol.cbor import Float32

FOLDER = protocol.__file__.rsplit("/", 1)[0] + "/vectors/"


def raises(exc, fn, *args):
    try:
        result = fn(*args)
    except exc as error:
        return error
    raise AssertionError(f"no {exc.__name__}, but {result!r}")


def vectors(name):
    with open(FOLDER + name + ".jsonl", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def unhex(text):
    return binascii.unhexlify(text)


# JSON has neither bytes nor exact floats nor maps with keys of any type: these are objects of one member,
# {"hex": digits}, {"f32": bits}, {"f64": bits}, {"map": [[key, value], ...]}.
def value_of(json):
    if isinstance(json, list):
        return [value_of(item) for item in json]
    if not isinstance(json, dict):
        return json
    if "hex" in json:
        return unhex(json["hex"])
    if "f32" in json:
        return Float32(struct.unpack(">I", unhex(json["f32"]))[0])
    if "f64" in json:
        return struct.unpack(">d", unhex(json["f64"]))[0]
    return {value_of(key): value_of(value) for key, value in json["map"]}


class Random:
    def __init__(self, seed):
        self._x = seed & 0xFFFFFFFF or 1

    # 0 to n - 1, n up to 2**24 (xorshift32, Marsaglia 2003)
    def below(self, n):
        x = self._x
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._x = x
        return (x >> 8) % n

    def bytes(self, n):
        return bytes([self.below(256) for _ in range(n)])
