"""[department] and [sampler]: every fault at once, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.check import check
from gateway.config import load, read
from protocol.note import parse_vkey
from simulator.department import Department
from tests.gateway.configured import SAMPLE, WITNESS, keys, written

MQTT = '[[destination]]\nid = "national"\nkind = "mqtt"\nhost = "127.0.0.1"\n'
WHOLE = (
    SAMPLE + MQTT + '[department]\nkey_file = "gateway/keys/dept.vkey"\nvia = "national"\n'
    'url = "https://dept.example.vn/station"\nresend_to = ["province", "national"]\n'
    '[sampler]\nbus = "tank"\ncoil = 3\nfeedback_input = 0\n'
)
DEVICE = WHOLE.replace('bus = "tank"\ncoil', 'device = "st-01"\ncoil').replace("feedback_input = 0\n", "")


def faults(folder: Path, text: str, vkey: str | None = None) -> list[str]:
    path = written(folder, text)
    (folder / "gateway" / "keys" / "dept.vkey").write_text(
        Department.made("dept.example").vkey if vkey is None else vkey
    )
    return [str(fault).removeprefix(f"{path}:") for fault in read(path)[1]]


def test_a_good_one(tmp_path):
    assert faults(tmp_path, WHOLE) == [] == faults(tmp_path, DEVICE)
    config = load(tmp_path / "config.toml")
    assert config.department.poll_s == 30 and config.department.resend_to == ("province", "national")
    assert config.sampler.exists and config.sampler.per_day == 4


def test_without_them_there_are_none(tmp_path):
    keys(tmp_path)
    config = load(written(tmp_path, SAMPLE))
    assert config.department.key_file is None and not config.sampler.exists


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('via = "national"', 'via = "province"', "department.via: 'province' is no mqtt destination."),
        ('via = "national"', 'via = "nobody"', "'nobody' is no mqtt destination."),
        ('via = "national"\nurl = "https://dept.example.vn/station"', "", "no way by which its commands"),
        ('key_file = "gateway/keys/dept.vkey"\nvia', "via", "nobody's key is pinned"),
        ("gateway/keys/dept.vkey", "gateway/keys/absent", "department.key_file: "),
        ("https://dept", "http://dept", "department.url: 'http://dept.example.vn/station' is not encrypted."),
        ('"province", "national"', '"province", "x"', "There is no destination 'x' that gets documents."),
        ("resend_to = [", 'poll_s = 0\nresend_to = [', "department.poll_s"),
        ("resend_to = [", 'token_file = "gateway/keys/none"\nresend_to = [', "department.token_file"),
        ("resend_to = [", 'cert_file = "gateway/keys/dept.vkey"\nresend_to = [', "belong together"),
        ("resend_to = [", 'secret = "x"\nresend_to = [', "department.secret"),
        ('bus = "tank"\ncoil', 'bus = "pump"\ncoil', "sampler.bus: There is no bus 'pump'."),
        ('bus = "tank"\ncoil', 'device = "st-09"\ncoil', "sampler.device: There is no device 'st-09'."),
        ('bus = "tank"\ncoil', 'device = "st-01"\ncoil', "A device looks at its feedback contact itself."),
        ('bus = "tank"\ncoil', 'bus = "tank"\ndevice = "st-01"\ncoil', "by a device and by a bus"),
        ('bus = "tank"\ncoil', "coil", "sampler: Nothing drives the sampler."),
        ("coil = 3", "coil = 65536", "sampler.coil"),
        ("coil = 3", "coil = 3\nfeedback_channel = \"Full\"", "There is no channel 'Full'."),
        ("coil = 3", "coil = 3\nfeedback_channel = \"COD\"", "There are two feedback contacts."),
        ("coil = 3", "coil = 3\nbottles = 0", "sampler.bottles"),
    ],
)  # fmt: skip
def test_each_fault(tmp_path, old, new, said):
    assert old in WHOLE
    found = faults(tmp_path, WHOLE.replace(old, new))
    assert any(said in fault for fault in found), found
    assert all(fault.partition(":")[0].isdigit() for fault in found), found  # with its line


def test_a_sampler_on_a_bus_that_nobody_reads(tmp_path):
    bus = '[[bus]]\nid = "wet"\nlink = "modbus-tcp://127.0.0.1:5021"\n'
    (fault,) = faults(tmp_path, WHOLE.replace('bus = "tank"\ncoil', 'bus = "wet"\ncoil') + bus)
    assert "No channel is read from 'wet'" in fault


@pytest.mark.parametrize(
    ("vkey", "said"),
    [
        ("hello", "holds no key of the department"),
        (WITNESS.verifier.vkey, "the key of a witness"),
        ("\n".join([Department.made("d").vkey] * 2), "two of its keys"),
        ("\n".join(Department.made("d").vkey for _ in range(2)), "two of its keys"),
        ("\n".join(Department.made(f"d{n}").vkey for n in range(9)), "it holds 9 keys"),
        (Department.made("d").vkey.replace("+", "+0", 1), "holds no key"),
    ],
    ids=range(6),  # keys are random: every process has others
)
def test_what_is_no_key(tmp_path, vkey, said):
    (fault,) = faults(tmp_path, WHOLE, vkey)
    assert said in fault and "department.key_file" in fault


def test_what_is_allowed_and_probably_not_meant(tmp_path):
    assert warned(tmp_path, WHOLE) == []
    (one,) = warned(tmp_path, WHOLE.replace("feedback_input = 0\n", ""))
    assert "sampler.feedback_input: No contact tells whether a bottle was filled." in one
    (one,) = warned(tmp_path, WHOLE.replace('resend_to = ["province", "national"]\n', ""))
    assert "department.resend_to: " in one


def warned(folder: Path, text: str) -> list[str]:
    assert faults(folder, text) == []
    found = [str(one) for one in check(folder / "config.toml")[1]]
    return [one for one in found if "department" in one or "sampler" in one]


def test_several_keys(tmp_path):
    two = [Department.made(name).vkey for name in ("dept.example", "ministry.example")]
    assert faults(tmp_path, WHOLE, "\n".join([*two, ""])) == []
    assert parse_vkey(two[0]).name == "dept.example"


def test_all_of_them_at_once(tmp_path):
    text = WHOLE.replace('via = "national"', 'via = "x"').replace('bus = "tank"\ncoil', 'bus = "y"\ncoil')
    found = faults(tmp_path, text.replace('"province", "national"', '"z"'))
    assert len(found) == 3
