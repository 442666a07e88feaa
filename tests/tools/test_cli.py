"""tools/cli.py: every verb's help, exit statuses, JSON, and sentences instead of tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from tests.gateway.configured import SAMPLE, written
from tests.servers.process import free_port
from tools.cli import app


def verbs() -> list[list[str]]:
    """Every verb as it is typed."""
    found = []

    def walk(command, path):
        for name, sub in sorted(getattr(command, "commands", {}).items()):
            walk(sub, [*path, name])
        if not getattr(command, "commands", None):
            found.append(path)

    walk(typer.main.get_command(app), [])
    return found


def quantrac(*arguments: object):
    """(status, stdout, stderr), in this process; an exception that is not an exit is the test's failure."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_verbs_are_those_of_the_interface():
    assert [" ".join(verb) for verb in verbs()] == [
        "bench", "demo", "export", "gateway acknowledge", "gateway alerts", "gateway backup",
        "gateway calibration add", "gateway calibration list", "gateway check",
        "gateway compact", "gateway config", "gateway doctor", "gateway init", "gateway install",
        "gateway interruptions", "gateway mark", "gateway new-epoch", "gateway park", "gateway parked",
        "gateway pause",
        "gateway people add", "gateway people list", "gateway people password", "gateway people remove",
        "gateway people role", "gateway release", "gateway restore", "gateway resume",
        "gateway rollback", "gateway rotate-key",
        "gateway run", "gateway sample", "gateway uninstall", "gateway upgrade", "rebuild", "report",
        "simulate fleet", "simulate run", "simulate scenarios", "simulate station",
        "station backup", "station calibrate", "station console", "station flash", "station new",
        "station package keygen", "station package make", "station package show", "station photo",
        "station profile check", "station profile list", "station profile show", "station read",
        "station report", "station restore", "station scan", "station test-io", "station update", "verify",
    ]  # fmt: skip


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb):
    status, out, _ = quantrac(*verb, "--help")
    shown = " ".join(out.split()).replace("Example: sudo ", "Example: ")
    assert status == 0 and f"Example: quantrac {' '.join(verb)}" in shown


@pytest.mark.parametrize(
    "arguments", [[], ["gateway"], ["nonsense"], ["gateway", "run"], ["demo", "--speed", "x"]]
)
def test_used_wrongly_is_status_2(arguments):
    assert quantrac(*arguments)[0] == 2


def test_the_command_as_a_process_loads_little_and_says_a_sentence(tmp_path):
    code = (
        "import sys, tools.cli; print(*(m for m in ('pymodbus', 'asyncssh', 'uvicorn') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "", "a verb's libraries are loaded before the verb is known"
    command = [sys.executable, "-m", "tools.cli", "gateway", "check", str(tmp_path / "absent.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and json.loads(done.stdout)["ok"] is False and done.stderr == ""


def test_init_then_check(tmp_path):
    status, out, _ = quantrac("gateway", "init", tmp_path / "g", "--json")
    assert status == 0
    config = json.loads(out)["config"]
    status, out, _ = quantrac("gateway", "check", config, "--json")
    assert status == 0 and json.loads(out)["faults"] == []
    assert quantrac("gateway", "check", config)[0] == 0
    status, _, err = quantrac("gateway", "init", tmp_path / "g")
    assert status == 2 and "This exists already." in err


def test_check_of_a_wrong_one(tmp_path):
    path = written(tmp_path, SAMPLE.replace("port = 2222", "port = 0"))
    status, out, _ = quantrac("gateway", "check", path, "--json")
    assert status == 2 and len(json.loads(out)["faults"]) == 1
    assert quantrac("gateway", "check", path)[0] == 2


def test_run_of_a_wrong_one(tmp_path):
    status, out, err = quantrac(
        "gateway", "run", written(tmp_path, SAMPLE.replace("port = 2222", "port = 0"))
    )
    assert status == 2 and out == "" and "destination[0].port" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--station", "volcano"], "write one of"),
        (["--seconds", "20", "--outage", "20"], "shorter --outage"),
    ],
)
def test_demo_with_wrong_arguments(tmp_path, arguments, said):
    status, out, err = quantrac("demo", "--dir", tmp_path / "d", *arguments)
    assert status == 2 and said in err and out == "" and not (tmp_path / "d").exists()


@pytest.mark.parametrize("marker", [None, "", "{}", "[1]", "demo"])
def test_demo_in_a_folder_that_is_not_a_demos(tmp_path, marker):
    (tmp_path / "diary.txt").write_text("mine")
    if marker is not None:
        (tmp_path / "demo.json").write_text(marker)
    before = sorted(tmp_path.rglob("*"))
    status, _, err = quantrac("demo", "--dir", tmp_path, "--seconds", 5)
    assert status == 2 and "not a demo's folder" in err and sorted(tmp_path.rglob("*")) == before


def test_demo_in_a_demo_of_another_station(tmp_path):
    (tmp_path / "demo.json").write_text('{"station": "stack"}')
    status, _, err = quantrac("demo", "--dir", tmp_path, "--seconds", 5)
    assert status == 2 and "--station stack" in err


def test_demo_on_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    status, _, err = quantrac("demo", "--dir", tmp_path / "file", "--seconds", 5)
    assert status == 1 and str(tmp_path / "file") in err


def test_demo_whose_gateway_does_not_start_says_so_and_ends(tmp_path):
    directory = tmp_path / "d"
    (directory / "gateway").mkdir(parents=True)
    (directory / "demo.json").write_text('{"station": "wastewater"}')
    (directory / "gateway" / "journal.db").write_bytes(b"this is no database" * 1000)
    command = [
        sys.executable, "-m", "tools.cli", "demo", "--dir", str(directory), "--seconds", "5",
        "--port", str(free_port()),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "journal" in done.stderr


def test_bench_of_an_unknown_name():
    status, out, err = quantrac("bench", "nonsense")
    assert status == 2 and "write one of ingest, poll" in err and out == ""
