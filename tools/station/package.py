"""Update packages: make keys, sign a firmware into one file, read and check such a file.

    python -m tools.station.package keygen FOLDER
    python -m tools.station.package make FOLDER --key update.pem --version 0.2.0 --counter 7 --out st.update
    python -m tools.station.package show st.update [--public update.pub]

The format is drawn up in the header of `firmware/update.py`. What is written here is checked here by another
library (`cryptography`) than the ten lines on the device. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from protocol import cbor
from protocol.errors import ConfigError, ProtocolError

MAGIC = b"QTUPDATE"
PURPOSE = "quantrac update 1"
BITS, EXPONENT = 3072, 65537
SIGNATURE_BYTES = BITS // 8
MANIFEST_BYTES_MAX = 8192
SIZE_MAX = 1_000_000  # of one file
COUNTER_MAX = 2**53 - 1
VERSION_LETTERS_MAX = 32
PORTS = ("esp32", "rp2", "unix")  # Board.name
DAYS_VALID = 90
DAY_MS = 86_400_000
KEY_FILE, PUBLIC_FILE = "update.pem", "update.pub"
PATH = re.compile(r"(?:firmware|protocol)(?:/[a-z0-9_]{1,40}){0,2}/[a-z0-9_]{1,40}\.(?:mpy|py)")
STARTS = ("firmware/app.mpy", "firmware/app.py")


@dataclass(frozen=True)
class Package:
    """What a package says of itself, and its files by path. Times in Unix ms."""

    ports: tuple[str, ...]
    version: str
    counter: int
    created_ms: int
    expires_ms: int
    files: dict[str, bytes]


def keygen(folder: Path | str) -> tuple[Path, Path]:
    """Make a pair of keys: the private one for whoever signs, the public one for every device.

    Returns their paths, `update.pem` (PKCS #8, mode 0600) and `update.pub` (the modulus in hex).
    Raises FileExistsError when there is one already: devices that trust it would take no update any more.
    """
    private, public = Path(folder) / KEY_FILE, Path(folder) / PUBLIC_FILE
    key = rsa.generate_private_key(public_exponent=EXPONENT, key_size=BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    public.write_bytes(public_text(pem))
    return private, public


def public_text(pem: bytes) -> bytes:
    """The content of a device's `update.pub` for this private key. ConfigError for another kind of key."""
    return f"{_private(pem).public_key().public_numbers().n:0{SIGNATURE_BYTES * 2}x}\n".encode()


def collect(folder: Path | str) -> dict[str, bytes]:
    """The files of a firmware folder that go onto a device: `firmware/` and `protocol/`, .mpy or .py."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("firmware", "protocol")
        for path in sorted((Path(folder) / part).rglob("*"))
        if path.suffix in (".mpy", ".py")
    }


def make(
    files: dict[str, bytes] | Path | str,
    key: bytes,
    *,
    version: str,
    counter: int,
    created_ms: int,
    expires_ms: int,
    ports: Iterable[str] = PORTS,
) -> bytes:
    """A signed package. files: path on the device -> content, or the folder that holds them.

    key: the private key (PEM). ConfigError with what to change, when a device would refuse it.
    """
    if not isinstance(files, dict):
        files = collect(files)
    names = sorted(files)
    head = [PURPOSE, sorted(ports), version, counter, created_ms, expires_ms, len(names)]
    entries = [[name, len(files[name]), hashlib.sha256(files[name]).digest()] for name in names]
    _check(head, entries)
    manifest = b"".join(cbor.dumps(item) for item in (head, *entries))
    if len(manifest) > MANIFEST_BYTES_MAX:
        raise ConfigError(f"a list of {len(names)} files is too long for a device: send fewer files")
    signature = _private(key).sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    contents = [files[name] for name in names]
    return b"".join([MAGIC, len(manifest).to_bytes(2, "big"), manifest, signature, *contents])


def read(data: bytes, public: bytes | None) -> Package:
    """What a package holds, everything checked but counter and expiry, which only a device can judge.

    public: the content of `update.pub`; None leaves the signature unchecked. ConfigError for anything wrong.
    """
    length = int.from_bytes(data[8:10], "big")
    signed, rest = data[10 : 10 + length], data[10 + length :]
    if data[:8] != MAGIC or not 1 <= length <= MANIFEST_BYTES_MAX or len(rest) < SIGNATURE_BYTES:
        raise ConfigError("this is no update package, or the beginning of one")
    if public is not None:
        try:
            rsa.RSAPublicNumbers(EXPONENT, int(public, 16)).public_key().verify(
                rest[:SIGNATURE_BYTES], signed, padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            raise ConfigError("the signature is wrong: signed with another key, or changed") from None
    head: Any = None
    try:
        head, at = cbor.item(signed, 0)
        entries = []
        while at < length:
            entry, at = cbor.item(signed, at)
            entries.append(entry)
    except ProtocolError as error:
        raise ConfigError(f"the manifest cannot be read: {error}") from None
    _check(head, entries)
    files, at = {}, SIGNATURE_BYTES
    for path, size, digest in entries:
        files[path] = rest[at : at + size]
        at += size
        if hashlib.sha256(files[path]).digest() != digest:
            raise ConfigError(f"{path} is not what was signed")
    if at != len(rest):
        raise ConfigError("there is something behind the last file")
    _, ports, version, counter, created_ms, expires_ms, _ = head
    return Package(tuple(ports), version, counter, created_ms, expires_ms, files)


def _private(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise ConfigError(
            "the key is no private key in PEM without a password: make one with keygen"
        ) from None
    if (
        not isinstance(key, rsa.RSAPrivateKey)
        or key.key_size != BITS
        or key.public_key().public_numbers().e != EXPONENT
    ):
        raise ConfigError(f"the key is not RSA of {BITS} bits with exponent {EXPONENT}: make one with keygen")
    return key


def _check(head: Any, entries: list) -> None:
    """The rules of the format, as the device applies them, and that the files can start."""
    if not (isinstance(head, list) and len(head) == 7 and head[0] == PURPOSE and isinstance(head[1], list)):
        raise ConfigError("what is signed is no update in this format")
    _, ports, version, counter, created_ms, expires_ms, count = head
    if not ports or not set(ports) <= set(PORTS):
        raise ConfigError(f"the ports are wrong: name some of {', '.join(PORTS)}")
    if (
        not isinstance(version, str)
        or not 1 <= len(version) <= VERSION_LETTERS_MAX
        or not version.isprintable()
    ):
        raise ConfigError(f"the version is a text of 1 to {VERSION_LETTERS_MAX} letters")
    for name, number in (("counter", counter), ("created", created_ms), ("expires", expires_ms)):
        if type(number) is not int or not 1 <= number <= COUNTER_MAX:
            raise ConfigError(f"{name} is a whole number from 1 to {COUNTER_MAX}")
    if created_ms >= expires_ms:
        raise ConfigError("it expires before it was created: choose a later end")
    before = ""
    for entry in entries:
        good = isinstance(entry, list) and [type(field) for field in entry] == [str, int, bytes]
        if not good or not PATH.fullmatch(entry[0]) or not 0 <= entry[1] <= SIZE_MAX or len(entry[2]) != 32:
            raise ConfigError(f"{entry[0] if good else entry} does not belong into a firmware")
        if entry[0] <= before:
            raise ConfigError(f"{entry[0]} is not in its place in the list")
        before = entry[0]
    if type(count) is not int or count != len(entries):
        raise ConfigError("the manifest does not list its files rightly")
    if not {path for path, _, _ in entries} & set(STARTS):
        raise ConfigError(f"no device can start this: {STARTS[0]} is missing")


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit status 0 done, 1 does not hold, 2 used wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.station.package", description="Signed firmware packages for station devices."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("keygen", help="make update.pem (keep it secret) and update.pub (for devices)")
    verb.add_argument("folder", type=Path)
    verb = verbs.add_parser("make", help="sign the firmware/ and protocol/ of a folder into one file")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--key", type=Path, required=True, help="the private key, update.pem")
    verb.add_argument("--version", required=True, help="what people call it: 0.2.0")
    verb.add_argument("--counter", type=int, required=True, help="above that of every package before it")
    verb.add_argument("--days", type=int, default=DAYS_VALID, help="valid for; default: %(default)s")
    verb.add_argument("--port", action="append", choices=PORTS, help="boards it is for; default: all")
    verb.add_argument("--out", type=Path, required=True, help="the package")
    verb = verbs.add_parser("show", help="check a package and say what is in it")
    verb.add_argument("package", type=Path)
    verb.add_argument("--public", type=Path, help="update.pub: check the signature, too")
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.verb == "keygen":
        private, public = keygen(options.folder)
        print(f"{private}: keep it secret and keep a copy. {public}: for every device.")
    elif options.verb == "make":
        now_ms = time.time_ns() // 1_000_000
        data = make(
            options.folder,
            options.key.read_bytes(),
            version=options.version,
            counter=options.counter,
            created_ms=now_ms,
            expires_ms=now_ms + options.days * DAY_MS,
            ports=options.port or PORTS,
        )
        options.out.write_bytes(data)
        print(f"{options.out}: {len(data):,} bytes")
    else:
        package = read(options.package.read_bytes(), options.public.read_bytes() if options.public else None)
        signed = "checked" if options.public else "NOT checked: give --public update.pub"
        until = time.strftime("%Y-%m-%d %H:%M", time.gmtime(package.expires_ms / 1000))
        print(f"version {package.version}, counter {package.counter}, for {', '.join(package.ports)}")
        print(f"expires {until} UTC, signature {signed}")
        for path, content in package.files.items():
            print(f"{len(content):10,} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
