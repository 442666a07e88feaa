"""`quantrac` that keeps nothing of what it has read before it is committed: the control of
test_uncommitted.py. python -m tests.gateway.forgetful gateway run CONFIG
"""

from gateway.journal.uncommitted import Uncommitted
from tools import cli


def keep(self, entries, documents=()):
    return -1


Uncommitted.keep = keep

if __name__ == "__main__":
    cli.main()
