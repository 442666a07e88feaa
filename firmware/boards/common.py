# What every board does alike: small files, the number of this start, why it started, the account of feeding.
#
# Rule 1: a file is replaced whole or not at all (files.py).
# Rule 2: the number of a start is kept before it is used. Where that fails, chance keeps it from being that
#         of another start.
# Rule 3: why a board restarts on purpose is written down before it does; without such a note the board's own
#         account of the reset stands.
#
# pyright: reportAttributeAccessIssue=false

import os

from firmware.files import Files

BOOT_FILE = "boot"
WHY_FILE = "state/reset"
REPL = "repl asked"


class Common:
    repl = False

    def __init__(self, directory):
        self.files = Files(directory)
        self.files.feed = self.feed
        self.missed_feeds = 0
        self.longest_feed_ms = 0
        self._fed_at = None
        self._feed_ms = 0
        self.reset_reason = None
        try:
            self.reset_reason = self.files.read(WHY_FILE).decode()
            self.files.remove(WHY_FILE)
        except (OSError, UnicodeError):
            pass
        if self.reset_reason == REPL:
            self.repl = True

    random_bytes = staticmethod(os.urandom)

    def read_file(self, name):
        return self.files.read(name)

    def write_file(self, name, data):
        self.files.replace(name, data)

    def next_boot(self, above=0):
        boot = -1
        try:
            boot = int(self.files.read(BOOT_FILE))
        except (OSError, ValueError):
            pass
        if boot < 0:  # the first start, as far as anybody here knows
            boot = int.from_bytes(self.random_bytes(3), "big")
        boot = max(boot, above) + 1
        try:
            self.files.replace(BOOT_FILE, f"{boot}\n".encode())
        except OSError:  # flash that is worn or full is no reason not to measure
            boot += int.from_bytes(self.random_bytes(2), "big")
        return boot

    def watchdog(self, limit_ms):
        self._feed_ms = limit_ms
        self._fed_at = self.ticks_ms()

    def feed(self):
        if self._fed_at is None:
            return
        now = self.ticks_ms()
        gap_ms = self.ticks_diff(now, self._fed_at)
        self._fed_at = now
        self.longest_feed_ms = max(self.longest_feed_ms, gap_ms)
        if gap_ms > self._feed_ms:
            self.missed_feeds += 1

    def reset(self, reason):
        try:
            self.files.make("state")
            self.files.replace(WHY_FILE, reason.encode())
        except OSError:
            pass  # the reason is lost, the reset is not
        self._restart()

    def enter_repl(self):
        self.reset(REPL)
