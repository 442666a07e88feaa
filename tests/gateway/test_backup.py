"""A backup holds all that a gateway needs, is of one moment, and holds nobody up."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from gateway import backup as backups
from gateway import pictures
from gateway.backup import MANIFEST, backup, decode, look
from gateway.camera import store
from gateway.config import load
from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.keys import KEY_FILE, MARK_FILE
from gateway.restore import read_manifest
from simulator.modbus_load import serve
from tests.gateway.app_rig import running
from tests.gateway.backup_rig import NAME, Site
from tests.gateway.calibration_rig import picture
from tests.gateway.test_app import measuring, polled
from tests.gateway.test_handover import rotate
from tests.gateway.test_tls_link import certificate


def test_what_is_in_it(tmp_path):
    site = Site(tmp_path, witness=True)
    pems = certificate(tmp_path / "tls")
    link = f"tls-listen://127.0.0.1:7312?cert={pems[0]}&key=gateway/tls.key"
    shutil.copy(pems[1], site.state_dir / "tls.key")
    (site.state_dir / "tls.key").chmod(0o600)
    (site.at / "more").mkdir()
    shutil.move(site.state_dir / "keys" / "witness.vkey", site.at / "more" / "witness.vkey")
    text = site.config.read_text().replace("tcp-listen://127.0.0.1:7311", link)
    site.config.write_text(text.replace("gateway/keys/witness.vkey", "more/witness.vkey"))
    signed = site.lives(2)
    found = site.back_up()
    names = set(found.manifest.files)
    assert names == {
        "config.toml", "journal.db", "state/log.vkey", "state/log.checkpoint", "state/keys/log.key",
        "state/keys/st-01.link", "state/keys/province.password", "state/keys/province.hostkey",
        "state/tls.key", "beside/more/witness.vkey", *(n for n in names if n.startswith("elsewhere/")),
    }  # fmt: skip
    assert [found.manifest.files[n].place for n in names if n.startswith("elsewhere/")] == [str(pems[0])]
    assert found.manifest.signed == signed and found.manifest.entries >= signed and found.unsigned == ""
    assert read_manifest(site.backup) == found.manifest
    for folder, _, files in os.walk(site.backup):
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        assert all((Path(folder) / name).stat().st_mode & 0o777 == 0o600 for name in files)
    with sqlite3.connect(site.backup / "journal.db") as copy, sqlite3.connect(site.journal) as real:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in (
            "entry",
            "source",
            "window",
            "outbox",
            "checkpoint",
            "node",
            "position",
            "span",
            "meta",
        ):
            rows = [c.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for c in (copy, real)]
            assert rows[0] == rows[1], table
        versions = [c.execute("PRAGMA user_version").fetchone() for c in (copy, real)]
        assert versions[0] == versions[1] == (database.VERSION,)
    copy.close()
    real.close()


def test_it_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    site = Site(tmp_path)
    config = load(site.config)
    with pytest.raises(JournalError, match="has this gateway ever run"):
        backup(config, site.backup, 1)
    site.lives(1)
    with pytest.raises(JournalError, match="onto another disk"):
        backup(config, site.state_dir / "copy", 1)
    monkeypatch.setattr(backups, "SPARE_BYTES", 1 << 60)
    with pytest.raises(JournalError, match="make room"):
        backup(config, site.backup, 1)
    monkeypatch.setattr(backups, "SPARE_BYTES", 0)
    (site.backup.with_name("backup.part") / "state").mkdir(parents=True)
    with monkeypatch.context() as failing:
        failing.setattr(backups, "look", lambda *_: (_ for _ in ()).throw(JournalError("broken")))
        with pytest.raises(JournalError, match="broken"):
            backup(config, site.backup, 1)
    assert not site.backup.exists() and not site.backup.with_name("backup.part").exists()
    backup(config, site.backup, 1)
    with pytest.raises(FileExistsError, match="exists"):
        backup(config, site.backup, 1)


def test_a_broken_tail_is_no_backup(tmp_path):
    site = Site(tmp_path)
    site.lives(1)
    with sqlite3.connect(site.journal) as connection:
        connection.execute("DROP TRIGGER entry_unchanged")
        connection.execute("UPDATE entry SET body = x'00' WHERE idx = (SELECT MAX(idx) - 1 FROM entry)")
    connection.close()
    with pytest.raises(JournalError, match="does not match its hash"):
        site.back_up()


def test_one_that_is_not_signed_is_copied_and_says_so(tmp_path):
    site = Site(tmp_path)
    site.lives(1)
    site.back_up()
    site.lives(1)
    site.loses("journal")
    shutil.copy(site.backup / "journal.db", site.journal)
    assert "are missing" in site.back_up().unsigned
    (site.state_dir / MARK_FILE).unlink()
    (site.state_dir / KEY_FILE).unlink()
    assert "log.key is not there" in site.back_up().unsigned


def test_what_closes_meanwhile_is_in_the_journal_and_not_in_the_mark(tmp_path, monkeypatch):
    site, real = meanwhile(tmp_path, monkeypatch)
    found = site.back_up()
    newest = site.newest()
    assert found.unsigned == "" and newest is not None and found.manifest.signed == newest[0]
    assert (site.backup / "state" / MARK_FILE).read_bytes() != site.mark.read_bytes()
    monkeypatch.setattr(database, "connect_to_read", real)
    site.loses("journal")
    assert site.restore().shown_by == "by log.checkpoint"


def test_control_the_mark_copied_last_is_newer_than_the_journal(tmp_path, monkeypatch):
    site, _ = meanwhile(tmp_path, monkeypatch)
    site.back_up()
    old = tmp_path / "older.db"
    monkeypatch.undo()
    shutil.copy(site.backup / "journal.db", old)
    site.lives(1)
    shutil.copy(site.mark, site.backup / "state" / MARK_FILE)
    assert "are missing" in look(old, site.backup / "state", NAME)[3]


def meanwhile(tmp_path: Path, monkeypatch):
    """A window closes between the copy of the mark and that of the journal."""
    site = Site(tmp_path)
    site.lives(2)
    real, armed = database.connect_to_read, [True]

    def connect(path):
        if armed and armed.pop():
            monkeypatch.setattr(database, "connect_to_read", real)
            site.lives(1)
        return real(path)

    monkeypatch.setattr(database, "connect_to_read", connect)
    return site, real


def test_a_key_that_changes_meanwhile(tmp_path, monkeypatch):
    site = Site(tmp_path)
    site.lives(1)
    real = backups._Backup._named

    def named(self):
        real(self)
        rotate(site.state_dir)

    monkeypatch.setattr(backups._Backup, "_named", named)
    with pytest.raises(JournalError, match="changed while it was copied"):
        site.back_up()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": "quantrac-backup-1"}', b"\xff"])
def test_a_manifest_that_is_none(data):
    with pytest.raises(JournalError, match="none of a backup"):
        decode(data)


def test_a_manifest_with_a_field_of_another_type(tmp_path):
    site = Site(tmp_path)
    site.lives(1)
    site.back_up()
    text = (site.backup / MANIFEST).read_text()
    for old, new in (('"bytes": ', '"bytes": 0.5, "more": '), ('"at_ms": ', '"at_ms": "x", "b": ')):
        with pytest.raises(JournalError, match="none of a backup"):
            decode(text.replace(old, new).encode())


def test_readings_come_in_while_the_journal_is_copied(tmp_path, monkeypatch):
    """The copy stands still until the running gateway has stored more: one that was held up never would."""

    async def story():
        with serve(1, 2) as (port,):
            config = measuring(tmp_path, port)
            async with running(config) as gateway:
                before = await polled(config, 5)
                waiting, grown = asyncio.Event(), []
                loop = asyncio.get_running_loop()
                monkeypatch.setattr(database, "connect_to_read", _Slow.opened(waiting, loop, grown))
                task = asyncio.create_task(
                    asyncio.to_thread(backup, load(config), tmp_path / "backup", time.time_ns() // 1_000_000)
                )
                await asyncio.wait_for(waiting.wait(), 30)
                monkeypatch.undo()
                grown.append(await polled(config, before + 20))
                found = await asyncio.wait_for(task, 60)
                assert found.manifest.entries < grown[0], "as of the moment in which it began"
                assert await gateway.stop() == 0

    asyncio.run(story())


class _Slow:
    """A connection whose VACUUM stands still, its reading transaction open, until `grown` holds something."""

    def __init__(self, connection: sqlite3.Connection, waiting, loop, grown: list):
        self._connection, self._waiting, self._loop, self._grown = connection, waiting, loop, grown

    @classmethod
    def opened(cls, waiting, loop, grown):
        real = database.connect_to_read
        return lambda path: cls(real(path), waiting, loop, grown)

    def execute(self, sql, *parameters):
        if sql.startswith("VACUUM"):
            calls = [0]

            def look() -> int:
                calls[0] += 1
                if calls[0] == 40:  # it is reading by now
                    self._loop.call_soon_threadsafe(self._waiting.set)
                    for _ in range(3000):
                        if self._grown:
                            break
                        time.sleep(0.01)
                return 0

            self._connection.set_progress_handler(look, 10)
        return self._connection.execute(sql, *parameters)

    def close(self):
        self._connection.close()


async def quantrac(*arguments: object) -> tuple[int, str, str]:
    """The command, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.cli", *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def test_a_gateway_is_copied_while_it_runs_killed_and_restored(tmp_path):
    async def story():
        with serve(1, 2) as (port,):
            config = measuring(tmp_path / "site", port)
            async with running(config):
                await polled(config, 20)
                status, out, err = await quantrac("gateway", "backup", config, "--out", tmp_path / "backup")
                assert (status, err) == (0, "") and "whole" not in out and "under lock and key" in out
            for name in ("journal.db*", "log.checkpoint"):  # the mark: where a window closed meanwhile
                for path in (config.parent / "gateway").glob(name):
                    path.unlink()
            status, out, err = await quantrac(
                "gateway", "restore", tmp_path / "backup", config, "--new-epoch", "the card died"
            )
            assert (status, err) == (0, "") and f"{NAME}/epoch-2" in out and "Give " in out
            held = await polled(config)
            async with running(config) as gateway:
                await polled(config, held + 20)
                assert not [text for text in (await gateway.health())[1] if "checkpoint" in text]

    asyncio.run(story())


def test_photos_of_calibrations_come_back_and_pictures_of_cameras_are_left_out(tmp_path):
    site = Site(tmp_path)
    site.lives()
    photo, seen = picture(), picture(colour="red")
    digest = pictures.keep(site.state_dir, photo)
    store.write(site.state_dir, "gate", site.story.now_ms, seen)
    found = site.back_up()
    assert [name for name in found.manifest.files if "pictures" in name] == [f"state/pictures/{digest}.jpg"]
    site.loses("all")
    site.restore("the card broke")
    path = pictures.find(site.state_dir, digest)
    assert path is not None and path.read_bytes() == photo
