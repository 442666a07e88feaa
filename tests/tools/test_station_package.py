"""Keys and packages for people: what is made can be read back, and what a device would refuse is not made."""

import json
import os
import stat

import pytest

from firmware import starter
from protocol.errors import ConfigError
from tests.firmware import update_rig as rig
from tools.station import package

CODE = b"x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("keys")
    package.keygen(made)
    return made


def test_keys_are_made_once_and_the_private_one_is_for_its_owner(folder):
    private, public = folder / "update.pem", folder / "update.pub"
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o600
    text = public.read_text().strip()
    assert len(text) == 768 and int(text, 16).bit_length() == 3072
    assert package.public_text(private.read_bytes()) == public.read_bytes()
    before = private.read_bytes()
    with pytest.raises(FileExistsError):
        package.keygen(folder)
    assert private.read_bytes() == before


def test_what_is_made_reads_back_and_is_the_same_every_time(tmp_path):
    files = rig.firmware("new")
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "firmware" / "README.md").write_text("not for a device")
    (tmp_path / "firmware" / "app.py").write_text("nor this: its bytecode is there")
    (tmp_path / "link.key").write_text("nor this")
    data = rig.make(tmp_path)
    assert data == rig.make(tmp_path) == rig.make(files)
    read = package.read(data, package.public_text(rig.key(0)))
    assert read == package.Package(("unix",), "0.2.0", 5, rig.T, rig.T + 86_400_000, files)
    assert package.read(data, None) == read


def test_a_changed_package_is_found_at_every_byte():
    data, public = rig.make(), package.public_text(rig.key(0))
    for at in range(len(data)):
        with pytest.raises(ConfigError):
            package.read(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :], public)
    for length in range(0, len(data), 7):
        with pytest.raises(ConfigError):
            package.read(data[:length], public)
    with pytest.raises(ConfigError, match="behind"):
        package.read(data + b"\0", public)
    with pytest.raises(ConfigError, match="signature"):
        package.read(data, package.public_text(rig.key(1)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"version": ""}, "version"),
        ({"version": "x" * 33}, "version"),
        ({"version": "a\nb"}, "version"),
        ({"counter": 0}, "counter"),
        ({"counter": 2**53}, "counter"),
        ({"expires_ms": rig.T}, "expires"),
        ({"ports": []}, "ports"),
        ({"ports": ["stm32"]}, "ports"),
        ({"ports": ["un ix"]}, "ports"),
        ({"files": {}}, "firmware/app.mpy is missing"),
        ({"files": {"firmware/other.mpy": CODE}}, "firmware/app.mpy is missing"),
        ({"files": {"firmware/app.py": CODE}}, "does not belong"),
        ({"files": {"firmware/app.mpy": b""}}, "does not belong"),
        ({"files": {"firmware/app.mpy": CODE, "../main.mpy": CODE}}, "does not belong"),
        ({"files": {"firmware/app.mpy": CODE, "main.mpy": CODE}}, "does not belong"),
        ({"files": {"firmware/app.mpy": CODE, "firmware/a b.mpy": CODE}}, "does not belong"),
        ({"files": {"firmware/app.mpy": bytes(131_072)}}, "too many"),
        ({"files": {f"firmware/{name}.mpy": CODE for name in ("app", *map(str, range(500)))}}, "too long"),
        ({"key": b"nonsense"}, "private key"),
    ],
)
def test_what_a_device_would_refuse_is_not_made(given, said):
    with pytest.raises(ConfigError, match=said):
        rig.make(**given)


def test_only_keys_of_3072_bits(tmp_path):
    short = rig.rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        rig.serialization.Encoding.PEM,
        rig.serialization.PrivateFormat.PKCS8,
        rig.serialization.NoEncryption(),
    )
    with pytest.raises(ConfigError, match="3072"):
        rig.make(key=short)


def test_the_command_line(folder, tmp_path, capsys):
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "app.mpy").write_text("a firmware\n")
    out = tmp_path / "st.update"
    words = [str(tmp_path), "--key", str(folder / "update.pem"), "--version", "1.0", "--counter", "3"]
    assert package.main(["make", *words, "--port", "rp2", "--out", str(out)]) == 0
    assert package.main(["show", str(out), "--public", str(folder / "update.pub")]) == 0
    text = capsys.readouterr().out
    assert (
        "version 1.0, counter 3, for rp2" in text
        and "signature checked" in text
        and "firmware/app.mpy" in text
    )
    device = tmp_path / "device"
    device.mkdir()
    public = ["--public", str(folder / "update.pub")]
    assert package.main(["layout", str(out), *public, str(device)]) == 0
    assert {path.name for path in device.iterdir()} == {
        "main.py",
        "starter.py",
        "a.pkg",
        "slot",
        "update.pub",
    }
    assert starter.choose(f"{device}/") == "a" and str(device / "a.pkg") in capsys.readouterr().out
    out.write_bytes(out.read_bytes()[:-1])
    assert package.main(["show", str(out)]) == 1
    assert package.main(["keygen", str(folder)]) == 1
    assert package.main(["layout", str(out), *public, str(device)]) == 1
    assert "there is something missing" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        package.main(["--help"])
    assert left.value.code == 0 and "keygen" in capsys.readouterr().out


def test_a_new_device_is_started_confirmed_and_takes_the_next_package():
    data, public = rig.make(counter=7, version="1.0"), package.public_text(rig.key(0))
    files = package.layout(data, public)
    assert files["a.pkg"] == data and files["update.pub"] == public
    assert files["starter.py"] == (package.FIRMWARE / "starter.py").read_bytes()
    state = json.loads(files["slot"])
    assert (state["slot"], state["version"], state["highest"], state["trying"]) == ("a", "1.0", 7, False)
    for wrong in (data[:-1], rig.make(key=rig.key(1))):
        with pytest.raises(ConfigError):
            package.layout(wrong, public)


def test_nothing_secret_is_in_a_package(folder):
    data = rig.make(key=(folder / "update.pem").read_bytes())
    numbers = rig.serialization.load_pem_private_key(
        (folder / "update.pem").read_bytes(), None
    ).private_numbers()
    for secret in (numbers.d, numbers.p, numbers.q):
        assert secret.to_bytes((secret.bit_length() + 7) // 8, "big") not in data
