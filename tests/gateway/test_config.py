"""Configuration: the sample loads; every fault is found at once, on its line, with what to write instead."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway import config_model
from gateway.config import ConfigFaults, load, read
from gateway.config_lines import line_of, lines
from gateway.config_links import (
    BAUDS,
    LinkFault,
    ModbusRtu,
    ModbusTcp,
    SerialLink,
    TcpListen,
    bus_link,
    device_link,
)
from protocol.note import COSIGNATURE, Signer
from tests.gateway.configured import SAMPLE, WITNESS, written


def faults_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigFaults) as caught:
        load(written(folder, text))
    return [str(fault) for fault in caught.value.faults]


def test_the_sample_loads(tmp_path):
    path = written(tmp_path, SAMPLE)
    config = load(path)
    assert config.station.name == "Trạm quan trắc nước thải"
    assert config.gateway.state_dir == tmp_path / "gateway"
    assert (config.gateway.grace_s, config.gateway.label) == (120, "end")
    assert (config.gateway.web.host, config.gateway.web.port) == ("127.0.0.1", 8080)
    assert config.device[0].link == SerialLink("/dev/ttyACM0", 115200, "N", 1)
    assert config.device[0].key_file == tmp_path / "gateway/keys/st-01.link"
    assert config.bus[0].link == ModbusTcp("127.0.0.1", 5020)
    assert config.bus[0].gap_registers == 8
    cod, flow = config.channel
    assert (cod.source.device, cod.source.quantity) == ("st-01", "cod")
    assert (cod.limits.max, cod.limits.basis) == (75.0, "QCVN 40:2011 A")
    assert (flow.source.bus, flow.source.register, flow.source.type) == ("tank", 0, "float32")
    assert flow.plausible == (0.0, 500.0)
    province = config.destination[0]
    assert (province.kind, province.port, province.send) == ("sftp", 2222, ("windows",))
    assert province.layout == "{station}/{yyyy}/{MM}/{dd}"
    assert config.witness[0].vkey_file == tmp_path / "gateway/keys/witness.vkey"
    assert config.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://127.0.0.1:8099/", "http://127.0.0.1:8099"),
        ("https://witness.example.org/quan-trac/v1/", "https://witness.example.org/quan-trac/v1"),
        ("http://[::1]:8099", "http://[::1]:8099"),
    ],
)
def test_the_address_of_a_witness(tmp_path, url, kept):
    assert load(written(tmp_path, SAMPLE.replace("http://127.0.0.1:8099", url))).witness[0].url == kept


def test_the_vkey_of_a_witness_is_one_of_a_witness_and_of_each_once(tmp_path):
    path = written(tmp_path, SAMPLE)
    vkey = tmp_path / "gateway/keys/witness.vkey"
    private = Ed25519PrivateKey.generate()
    for text, said in [
        (Signer("log.example", private).verifier.vkey, "it is of a log, not of a witness."),
        (Signer("w" * 101, private, COSIGNATURE).verifier.vkey, "its name is longer than 100 characters"),
        (Signer("w\u009b31m", private, COSIGNATURE).verifier.vkey, "or not printable."),
        (WITNESS.verifier.vkey.replace("w1+", "w2+"), "the verifier key is damaged"),
        ("\udcff", "it is not text."),
    ]:
        vkey.write_bytes(text.encode("utf-8", "surrogateescape"))
        (fault,) = map(str, read(path)[1])
        assert said in fault and "\u009b" not in fault
    vkey.write_text(WITNESS.verifier.vkey + "\n")
    path.write_text(SAMPLE + '[[witness]]\nurl = "http://h"\nvkey_file = "gateway/keys/witness.vkey"\n')
    (fault,) = map(str, read(path)[1])
    assert "witness[1].vkey_file: This is witness[0] already, by key or name." in fault


def test_relative_paths_start_at_the_file_even_when_the_path_given_is_relative(tmp_path, monkeypatch):
    written(tmp_path, SAMPLE)
    monkeypatch.chdir(tmp_path)
    assert load("config.toml").gateway.state_dir == tmp_path / "gateway"


# One fault at a time: (what is changed, what it becomes, what the fault must say).
ONE_FAULT = [
    ('"LCa"', '"L_a"', "config.toml:3: station.province: The code 'L_a' would break the file name."),
    ('"NUO001"', '"NUO 01"', "station.code: The code 'NUO 01' would break the file name."),
    ('"LCa"', "5", "A code is text in quotes."),
    ('"wastewater"   ', '"waste"', "Write one of: 'wastewater', 'stack',"),
    ('timezone = "Asia/Ho_Chi_Minh"', 'timezone = "Asia/Tokyo"', "Write one of: 'Asia/Ho_Chi_Minh'."),
    ('name = "Trạm quan trắc nước thải"', "", "config.toml:2: station.name: 'name' is missing. Write name ="),
    ("window_minutes = 5", "window_minutes = 7", "7 is not possible here. Write one of: 1, 2, 3, 4, 5,"),
    (
        "valid_share_min = 0.75",
        "valid_share_min = 1.5",
        "1.5 is out of range. Write valid_share_min = 0.75 (0 to 1",
    ),
    ("valid_share_min = 0.75", "valid_share_min = nan", "not a finite number"),
    (
        "retention_days = 400",
        "retention_days = 59",
        "59 is out of range. Write retention_days = 400 (60 to 36,500 days)",
    ),
    ("retention_days = 400", "retention_days = 1e3", "1000.0 is not a whole number."),
    ("retention_days = 400", 'retention_days = "400"', '"400" is not a whole number.'),
    ("retention_days = 400", "retention_days = true", "true is not a whole number."),
    (
        "retention_days = 400",
        "retention_day = 400",
        "There is no setting 'retention_day' here. Did you mean 'retention_days'?",
    ),
    ("retention_days = 400", 'label = "middle"', "Write one of: 'end', 'start'."),
    ("port = 8080", "port = 0", "config.toml:15: gateway.web.port: 0 is out of range."),
    ("[gateway]", "[gatway]", "There is no setting 'gatway' here. Did you mean 'gateway'?"),
    ("baud=115200", "baud=115", "'115' is not a baud rate."),
    ("serial:/dev", "usb:/dev", "A device link cannot begin with 'usb:'."),
    ("modbus-tcp://127.0.0.1:5020", "modbus-tcp://127.0.0.1:99999", "'99999' is not a port."),
    ('"st-01"\nlink', '"st 01"\nlink', "is not usable as an id."),
    ("timeout_ms = 500", "timeout_ms = 1", "(10 to 60,000 ms)"),
    ('symbol = "COD"', 'symbol = "C OD"', "its receiver splits lines at white space."),
    ('symbol = "COD"', 'symbol = ""', "The symbol is empty."),
    ('symbol = "COD"', 'symbol = "\\uFEFFCOD"', "its receiver splits lines at white space."),
    ('unit = "mg/l"', 'unit = "mg /l"', "its receiver splits lines at white space."),
    (
        'symbol = "Flow"',
        'symbol = "COD"',
        "'COD' is already the symbol of channel[0]. Give each channel its own symbol.",
    ),
    ("decimals = 4", "decimals = 12", "(0 to 9 digits)"),
    ('device = "st-01", q', 'device = "st-02", q', "There is no device 'st-02'."),
    ('bus = "tank"', 'bus = "tonk"', "or use one that exists: tank."),
    (
        'bus = "tank", unit',
        'bus = "tank", device = "st-01", unit',
        "A source names either a device or a bus.",
    ),
    ("register = 0", "register = 65536", "65536 is out of range. Write register = 0 (0 to 65,535 (address))"),
    ("register = 0", "register = 65535", "A float32 at register 65535 ends behind the last register"),
    ("register = 0,", "", "'register' is missing."),
    ("unit = 1,", "unit = 256,", "(0 to 255 (Modbus unit))"),
    ('table = "holding"', 'table = "holdings"', "Write one of: 'coil', 'discrete', 'input', 'holding'."),
    ('table = "holding"', 'table = "coil"', "A coil is one bit, not a float32."),
    ("poll_ms = 1000", "poll_ms = 1000, phase_ms = 1000", "Write a number from 0 to 999 ms."),
    ("[0.0, 500.0]", "[500.0, 0.0]", "The range [500, 0] is reversed or empty."),
    ("[0.0, 500.0]", "[0.0]", "A range is a list of two numbers."),
    ("max = 75.0,", "max = 75.0, min = 80,", "The lower limit 80 is not below the upper limit 75."),
    ('kind = "sftp"', 'kind = "fax"', '"fax" is not a kind of destination.'),
    ('kind = "sftp"', "", "'kind' is missing."),
    ("port = 2222", "port = 65536", "65536 is out of range."),
    ("{station}/{yyyy}/{MM}/{dd}", "{station}/{year}", "A layout knows no placeholder {year}."),
    ("{station}/{yyyy}/{MM}/{dd}", "../{station}", "without '..'"),
    ("{station}/{yyyy}/{MM}/{dd}", "defualt", "'defualt' is neither a preset nor a template."),
    ("{station}/{yyyy}/{MM}/{dd}", "{station", "has no partner"),
    ('host_key_file = "gateway/keys/province.hostkey"', "", "'host_key_file' is missing."),
    (
        'password_file = "gateway/keys/province.password"',
        "",
        "There is neither a password_file nor a key_file.",
    ),
    (
        'user = "station"',
        'user = "station"\nkey_file = "gateway/keys/st-01.link"',
        "both a password_file and a key_file",
    ),
    (
        "province.password",
        "absent.password",
        "cannot be read: No such file or directory. Put the file there (mode 0600)",
    ),
    ("keys/st-01.link", "keys/province.password", "does not hold 32 bytes in hex"),
    ("keys/st-01.link", "keys", "is not a file."),
    (
        'send = ["windows"]',
        'send = ["window"]',
        "'window' is not something to send. Write a list of windows,",
    ),
    ('send = ["windows"]', 'send = ["readings"]', "Readings have no file format."),
    ('send = ["windows"]', 'send = "windows"', "What to send is a list of words."),
    ('url = "http', 'url = "ftp', "witness[0].url: 'ftp://127.0.0.1:8099' is not an address of a witness."),
    ("127.0.0.1:8099", "me@127.0.0.1:8099", "is not an address of a witness."),
    ("127.0.0.1:8099", "127.0.0.1:80990", "is not an address of a witness."),
    ("127.0.0.1:8099", "127.0.0.1:8099/?log=1", "is not an address of a witness."),
    ("keys/witness.vkey", "keys/absent.vkey", "Put the file there that the witness's operator gave you"),
    ("keys/witness.vkey", "keys/st-01.link", "holds no vkey of a witness: a verifier key is <name>+<8 hex"),
]


@pytest.mark.parametrize(("old", "new", "said"), ONE_FAULT)
def test_one_fault_is_one_sentence(tmp_path, old, new, said):
    assert old in SAMPLE
    found = faults_of(tmp_path, SAMPLE.replace(old, new, 1))
    assert any(said in fault for fault in found), found
    line = SAMPLE[: SAMPLE.index(old)].count("\n") + 1
    near = [fault for fault in found if said in fault]
    at = int(near[0].split("config.toml:")[1].split(":")[0])
    head = max(i for i, text in enumerate(SAMPLE.split("\n")[:line], 1) if text.startswith("[") or i == 1)
    assert at in range(head, line + 4), (at, line, near)  # its own line, or the head of its table


def test_all_faults_at_once(tmp_path):
    text = SAMPLE
    for old, new in [
        ('"LCa"', '"L Ca"'),
        ("retention_days = 400", "retention_days = 30"),
        ('symbol = "Flow"', 'symbol = "COD"'),
        ("[0.0, 500.0]", "[5.0, 1.0]"),
        ("port = 2222", "port = 70000"),
        ('device = "st-01", q', 'device = "other", q'),
    ]:
        text = text.replace(old, new, 1)
    found = faults_of(tmp_path, text + "\n[surprise]\n")
    assert len(found) == 7
    at = [int(fault.split("config.toml:")[1].split(":")[0]) for fault in found]
    assert at == sorted(at)
    assert all(fault.rstrip().endswith(".") for fault in found)


def test_secrets_readable_by_others_are_refused(tmp_path):
    path = written(tmp_path, SAMPLE)
    secret = tmp_path / "gateway/keys/province.password"
    secret.chmod(0o640)
    _, found = read(path)
    assert [fault.what for fault in found] == [f"The secret in {secret} can be read by others."]
    assert found[0].instead == f"Run: chmod 600 '{secret}'"


def test_two_owners_of_one_port(tmp_path):
    more = '[[bus]]\nid = "b2"\nlink = "modbus-rtu:/dev/ttyACM0"\n'
    assert (
        "The serial port /dev/ttyACM0 belongs to device[0] already." in faults_of(tmp_path, SAMPLE + more)[0]
    )


MQTT = '[[destination]]\nid = "n"\nkind = "mqtt"\nhost = "h"\n'


def test_mqtt_settings(tmp_path):
    made = load(written(tmp_path, SAMPLE + MQTT + 'send = ["windows", "readings"]\n')).destination[1]
    assert (made.port, made.tls, made.topic_prefix, made.in_flight_max) == (1883, False, "quantrac", 64)
    for more, said in [
        ('user = "u"\n', "user and password_file belong together."),
        ('ca_file = "gateway/keys/st-01.link"\n', "ca_file has no meaning without TLS."),
        ('topic_prefix = "a/#"\n', "cannot begin a topic."),
        ('client_id = "a\\u0007"\n', "of the right form"),
        ("in_flight_max = 0\n", "(1 to 1,000 messages)"),
    ]:
        assert said in faults_of(tmp_path, SAMPLE + MQTT + more)[0]


FTP = '[[destination]]\nid = "f"\nkind = "ftps"\nhost = "h"\nuser = "u"\n'
FTP += 'password_file = "gateway/keys/province.password"\n'


def test_ftp_settings(tmp_path):
    ftps = load(written(tmp_path, SAMPLE + FTP)).destination[1]
    assert (ftps.port, ftps.tls, ftps.passive, ftps.path, ftps.ca_file) == (21, "explicit", True, "", None)
    ftp = load(written(tmp_path, SAMPLE + FTP.replace("ftps", "ftp") + "passive = false\n")).destination[1]
    assert (ftp.kind, ftp.port, ftp.passive) == ("ftp", 21, False)
    own = 'cert_file = "gateway/keys/province.password"\n'
    for text, said in [
        (FTP.replace("password_file", "# "), "'password_file' is missing."),
        (FTP + 'tls = "always"\n', "Write one of: 'explicit', 'implicit'."),
        (FTP.replace("ftps", "ftp") + 'tls = "explicit"\n', "There is no setting 'tls' here."),
        (FTP + 'ca_file = "absent.ca"\n', "cannot be read"),
        (FTP + 'send = ["readings"]\n', "Readings have no file format."),
        (FTP + own, "cert_file and key_file belong together."),
        (FTP + own + 'key_file = "gateway/keys/st-01.link"\n', "are not a certificate and its key."),
        (FTP + 'user = "a\\nDELE b"\n'.replace("user", "path"), "of the right form"),
    ]:
        assert said in faults_of(tmp_path, SAMPLE + text)[0], text


NOT_TOML = [
    b"[station",
    b"a = ",
    b"a = 1\na = 2",
    b"\xff\xfe",
    b"a = '\x00'",
    b"x = " + b"[" * 100_000,
    b"x = 1" + b"0" * 5000,
    b"a" * 1_000_001,
]


@pytest.mark.parametrize("data", NOT_TOML, ids=range(len(NOT_TOML)))
def test_what_is_not_toml_is_one_sentence(tmp_path, data):
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    config, found = read(path)
    assert config is None
    assert len(found) >= 1 and found[0].what and found[0].instead


def test_the_line_of_a_syntax_error_is_named(tmp_path):
    found = faults_of(tmp_path, SAMPLE.replace('symbol = "COD"', "symbol = COD"))
    assert found[0].startswith(f"{tmp_path}/config.toml:29: This is not TOML: Invalid value.")


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "absent", tmp_path, Path("a\0b"), tmp_path / ("x" * 300), Path("/proc/self/mem")):
        config, found = read(path)
        assert config is None and len(found) == 1 and found[0].instead


def test_an_empty_file_says_what_is_missing(tmp_path):
    found = faults_of(tmp_path, "")
    assert any("'province' is missing." in fault for fault in found)
    assert any("nothing to measure" in fault for fault in found)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted({*config_model.SINGLE, *config_model.ARRAYS})


def toml_of(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return (
            '"' + "".join(f"\\U{ord(c):08x}" if not 0xD800 <= ord(c) < 0xE000 else "?" for c in value) + '"'
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_of(k)} = {toml_of(v)}" for k, v in value.items()) + "}"
    return "0" if value is None else repr(value).replace("e+", "e")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_values_of_the_wrong_kind_raise_anything_but_faults(tmp_path, data):
    """Random values in the place of sections and settings: faults or a configuration, nothing else."""
    table = tomllib.loads(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        target = table
        key = data.draw(st.sampled_from(KEYS))
        while data.draw(st.booleans()):
            inner = target.get(key) if isinstance(target, dict) else None
            if isinstance(inner, list) and inner and isinstance(inner[0], dict):
                inner = inner[0]
            if not isinstance(inner, dict) or not inner:
                break
            target, key = inner, data.draw(st.sampled_from(sorted(inner)))
        if isinstance(target, dict):
            target[key] = data.draw(VALUES)
    path = written(tmp_path, "\n".join(f"{toml_of(key)} = {toml_of(value)}" for key, value in table.items()))
    config, found = read(path)
    assert (config is None) == bool(found)
    assert all(fault.what and fault.where.startswith(str(path)) for fault in found)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@example(b"\xef\xbb\xbf")
def test_no_bytes_raise_anything_but_faults(tmp_path, data):
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    config, found = read(path)
    assert config is None and found


@given(
    st.text(max_size=40)
    | st.builds("{}:{}".format, st.sampled_from(["serial", "tcp-listen", "modbus-tcp"]), st.text())
)
def test_links_are_parsed_or_refused(text):
    for parse in (device_link, bus_link):
        try:
            link = parse(text)
        except LinkFault as fault:
            assert fault.what and fault.instead
        else:
            assert getattr(link, "baud", 9600) in BAUDS and 1 <= getattr(link, "port", 1) <= 65535


def test_links():
    assert device_link("tcp-listen://[::1]:7311") == TcpListen("::1", 7311)
    assert bus_link("modbus-tcp://gate.example") == ModbusTcp("gate.example", 502)
    assert bus_link("modbus-rtu:/dev/ttyUSB0?baud=19200&parity=E&stopbits=2") == ModbusRtu(
        "/dev/ttyUSB0", 19200, "E", 2
    )
    assert bus_link("modbus-rtu:/dev/ttyUSB0").baud == 9600


def test_every_setting_is_described_and_limited():
    """A setting has a sentence; a number has a unit and both limits."""

    def sections(model):
        yield model
        for other in model.__subclasses__():
            yield from sections(other)

    counted = 0
    for section in sections(config_model.Section):
        if section is config_model.Config:
            continue
        for name, field in section.model_fields.items():
            assert field.description, (section, name)
            kinds = {field.annotation, *getattr(field.annotation, "__args__", ())}
            if kinds & {int, float}:
                assert field.json_schema_extra["unit"], (section, name)
                assert any(hasattr(item, "ge") for item in field.metadata), (section, name)
                assert any(hasattr(item, "le") for item in field.metadata), (section, name)
            counted += 1
    assert counted > 60
    assert issubclass(config_model.Section, BaseModel)


TOML = r'''# comment [x]
a = 1
"b.c" = """
[not.a.table]
k = 2 \"""
"""
list = [
  1, # ] comment
  "]", '[',
]
[t]
x.y = 5
[[arr]]
n = { p = "}", q = 1 }
[arr.sub]
z = 'it[' # [
[[arr]]
n = 2
[[arr.deep]]
v = 1
[[arr.deep]]
v = 2
'''


def test_lines_follow_tables_strings_and_brackets():
    assert tomllib.loads(TOML)["arr"][1]["deep"][1]["v"] == 2
    found = lines(TOML)
    at = {place: line_of(found, place) for place in [
        ("a",), ("b.c",), ("list", 1), ("t", "x", "y"), ("arr", 0, "n", "q"), ("arr", 0, "sub", "z"),
        ("arr", 1, "n"), ("arr", 1, "deep", 1, "v"), ("absent",),
    ]}  # fmt: skip
    assert list(at.values()) == [2, 3, 7, 12, 14, 16, 18, 22, None]


def test_secret_files_never_appear_in_what_is_said(tmp_path):
    path = written(tmp_path, SAMPLE.replace("port = 2222", "port = 0"))
    os.chmod(tmp_path / "gateway/keys/province.password", 0o644)
    _, found = read(path)
    assert len(found) == 2 and "secret\n" not in str(found) and "'secret'" not in str(found)
