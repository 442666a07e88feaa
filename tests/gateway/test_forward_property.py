"""Promise 3: nothing is missing, nothing twice, nothing partial, oldest first, at every kind of destination.

QUANTRAC_SEEDS schedules (fault_schedule.py), shared out among the kinds; a kind's server is started once.
Controls, each of which the same rules must find: a random file name at each try; a forwarder that marks
before the confirmation; one that goes newest first; one that writes the final name directly.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from gateway.forward import directory, ftp, sftp
from tests.gateway.fault_schedule import KINDS, play
from tests.gateway.forward_rig import Rig, run_rig
from tests.gateway.wrong_forwarders import Hopeful, NewestFirst, RandomName
from tests.promises.counted import counted

SEEDS = int(os.environ.get("QUANTRAC_SEEDS", "200"))
FILES = ["directory", "openssh", "ftp-vsftpd", "ftps-proftpd"]
CONTROL_SEEDS = range(20)


def run(
    kind: str, folder: Path, seeds: range, **control: object
) -> tuple[Counter[str], dict[int, list[str]]]:
    """What happened over these schedules, up to the first in which something was wrong."""
    total: Counter[str] = Counter()
    wrong: dict[int, list[str]] = {}

    async def case(rig: Rig) -> None:
        for seed in seeds:
            seen = await play(rig, seed, **control)
            total.update(seen.counts)
            total.update(seen.faults)
            if seen.wrong:
                wrong[seed] = seen.wrong
                return

    run_rig(KINDS[kind], folder, case)
    return total, wrong


@pytest.mark.timeout(max(120, 2 * SEEDS))
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_missing_nothing_twice_nothing_partial_oldest_first(kind, tmp_path):
    first = list(KINDS).index(kind)
    seeds = range(first, SEEDS, len(KINDS))
    total, wrong = run(kind, tmp_path, seeds)
    print(kind, len(seeds), dict(total))
    assert not wrong, wrong
    assert total["tries"] > total["windows"] > 0  # the faults did happen
    assert total["left"] == 0
    counted("seeds", len(seeds))


# Controls ---------------------------------------------------------------------------------------------------


def found(kind: str, folder: Path, **control: object) -> str:
    _, wrong = run(kind, folder, CONTROL_SEEDS, arrival_s=3.0, **control)
    return "; ".join(said for all_of_it in wrong.values() for said in all_of_it)


@pytest.mark.parametrize("kind", FILES)
def test_control_a_random_file_name_is_caught(kind, tmp_path):
    assert "was never queued" in found(kind, tmp_path, make=RandomName)


@pytest.mark.parametrize("kind", [*FILES, "mqtt", "https", "notify-mail"])
def test_control_a_mark_before_the_confirmation_is_caught(kind, tmp_path):
    said = found(kind, tmp_path, make=Hopeful)
    assert "too early" in said or "missing" in said


@pytest.mark.parametrize("kind", [*FILES, "mqtt", "https", "notify-mail"])
def test_control_newest_first_is_caught(kind, tmp_path):
    assert "not oldest first" in found(kind, tmp_path, outbox_class=NewestFirst)


@pytest.mark.parametrize("kind", FILES)
def test_control_a_file_written_under_its_final_name_is_caught(kind, tmp_path, monkeypatch):
    for module in (directory, ftp, sftp):
        monkeypatch.setattr(module, "temporary_name", lambda name, token="": name)
    assert "is written under its final name" in found(kind, tmp_path)
