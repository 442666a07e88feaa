"""`quantrac station backup` and `restore` of a real station: a replacement measures the same."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulator.bus import PtyPair
from simulator.clock import mono_ms, write_timeline
from simulator.station import StationProcess
from tests.firmware.bench import KEY, T
from tools.cli import app
from tools.people import Failure, UsageError
from tools.station import archive, build, kept
from tools.station.access import Access
from tools.station.archive import unpacked
from tools.station.backup import run_backup
from tools.station.folder import Folder
from tools.station.link import StationLink
from tools.station.restore import RestoreOptions, run_restore
from tools.station.steady import SteadyLink

pytestmark = pytest.mark.timeout(900)  # restarts a station many times

RATE = 300  # station time: ten healthy minutes are two seconds
SEAL = "5e" * 32
POINTS = [[0.1, 0.2], [50.0, 51.5]]
OLDER = {"ph": {"id": 3, "points": [[4.01, 4.0], [9.18, 9.2]]}}


def site(path: Path, **more) -> dict:
    return {
        "id": "st-01",
        "link": {"kind": "serial", "path": str(path / "link")},
        "buses": [{"id": "rs485", "kind": "rtu", "path": str(path / "nowhere")}],
        "units": [
            {
                "bus": "rs485",
                "unit": 1,
                "profile": "supmea-sup-ph8001",
                "poll_ms": 60_000,
                "quantities": ["ph", "temperature"],
            }
        ],
        "calibrations": OLDER,
        **more,
    }


def make_folder(path: Path, wired: dict) -> Folder:
    """As `station new` lays it out, with what came later."""
    (path / "device").mkdir(parents=True)
    build.write(path / "device", {**wired, "key": KEY.hex(), "seal_key": SEAL})
    (path / "site.json").write_text(json.dumps(wired))
    (path / "link.key").write_text(KEY.hex() + "\n")
    (path / "gateway.toml").write_text('[[device]]\nid = "st-01"\n')
    (path / "device" / "update.pub").write_text("ab" * 384 + "\n")
    for name in ("certificates/ph.html", "photos/front.jpg", "backups/firmware-1-1.update"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(name.encode())
    folder = Folder(path)
    folder.record("new", "An", id="st-01", seal="x")
    return folder


class Bench:
    """A station of that folder, on a cable whose end `port` is the technician's."""

    def __init__(self, path: Path, wired: dict | None = None) -> None:
        self.path, self.port = path, path / "port"
        self.site = wired or site(path)
        self.folder = make_folder(path / "folder", self.site)
        self.place(self.folder.path / "device")

    def place(self, files: Path) -> None:
        """A bare board with these files."""
        self.directory = self.path / f"board-{files.parent.name}"
        self.directory.mkdir()
        for file in files.iterdir():
            (self.directory / file.name).write_bytes(file.read_bytes())

    async def __aenter__(self) -> Bench:
        self.cable = await PtyPair(self.path / "link", self.port).start()
        write_timeline(self.path / "timeline.json", [[int(mono_ms()), T, RATE]])
        await self.start()
        return self

    async def start(self) -> None:
        self.device = StationProcess(self.directory, self.path / "timeline.json")
        await self.device.start()

    async def __aexit__(self, *_: object) -> None:
        await self.device.kill()
        await self.cable.stop()

    async def replug(self) -> None:
        """The device greets again at once."""
        await self.cable.stop()
        await asyncio.sleep(0.3)
        await self.cable.start()

    def access(self, dir: Path | None = None) -> Access:
        return Access(str(self.port), dir or self.folder.path, by="An")

    async def calibrate(self, **wanted) -> None:
        async with SteadyLink(self.access()) as line:
            await line.greeted()
            for name, (number, points) in wanted.items():
                result = await line.command("calibrate", {"channel": name, "id": number, "points": points})
                assert result.ok, result
        await self.replug()

    async def channels(self) -> dict:
        """What the device tells: name -> (number, points)."""
        async with SteadyLink(self.access()) as line:
            hello = (await line.greeted()).hello
        await self.replug()
        return {name: (number, [list(p) for p in points]) for name, _, number, points in hello.channels}

    async def backup(self, **more) -> Path:
        out = self.path / f"{len(list(self.path.glob('*.zip')))}.zip"
        assert (
            await asyncio.to_thread(run_backup, self.access(), out, more.get("with_key", False), False) == 0
        )
        await self.replug()
        return out


def restore(file: Path, target: Path, **more) -> int:
    key = more.pop("key", None)
    access = Access(str(more.pop("port", "")), target, by="An")
    return run_restore(RestoreOptions(file, access, key, yes=True, patience_s=5.0, **more))


