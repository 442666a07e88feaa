# runs on: cpython, micropython
import json

from firmware.identity import load
from protocol.errors import ConfigError
from tests.firmware.memory_files import MemoryFiles

KEY = bytes(range(32))
SERIAL = {"kind": "serial", "path": "/dev/ttyX"}


def _files(identity, key="000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"):
    files = MemoryFiles()
    if identity is not None:
        files.content["identity.json"] = json.dumps(identity).encode()
    if key is not None:
        files.content["link.key"] = key.encode()
    return files


def _refused(files):
    try:
        load(files)
    except ConfigError as error:
        return str(error)
    raise AssertionError("taken")


def test_a_good_one():
    wifi = {"kind": "wifi", "ssid": "station"}
    name, key, link, network = load(_files({"id": "st-01", "link": SERIAL, "network": wifi}))
    assert (name, key, network) == ("st-01", KEY, wifi)
    assert (link["baud"], link["parity"], link["stopbits"]) == (115200, "N", 1)
    for kind in ("tcp", "tls"):
        link = {"kind": kind, "host": "10.0.0.1", "port": 7311, "name": "gateway", "ca": "ca.pem"}
        assert load(_files({"id": "x", "link": link}))[2:] == (link, None)
    assert load(_files({"id": "x" * 32, "link": {"kind": "usb"}}))[2] == {"kind": "usb"}


def test_every_wrong_field_is_a_sentence():
    good = {"id": "st-01", "link": SERIAL, "network": {}}
    for field, word in (("id", "id:"), ("link", "link.kind"), ("network", "network:")):
        for wrong in (1, True, "", [], 1.5, "x" * 33):
            given = dict(good)
            given[field] = wrong
            if field != "id" or wrong != "x":
                assert word in _refused(_files(given)), (field, wrong)
    for field, word in (("path", "link.path"), ("baud", "link.baud"), ("parity", "link.parity")):
        for wrong in (None, True, [], {}, -1):
            link = dict(SERIAL)
            link[field] = wrong
            assert word in _refused(_files({"id": "st-01", "link": link}))
    for host, port in (("gateway", 7311), ("::1", 7311), ("10.0.0.1", 0), (None, 7311), ("10.0.0.1", "1")):
        assert "link." in _refused(_files({"id": "x", "link": {"kind": "tcp", "host": host, "port": port}}))
    for ca in (None, 5, "", {}):  # without it the link would fail for ever, and never say why
        tls = {"kind": "tls", "host": "10.0.0.1", "port": 7311, "ca": ca}
        assert "link.ca" in _refused(_files({"id": "x", "link": tls}))
    missing = _refused(_files({"link": {"kind": "serial"}}))
    assert "id:" in missing and "link.path" in missing


def test_files_that_are_missing_or_cut():
    assert "identity.json" in _refused(_files(None))
    files = _files({"id": "x", "link": SERIAL})
    whole = files.content["identity.json"]
    for length in range(len(whole)):
        files.content["identity.json"] = whole[:length]
        assert "identity.json" in _refused(files)
    for key in (None, "", "00", "zz" * 32, "00" * 33):
        text = _refused(_files({"id": "x", "link": SERIAL}, key))
        assert "link.key" in text and (not key or key not in text)  # a wrong key is no text for a screen
