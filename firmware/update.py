# An update: a signed package becomes the slot that is not running. starter.py and trial.py do the rest.
#
# Rule 1: nothing of a package is used before its signature, its target, its age and the hashes of all its
#         files were checked; until then no flash is written.
# Rule 2: the running slot is never touched, and while it is on trial nothing is installed: the other slot is
#         the way back.
# Rule 3: written, read back, marked complete, and only then made the next to start, by one replacement of
#         `slot`. Power may go at any place: either the old firmware starts, or the new one, whole.
# Rule 4: what was ever installed is never installed again, nor anything older (rollback), and nothing after
#         it expired, as far as this device knows the time (freeze).
# Rule 5: in slices that let the other tasks run: 1 KB, or one multiplication of the signature.
#
# The package, one file:
#
#   8 bytes   "QTUPDATE"
#   2 bytes   length of the manifest, big-endian, 1 to 8,192
#   manifest  a CBOR sequence (RFC 8742) in the encoding of cbor.py:
#               [purpose, ports, version, counter, created_ms, expires_ms, files], then for each file
#               [path, size, SHA-256 of its content]
#             purpose "quantrac update 1"; ports: the boards (Board.name) that it is for; version 1 to 32
#             characters; counter 1 to 2**53 - 1, rises for ever; times in Unix ms; paths rise, so that none
#             stands twice: firmware/... or protocol/..., of a-z 0-9 _ / and .mpy or .py at the end
#   384 bytes RSASSA-PKCS1-v1_5 (RFC 8017) with SHA-256 over the manifest; key of 3,072 bits, exponent 65537
#   contents  of the files, in their order, and nothing behind them
#
#   ok, text, version = await update.install(files, port, now_ms, arbiter)
# text is a sentence for whoever sent it, version what it is about ("" while nothing is signed). After ok the
# caller resets the device. now_ms: None while nobody has told the time.

import asyncio
import binascii
import hashlib
import json
import os

from firmware import trial
from protocol._compat import const
from protocol.cbor import item
from protocol.errors import ConfigError, ProtocolError

MAGIC = b"QTUPDATE"
PURPOSE = "quantrac update 1"
KEY_FILE = "update.pub"
STAGE_FILE = "stage"
_MANIFEST_MAX = const(8192)
_SIGNATURE = const(384)
_SIZE_MAX = const(1000000)
_COUNTER_MAX = const(9007199254740991)
_SLICE = const(1024)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
# RFC 8017, 9.2, note 1: what stands before a SHA-256 in the padded block
_SHA256 = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


async def install(files, port, now_ms=None, arbiter=None, name=STAGE_FILE):
    about = []
    work = steps(files, port, now_ms, name, about)
    step = False
    try:
        while step is not None:
            if step and arbiter:
                step = await arbiter.flash(lambda: next(work))
            else:
                step = next(work)
            await asyncio.sleep(0)
        return True, f"{about[0]} is installed and will be tried from the next start on", about[0]
    except (ProtocolError, MemoryError) as error:
        why = str(error)
    except OSError as error:
        why = f"the flash failed ({error}); what runs is untouched: send the package again"
    return False, why, about[0] if about else ""


# The work in slices. Yields whether the next slice writes flash, None at the end. about: a list that gets the
# version once it is known to be signed.
def steps(files, port, now_ms, name, about):
    try:
        source = open(files.path(name), "rb")  # noqa: SIM115 (closed by the with below)
    except OSError:
        raise ConfigError("there is no package: send one first") from None
    with source:
        head = source.read(10)
        length = int.from_bytes(head[8:], "big")
        if len(head) != 10 or head[:8] != MAGIC or not 1 <= length <= _MANIFEST_MAX:
            raise ConfigError("this is no update package: make one with tools.station.package")
        manifest = source.read(length)
        signature = source.read(_SIGNATURE)
        if len(manifest) != length or len(signature) != _SIGNATURE:
            raise ConfigError("the package is cut short: send it again")
        yield False
        yield from _signed(files, manifest, signature)
        purpose, ports, version, counter, _, expires_ms, count, at = _head(manifest)
        if purpose != PURPOSE:
            raise ConfigError("what is signed is no update that this firmware can read")
        about.append(version)
        if port not in ports:
            raise ConfigError(f"the package is for {', '.join(ports)}, this board is {port}")
        state = trial.load(files, trial.SLOT_FILE)
        running = trial.slot()
        if state.get("trying") and state.get("slot") == running:
            raise ConfigError(f"{state.get('version')} is on trial: wait until it is confirmed, ten minutes")
        highest = _highest(files, state)
        if counter <= highest:
            raise ConfigError(f"its counter {counter} is not above {highest}: it is old, make a new package")
        if now_ms is not None and now_ms >= expires_ms:
            raise ConfigError("the package has expired: make a new one, or set the clock right")

        # Is everything there that was signed, and nothing else?
        size = 10 + length + _SIGNATURE
        begin = at
        before = ""
        for _ in range(count):
            path, bytes_, _, at = _entry(manifest, at)
            if path <= before:
                raise ConfigError(f"{path} is not in its place in the manifest")
            before = path
            size += bytes_
        if at != length or not count:
            raise ConfigError("the manifest does not list its files rightly")
        if os.stat(files.path(name))[6] != size:
            raise ConfigError("the package is shorter or longer than was signed: send it again")
        at = begin
        for _ in range(count):
            path, bytes_, digest, at = _entry(manifest, at)
            sha = hashlib.sha256()
            while bytes_ > 0:
                data = source.read(min(bytes_, _SLICE))
                if not data:
                    break
                sha.update(data)
                bytes_ -= len(data)
                yield False
            if bytes_ or sha.digest() != digest:
                raise ConfigError(f"{path} is not what was signed: send the package again")

        # From here on flash is written.
        target = "b" if running == "a" else "a"
        yield True
        files.remove(target + "/complete")
        yield from _clear(files.path(target))
        source.seek(10 + length + _SIGNATURE)
        at = begin
        for _ in range(count):
            path, bytes_, digest, at = _entry(manifest, at)
            yield True
            yield from _copy(files, source, target + "/" + path, bytes_, digest)
        yield True
        files.replace(target + "/complete", json.dumps([counter, version, False]).encode())
        yield True
        state = {"slot": target, "old": running, "version": version, "counter": counter, "highest": counter}
        state["trying"] = True
        state["tries"] = 0
        trial.save(files, trial.SLOT_FILE, state)
    yield True
    files.remove(name)
    yield None


