"""A backup becomes a gateway again, and never one that signs a second history."""

from __future__ import annotations

import shutil
from contextlib import closing

import pytest

from gateway import restore as restores
from gateway.backup import MANIFEST
from gateway.errors import ConfigFaults, JournalError
from gateway.journal import durable
from gateway.journal.handover import new_epoch
from gateway.journal.keys import EARLIER_FOLDER, KEY_FILE, NEXT_FILE, VKEY_FILE
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.journal.stopped import Now, StoppedLog
from gateway.lock import lock
from gateway.restore import Refused
from gateway.succession import KEY, epoch_of
from protocol import cbor, checkpoint, note
from tests.gateway.backup_rig import NAME, SECOND, Site
from tests.gateway.test_handover import count, in_a_child, on_disk, rotate
from tools.log.rebuild import rebuild


def events(site: Site) -> list:
    reader = Reader(site.journal)
    try:
        found = [cbor.loads(entry.body or b"") for entry in reader.entries(kinds=(EVENT,))]
    finally:
        reader.close()
    return [event for event in found if event[0] == "restored"]  # type: ignore[index]


def origin(data: bytes) -> str:
    return checkpoint.parse(note.parse(data).text).origin


def goes_on(site: Site, name: str) -> None:
    """It is started and signs under this name; all that is in the journal follows from it."""
    before = site.newest()
    size = site.lives(2)
    found = site.newest()
    assert site.unsigned() == "" and found is not None and found != before
    assert origin(found[1]) == name and site.mark.read_bytes() == found[1]
    assert rebuild(site.config).entries >= size


# The same log -----------------------------------------------------------------------------------------------


def test_the_journal_alone_was_lost_and_nothing_was_signed_since(tmp_path):
    site = Site(tmp_path)
    signed = site.lives(3)
    made = site.back_up()
    mark = site.mark.read_bytes()
    site.loses("journal")
    found = site.restore()
    assert (found.shown_by, found.epoch, found.kept) == ("by log.checkpoint", None, [])
    assert events(site) == [["restored", "gateway", made.manifest.at_ms, made.manifest.entries, signed]]
    assert found.entries == made.manifest.entries + 1 and site.mark.read_bytes() == mark
    goes_on(site, NAME)
    assert not list(site.state_dir.glob("*.restoring*"))


