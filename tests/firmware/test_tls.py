"""A TLS link: the certificate is really checked, on both runtimes, and nothing blocks while it is."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.firmware.bench import ROOT, RUNTIMES
from tests.protocol.test_runtimes import HEAP, interpreter

NAME = "gateway.station"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
# Opens the link, counts how often another task had its turn meanwhile, echoes, and prints what came of it.
DEVICE = """
import asyncio, json, sys
from firmware.boards.unix import Board

async def main():
    board = Board(sys.argv[1])
    link = json.loads(sys.argv[2])
    turns = [0]

    async def other():
        while True:
            turns[0] += 1
            await board.sleep_ms(5)

    task = asyncio.create_task(other())
    came = b""
    kind = error = ""
    try:
        stream = await board.open_link(link)
        while turns[0] < 4:
            await board.sleep_ms(5)
        if await stream.read(1, 50) not in (b"", b"\\0"):  # the byte of the handshake comes back
            raise OSError("what is this?")
        for n in (1, 500, 1024):
            sent = bytes([n & 255]) * n
            await stream.write(sent)
            came = b""
            while len(came) < n:
                data = await stream.read(100, 5000)
                if not data:
                    raise OSError("no echo")
                came += data
            assert came == sent, n
        assert await stream.read(10, 30) == b""
        stream.close()
        try:
            await stream.read(1)
            kind = "read after close"
        except OSError:
            kind = "open"
    except Exception as fault:
        kind, error = type(fault).__name__, str(fault)
        for _ in range(3):
            await board.sleep_ms(5)
    task.cancel()
    print(json.dumps({"came": kind, "error": error, "turns": turns[0], "bytes": len(came)}))

asyncio.run(main())
"""


def _certificate(
    subject: str, key, issuer=None, issuer_key=None, names=(), end=NOW + 30 * DAY, start=NOW - DAY
):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer_key or key).public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                issuer is not None, False, False, False, False, issuer is None, issuer is None, False, False
            ),
            critical=True,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def _pem(certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A certificate authority; server(...) writes the chain and key of a server that it vouches for."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _certificate(name, self._key)
        self.pem = _pem(self.certificate)

    def server(self, path: Path, kind: str = "ec", name: str = NAME, **dates) -> ssl.SSLContext:
        key = (
            ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        )
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = _certificate("server", key, self.certificate, self._key, names, **dates)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(_pem(certificate) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


async def _echo(reader, writer) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(4096):
            writer.write(data)
    writer.close()


async def _device(runtime: str, directory: Path, link: dict, root: Path = ROOT) -> dict:
    program = directory.parent / "device.py"
    program.write_text(DEVICE)
    directory.mkdir(exist_ok=True)
    command = [sys.executable] if runtime == "cpython" else [interpreter(), "-X", f"heapsize={HEAP}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        str(program),
        str(directory),
        json.dumps({"kind": "tls", "host": "127.0.0.1", "ca": "ca.pem", **link}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "MICROPYPATH": f"{root}:.frozen", "PYTHONPATH": str(root)},
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return json.loads(out.splitlines()[-1])


async def _meet(tmp_path, runtime: str, context, ca: bytes, root: Path = ROOT, **link) -> dict:
    (tmp_path / "dir").mkdir(exist_ok=True)
    (tmp_path / "dir" / "ca.pem").write_bytes(ca)
    server = await asyncio.start_server(_echo, "127.0.0.1", 0, ssl=context)
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: None
    )  # handshakes that fail are ours
    port = server.sockets[0].getsockname()[1]
    try:
        return await _device(runtime, tmp_path / "dir", {"port": port, "name": NAME, **link}, root)
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_gateway_with_a_good_certificate_is_spoken_to(tmp_path, runtime, kind):
    ours = Authority("ours")
    context = ours.server(tmp_path / "server.pem", kind)
    got = asyncio.run(_meet(tmp_path, runtime, context, ours.pem))
    assert got["came"] == "open" and got["bytes"] == 1024, got


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_a_name_the_address_must_be_in_the_certificate(tmp_path, runtime):
    ours = Authority("ours")
    context = ours.server(tmp_path / "server.pem")
    assert asyncio.run(_meet(tmp_path, runtime, context, ours.pem, name=None))["came"] == "open"


@pytest.mark.parametrize(
    "fault",
    ["other authority", "same name, other authority", "wrong name", "expired", "not yet valid", "no TLS"],
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_any_other_gateway_is_refused_with_an_os_error(tmp_path, runtime, fault):
    ours = Authority("ours")
    path = tmp_path / "server.pem"
    context, link = ours.server(path), {}
    if fault == "other authority":
        context = Authority("theirs").server(path)
    elif fault == "same name, other authority":
        context = Authority("ours").server(path)
    elif fault == "wrong name":
        link = {"name": "gateway.elsewhere"}
    elif fault == "expired":
        context = ours.server(path, start=NOW - 10 * DAY, end=NOW - DAY)
    elif fault == "not yet valid":
        context = ours.server(path, start=NOW + DAY)
    else:
        context = None
    got = asyncio.run(_meet(tmp_path, runtime, context, ours.pem, **link))
    assert got["came"] in ("OSError", "SSLCertVerificationError", "SSLError", "ConnectionResetError"), got
    assert got["bytes"] == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pinned_file_that_is_no_certificate_is_refused(tmp_path, runtime):
    context = Authority("ours").server(tmp_path / "server.pem")
    got = asyncio.run(_meet(tmp_path, runtime, context, b"nothing of the sort"))
    assert got["came"] in ("OSError", "SSLError"), got


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_others_have_their_turn_while_a_gateway_thinks(tmp_path, runtime):
    """A server that takes the greeting and says nothing for a second."""

    async def main():
        async def silent(reader, writer):
            await reader.read(4096)
            await asyncio.sleep(1)
            writer.close()

        (tmp_path / "dir").mkdir()
        (tmp_path / "dir" / "ca.pem").write_bytes(Authority("ours").pem)
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        got = await _device(runtime, tmp_path / "dir", {"port": port, "name": NAME})
        server.close()
        return got

    got = asyncio.run(main())
    assert got["came"] not in ("open", "ValueError") and got["turns"] > 20, got


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_control_without_the_check_a_stranger_is_let_in(tmp_path, runtime):
    """The test above must see it when the check is taken out: the same meeting, a broken device."""
    broken = tmp_path / "broken"
    shutil.copytree(ROOT / "firmware", broken / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "protocol", broken / "protocol", ignore=shutil.ignore_patterns("__pycache__"))
    name, good, bad = {
        "micropython": ("tls.py", "tls.CERT_REQUIRED", "tls.CERT_NONE"),
        "cpython": (
            "tls_cpython.py",
            "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)",
            "ssl._create_unverified_context()",
        ),
    }[runtime]
    path = broken / "firmware" / "boards" / name
    text = path.read_text()
    assert good in text
    path.write_text(text.replace(good, bad))
    stranger = Authority("theirs").server(tmp_path / "server.pem")
    got = asyncio.run(_meet(tmp_path, runtime, stranger, Authority("ours").pem, root=broken))
    assert got["came"] == "open", got