# pow(signature, 65537, modulus), the whole padded block compared. A wrong signature is a ConfigError.
def _signed(files, manifest, signature):
    try:
        text = files.read(KEY_FILE).strip()
        modulus = int.from_bytes(binascii.unhexlify(text), "big")
    except (OSError, ValueError):
        modulus = 0
    if modulus >> 3071 != 1:
        raise ConfigError(f"{KEY_FILE} is missing or holds no key of 3,072 bits: provision the device again")
    base = int.from_bytes(signature, "big")
    x = base
    for _ in range(16):
        x = x * x % modulus
        yield False
    x = x * base % modulus
    block = b"\x00\x01" + b"\xff" * 330 + b"\x00" + _SHA256 + hashlib.sha256(manifest).digest()
    if base >= modulus or x.to_bytes(_SIGNATURE, "big") != block:
        raise ConfigError("the signature is wrong: signed with another key, or changed on the way")


# The first item of the manifest, and the place behind it.
def _head(manifest):
    head, at = item(manifest, 0)
    if isinstance(head, list) and len(head) == 7 and isinstance(head[1], list):
        _, ports, version, counter, created_ms, expires_ms, count = head
        good = isinstance(version, str) and 1 <= len(version) <= 32
        for port in ports:
            good = good and isinstance(port, str)
        for number in (counter, created_ms, expires_ms, count):
            good = good and type(number) is int and 0 <= number <= _COUNTER_MAX
        if good:
            head.append(at)
            return head
    raise ConfigError("what is signed is no update that this firmware can read")


# The file at this place of the manifest: (path, size, digest, place behind it).
def _entry(manifest, at):
    entry, at = item(manifest, at)
    if isinstance(entry, list) and len(entry) == 3:
        path, size, digest = entry
        if isinstance(path, str) and type(size) is int and isinstance(digest, bytes):
            parts = path.split("/")
            stem, _, kind = parts[-1].partition(".")
            parts[-1] = stem
            good = parts[0] in ("firmware", "protocol") and 2 <= len(parts) <= 4 and kind in ("mpy", "py")
            for part in parts:
                good = good and 0 < len(part) <= 40
                for letter in part:
                    good = good and letter in _LETTERS
            if good and 0 <= size <= _SIZE_MAX and len(digest) == 32:
                return path, size, digest, at
    raise ConfigError("the manifest lists a file that does not belong into a firmware")


# The counter of the newest package that was ever made the next to start. A slot that was marked complete just
# before the power went is not that yet, and may be installed again; it counts when `slot` is lost.
def _highest(files, state):
    highest = state.get("highest")
    if type(highest) is int:
        return highest
    highest = 0
    for slot in ("a", "b"):
        try:
            highest = max(highest, json.loads(files.read(slot + "/complete"))[0])
        except (OSError, ValueError, TypeError, IndexError, KeyError):
            pass
    return highest


def _clear(folder):
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            yield from _clear(path)
            yield True
            os.rmdir(path)
        else:
            yield True
            os.remove(path)


def _copy(files, source, path, size, digest):
    at = path.find("/")
    while at > 0:
        files.make(path[:at])
        at = path.find("/", at + 1)
    left = size
    with open(files.path(path), "wb") as out:
        while left > 0:
            data = source.read(min(left, _SLICE))
            if not data:
                raise ConfigError("the package changed while it was installed: send it again")
            out.write(data)
            left -= len(data)
            yield True
    sha = hashlib.sha256()
    with open(files.path(path), "rb") as back:
        while True:
            data = back.read(_SLICE)
            if not data:
                break
            sha.update(data)
            yield False
    if sha.digest() != digest:
        raise ConfigError(f"{path} does not read back as it was written: the flash is worn, use a new board")
