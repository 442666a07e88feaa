# Runs on the board (MicroPython, from 1.20 on): what is on its flash, as one line of JSON. The tests run it
# on CPython, too.
#
# Rule 1: a key is never told: of seal.key only how far it has turned, and the SHA-256 of its present digits.
# Rule 2: a file that cannot be read is told as such (null): who plans decides what that means.

import binascii
import hashlib
import json
import os

_TEXTS = ("identity.json", "station.json", "slot")
_STATE = ("log", "state", "io")


def digest(path, at=0):
    sha = hashlib.sha256()
    part = memoryview(bytearray(1024))
    with open(path, "rb") as file:
        file.seek(at)
        n = file.readinto(part)
        while n:
            sha.update(part[:n])
            n = file.readinto(part)
    return binascii.hexlify(sha.digest()).decode()


# [the manifest's first seven lines, the SHA-256 of what is behind the signature]
def _package(path):
    with open(path, "rb") as file:
        head = file.read(10)
        length = int.from_bytes(head[8:], "big")
        if head[:8] != b"QTUPDATE" or length > 8192:
            return None
        lines = file.read(length).split(b"\n", 7)[:7]
    return [[line.decode() for line in lines], digest(path, 10 + length + 384)]


# [words, epoch, SHA-256 of the digits of the key that is in it]
def _seal(path):
    with open(path, "rb") as file:
        words = file.read(1200).split()
    if len(words) == 4:
        epoch, key = int(words[0]), words[2]
    else:
        epoch, key = 0, words[0]
    return [len(words), epoch, binascii.hexlify(hashlib.sha256(key).digest()).decode()]


def _text(path):
    with open(path, "rb") as file:
        return file.read(65536).decode()


def _try(call, path):
    try:
        return call(path)
    except Exception:
        return None


def _walk(path, found):
    for name in os.listdir(path):
        one = path + "/" + name
        if os.stat(one)[0] & 0x4000:
            _walk(one, found)
        found.append(one)


# root: "/" or a path that ends with "/". wanted: names whose hashes are asked for.
def look(root, wanted):
    names = os.listdir(root)
    found = {
        "names": names,
        "sizes": {},
        "hashes": {},
        "texts": {},
        "packages": {},
        "seal": None,
        "state": [],
    }
    for name in names:
        if name in wanted or name.endswith(".flash") or name.endswith(".pkg") or name == "station.old":
            found["sizes"][name] = os.stat(root + name)[6]
            found["hashes"][name] = _try(digest, root + name)
    for name in _TEXTS:
        if name in names:
            found["texts"][name] = _try(_text, root + name)
    for name in ("a.pkg", "b.pkg"):
        if name in names:
            found["packages"][name[0]] = _try(_package, root + name)
    if "seal.key" in names:
        found["seal"] = _try(_seal, root + "seal.key") or [0, 0, ""]
    for name in _STATE:
        if name in names:
            one = []
            _walk(root + name, one)
            found["state"] += [path[len(root) :] for path in one] + [name]
    size = os.statvfs(root) if hasattr(os, "statvfs") else (4096, 0, 0, 0)
    found["block"] = size[0]
    found["free"] = size[0] * size[3]
    return json.dumps(found)
