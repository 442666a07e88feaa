"""tools/demo/site.py: the folder a demo writes is one that the gateway and the device can work with."""

from __future__ import annotations

import json
import socket
import stat
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.check import check
from gateway.config import load
from gateway.people import accounts, passwords
from simulator.scene import KINDS, load_scene
from tests.gateway.configured import HOST_KEY, WITNESS
from tools.demo import site as sites
from tools.demo.site import free_port, open_site, table, toml
from tools.people import UsageError


@pytest.mark.parametrize("kind", KINDS)
def test_the_gateway_takes_the_configuration_and_the_device_its_own(tmp_path, kind):
    scene = load_scene(kind)
    site = open_site(tmp_path / "demo", scene)
    (site.keys / "province.hostkey").write_text(HOST_KEY)
    site.witness_vkey.write_text(WITNESS.verifier.vkey + "\n")
    sites.write_config(site, scene, 8080, 5020, 2222, 1883, "http://127.0.0.1:8099")
    sites.write_device(site, scene)
    faults, _ = check(site.config)
    assert faults == []
    config = load(site.config)
    assert config.gateway.state_dir == site.dir / "gateway" and config.station.kind == kind
    assert [d.id for d in config.destination] == ["province", "national"]
    assert [w.url for w in config.witness] == ["http://127.0.0.1:8099"]
    station = json.loads((site.device / "station.json").read_text())
    identity = json.loads((site.device / "identity.json").read_text())
    assert identity["id"] == config.device[0].id == sites.DEVICE_ID
    assert not {"id", "key", "link"} & set(station)
    key = bytes.fromhex((site.device / "link.key").read_text())
    assert key == site.link_key() and len(key) == 32
    names = {channel["name"] for channel in station["channels"]}
    assert {c.source.quantity for c in config.channel if hasattr(c.source, "quantity")} <= names
    for path in (site.keys / "st-01.link", site.keys / "province.password", site.device / "link.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_demo_is_continued_with_its_own_secrets(tmp_path):
    scene = load_scene("wastewater")
    first = open_site(tmp_path / "demo", scene)
    key, password = first.link_key(), (first.keys / "province.password").read_text()
    again = open_site(tmp_path / "demo", scene)
    assert again.link_key() == key and (again.keys / "province.password").read_text() == password
    assert open_site(tmp_path / "other", scene).link_key() != key


def test_one_person_may_log_in_with_a_password_that_is_new_each_time(tmp_path):
    site = open_site(tmp_path / "demo", load_scene("wastewater"))
    first, path = sites.let_in(site), accounts.path_of(tmp_path / "demo" / "gateway")
    assert passwords.matches(first, accounts.load(path).of("demo").password)
    path.write_bytes(accounts.encode(accounts.load(path).with_role("demo", "viewer", "somebody")))
    second = sites.let_in(site)
    demo = accounts.load(path).of("demo")
    assert passwords.matches(second, demo.password) and not passwords.matches(first, demo.password)
    assert demo.role == "viewer", "what somebody changed stays"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a demo's folder"):
        open_site(tmp_path, load_scene("stack"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    open_site(tmp_path / "demo", load_scene("stack"))
    with pytest.raises(UsageError, match="--station stack"):
        open_site(tmp_path / "demo", load_scene("wastewater"))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALAR = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
KEY = st.from_regex(r"\A[A-Za-z0-9_-]{1,12}\Z")
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4)
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(KEY, VALUE, max_size=4))
def test_toml_is_read_back_as_it_was(values):
    assert tomllib.loads(table("[t]", values))["t"] == values


def test_there_is_no_toml_for_nothing():
    with pytest.raises(TypeError, match="None"):
        toml(None)


def test_free_port():
    with socket.socket() as taken:
        taken.bind((sites.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in (port, 0)
    assert free_port(port) == port
    assert free_port() > 0
