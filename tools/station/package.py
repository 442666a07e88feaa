"""Update packages: make keys, sign a firmware into one file, check such a file, lay out a new device.

    python -m tools.station.package keygen FOLDER
    python -m tools.station.package make FOLDER --key update.pem --version 0.2.0 --counter 7 --out st.update
    python -m tools.station.package show st.update [--public update.pub]
    python -m tools.station.package layout st.update --public update.pub DIR

The format is drawn up in the header of `firmware/update.py`. What is written here is checked here by another
library (`cryptography`) than the ten lines on the device. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from protocol.errors import ConfigError

MAGIC = b"QTUPDATE"
PURPOSE = "quantrac update 1"
BITS, EXPONENT = 3072, 65537
SIGNATURE_BYTES = BITS // 8
MANIFEST_BYTES_MAX = 8192
PACKAGE_BYTES_MAX = 131_072  # what a full device keeps free for one, with some more (RESERVE in store.py)
COUNTER_MAX = 2**53 - 1
VERSION_LETTERS_MAX = 32
PORTS = ("esp32", "rp2", "unix")  # Board.name
DAYS_VALID = 90
DAY_MS = 86_400_000
KEY_FILE, PUBLIC_FILE = "update.pem", "update.pub"
PATH = re.compile(r"(?:firmware|protocol)(?:/[a-z0-9_]{1,40}){1,3}")
START = "firmware/app"
FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
NEVER_UPDATED = {"main.py": FIRMWARE / "first.py", "starter.py": FIRMWARE / "starter.py"}


@dataclass(frozen=True)
class Package:
    """What a package says of itself, and its files by path, with ".mpy". Times in Unix ms."""

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
    """The files of a firmware folder that go onto a device: the bytecode in `firmware/` and `protocol/`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("firmware", "protocol")
        for path in sorted((Path(folder) / part).rglob("*.mpy"))
    }


def make(
    files: dict[str, bytes] | Path | str,
    key: bytes | None,
    *,
    version: str,
    counter: int,
    created_ms: int,
    expires_ms: int,
    ports: Iterable[str] = PORTS,
) -> bytes:
    """A signed package. files: path on the device (.mpy) -> content, or the folder that holds them.

    key: the private key (PEM); None leaves the signature's place empty: no device takes that as an update,
    but the starter, which looks at the hash alone, starts it where it was laid out by cable.
    ConfigError with what to change, when a device would refuse it.
    """
    if not isinstance(files, dict):
        files = collect(files)
    for path, content in files.items():
        if not path.endswith(".mpy") or not content:
            raise ConfigError(f"{path} does not belong into a firmware: it holds bytecode, .mpy")
    paths = sorted(path.removesuffix(".mpy") for path in files)
    places, contents = [], b""
    for path in paths:
        places.append((path, len(contents)))
        contents += files[path + ".mpy"]
    package = Package(tuple(sorted(ports)), version, counter, created_ms, expires_ms, files)
    _check(package, places)
    lines = [
        PURPOSE,
        " ".join(package.ports),
        version,
        *(str(number) for number in (counter, created_ms, expires_ms)),
        f"{len(contents)} {hashlib.sha256(contents).hexdigest()}",
        *(f"{path} {at}" for path, at in places),
    ]
    manifest = "".join(line + "\n" for line in lines).encode()
    if len(manifest) > MANIFEST_BYTES_MAX:
        raise ConfigError(f"a list of {len(paths)} files is too long for a device: send fewer files")
    signature = bytes(SIGNATURE_BYTES)
    if key is not None:
        signature = _private(key).sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    made = b"".join([MAGIC, len(manifest).to_bytes(2, "big"), manifest, signature, contents])
    if len(made) > PACKAGE_BYTES_MAX:
        raise ConfigError(f"{len(made)} bytes are too many for a device: {PACKAGE_BYTES_MAX} at most")
    return made


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
    contents = rest[SIGNATURE_BYTES:]
    try:
        purpose, ports, version, counter, created_ms, expires_ms, whole, *lines, last = signed.decode().split(
            "\n"
        )
        size, digest = whole.split(" ")
        places = [(path, _number(at)) for path, at in (line.split(" ") for line in lines)]
        count, made, until, length = (_number(text) for text in (counter, created_ms, expires_ms, size))
    except ValueError:
        raise ConfigError("what is signed is no update in this format") from None
    if purpose != PURPOSE or last:
        raise ConfigError("what is signed is no update in this format")
    if len(contents) != length:
        raise ConfigError("there is something missing, or something behind the last file")
    if hashlib.sha256(contents).hexdigest() != digest:
        raise ConfigError("the contents are not what was signed")
    ends = [*(at for _, at in places[1:]), len(contents)]
    files = {f"{path}.mpy": contents[at:end] for (path, at), end in zip(places, ends, strict=False)}
    package = Package(tuple(ports.split(" ")), version, count, made, until, files)
    _check(package, places)
    return package


