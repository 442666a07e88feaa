"""Coverage: `python -m tests.coverage [--whole] [--table] [TEST ...] [-- OPTION ...]`.

Without more it runs the tests that matter for the protocol, the journal, the windows and the outbox; with
--whole all that `make test` runs, and then the aim of the whole counts, too. A TEST runs in place of them.
OPTION goes to pytest. RESULTS.md is written, but for TESTs that were named: their table is printed.

Exit status: 0 when every part reaches its aim, 1 when one does not or a test failed, 2 used wrongly.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.coverage import measure, table
from tests.coverage.parts import FEW_TESTS, FOUR, PARTS

RESULTS = measure.ROOT / "tests" / "coverage" / "RESULTS.md"


def main(words: list[str] | None = None) -> int:
    said = sys.argv[1:] if words is None else words
    at = said.index("--") if "--" in said else len(said)
    parser = argparse.ArgumentParser(prog="python -m tests.coverage", description=__doc__.split("\n\n")[1])
    parser.add_argument("--whole", action="store_true", help="all tests, and the aim of the whole")
    parser.add_argument("--table", action="store_true", help="only the table of the last measurement")
    parser.add_argument("--no-micropython", action="store_true", help="no marks in what MicroPython runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="tests side by side")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="run these instead")
    given = parser.parse_args(said[:at])
    status, options = 0, said[at + 1 :]
    try:
        if given.table:
            cov = measure.combined()
        else:
            module = "tests.suite" if given.whole else "pytest"
            tests = given.tests or ([] if given.whole else FEW_TESTS)
            own = ["-n", str(given.workers), "--dist", "loadgroup", *options]
            own = own if given.whole else ["-q", "-p", "no:cacheprovider", *own]
            status, cov = measure.run(module, [*own, *tests], marked=not given.no_micropython)
            which = "all tests" if given.whole else "the tests that parts.py names"
            measure.note(which + f", with {' '.join(options)}" * bool(options))
    except (FileNotFoundError, measure.Nothing) as error:
        print(error, file=sys.stderr)
        return 2
    told = table.measured(cov, measure.ROOT, PARTS if given.whole else FOUR)
    page = table.text(told, measure.ROOT, "some tests" if given.tests else measure.noted())
    if given.tests:
        print(page)
    else:
        RESULTS.write_text(page, encoding="utf-8")
    wrong = table.below(told)
    for line in wrong:
        print(line, file=sys.stderr)
    if status:
        print("Tests failed: what they would have reached is missing here.", file=sys.stderr)
    return 1 if wrong or status else 0


if __name__ == "__main__":
    sys.exit(main())
