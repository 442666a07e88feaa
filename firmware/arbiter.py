# Who goes first, a transaction on RS-485 or a write to flash: on RP2 a flash write stops interrupts, and what
# the UART receives meanwhile is lost.
#
# Rule 1: a transaction stands between `await bus()` and `done()`. Lines do not keep each other waiting.
# Rule 2: `await flash(work)` keeps new transactions off, waits for those under way, calls work(), which does
#         not await, and returns what it returns. So it waits for one transaction of each line at most.
# Rule 3: transactions that had to wait go before the next flash write: neither side starves the other.

import asyncio


class Arbiter:
    def __init__(self):
        self._busy = 0  # transactions under way
        self._waiting = 0  # transactions that flash keeps off
        self._flash = False
        self._changed = asyncio.Event()

    async def bus(self):
        if self._flash:
            self._waiting += 1
            try:
                while self._flash:
                    await self._changed.wait()
            finally:
                self._waiting -= 1
                self._wake()
        self._busy += 1

    def done(self):
        self._busy -= 1
        if self._flash:
            self._wake()

    async def flash(self, work):
        while self._flash or self._waiting:
            await self._changed.wait()
        self._flash = True
        try:
            while self._busy:
                await self._changed.wait()
            return work()
        finally:
            self._flash = False
            self._wake()

    def _wake(self):
        self._changed.set()
        self._changed.clear()