def layout(data: bytes, public: bytes) -> dict[str, bytes]:
    """The files of the firmware on a new device, by path: what starts it, this package as its slot, the key.

    data: a package; public: the content of `update.pub`, whose private half signed it. What the device is and
    what it measures comes from `build.files()`. ConfigError for a package that is not right.
    """
    package = read(data, public)
    state = {
        "slot": "a",
        "old": None,
        "version": package.version,
        "counter": package.counter,
        "highest": package.counter,
        "trying": False,
        "tries": 0,
    }
    return {
        **{name: path.read_bytes() for name, path in NEVER_UPDATED.items()},
        "a.pkg": data,
        "slot": json.dumps(state).encode(),
        PUBLIC_FILE: public,
    }


def _number(text: str) -> int:
    number = int(text)
    if str(number) != text or number < 0:
        raise ValueError(text)
    return number


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


def _check(package: Package, places: list[tuple[str, int]]) -> None:
    """The rules of the format, as the device applies them, and that the files can start."""
    if not package.ports or not set(package.ports) <= set(PORTS):
        raise ConfigError(f"the ports are wrong: name some of {', '.join(PORTS)}")
    if not 1 <= len(package.version) <= VERSION_LETTERS_MAX or not package.version.isprintable():
        raise ConfigError(f"the version is a text of 1 to {VERSION_LETTERS_MAX} letters")
    for name, number in (
        ("counter", package.counter),
        ("created", package.created_ms),
        ("expires", package.expires_ms),
    ):
        if type(number) is not int or not 1 <= number <= COUNTER_MAX:
            raise ConfigError(f"{name} is a whole number from 1 to {COUNTER_MAX}")
    if package.created_ms >= package.expires_ms:
        raise ConfigError("it expires before it was created: choose a later end")
    before, was = "", -1
    for path, at in places:
        if not PATH.fullmatch(path):
            raise ConfigError(f"{path} does not belong into a firmware")
        if path <= before or at <= was or (was < 0 and at):
            raise ConfigError(f"{path} is not in its place in the list")
        before, was = path, at
    if START not in dict(places):
        raise ConfigError(f"no device can start this: {START}.mpy is missing")


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit status 0 done, 1 does not hold, 2 used wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.station.package", description="Signed firmware packages for station devices."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("keygen", help="make update.pem (keep it secret) and update.pub (for devices)")
    verb.add_argument("folder", type=Path)
    verb = verbs.add_parser(
        "make", help="sign the bytecode in a folder into one file (tools.station.bytecode)"
    )
    verb.add_argument("folder", type=Path)
    verb.add_argument("--key", type=Path, required=True, help="the private key, update.pem")
    verb.add_argument("--version", required=True, help="what people call it: 0.2.0")
    verb.add_argument("--counter", type=int, required=True, help="above that of every package before it")
    verb.add_argument("--days", type=int, default=DAYS_VALID, help="valid for; default: %(default)s")
    verb.add_argument("--port", action="append", choices=PORTS, help="boards it is for; default: all")
    verb.add_argument("--out", type=Path, required=True, help="the package")
    verb = verbs.add_parser("layout", help="write the firmware of a new device: starter, slot a, key")
    verb.add_argument("package", type=Path)
    verb.add_argument("--public", type=Path, required=True, help="update.pub")
    verb.add_argument("folder", type=Path, help="the device's directory")
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
    elif options.verb == "layout":
        for name, content in layout(options.package.read_bytes(), options.public.read_bytes()).items():
            (options.folder / name).write_bytes(content)
            print(f"{options.folder / name}: {len(content):,} bytes")
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
