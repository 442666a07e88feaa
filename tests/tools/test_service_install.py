"""`quantrac gateway install` and `uninstall` below another root: repeated, dry, refused, and gone again."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from gateway.init import init
from tests.servers.process import program
from tests.tools import service_rig
from tools.people import Failure, UsageError
from tools.service import install, say, steps, texts, versions
from tools.service.place import CREDENTIALS, CURRENT, OPT, UNIT_FILE, Place
from tools.service.steps import Command, File, Folder, Link, Own
from tools.service.texts import Port, port_named, ports_in, udev
from tools.service.wanted import classes, config_file, credentials, wanted

CONFIG = Path("/etc/quantrac/config.toml")


@pytest.fixture
def root(tmp_path) -> Path:
    """A disk with a fresh configuration."""
    (tmp_path / "etc").mkdir()
    init(tmp_path / "etc/quantrac")
    return tmp_path


def install_below(root: Path, capsys, *ports: str, dry: bool = False, source: Path | None = None, **more):
    """What `install` says, as its steps; with versions that are made at once."""
    capsys.readouterr()
    status = say.print_install(
        root / "etc/quantrac", root, dry, source or service_rig.CHECKOUT, "/usr/bin/python3", list(ports),
        more.get("servers", []), True, True, more.get("as_json", not dry), service_rig.build(),
    )  # fmt: skip
    out = capsys.readouterr().out
    assert status == 0
    return out if dry and not more.get("as_json") else json.loads(out)


def files(root: Path) -> dict[str, bytes]:
    """Everything below a root, by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


# Installing ------------------------------------------------------------------------------------------------


def test_everything_is_there_and_systemd_would_start_it(root, capsys):
    said = install_below(root, capsys)
    states = {step["what"]: step["state"] for step in said["steps"]}
    assert states[str(UNIT_FILE)] == states[str(texts.UDEV_FILE)] == "made"
    wants = root / "etc/systemd/system/multi-user.target.wants/quantrac-gateway.service"
    assert os.readlink(wants) == str(UNIT_FILE), "systemctl enabled it"
    text = (root / "etc/systemd/system/quantrac-gateway.service").read_text()
    assert "gateway run /etc/quantrac/config.toml" in text and str(root) not in text
    assert os.readlink(root / "usr/local/bin/quantrac") == "/opt/quantrac/current/bin/quantrac"
    assert versions.current(Place(root)) == said["version"]
    accounts = (root / "etc/passwd").read_text()
    assert re.search(r"^quantrac:.*:/var/lib/quantrac:/usr/sbin/nologin$", accounts, re.MULTILINE)
    assert re.search(r"^dialout:.*quantrac", (root / "etc/group").read_text(), re.MULTILINE)
    assert states["systemctl daemon-reload"] == "told", "nothing of this machine is asked"


