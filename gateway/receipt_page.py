"""Which window /api/v1/receipt/<symbol>/<stamp> is about: the one whose file has this stamp."""

from __future__ import annotations

from gateway.config_model import Config
from gateway.journal.journal import Journal
from gateway.receipts import receipt_of_window, receipt_of_window_ending
from gateway.reports.layout import stamp_ms


class ReceiptPage:
    """`ask` for gateway/web/receipts.py."""

    def __init__(self, config: Config, journal: Journal):
        self._journal = journal
        self._made = receipt_of_window if config.gateway.label == "start" else receipt_of_window_ending

    async def ask(self, symbol: str, stamp: str, revision: int | None) -> bytes:
        """The receipt. ValueError: no stamp; NotThere; JournalError."""
        found = await self._journal.read(self._made, symbol, stamp_ms(stamp), revision)
        return found.encode()
