"""The long run itself: it reads the table, counts, remembers, and cannot be green when something is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.promises import __main__ as command
from tests.promises import rows, table, wanted
from tests.promises.rows import TABLE, Named, TableError, chosen, files, function_of, named_by, parse
from tests.promises.state import Of, OtherRun, State

ONE = "| 1 | kept | `tests/test_a.py::test_it` | cuts | `tests/test_a.py::test_control_broken` |\n"
TWO = "| 1 | sent | `tests/test_a.py` | cuts | in the same tests |\n"
HEAD = "# Promises\n\n| # | in plain words | measured by | faults | control |\n|---|---|---|---|---|\n"
GOOD = """
from tests.promises.counted import counted

def test_it():
    counted("cuts", 30)
    counted("cuts", 12)

def test_control_broken():
    pass
"""
IDS = ["tests/test_a.py::test_it[1]", "tests/test_a.py::test_it[2]", "tests/test_a.py::test_control_broken"]
OF = Of("c0ffee", "", "short", 1)


# The table --------------------------------------------------------------------------------------------------


def test_every_row_of_our_own_table_names_files_that_exist():
    found = parse(TABLE.read_text(encoding="utf-8"))
    assert len(found) > 40 and len({row.key for row in found}) == len(found)
    assert set(files(found)) >= {"tests/power/test_journal_kill.py", "tests/gateway/test_days.py"}
    assert {row.number for row in found} >= set(wanted.WANTED)


def test_rows_and_what_they_name():
    one, two = parse(HEAD + ONE + TWO)
    assert (one.key, two.key) == ("1.1", "1.2")
    assert one.controls == ("tests/test_a.py::test_control_broken",) and two.has_control
    found = named_by(one, IDS)
    assert found.all == tuple(IDS) and found.controls == {IDS[2]}
    assert named_by(two, IDS).controls == {IDS[2]}  # by its name
    assert [row.key for row in chosen([one, two], "1.2")] == ["1.2"] and len(chosen([one, two], "1")) == 2
    assert function_of("tests/a.py::test_x[a::b]") != "test_x"  # no test of ours has such an id


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no row"),
        (HEAD + "| 1 | a | `x.py` | b | c |\n", "names no test"),
        (HEAD + "| 1 | a |\n", "columns"),
    ],
)
def test_a_table_that_is_none(text, sentence):
    with pytest.raises(TableError, match=sentence):
        parse(text)


def test_a_test_that_does_not_exist_and_a_row_that_does_not():
    [row] = parse(HEAD + ONE.replace("test_it", "test_gone"))
    with pytest.raises(TableError, match=r"1\.1 names .*test_gone: there is no such test"):
        named_by(row, IDS)
    with pytest.raises(TableError, match="no row 9"):
        chosen([row], "1,9")


# What a run remembers ---------------------------------------------------------------------------------------


def line(test: str, outcome: str, **more) -> str:
    return (
        json.dumps({"test": test, "outcome": outcome, "seconds": 1.0, "counted": {}, "why": "", **more})
        + "\n"
    )


def test_a_run_goes_on_without_what_passed_and_tries_again_what_failed(tmp_path):
    path = tmp_path / "state.jsonl"
    State(path, OF, resume=False)
    with path.open("a") as file:
        file.write(line("a", "passed", counted={"cuts": 3}) + line("b", "failed", why="no"))
        file.write('{"minutes": 2.5}\n{"test": "d", "outco')
    again = State(path, OF, resume=True)
    assert not again.done("d") and again.done("b")
    again.mend()
    assert again.done("a") and not again.done("b") and again.minutes == 2.5
    with path.open("a") as file:
        file.write(line("b", "passed"))
    assert again.look() == ["b"] and again.results["a"].counted == {"cuts": 3}
    assert not State(path, OF, resume=False).done("a")


def test_a_failure_is_not_undone_by_a_later_line(tmp_path):
    path = tmp_path / "state.jsonl"
    state = State(path, OF, resume=False)
    with path.open("a") as file:
        file.write(line("a", "failed", why="teardown") + line("a", "passed"))
    state.look()
    assert state.results["a"].outcome == "failed"


@pytest.mark.parametrize("other", [OF._replace(commit="bad"), OF._replace(changed="x"), OF._replace(seed=2)])
def test_other_code_or_another_seed_begins_anew(tmp_path, other):
    State(tmp_path / "state.jsonl", OF, resume=False)
    with pytest.raises(OtherRun, match="Begin anew without --resume"):
        State(tmp_path / "state.jsonl", other, resume=True)


# The command ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command in a tree of its own: run(table, tests, *words) gives the status and what was written."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(rows, "ROOT", tmp_path)
    monkeypatch.setattr(command, "TABLE", tmp_path / "tests" / "PROMISES.md")
    monkeypatch.setattr(command, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(command, "WANTED", {1: {"cuts": 42}})
    monkeypatch.setattr(command, "code", lambda out: ("c0ffee", ""))
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:schemathesis\n")  # takes seconds to load

    def play(text: str, source: str, *words: str) -> tuple[int, str]:
        (tmp_path / "tests" / "PROMISES.md").write_text(HEAD + text)
        (tmp_path / "tests" / "test_a.py").write_text(source)
        out = tmp_path / "out.md"
        status = command.main(["--out", str(out), "--workers", "1", *words])
        return status, out.read_text() if out.exists() else ""

    return play


def test_a_green_run(run):
    status, text = run(ONE + TWO, GOOD)
    assert status == 0, text
    assert "| 1 | cuts | 42 | 42 |" in text and "2 of 2 rows hold" in text
    assert "| 1.1 | kept | holds | 2 of 2 | 1 of 1 | 42 cuts |" in text


def test_what_is_not_green_is_not_said_to_be(run, capsys):
    status, text = run(ONE, GOOD.replace("    pass", "    assert 1 == 2"))
    assert status == 1 and "**FAILED**" in text and "`tests/test_a.py::test_control_broken`" in text
    status, text = run(ONE, GOOD.replace("30", "3"))
    assert status == 1 and "**15**" in text and "Fewer than asked for: cuts" in capsys.readouterr().err
    status, text = run(ONE, GOOD.replace("    pass", "    import pytest; pytest.skip('no peer')"))
    assert status == 1 and "**FAILED**" in text
    status, text = run(TWO.replace("in the same tests", ""), GOOD.replace("control_broken", "other"))
    assert status == 1 and "**no control**" in text
    status, text = run(ONE.replace("test_it", "test_gone"), GOOD)
    assert (
        status == 2 and "names tests/test_a.py::test_gone: there is no such test" in capsys.readouterr().err
    )
    assert run(ONE.replace("test_a", "test_b"), GOOD)[0] == 2


def test_it_stops_in_time_and_goes_on(run, tmp_path):
    waits = GOOD.replace(
        "    pass", "    import pathlib, time\n    while not pathlib.Path('go').exists(): time.sleep(0.1)"
    )
    marked = waits.replace("def test_it():", "def test_it():\n    open('ran', 'a').write('x')")
    status, text = run(ONE, marked, "--minutes-max", "0.5")
    assert status == 1 and "not done" in text
    (tmp_path / "go").touch()
    status, text = run(ONE, marked, "--resume")
    assert status == 0 and "42 cuts" in text
    assert Path(tmp_path / "ran").read_text() == "x"  # not again


def test_lines_count_what_passed_only():
    [row] = parse(HEAD + ONE)
    from tests.promises.state import Result

    results = {
        IDS[0]: Result("passed", 1.0, {"cuts": 5}, ""),
        IDS[1]: Result("failed", 1.0, {"cuts": 7}, "no"),
    }
    tests = Named(tuple(IDS), frozenset(IDS[2:]))
    found = table.line_of(row, tests, results)
    assert (found.counts["cuts"], found.open, found.caught, found.holds) == (5, 1, 0, False)
    assert table.reached({row: tests}, results, {1: {"cuts": 10}, 2: {"x": 1}}) == [(1, "cuts", 10, 5)]
