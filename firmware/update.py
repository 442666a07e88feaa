# An update: a signed package becomes the slot that is not running. starter.py and trial.py do the rest.
#
# Rule 1: a package is the slot. It stays as it was received, in one piece, and becomes a slot by its name.
# Rule 2: nothing of it is used before its signature, its target, its age and the SHA-256 of its contents were
#         checked, as they lie on flash; until then no flash is written.
# Rule 3: the running slot is never touched, and while one is on trial nothing is installed: the other slot is
#         the way back.
# Rule 4: two steps, both atomic: it takes the place of the other slot's package, then `slot` says that it is
#         the next to start. Power may go at any place: either the old firmware starts, or the new one, whole.
# Rule 5: what was ever installed is never installed again, nor anything older (rollback), and nothing after
#         it expired, as far as this device knows the time (freeze).
# Rule 6: in slices that let the other tasks run: 256 bytes, or one multiplication of the signature. Nobody
#         else may write the staged file meanwhile: commands come one by one.
#
# The package, one file:
#
#   8 bytes   "QTUPDATE"
#   2 bytes   length of the manifest, big-endian, 1 to 8,192
#   manifest  lines of UTF-8, each with a line feed at its end; numbers in decimal, as short as they can be:
#               quantrac update 1
#               the boards that it is for (Board.name), with one space between
#               version, 1 to 32 characters
#               counter, 1 to 2**53 - 1, rises for ever
#               when it was made, Unix ms
#               when it expires, Unix ms
#               bytes of the contents, a space, their SHA-256 in hex
#             then a line for each file: its path without ".mpy", a space, where in the contents it begins.
#             Paths rise, and so do the places, from 0: none stands twice, none is empty. A path is
#             firmware/... or protocol/..., of a-z 0-9 _ /; firmware/app is one of them
#   384 bytes RSASSA-PKCS1-v1_5 (RFC 8017) with SHA-256 over the manifest; key of 3,072 bits, exponent 65537
#   contents  bytecode of the files, one behind the other, and nothing behind them
#
#   ok, text, version = await update.install(files, port, now_ms, arbiter)
# text is a sentence for whoever sent it, version what it is about ("" while nothing is signed). After ok the
# caller resets the device. now_ms: None while nobody has told the time.

import asyncio
import binascii
import hashlib

from firmware import trial
from protocol._compat import const
from protocol.errors import ConfigError, ProtocolError

MAGIC = b"QTUPDATE"
PURPOSE = "quantrac update 1"
KEY_FILE = "update.pub"
STAGE_FILE = "stage"
_MANIFEST_MAX = const(8192)
_SIGNATURE = const(384)
_COUNTER_MAX = const(9007199254740991)
_SLICE = const(256)  # fits any hole that a heap has after years
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
        try:
            ports, version, counter, expires_ms, size, digest = _read(manifest)
        except ValueError:
            raise ConfigError("what is signed is no update that this firmware can read") from None
        about.append(version)
        if port not in ports:
            raise ConfigError(f"the package is for {', '.join(ports)}, this board is {port}")
        state = trial.load(files, trial.SLOT_FILE)
        if state.get("trying"):
            raise ConfigError(f"{state.get('version')} is on trial: wait until it is confirmed, ten minutes")
        highest = _highest(files, state)
        if counter <= highest:
            raise ConfigError(f"its counter {counter} is not above {highest}: it is old, make a new package")
        if now_ms is not None and now_ms >= expires_ms:
            raise ConfigError("the package has expired: make a new one, or set the clock right")
        # Is everything there that was signed, and nothing else?
        manifest = signature = None
        sha = hashlib.sha256()
        part = memoryview(bytearray(_SLICE))
        n = _SLICE
        while n == _SLICE:
            n = source.readinto(part)
            sha.update(part[:n])
            size -= n
            yield False
    if size:
        raise ConfigError("the package is shorter or longer than was signed: send it again")
    if binascii.hexlify(sha.digest()).decode() != digest:
        raise ConfigError("the package is not what was signed: send it again")

    # From here on flash is written.
    running = trial.slot()
    target = "b" if running == "a" else "a"
    yield True
    files.rename(name, target + trial.PACKAGE)
    yield True
    state = {"slot": target, "old": running, "version": version, "counter": counter, "highest": counter}
    state["trying"] = True
    state["tries"] = 0
    trial.save(files, trial.SLOT_FILE, state)
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


# What the manifest says: (ports, version, counter, expires_ms, size, digest in hex). ValueError when it is
# not as drawn above.
def _read(manifest):
    text = manifest.decode()
    lines = text.split("\n")
    purpose, ports, version, counter, created_ms, expires_ms, contents = lines[:7]
    size, digest = contents.split(" ")
    counter, _, expires_ms, size = [_number(text) for text in (counter, created_ms, expires_ms, size)]
    good = purpose == PURPOSE and 1 <= len(version) <= 32 and counter > 0 and lines.pop() == ""
    path, at = "", -1
    for line in lines[7:]:
        before, was = path, at
        path, at = line.split(" ")
        at = _number(at)
        good = good and path > before and at > was and (at == 0 or was >= 0) and at < size
        parts = path.split("/")
        good = good and parts[0] in ("firmware", "protocol") and len(parts) > 1
        for part in parts:
            good = good and part
            for letter in part:
                good = good and letter in _LETTERS
    if not good or len(digest) != 64 or "\nfirmware/app " not in text:
        raise ValueError
    return ports.split(" "), version, counter, expires_ms, size, digest


def _number(text):
    number = int(text)
    if str(number) != text or not 0 <= number <= _COUNTER_MAX:
        raise ValueError
    return number


# The counter of the newest package that was ever made the next to start. One that had its place just before
# the power went is not that yet, and may be installed again; it counts when `slot` is lost.
def _highest(files, state):
    highest = state.get("highest")
    if type(highest) is int:
        return highest
    highest = 0
    for slot in ("a", "b"):
        try:
            highest = max(highest, int(files.read(slot + trial.PACKAGE, 10, 512).split(b"\n")[3]))
        except (OSError, ValueError, IndexError):
            pass
    return highest
