"""tools/gateway.py: what check and init print, to people and to scripts."""

from __future__ import annotations

import json

from tests.gateway.configured import SAMPLE, written
from tools.gateway import print_check, print_init


def test_check_of_a_good_configuration(tmp_path, capsys):
    path = written(tmp_path, SAMPLE)
    assert print_check(path, as_json=False) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(": good.")
    path = written(tmp_path, SAMPLE.replace("window_minutes = 5", "window_minutes = 10"))
    assert print_check(path, as_json=False) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"{path}: good, with 1 warning." and out.startswith("warning  ")
    assert print_check(path, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True and found["faults"] == [] and len(found["warnings"]) == 1
    assert set(found["warnings"][0]) == {"where", "what", "instead"}


def test_check_of_a_wrong_configuration_names_every_fault_with_its_line(tmp_path, capsys):
    path = written(
        tmp_path, SAMPLE.replace("port = 2222", "port = 0").replace("window_minutes = 5", "wm = 5")
    )
    assert print_check(path, as_json=False) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("fault    ")]) == 2
    assert all(f"{path}:" in line for line in lines[:2])
    assert "2 faults. The gateway will not start" in lines[-1]
    assert print_check(path, as_json=True) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and [f["where"].split(": ")[1] for f in found["faults"]] == [
        "gateway.wm", "destination[0].port",
    ]  # fmt: skip
    assert all(fault["instead"] for fault in found["faults"])


def test_init_says_what_it_made_and_shows_the_password_once(tmp_path, capsys):
    folder = tmp_path / "new"
    assert print_init(folder, as_json=False) == 0
    out = capsys.readouterr().out
    password = out.split("Operator password (shown only now): ")[1].split()[0]
    assert f"quantrac gateway check {folder / 'config.toml'}" in out
    for file in folder.rglob("*"):
        assert file.is_dir() or (str(file) in out and password not in file.read_text())


def test_init_for_scripts(tmp_path, capsys):
    assert print_init(tmp_path / "new", as_json=True) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["config"] == str(tmp_path / "new" / "config.toml") and made["config"] in made["files"]
    assert len(made["files"]) == 3 and len(made["show_once"]) == 1
    assert print_check(tmp_path / "new" / "config.toml", as_json=True) == 0
