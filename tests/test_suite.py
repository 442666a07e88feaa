"""`make test` looks twice at few failures, and at none more."""

from __future__ import annotations

import pytest

from tests import suite

MOODS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range({moody}))
def test_moody(n):
    seen = Path(__file__).with_name(f"seen-{{n}}")
    before, _ = seen.exists(), seen.touch()
    assert before

@pytest.mark.parametrize("n", range({broken}))
def test_broken(n):
    assert n is None

def test_sound():
    pass
"""

PLAIN = "[pytest]\naddopts = -p no:schemathesis -p no:hypothesispytest\n"
"""Plugins that take seconds to load."""


@pytest.mark.parametrize(
    ("moody", "broken", "status", "said"),
    [
        (0, 0, 0, []),
        (2, 0, 0, ["passed by itself: test_moods.py::test_moody[0]", "test_moody[1]"]),
        (1, 1, 1, ["passed by itself: test_moods.py::test_moody[0]", "FAILED AGAIN: test_moods.py"]),
        (4, 0, 1, ["4 tests failed: more than 3 get no second look"]),
    ],
)  # fmt: skip
def test_few_failures_get_a_second_look(tmp_path, monkeypatch, capfd, moody, broken, status, said):
    (tmp_path / "test_moods.py").write_text(MOODS.format(moody=moody, broken=broken))
    (tmp_path / "pytest.ini").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    assert suite.main(["-n", "2", "-q"], few=3) == status
    out = capfd.readouterr().out
    assert all(text in out for text in said) and ("itself" in out) == any("itself" in text for text in said)


def test_a_run_that_did_not_come_to_its_end_gets_none(tmp_path, monkeypatch, capfd):
    (tmp_path / "test_moods.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "pytest.ini").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    assert suite.main(["-q"]) not in (0, 1)
    assert "second look" not in capfd.readouterr().out