def test_everything_was_lost_and_the_witness_shows_the_newest_of_the_backup(tmp_path):
    site = Site(tmp_path, witness=True)
    site.lives(3)
    assert site.cosigns().status == 200
    config, key = site.config.read_bytes(), (site.state_dir / KEY_FILE).read_bytes()
    site.back_up()
    site.loses("all")
    with site.serving():
        found = site.restore()
    assert found.shown_by == "by the witness witness.example/w1" and found.epoch is None
    assert site.config.read_bytes() == config and (site.state_dir / KEY_FILE).read_bytes() == key
    for path in (site.state_dir / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    goes_on(site, NAME)
    assert site.cosigns().status == 200, "for whoever watches it is the same log"


def test_with_the_mark_a_witness_that_is_away_is_no_matter(tmp_path):
    site = Site(tmp_path, witness=True)
    site.lives(2)
    site.back_up()
    site.loses("journal")
    assert site.restore().shown_by == "by log.checkpoint"


def test_a_handover_that_was_under_way_when_it_was_copied(tmp_path, monkeypatch):
    site = Site(tmp_path)
    site.lives(2)
    with monkeypatch.context() as dying:
        dying.setattr("gateway.journal.stopped.StoppedLog.settle", lambda self: False)
        entry = rotate(site.state_dir).entry
    assert (site.state_dir / NEXT_FILE).exists()
    site.back_up()
    site.loses("journal")
    site.restore()
    assert (site.state_dir / VKEY_FILE).read_text() == entry.new + "\n"
    assert [told.what for told in site.told()] == [KEY] and not (site.state_dir / NEXT_FILE).exists()
    goes_on(site, NAME)


# Refused ----------------------------------------------------------------------------------------------------


def refused(site: Site, says: str, reason: str = "") -> None:
    """Nothing was restored, and no gateway that is started now signs anything."""
    with pytest.raises(JournalError, match=says):
        site.restore(reason)
    assert not list(site.state_dir.glob("*.restoring*"))


def nothing_is_signed(site: Site) -> None:
    site.lives(3)
    assert site.notes() == []


def test_with_nothing_to_show_it_is_refused(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    site.back_up()
    site.loses("all")
    refused(
        site, "(?s)no log.checkpoint in state_dir, and no witness to ask.*The backup ends with.*--new-epoch"
    )
    nothing_is_signed(site)


def test_the_mark_shows_more_than_the_backup(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    entries = site.back_up().manifest.entries
    signed = site.lives(2)
    site.loses("journal")
    refused(
        site, rf"{signed} entries were signed, .*entries {entries} to {signed - 1} are missing.*--new-epoch"
    )
    nothing_is_signed(site)


def test_a_mark_that_is_older_than_the_backups_proves_nothing(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    old = site.mark.read_bytes()
    site.lives(2)
    site.back_up()
    site.loses("journal")
    site.mark.write_bytes(old)
    refused(site, "older than the one in the backup")
    site.mark.write_bytes(old[:-9] + b"A" + old[-8:])
    refused(site, "--new-epoch")


@pytest.mark.parametrize("shows", ["more", "less", "nothing", "no answer", "a later epoch", "another key's"])
def test_what_a_witness_shows_that_is_not_enough(tmp_path, shows):
    site = Site(tmp_path, witness=True)
    site.lives(2)
    if shows != "nothing":
        site.cosigns()
    if shows == "less":
        site.lives(2)
    site.back_up()
    if shows == "more":
        site.lives(2)
        site.cosigns()
    elif shows == "a later epoch":
        site.loses("journal")
        assert site.restore().epoch is None
        (site.state_dir / KEY_FILE).unlink()
        handover_epoch(site)
        site.cosigns()
    elif shows == "another key's":
        site.witness.roll_back({})
        rotate(site.state_dir)
        site.cosigns()
    site.loses("all")
    says = {
        "more": "are missing", "less": "no witness shows", "nothing": "no witness shows",
        "no answer": "does not answer", "a later epoch": f"has cosigned {SECOND}",
        "another key's": "were signed|none of the trusted keys",
    }[shows]  # fmt: skip
    if shows == "no answer":
        refused(site, f"(?is){says}.*--new-epoch")
        return
    with site.serving():
        refused(site, f"(?is){says}.*--new-epoch")
        if shows == "a later epoch":
            assert site.restore("the card died").epoch.entry.new_key.name == f"{NAME}/epoch-3"  # type: ignore[union-attr]


def handover_epoch(site: Site) -> None:
    with closing(StoppedLog(site.state_dir, NAME)) as log:
        new_epoch(log, "the key is gone", Now(site.story.now_ms, 1))


def test_the_witness_counts_against_the_mark_too(tmp_path):
    """All of state_dir came from another backup."""
    site = Site(tmp_path, witness=True)
    site.lives(2)
    mark = site.mark.read_bytes()
    site.back_up()
    site.lives(2)
    site.cosigns()
    site.loses("journal")
    site.mark.write_bytes(mark)
    with site.serving():
        refused(site, "are missing")


def test_control_without_the_check_a_second_history_is_signed_and_the_witness_sees_it(tmp_path, monkeypatch):
    site = Site(tmp_path, witness=True)
    site.lives(2)
    site.back_up()
    site.lives(1)
    assert site.cosigns().status == 200
    site.loses("all")

    class Careless(restores._Verdict):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.loss, self.shown_by = None, "by nobody"

    monkeypatch.setattr(restores, "_Verdict", Careless)
    with site.serving():
        site.restore()
    site.lives(3)
    assert site.unsigned() == "" and origin(site.newest()[1]) == NAME  # type: ignore[index]
    assert site.cosigns().status == 422, "it has cosigned another history of this log"


def test_a_journal_or_a_gateway_that_is_there(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    site.back_up()
    refused(site, "There is a journal")
    site.loses("journal")
    with lock(site.state_dir / "gateway.lock"):
        refused(site, "Another gateway")
    refused(site, "Nothing is missing", reason="for fun")
    assert not site.journal.exists()


def test_a_backup_of_another_station(tmp_path):
    site = Site(tmp_path)
    site.lives(1)
    site.back_up()
    site.loses("journal")
    site.config.write_text(site.config.read_text().replace("NUO001", "NUO002"))
    refused(site, "This is a backup of")


def test_a_backup_that_is_not_as_it_was_written(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    names = [*site.back_up().manifest.files, MANIFEST]
    site.loses("all")
    for name in names:
        path = site.backup / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        if name == MANIFEST:
            path.write_bytes(data[:-20])
        refused(site, "not as it was written|none of a backup")
        path.unlink()
        refused(site, "is missing|does not exist")
        path.write_bytes(data)
    manifest = (site.backup / MANIFEST).read_text()
    for place in ("../../evil", "/etc/evil"):
        (site.backup / MANIFEST).write_text(manifest.replace('"keys/st-01.link"', f'"{place}"'))
        refused(site, "outside of its folder")
    assert not site.at.exists(), "nothing was touched"


def test_a_file_that_is_there_stays_and_is_named(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    site.back_up()
    site.loses("journal")
    path = site.state_dir / "keys" / "st-01.link"
    path.write_text("cd" * 32 + "\n")
    assert site.restore().kept == [path] and path.read_text().startswith("cd")


def test_files_outside_of_its_folder_are_named_and_not_written(tmp_path):
    site = Site(tmp_path)
    outside = tmp_path / "etc" / "st-01.link"
    outside.parent.mkdir()
    shutil.copy(site.state_dir / "keys" / "st-01.link", outside)
    site.config.write_text(site.config.read_text().replace("gateway/keys/st-01.link", str(outside)))
    site.lives(2)
    site.back_up()
    outside.unlink()
    mark = site.mark.read_bytes()
    site.loses("all")
    refused(site, f"(?s)Put these files.*cp '.*' '{outside}'")
    (copy,) = (site.backup / "elsewhere").iterdir()
    shutil.copy(copy, outside)
    site.mark.write_bytes(mark)
    assert site.restore().shown_by == "by log.checkpoint"


def test_a_configuration_with_faults_says_them(tmp_path):
    site = Site(tmp_path)
    site.lives(1)
    site.back_up()
    site.loses("journal")
    site.config.write_text(site.config.read_text().replace("decimals = 2", "decimals = 99"))
    with pytest.raises(ConfigFaults):
        site.restore()
    assert not site.journal.exists()


# A new epoch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["journal", "all"])
def test_with_a_new_epoch_it_goes_on_and_shows_what_is_missing(tmp_path, lost):
    site = Site(tmp_path)
    site.lives(2)
    entries = site.back_up().manifest.entries
    first, old = site.newest(), (site.state_dir / VKEY_FILE).read_text()
    signed = site.lives(2)
    mark = site.mark.read_bytes()
    site.loses(lost)
    found = site.restore("the card died")
    assert found.epoch is not None and found.shown_by == ""
    (entry,) = site.told()
    assert entry == found.epoch.entry and (entry.kept, f"{entry.old}\n") == (entries, old)
    assert entry.signed == ((mark,) if lost == "journal" else ()) and entry.reason == "the card died"
    size, data = site.newest()  # type: ignore[misc]
    verifiers = [note.parse_vkey(entry.old), entry.new_key]
    assert {key for key, _ in note.verify(note.parse(data), verifiers)} == set(verifiers)
    assert (origin(data), size) == (SECOND, entries + 1) and site.notes()[0][1] == first[1]  # type: ignore[index]
    assert (f"entries {entries} to {signed - 1} are missing" in found.given_up) == (lost == "journal")
    if lost == "journal":
        assert (site.state_dir / EARLIER_FOLDER / "epoch-1-log.checkpoint").read_bytes() == mark
    assert len(events(site)) == 1
    goes_on(site, SECOND)


def test_a_new_epoch_goes_on_for_a_witness_who_gets_its_key(tmp_path):
    site = Site(tmp_path, witness=True)
    site.lives(2)
    site.back_up()
    site.lives(1)
    site.cosigns()
    shown = site.witness.snapshot()
    site.loses("all")
    with site.serving():
        found = site.restore("the card died")
    assert found.epoch is not None and found.epoch.entry.signed != (), "what the witness showed"
    assert site.cosigns().status == 200
    site.lives(2)
    assert site.cosigns().status == 200
    assert set(shown.items()) <= set(site.witness.snapshot().items()), "the old log stays as it was"


@pytest.mark.parametrize("lost", ["journal", "all"])
def test_killed_at_any_step_of_it_no_second_history_is_signed(tmp_path, lost):
    """Whatever a killed one leaves: a gateway that is started signs the new epoch, or nothing."""
    site = Site(tmp_path)
    site.lives(1)
    site.back_up()
    site.lives(1)
    known = {data for _, data in site.notes()}
    site.loses(lost)
    before = tmp_path / "before"
    shutil.copytree(site.at, before) if site.at.exists() else None
    now_ms, seen, fatal, left = site.story.now_ms, set(), 0, None
    for fatal in range(1, 400):
        shutil.rmtree(site.at, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, site.at)

        def do(fatal: int = fatal) -> None:
            count(fatal)
            site.restore("the card died")

        if in_a_child(do) != 9:
            break
        left, before_that = on_disk(site.at), left
        if left != before_that and site.config.exists() and all_named(site):
            site.story.now_ms = now_ms
            site.lives(2)
            fresh = [data for _, data in site.notes() if data not in known]
            assert all(epoch_of(origin(data))[1] > 1 for data in fresh)
            assert bool(fresh) == bool(site.told()), "and the epoch's entry comes before it signs"
            seen.add(bool(fresh))
    assert seen == {False, True} and fatal > 10


def all_named(site: Site) -> bool:
    return (site.state_dir / "keys" / "st-01.link").exists()


def test_killed_at_any_step_it_goes_on_as_the_same_log_or_not_at_all(tmp_path):
    site = Site(tmp_path)
    site.lives(2)
    entries = site.back_up().manifest.entries
    site.loses("journal")
    shutil.copytree(site.at, tmp_path / "before")
    now_ms, seen, left = site.story.now_ms, set(), None
    for fatal in range(1, 400):
        shutil.rmtree(site.at)
        shutil.copytree(tmp_path / "before", site.at)

        def do(fatal: int = fatal) -> None:
            count(fatal)
            site.restore()

        if in_a_child(do) != 9:
            break
        left, before_that = on_disk(site.at), left
        if left != before_that:
            back, site.story.now_ms = site.journal.exists(), now_ms
            site.lives(2)
            assert (site.unsigned() == "") == back
            assert min((size for size, _ in site.notes()), default=0) < entries
            assert bool(site.notes()) == back, "an empty journal is not signed as this log"
            seen.add(back)
    assert seen == {False, True}


def test_control_were_the_key_put_back_first_an_empty_journal_would_be_signed(tmp_path, monkeypatch):
    site = Site(tmp_path)
    site.lives(1)
    site.back_up()
    known = {data for _, data in site.notes()}
    site.loses("all")
    real = restores._Restore._place_files

    def key_first(self):
        real(self)
        durable.replace(self._state_dir / KEY_FILE, (self._source / "state" / KEY_FILE).read_bytes(), 0o600)

    monkeypatch.setattr(restores._Restore, "_place_files", key_first)
    with pytest.raises(Refused):
        site.restore()
    site.lives(2)
    fresh = [data for _, data in site.notes() if data not in known]
    assert fresh and origin(fresh[0]) == NAME
