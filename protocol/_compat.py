# The only place where the runtimes differ. Everything else in protocol/ is written once.
#
#   const(x)              a number the MicroPython compiler may fold in
#   keyed_sha256(prefix)  function(data) -> SHA-256(prefix || data); the prefix is hashed once where that is
#                         possible
#   compare_digest(a, b)  equality of two byte strings in a time that does not depend on where they differ
#   unpacker(format)      function(data, at) -> tuple: a compiled struct where there is one
#   text_of(data)         bytes -> str, strict UTF-8; ValueError (UnicodeError on CPython is one)
#   bytes_of(text)        str -> bytes, strict UTF-8; ValueError
#   SHAPES_MAX            so many shapes of messages are worth their memory (shapes.py): none on a device

import hashlib
import struct
import sys

if sys.implementation.name == "micropython":
    from micropython import const

    SHAPES_MAX = 0

    def keyed_sha256(prefix):
        sha256 = hashlib.sha256  # has no copy(): the prefix (a 64-byte pad) is hashed each time

        def digest(data):
            h = sha256(prefix)
            h.update(data)
            return h.digest()

        return digest

    def compare_digest(a, b):
        if len(a) != len(b):
            return False
        different = 0
        for i in range(len(a)):
            different |= a[i] ^ b[i]
        return different == 0

    def unpacker(form):
        return lambda data, at: struct.unpack_from(form, data, at)

    # MicroPython only counts continuation bytes. What a second byte may be: Unicode 15, table 3-7.
    def _check_utf8(data):
        i = 0
        n = len(data)
        while i < n:
            lead = data[i]
            i += 1
            if lead < 0x80:
                continue
            low, high = 0x80, 0xBF
            if 0xC2 <= lead <= 0xDF:
                more = 1
            elif 0xE0 <= lead <= 0xEF:
                more = 2
                if lead == 0xE0:
                    low = 0xA0
                elif lead == 0xED:
                    high = 0x9F
            elif 0xF0 <= lead <= 0xF4:
                more = 3
                if lead == 0xF0:
                    low = 0x90
                elif lead == 0xF4:
                    high = 0x8F
            else:
                raise ValueError("not UTF-8")
            while more:
                if i >= n or not low <= data[i] <= high:
                    raise ValueError("not UTF-8")
                low, high = 0x80, 0xBF
                i += 1
                more -= 1

    def text_of(data):
        _check_utf8(data)
        return str(data, "utf-8")

    def bytes_of(text):
        data = text.encode()
        _check_utf8(data)
        return data

else:
    from hmac import compare_digest  # noqa: F401 (others take it from here)

    SHAPES_MAX = 128

    def const(x):
        return x

    def keyed_sha256(prefix):
        copy = hashlib.sha256(prefix).copy

        def digest(data):
            h = copy()
            h.update(data)
            return h.digest()

        return digest

    def unpacker(form):
        return struct.Struct(form).unpack_from

    def text_of(data):
        return str(data, "utf-8")

    def bytes_of(text):
        return text.encode()