def quantrac(*arguments: object):
    result = CliRunner().invoke(app, ["station", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


# ---- a replacement


def test_a_replacement_measures_as_the_station_did(tmp_path, capsys):
    async def main():
        async with Bench(tmp_path) as bench:
            await bench.calibrate(temperature=(7, POINTS))
            before = await bench.channels()
            assert before["ph"][0] == 3 and before["temperature"][0] == 7
            file = await bench.backup()
            said = capsys.readouterr().out
            assert "temperature: calibration 7" in said and "seal.key is secret and was left out" in said
            assert "photographs only the hashes" in said and max(map(len, said.splitlines())) <= 110

            key = bench.folder.path / "link.key"
            assert await asyncio.to_thread(restore, file, tmp_path / "again", key=key) == 0
            said = " ".join(capsys.readouterr().out.split())
            assert "inspector makes a new one" in said and "seal.key" in said
            await bench.device.kill()
            bench.place(tmp_path / "again" / "device")
            assert not (bench.directory / "seal.key").exists()
            await bench.replug()  # nothing that the old board said is left in the cable
            await bench.start()
            assert await bench.channels() == before
        again = Folder.at(tmp_path / "again")
        assert [one["kind"] for one in again.records()] == ["new", "restored"]
        assert [one["kind"] for one in bench.folder.records()] == ["new", "backed-up"]
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert again.records()[-1]["sha256"] == bench.folder.records()[-1]["sha256"] == digest
        assert (again.path / "certificates/ph.html").exists() and not (again.path / "photos").exists()
        assert again.key() == KEY and (again.path / "device/link.key").stat().st_mode & 0o777 == 0o600
        # and `station new --again` would not lose it: site.json has it, too
        channels = {row["name"]: row for row in build.build(again.site())["channels"]}
        assert channels["temperature"]["calibration"] == 7

    asyncio.run(main())


def test_without_news_the_replacement_gets_the_very_same_bytes(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            file = await bench.backup()
        await asyncio.to_thread(restore, file, tmp_path / "again")
        for name in ("device/station.json", "device/identity.json", "gateway.toml"):
            assert (tmp_path / "again" / name).read_bytes() == (bench.folder.path / name).read_bytes(), name
        assert json.loads((tmp_path / "again/site.json").read_bytes()) == bench.site
        assert (
            not (tmp_path / "again/link.key").exists() and not (tmp_path / "again/device/link.key").exists()
        )

    asyncio.run(main())


def test_what_ran_is_restored_though_the_folder_has_another_one(tmp_path, capsys):
    async def main():
        async with Bench(tmp_path) as bench:
            ran = (bench.folder.path / "device/station.json").read_bytes()
            kept.keep_config(bench.folder, ran)
            table = json.loads(ran)
            table["units"][0]["poll_ms"] = 1000
            (bench.folder.path / "device/station.json").write_text(json.dumps(table))
            file = await bench.backup()
            for one in bench.folder.path.glob("backups/station-*"):
                one.unlink()
            lost = await bench.backup()
        await asyncio.to_thread(restore, file, tmp_path / "again")
        assert (tmp_path / "again/device/station.json").read_bytes() == ran
        capsys.readouterr()
        await asyncio.to_thread(restore, lost, tmp_path / "lost")
        assert "which is not in the backup" in " ".join(capsys.readouterr().out.split())

    asyncio.run(main())


# ---- a running station


def test_a_running_station_is_brought_to_the_backup_and_goes_on_when_that_was_interrupted(
    tmp_path, capsys, monkeypatch
):
    async def main():
        async with Bench(tmp_path) as bench:
            await bench.calibrate(temperature=(7, POINTS))
            file = await bench.backup()
            # since then: another configuration, and calibrations of others
            await bench.device.kill()
            table = json.loads((bench.directory / "station.json").read_bytes())
            table["memory_records"] = 500
            (bench.directory / "station.json").write_text(json.dumps(table))
            await bench.start()
            wrong = [[1.0, 9.0], [2.0, 10.0]]
            await bench.calibrate(temperature=(12, wrong), ph=(5, wrong))

            target = tmp_path / "again"
            key = bench.folder.path / "link.key"
            with pytest.raises(UsageError, match="link key is not in this backup"):
                await asyncio.to_thread(restore, file, target, port=bench.port)
            plain = StationLink.command

            async def no_calibration(link, name, *args, **more):
                if name == "calibrate":
                    raise Failure("the cable was pulled")
                return await plain(link, name, *args, **more)

            monkeypatch.setattr(StationLink, "command", no_calibration)
            with pytest.raises(Failure, match="cable was pulled"):
                await asyncio.to_thread(restore, file, target, port=bench.port, key=key)
            monkeypatch.setattr(StationLink, "command", plain)
            await bench.replug()
            assert await asyncio.to_thread(restore, file, target, port=bench.port, key=key) == 0
            said = capsys.readouterr().out
            assert "what else differs is not known" in said and "temperature: calibration 13" in said
            assert "Confirmed" in said
            await bench.replug()
            now = await bench.channels()
            assert now["temperature"][0] == 13 and now["ph"][0] == 6
            assert now["ph"][1] == pytest.approx([pytest.approx(point) for point in OLDER["ph"]["points"]])
            assert now["temperature"][1] == pytest.approx([pytest.approx(point) for point in POINTS])
            assert (bench.directory / "station.json").read_bytes() == (
                target / "device/station.json"
            ).read_bytes()
            done = Folder(target).records("restored", "updated")
            assert [one.get("onto", "updated") for one in done] == ["folder", "device", "updated"]
            assert done[1]["calibrations"] == {"ph": 6, "temperature": 13} and done[2]["confirmed"]
            assert await asyncio.to_thread(restore, file, target, port=bench.port, key=key) == 0
            assert "already: nothing is to be sent" in capsys.readouterr().out

    asyncio.run(main())


# ---- keys


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_seal_key_is_never_in_it_and_the_link_key_only_when_asked_for(tmp_path):
    folder = make_folder(tmp_path / "st-01", site(tmp_path))
    (folder.path / "device" / "update.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nx\n")
    (folder.path / "certificates" / "notes.txt").write_bytes(b"-----BEGIN RSA PRIVATE KEY-----\nx\n")
    status, said, errors = quantrac("backup", "--dir", folder.path, "--out", tmp_path / "a.zip")
    assert status == 0 and "not asked" in said and "update.pem is secret" in said, errors
    held = members(tmp_path / "a.zip")
    assert "site.json" in held and "device/station.json" in held and "said.json" not in held
    for content in held.values():
        assert (
            SEAL.encode() not in content and KEY.hex().encode() not in content and b"PRIVATE" not in content
        )
    manifest = json.loads(held["manifest.json"])
    assert {*manifest["files"], "manifest.json"} == {*held}
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == hashlib.sha256(held[name]).hexdigest()
    photo = hashlib.sha256(b"photos/front.jpg").hexdigest()
    assert manifest["photos"] == {"photos/front.jpg": photo}

    status, said, _ = quantrac("backup", "--dir", folder.path, "--out", tmp_path / "b.zip", "--with-key")
    assert status == 0 and "LINK KEY is in it" in said
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a.zip").stat().st_mode & 0o077
    held = members(tmp_path / "b.zip")
    assert held["link.key"].strip() == KEY.hex().encode()
    assert not any(SEAL.encode() in content for content in held.values())
    assert restore(tmp_path / "b.zip", tmp_path / "again") == 0 and Folder(tmp_path / "again").key() == KEY

    # a key where none belongs would be carried out with it
    for key in (KEY.hex(), SEAL.upper()):
        (folder.path / "gateway.toml").write_text(f"# {key}\n")
        status, _, errors = quantrac("backup", "--dir", folder.path, "--out", tmp_path / "c.zip")
        assert status == 1 and "gateway.toml holds the" in errors and not (tmp_path / "c.zip").exists()


def test_a_networks_password_makes_it_secret(tmp_path):
    folder = make_folder(tmp_path / "st-01", site(tmp_path))
    wired = site(tmp_path, network={"ssid": "plant", "password": "hunter22"})
    (folder.path / "site.json").write_text(json.dumps(wired))
    status, said, _ = quantrac("backup", "--dir", folder.path)
    (file,) = folder.path.glob("backups/*.zip")
    assert status == 0 and "password is in it" in said and file.stat().st_mode & 0o777 == 0o600
    assert folder.records("backed-up")[0]["file"] == f"backups/{file.name}"
    assert restore(file, tmp_path / "again") == 0
    assert (tmp_path / "again/site.json").stat().st_mode & 0o777 == 0o600
    # the next one does not carry the one before
    status, _, errors = quantrac("backup", "--dir", folder.path, "--out", file)
    assert status == 2 and "there already" in errors
    assert quantrac("backup", "--dir", folder.path, "--out", tmp_path / "b.zip")[0] == 0
    assert not any(name.endswith(".zip") for name in members(tmp_path / "b.zip"))


# ---- what is no backup


def zipped(**held: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in held.items():
            file.writestr(name.replace("__", "/"), content)
    return made.getvalue()


def test_a_damaged_or_foreign_file_is_refused_and_nothing_is_made(tmp_path):
    folder = make_folder(tmp_path / "st-01", site(tmp_path))
    quantrac("backup", "--dir", folder.path, "--out", tmp_path / "a.zip")
    good = (tmp_path / "a.zip").read_bytes()
    whole = unpacked(good, "a.zip").files
    for at in range(0, len(good), 7):
        bad = good[:at] + bytes((good[at] ^ 1 << at % 8,)) + good[at + 1 :]
        try:
            found = unpacked(bad, "a.zip")
        except Failure as failure:
            assert str(failure).endswith(".") and "a.zip" in str(failure)
        else:  # in what a zip tells of times and modes: it does not matter
            assert found.files == whole
    for length in range(0, len(good), 501):
        with pytest.raises(Failure):
            unpacked(good[:length], "a.zip")
    held = members(tmp_path / "a.zip")
    manifest = json.loads(held["manifest.json"])

    def with_manifest(**more) -> bytes:
        return json.dumps({**manifest, **more}).encode()

    def and_file(name: str, content: bytes = b"x") -> bytes:
        entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        files = {**manifest["files"], name: entry}
        return zipped(**{**held, name: content, "manifest.json": with_manifest(files=files)})

    cases = {
        b"": "damaged",
        b"x" * 5000: "damaged",
        zipped(readme=b"hello"): "manifest.json is not in it",
        zipped(**{**held, "manifest.json": b"{}"}): "says something else",
        zipped(
            **{**held, "manifest.json": with_manifest(format="quantrac station backup 2")}
        ): "newer Quantrac",
        zipped(**{**held, "more": b"x"}): "does not hold the files",
        zipped(**{**held, "gateway.toml": b"x"}): "gateway.toml is not what was kept",
        and_file("../outside"): "no backup does",
        and_file("/etc/outside"): "no backup does",
        and_file("device/seal.key"): "no backup does",
        zipped(**{**held, "manifest.json": with_manifest(id="st-99")}): "no site.json of st-99",
    }
    for number, (data, words) in enumerate(cases.items()):
        file = tmp_path / f"bad-{number}.zip"
        file.write_bytes(data)
        status, _, errors = quantrac("restore", file, tmp_path / "again")
        assert status == 1 and words in errors and errors.count("\n") == 1, (words, errors)
        assert not (tmp_path / "again").exists()
    assert not (tmp_path / "outside").exists() and not list(tmp_path.glob(".again*"))


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    folder = make_folder(tmp_path / "st-01", site(tmp_path))
    quantrac("backup", "--dir", folder.path, "--out", tmp_path / "a.zip")
    before = sorted(folder.path.rglob("*"))
    status, _, errors = quantrac("restore", tmp_path / "a.zip", folder.path)
    assert status == 2 and "not empty" in errors and sorted(folder.path.rglob("*")) == before
    status, _, errors = quantrac("restore", tmp_path / "a.zip", tmp_path / "no" / "where")
    assert status == 2 and "make it first" in errors
    status, _, errors = quantrac("restore", tmp_path / "none.zip", tmp_path / "again")
    assert status == 1 and "none.zip" in errors
    (tmp_path / "again").mkdir()
    status, said, errors = quantrac("restore", tmp_path / "a.zip", tmp_path / "again")
    assert status == 0 and "does not say how the device was calibrated" in " ".join(said.split()), errors
    status, _, errors = quantrac("backup", "--dir", tmp_path)
    assert status == 2 and "no station's folder" in errors


def test_another_station_on_the_port_and_nobody_there(tmp_path):
    async def main():
        async with Bench(tmp_path) as bench:
            (bench.folder.path / "site.json").write_text(json.dumps(site(tmp_path, id="st-02")))
            with pytest.raises(UsageError, match="st-01 answers"):
                await asyncio.to_thread(run_backup, bench.access(), tmp_path / "a.zip", False, False)
        with pytest.raises(Failure, match="is not there"):
            await asyncio.to_thread(run_backup, bench.access(), tmp_path / "a.zip", False, False)
        assert not (tmp_path / "a.zip").exists() and not bench.folder.records("backed-up")

    asyncio.run(main())


def test_the_same_archive_gives_the_same_bytes(tmp_path):
    files = {"site.json": b'{"id": "st-01"}', "records.jsonl": b""}
    one = archive.Archive("st-01", T, "An", files, {}, {"hello": {"channels": []}})
    assert archive.packed(one) == archive.packed(one)
    assert unpacked(archive.packed(one), "x") == one
