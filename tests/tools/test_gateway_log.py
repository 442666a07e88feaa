"""tools/gateway_log.py: backup, restore, rotate-key and new-epoch, as typed; and what comes after them."""

from __future__ import annotations

import json

import pytest

from gateway.journal.keys import KEY_FILE, VKEY_FILE
from gateway.lock import lock
from gateway.verify_files import codes_of
from protocol.merkle import EvidenceError
from tests.gateway.backup_rig import NAME, SECOND, Site
from tests.gateway.evidence_rig import LENGTH_MS, START
from tests.tools.test_cli import quantrac
from tools.demo.audit import count_checkpoints
from tools.log.export import export
from tools.log.rebuild import rebuild


@pytest.fixture
def site(tmp_path) -> Site:
    site = Site(tmp_path, witness=True)
    site.lives(2)
    return site


def test_backup_and_restore(site):
    status, out, err = quantrac("gateway", "backup", site.config, "--out", site.backup)
    assert (
        (status, err) == (0, "") and f"{site.backup}: the journal has" in out and "under lock and key" in out
    )
    status, _, err = quantrac("gateway", "backup", site.config, "--out", site.backup)
    assert status == 2 and "exists" in err
    site.loses("journal")
    status, out, err = quantrac("gateway", "restore", site.backup, site.config)
    assert (status, err) == (0, "") and "goes on as the same one" in out and "shown by log.checkpoint" in out
    status, _, err = quantrac("gateway", "restore", site.backup, site.config)
    assert status == 1 and "There is a journal" in err and "Traceback" not in err
    assert quantrac("gateway", "restore", site.at / "nothing", site.config)[0] == 1


def test_the_same_for_a_script(site):
    status, out, _ = quantrac("gateway", "backup", site.config, "--out", site.backup, "--json")
    made = json.loads(out)
    assert status == 0 and made["signed"] == site.newest()[0] and made["unsigned"] == ""  # type: ignore[index]
    site.lives(1)
    site.loses("journal")
    status, out, err = quantrac("gateway", "restore", site.backup, site.config, "--json")
    assert status == 1 and out == "" and "are missing" in err
    more = ("--new-epoch", "Đĩa hỏng", "--json")
    status, out, _ = quantrac("gateway", "restore", site.backup, site.config, *more)
    said = json.loads(out)
    assert status == 0 and said["epoch"]["reason"] == "Đĩa hỏng" and said["epoch"]["entry"] == made["entries"]
    assert said["epoch"]["given_up"] and "are missing" in said["given_up"] and said["kept"] == []


def test_rotate_key(site):
    old = (site.state_dir / VKEY_FILE).read_text()
    status, out, err = quantrac("gateway", "rotate-key", site.config, "--reason", "once a year")
    assert (status, err) == (0, "") and "the old key has signed that" in out
    vkey = site.state_dir / VKEY_FILE
    assert (
        f"Give {vkey} to the department, and to whoever runs the witness" in out and vkey.read_text() != old
    )
    status, out, _ = quantrac("gateway", "rotate-key", site.config, "--reason", "again", "--json")
    said = json.loads(out)
    assert status == 0 and (said["what"], said["finished"]) == ("key", False)
    assert said["new"] + "\n" == vkey.read_text() and len(site.told()) == 2
    site.lives(1)
    assert site.unsigned() == ""
    checked = count_checkpoints(site.journal, vkey, site.state_dir / "keys" / "witness.vkey")
    assert checked == (len(site.notes()), 0), "the demo's audit knows all keys of the log"


def test_new_epoch(site):
    status, out, err = quantrac("gateway", "new-epoch", site.config, "--reason", "for fun")
    assert status == 1 and "Nothing is wrong" in err and site.told() == []
    (site.state_dir / KEY_FILE).unlink()
    status, out, err = quantrac("gateway", "new-epoch", site.config, "--reason", "the key is gone")
    assert (status, err) == (0, "") and out.index("log.key is gone") < out.index(f"goes on as {SECOND}")
    assert "Give " in out
    (site.state_dir / KEY_FILE).unlink()
    status, out, _ = quantrac("gateway", "new-epoch", site.config, "--reason", "gone again", "--json")
    said = json.loads(out)
    assert status == 0 and said["new"].startswith(f"{NAME}/epoch-3+") and "is gone" in said["why"]


@pytest.mark.parametrize("verb", ["rotate-key", "new-epoch"])
@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 501])
def test_a_reason_that_is_none(site, verb, reason):
    status, _, err = quantrac("gateway", verb, site.config, "--reason", reason)
    assert status == 2 and "--reason is a line" in err and site.told() == []


@pytest.mark.parametrize("verb", ["rotate-key", "new-epoch"])
def test_while_the_gateway_runs(site, verb):
    with lock(site.state_dir / "gateway.lock"):
        status, _, err = quantrac("gateway", verb, site.config, "--reason", "x")
    assert status == 1 and "stop it first" in err and site.told() == []


def test_of_a_later_epoch_all_else_works_as_before(site):
    """The name of the log has an epoch behind it; codes, windows and files are the station's as ever."""
    before = rebuild(site.config)
    site.back_up()
    site.lives(1)
    site.loses("journal")
    site.restore("the card died")
    site.lives(2)
    assert rebuild(site.config).windows > before.windows
    out = site.at.parent / "bundle"
    exported = export(site.config, START, START + 20 * LENGTH_MS, out)
    assert exported.checkpoint.origin == SECOND and exported.manifest.files
    vkey = site.state_dir / VKEY_FILE
    assert (out / "log.vkey").read_text() == vkey.read_text()
    status, said, err = quantrac("verify", out, "--vkey", vkey)
    assert status == 0, said + err


def test_codes_of_an_epoch_are_the_stations():
    assert codes_of(SECOND) == codes_of(NAME) == ("LCa", "DEMO", "NUO001")
    for wrong in ("quantrac/LCa/DEMO", f"{NAME}/more", f"{NAME}/epoch-1", "other/LCa/DEMO/NUO001"):
        with pytest.raises(EvidenceError):
            codes_of(wrong)
