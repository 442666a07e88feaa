"""Promise 11: both runtimes produce the same bytes. 5,000 generated vectors each run, 100,000 in the long.

What they are: _generated.py. Here CPython and MicroPython make them from one seed, and the hashes of all
their bytes are compared. Control: rounded floats as text, which the runtimes do differently.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout

import pytest

from tests.promises.counted import counted
from tests.protocol import _generated
from tests.protocol.test_runtimes import micropython

SEEDS = range(1, 5)
EACH = 100_000 // len(SEEDS) if os.environ.get("QUANTRAC_LONG") else 1250


def here(*words: object) -> list[str]:
    told = io.StringIO()
    with redirect_stdout(told):
        _generated.main(*map(str, words))
    return told.getvalue().split()


def there(*words: object) -> list[str]:
    done = micropython("tests/protocol/_generated.py", *map(str, words), timeout_s=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


@pytest.mark.timeout(1300)
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_vectors_are_the_same_bytes_on_both(seed):
    found = here(EACH, seed)
    assert len(found) == -(-EACH // _generated.BLOCK) and len(set(found)) == len(found)
    assert there(EACH, seed) == found
    counted("vectors", EACH)


def test_control_rounded_floats_as_text_are_other_bytes():
    assert there(500, 1) == here(500, 1)
    assert there(500, 1, "broken") != here(500, 1, "broken")