def test_the_files_of_the_gateway_are_its_own_and_nobody_elses(root, capsys):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    install_below(root, capsys)
    line = re.search(r"^quantrac:x:(\d+):(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert line is not None
    uid, gid = map(int, line.groups())
    key = root / "etc/quantrac/gateway/keys/st-01.link"
    assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (uid, 0o600)
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700 and key.parent.stat().st_uid == uid
    config = (root / "etc/quantrac/config.toml").stat()
    assert (config.st_uid, config.st_gid, stat.S_IMODE(config.st_mode)) == (uid, gid, 0o640)
    folder = (root / "etc/quantrac").stat()
    assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (0, gid, 0o1770)


@pytest.mark.parametrize("named", ["etc/shadow", "etc/quantrac/link/shadow", "etc/absent"])
def test_what_a_configuration_of_the_gateways_names_is_not_given_to_it(root, capsys, named):
    """The gateway applies configurations: one that was taken over could ask for any file of the machine."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    install_below(root, capsys)
    config = root / "etc/quantrac/config.toml"
    (root / "etc/shadow").write_text("another's\n")
    (root / "etc/shadow").chmod(0o600)
    (root / "etc/quantrac/link").symlink_to(root / "etc")
    path = root / named
    text = config.read_text().replace("gateway/keys/st-01.link", str(path))
    assert str(path) in text
    if named != "etc/absent":
        (root / "etc/shadow").write_text("ab" * 32 + "\n")
        config.write_text(text)
    else:
        config.write_text(
            config.read_text()
            + f'''
[[destination]]
id = "mine"
kind = "directory"
path = "{path}"
send = ["windows"]
'''
        )
    before = (root / "etc/shadow").stat()
    with pytest.raises(UsageError, match="which is not the gateway's"):
        install_below(root, capsys)
    after = (root / "etc/shadow").stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    os.chown(config, 0, 0)  # the control: one of root's is believed
    install_below(root, capsys)


def test_said_again_it_changes_nothing(root, capsys):
    install_below(root, capsys)
    before = files(root)
    again = install_below(root, capsys)
    assert {step["state"] for step in again["steps"]} <= {"same", "told", "ran"}
    ran = [step["what"] for step in again["steps"] if step["state"] == "ran"]
    assert [what.split()[0] for what in ran] == ["systemd-sysusers", "systemctl"], "both change nothing twice"
    assert files(root) == before


def test_what_somebody_changed_is_put_right_and_told(root, capsys):
    install_below(root, capsys)
    (root / "etc/systemd/system/quantrac-gateway.service").write_text("[Service]\n")
    (root / "etc/udev/rules.d/70-quantrac.rules").unlink()
    again = install_below(root, capsys)
    states = {step["what"]: step["state"] for step in again["steps"]}
    assert states[str(UNIT_FILE)] == "changed" and states[str(texts.UDEV_FILE)] == "made"


def test_another_version_comes_by_upgrade_only(root, capsys, tmp_path_factory):
    first = install_below(root, capsys)["version"]
    other = tmp_path_factory.mktemp("release")
    for name in (*versions.PACKAGES, *versions.BESIDE):
        (other / name).symlink_to(service_rig.CHECKOUT / name)
    (other / "README.md").unlink()
    (other / "README.md").write_text("another")
    with pytest.raises(UsageError, match="quantrac gateway upgrade, which takes a backup"):
        install_below(root, capsys, source=other)
    assert versions.current(Place(root)) == first


def test_a_dry_run_shows_every_file_and_command_and_does_nothing(root, capsys):
    before = files(root)
    shown = install_below(root, capsys, dry=True)
    assert files(root) == before
    for text in (
        "file /etc/systemd/system/quantrac-gateway.service (mode 0644)", "    WatchdogSec=60",
        "command systemd-sysusers quantrac.conf", "    makestep 1 3",
        "command systemctl enable quantrac-gateway.service", "--require-hashes -r", "Nothing was done",
    ):  # fmt: skip
        assert text in shown, text
    assert install_below(root, capsys, dry=True, as_json=True)["plan"][-1].startswith("command systemctl")
    done = install_below(root, capsys)
    written = {
        step["what"] for step in done["steps"] if step["what"].startswith("/") and step["state"] == "made"
    }
    promised = set(re.findall(r"^(?:file|folder|link) (\S+)", shown, re.MULTILINE))
    assert written - {str(OPT / done["version"])} <= promised, "all that it did it had shown"


def test_a_wrong_configuration_is_not_installed(root, capsys):
    path = root / "etc/quantrac/config.toml"
    path.write_text(path.read_text().replace("retention_days = 400", "retention_days = 7"))
    before = files(root)
    with pytest.raises(Exception, match="retention_days"):
        install_below(root, capsys)
    assert files(root) == before


@pytest.mark.parametrize("hidden", ["home/pi/station", "root/station", "tmp/station"])
def test_a_configuration_that_a_service_does_not_see_is_refused(tmp_path, hidden):
    init(tmp_path / hidden)
    with pytest.raises(UsageError, match="Move the folder"):
        wanted(config_file(tmp_path / hidden), Place(tmp_path))


def test_a_folder_without_a_configuration(tmp_path):
    with pytest.raises(UsageError, match="quantrac gateway init"):
        config_file(tmp_path)


def test_only_root_installs_on_this_machine(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="sudo"):
        say.place_of(None)


# What a configuration wants --------------------------------------------------------------------------------


def test_credentials_come_from_the_configuration_into_the_unit(root, capsys):
    path = root / "etc/quantrac/config.toml"
    mail = '[[destination]]\nid = "people"\nkind = "notify"\nurl_file = "credential:people-url"\n'
    path.write_text(path.read_text() + mail)
    kept = Place(root).real(CREDENTIALS)
    kept.mkdir()
    (kept / "people-url").touch(mode=0o600)
    (kept / "people-url").write_text("jsons://example.vn/planted-secret\n")
    assert credentials(path) == ("people-url",)
    before = dict(os.environ)
    said = install_below(root, capsys)
    assert dict(os.environ) == before, "what was lent was given back"
    text = (root / "etc/systemd/system/quantrac-gateway.service").read_text()
    assert "LoadCredential=people-url:/etc/quantrac/credentials/people-url" in text
    assert "planted-secret" not in text + json.dumps(said)


@pytest.mark.parametrize(
    ("port", "found"),
    [("/dev/ttyACM0", ("ttyACM",)), ("/dev/ttyUSB12", ("ttyUSB",)), ("/dev/ttyAMA0", ("ttyAMA",)),
     ("/dev/serial0", ("ttyAMA", "ttyS")), ("/dev/quantrac/tank", ("ttyACM", "ttyUSB")),
     ("/dev/serial/by-id/usb-x", ("ttyACM", "ttyUSB")), ("/dev/ttyS0", ("ttyS",))],
)  # fmt: skip
def test_the_class_of_a_serial_port(port, found):
    assert classes(port) == found


def test_folders_ports_and_pages_below_1024(root):
    path = root / "etc/quantrac/config.toml"
    text = (
        path.read_text()
        .replace("port = 8080", "port = 443")
        .replace('path = "sent"', 'path = "/mnt/usb/sent"')
    )
    path.write_text(text)
    want = wanted(path, Place(root))
    assert want.config == CONFIG and want.state_dir == Path("/etc/quantrac/gateway")
    assert want.low_ports and want.writes == (Path("/mnt/usb/sent"),) and want.serial == ("ttyACM",)


# Names of ports --------------------------------------------------------------------------------------------

PROPERTIES = {
    "ID_SERIAL_SHORT": "E66138935F4A2B31", "ID_USB_INTERFACE_NUM": "00", "ID_PATH": "platform-usb-0:1.2:1.0",
}  # fmt: skip


def test_a_port_is_named_by_its_serial_number_else_by_its_socket():
    assert port_named("st-01", PROPERTIES) == Port("st-01", "ID_SERIAL_SHORT", "E66138935F4A2B31", "00")
    without = {"ID_PATH": "platform-usb-0:1.2:1.0", "ID_SERIAL_SHORT": 'x", RUN+="evil'}
    assert port_named("tank", without) == Port("tank", "ID_PATH", "platform-usb-0:1.2:1.0")
    with pytest.raises(UsageError, match="plugged in"):
        port_named("tank", {})
    for name in ("../x", "usb-1", "", 'a"b'):
        with pytest.raises(UsageError, match="no name for a port"):
            port_named(name, PROPERTIES)


def test_names_given_once_stay_when_it_is_said_again(root, capsys, monkeypatch):
    monkeypatch.setattr(install, "properties", lambda path: PROPERTIES)
    install_below(root, capsys, "st-01=/dev/ttyACM0")
    monkeypatch.setattr(install, "properties", lambda path: {"ID_PATH": "pci-0:2"})
    install_below(root, capsys, "tank=/dev/ttyUSB0")
    text = (root / "etc/udev/rules.d/70-quantrac.rules").read_text()
    assert [port.name for port in ports_in(text)] == ["st-01", "tank"]
    assert udev(ports_in(text)) == text
    with pytest.raises(UsageError, match="NAME=/dev/ttyUSB0"):
        install_below(root, capsys, "tank")


def test_time_servers_of_ones_own(root, capsys):
    install_below(root, capsys, servers=["192.168.1.1", "ntp.example.vn"])
    text = (root / "etc/chrony/sources.d/quantrac.sources").read_text()
    assert text == "server 192.168.1.1 iburst\nserver ntp.example.vn iburst\n"
    with pytest.raises(UsageError, match="no time server"):
        texts.sources(["a b"])


# Steps -----------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_and_has_its_mode(tmp_path):
    place, step = Place(tmp_path), File(Path("/etc/x"), "one\n", 0o640)
    assert [step.do(place).state, step.do(place).state] == ["made", "same"]
    (tmp_path / "etc/x").chmod(0o644)
    assert step.do(place).state == "changed"
    assert step._replace(text="two\n").do(place).state == "changed"
    assert (tmp_path / "etc/x").read_text() == "two\n" and os.listdir(tmp_path / "etc") == ["x"]
    assert stat.S_IMODE((tmp_path / "etc/x").stat().st_mode) == 0o640


def test_a_link_is_switched_and_never_takes_the_place_of_a_file(tmp_path):
    place = Place(tmp_path)
    assert Link(CURRENT, Path("1")).do(place).state == "made"
    assert Link(CURRENT, Path("1")).do(place).state == "same"
    assert Link(CURRENT, Path("2")).do(place).state == "changed"
    assert os.readlink(tmp_path / "opt/quantrac/current") == "2"
    (tmp_path / "file").write_text("somebody's")
    with pytest.raises(Failure, match="no link"):
        Link(Path("/file"), Path("2")).do(place)


def test_a_folder_of_others_keeps_its_mode(tmp_path):
    place = Place(tmp_path)
    (tmp_path / "mnt").mkdir(mode=0o755)
    assert Folder(Path("/mnt"), 0o750, others=True).do(place).state == "same"
    assert Folder(Path("/mnt"), 0o750).do(place).state == "changed"


def test_who_is_not_there_gets_nothing(tmp_path):
    (tmp_path / "x").touch()
    assert Own(Path("/x"), "nobody-of-that-name", "nobody").do(Place(tmp_path)).state == "told"


def test_what_a_link_leads_to_is_given_to_nobody(tmp_path):
    """Who owns a folder could put a link there, and be given the file of another."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("quantrac:x:4711:4711::/:/x\n")
    (tmp_path / "etc/group").write_text("quantrac:x:4711:\n")
    state, other = tmp_path / "state", tmp_path / "shadow"
    state.mkdir()
    other.write_text("another's")
    other.chmod(0o640)
    (state / "own").touch()
    (state / "link").symlink_to(other)
    assert Own(Path("/state"), "quantrac", "quantrac").do(Place(tmp_path)).state == "changed"
    assert (state / "own").stat().st_uid == 4711
    assert (other.stat().st_uid, stat.S_IMODE(other.stat().st_mode)) == (0, 0o640)


def test_a_command_that_fails_ends_it_with_its_last_words():
    with pytest.raises(Failure, match=r"failed \(no room\)"):
        steps.run(["sh", "-c", "echo no room >&2; exit 3"], "why")
    assert steps.run(["sh", "-c", "exit 3"], "why", must=False).state == "told"
    with pytest.raises(Failure, match="Is it Debian"):
        steps.run(["no-such-command-of-ours"], "why")
    assert Command(("false",), "why").do(Place(Path("/elsewhere"))).state == "told"


def test_a_service_that_runs_is_left_alone_unless_its_unit_or_version_changed():
    start = Command(install.RESTART, "why", below_root=("echo",))
    place = Place(Path("/elsewhere"))

    def said(changed: set[str]) -> str:
        (done,) = install.do(place, [start], changed)
        return done.why

    assert said({str(CURRENT)}) == said({str(UNIT_FILE)}) == "why"
    assert said(set()) == said({"/etc/other"}) == "it runs"


# And gone --------------------------------------------------------------------------------------------------


def uninstall_below(root: Path, capsys, purge: bool = False, typed: str = "") -> dict:
    capsys.readouterr()
    assert say.print_uninstall(root, purge, True, lambda question: typed) == 0
    return json.loads(capsys.readouterr().out)


def test_uninstalling_takes_away_what_was_installed_and_no_data(root, capsys):
    before = files(root)
    install_below(root, capsys)
    journal = root / "etc/quantrac/gateway/journal.db"
    journal.write_text("the law asks for it")
    uninstall_below(root, capsys)
    after = files(root)
    assert after.pop("etc/quantrac/gateway/journal.db") and not (root / "opt/quantrac").exists()
    left = {name for name in after if name not in before}
    accounts = {"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/.pwd.lock"}
    assert left <= accounts, "the account stays: files may be its own"
    assert {name: after[name] for name in before} == before
    assert not (root / "etc/systemd/system/multi-user.target.wants/quantrac-gateway.service").is_symlink()


def test_purging_wants_the_stations_code(root, capsys):
    install_below(root, capsys)
    with pytest.raises(UsageError, match="not this station's code"):
        uninstall_below(root, capsys, purge=True, typed="yes")
    assert (root / "etc/quantrac/gateway/keys").exists() and (root / "opt/quantrac").exists()
    uninstall_below(root, capsys, purge=True, typed=" XX0001 ")
    assert not (root / "etc/quantrac/gateway").exists() and (root / "etc/quantrac/config.toml").exists()


def test_nobody_purges_from_a_script(root, capsys, monkeypatch):
    install_below(root, capsys)
    with open(os.devnull) as nothing, pytest.raises(UsageError, match="at a terminal"):
        monkeypatch.setattr("sys.stdin", nothing)
        say.print_uninstall(root, True, False)


def test_systemd_knows_the_account_as_we_write_it(tmp_path):
    """Control of the accounts above: a line that is none is refused by the same tool."""
    (tmp_path / "wrong.conf").write_text(texts.SYSUSERS.replace("u quantrac -", "u quan:trac -"))
    command = [program("systemd-sysusers", "systemd"), f"--root={tmp_path}", str(tmp_path / "wrong.conf")]
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_chrony_takes_its_settings_as_we_write_them(tmp_path):
    chronyd = program("chronyd", "chrony")
    text = texts.CHRONY + texts.sources(["192.168.1.1", "ntp.example.vn"])
    for wrong, status in (("", 0), ("makestop 1 3\n", 1)):
        (tmp_path / "chrony.conf").write_text(text + wrong)
        done = subprocess.run([chronyd, "-p", "-f", str(tmp_path / "chrony.conf")], capture_output=True)
        assert done.returncode == status
