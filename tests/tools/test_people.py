"""tools/people.py: what people did wrong and what failed are sentences; our own mistakes, too, and --debug
shows where they are."""

from __future__ import annotations

import pytest
import typer

from gateway.errors import ConfigFaults, Fault, JournalError, Unreachable
from protocol.errors import CodecError
from tools import people
from tools.people import Failure, UsageError, speak

FAULTS = ConfigFaults("c.toml", [Fault("c.toml:3: x", "It is wrong.", "Write 5.")])


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UsageError("Write one of a, b."), 2, "Write one of a, b."),
        (FAULTS, 2, "Write 5."),
        (Failure("The gateway did not start."), 1, "The gateway did not start."),
        (JournalError("The journal is newer."), 1, "The journal is newer."),
        (Unreachable("Nobody answers."), 1, "Nobody answers."),
        (CodecError("not CBOR"), 1, "not CBOR"),
        (
            FileNotFoundError(2, "No such file or directory", "/x/y"),
            1,
            "/x/y: No such file or directory. Check",
        ),
        (OSError("odd"), 1, "odd"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_expected_error_is_a_sentence_on_stderr(capsys, error, status, sentence):
    @speak
    def verb():
        raise error

    with pytest.raises(typer.Exit) as left:
        verb()
    assert left.value.exit_code == status
    out, err = capsys.readouterr()
    assert out == "" and sentence in err and "Traceback" not in err


def test_what_works_is_passed_on_and_the_verb_keeps_its_face():
    @speak
    def verb(one: int, two: int = 2) -> int:
        """Adds."""
        return one + two

    assert verb(1, two=3) == 4
    assert (verb.__name__, verb.__doc__) == ("verb", "Adds.")


def test_a_mistake_of_ours_is_a_sentence_and_a_traceback_only_when_asked_for(capsys, monkeypatch):
    @speak
    def verb():
        raise ValueError("a mistake")

    for debug in (False, True):
        monkeypatch.setattr(people, "DEBUG", debug)
        with pytest.raises(typer.Exit) as left:
            verb()
        said = capsys.readouterr().err
        assert left.value.exit_code == 1 and "Quantrac made a mistake here (ValueError: a mistake)" in said
        assert ("Traceback" in said) == debug
