"""What must come out of a scenario, held against what did: a verdict for each of its expectations.

Rule 1: every expectation names a check (simulator/scenario_words.py), and each check looks at something: one
        that finds nothing to look at does not hold. A scenario's free text never counts.
Rule 2: what happened beside the story is judged in any case, last: a run in which a part died does not hold.
Rule 3: a verdict says what was found, whether it holds or not.
Rule 4: every check has a control in tests/tools/test_scenario_check.py: an outcome that breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from simulator.scenario import Expect
from tools.scenario import (
    check_answers,
    check_counts,
    check_files,
    check_orders,
    check_polls,
    check_proofs,
    check_windows,
)
from tools.scenario.check_read import Evidence, of_outcome

Check = Callable[[Evidence, dict[str, Any]], tuple[bool, str]]
"""(what was left behind, the expectation's keys) -> (whether it holds, what was found)"""

CHECKS: Mapping[str, Check] = {
    "nothing lost": check_counts.nothing_lost,
    "nothing doubled": check_counts.nothing_doubled,
    "nothing unexpected": check_counts.nothing_unexpected,
    "nothing missing": check_counts.nothing_missing,
    "every poll": check_polls.every_poll,
    "every answer": check_answers.every_answer,
    "recovered": check_counts.recovered,
    "recovers": check_counts.in_time,
    "alert": check_counts.alert,
    "no alert": check_counts.no_alert,
    "refused": check_counts.refused,
    "answered": check_orders.answered,
    "bottles": check_orders.bottles,
    "sent again": check_orders.sent_again,
    "every file": check_files.every_file,
    "status": check_windows.status,
    "true mean": check_windows.true_mean,
    "false mean": check_windows.false_mean,
    "revised": check_windows.revised,
    "not revised": check_windows.not_revised,
    "time runs forwards": check_windows.forwards,
    "export holds": check_proofs.export_holds,
    "cosigned": check_proofs.cosigned,
    "sign": check_proofs.sign,
    "no sign": check_proofs.no_sign,
}


BESIDE = "nothing beside the story"


class Verdict(NamedTuple):
    """Of one expectation."""

    sentence: str
    holds: bool
    found: str

    def __str__(self) -> str:
        return f"{'ok' if self.holds else 'WRONG':<6} {self.sentence}: {self.found}"


def judge(outcome: Any) -> list[Verdict]:
    """All verdicts, in the scenario's order, and that of rule 2. `outcome`: of tools/scenario/run.py, or an
    Evidence.
    """
    evidence = outcome if isinstance(outcome, Evidence) else of_outcome(outcome)
    verdicts = [_verdict(evidence, expect) for expect in evidence.scenario.expect]
    return [*verdicts, Verdict(BESIDE, *check_counts.beside(evidence))]


def _verdict(evidence: Evidence, expect: Expect) -> Verdict:
    holds, found = CHECKS[expect.what](evidence, dict(expect.given))
    return Verdict(sentence(expect), holds, found)


def sentence(expect: Expect) -> str:
    """An expectation in words: "status of COD is 02, from 30 h to 34 h"."""
    parts = [f"{key} {_said(key, value)}" for key, value in expect.given.items()]
    return expect.what + (f" ({', '.join(parts)})" if parts else "")


def _said(key: str, value: object) -> str:
    if key in ("from", "to", "within", "cleared") and isinstance(value, int):
        return f"{value / 3_600_000:g} h"
    return str(value)
