"""The questions of `quantrac station new`, from the station's name to the summary of what will be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.check_limits import RANGE_TO_LIMIT_MIN
from gateway.config_links import LinkFault, device_link
from protocol import fields
from protocol.profile import KINDS
from tools.people import UsageError
from tools.station import blocks, fit, seal_paper, words
from tools.station.ask import Asker
from tools.station.choices import Choices, profile_of
from tools.station.interview_units import NONE, Units
from tools.station.public import public_fault
from tools.station.said import summary
from tools.station.site import NAME_BYTES_MAX
from tools.station.suggested import suggested

if TYPE_CHECKING:
    from tools.station.new import NewOptions

LINE = "rs485=uart1 tx=4 rx=5 de=6"


def interview(base: Choices, options: NewOptions) -> tuple[Choices, fit.Fit]:
    """Ask for everything; `base` is what is offered. KeyboardInterrupt when it is given up."""
    scanned = suggested(options.scan) if options.scan is not None else []
    if options.seal_paper is not None and (wrong := seal_paper.check_path(options.seal_paper, options.dir)):
        raise UsageError(f"--seal-paper {wrong}.")
    return Asker().run(lambda asker: _Interview(asker, base, options, scanned).run())


class _Interview:
    """One run through the questions. Nothing here outlives it: see ask.py, rule 2."""

    def __init__(
        self, asker: Asker, base: Choices, options: NewOptions, scanned: list[dict[str, Any]]
    ) -> None:
        self._asker, self._base, self._options = asker, base, options
        self._scanned = scanned
        self._made = Choices(wired=base.wired, channels=dict(base.channels), identity=base.identity)

    def run(self) -> tuple[Choices, fit.Fit]:
        asker, made = self._asker, self._made
        asker.say("", "Enter takes what stands in brackets. ? explains, < goes back, Ctrl-C stops.", "")
        self._identity()
        self._lines()
        Units(asker, made, self._scanned).run()
        self._limits()
        made.seal = not self._options.no_seal and asker.yes(
            "seal",
            "A seal key, which the inspector keeps",
            self._base.seal,
            "Records are sealed under a key that only the device and the inspector have: he can show later "
            "that no reading was changed. It is shown once, when the folder is made.",
        )
        self._updates()
        return self._end()

    # The station

    def _identity(self) -> None:
        asker, made, base = self._asker, self._made, self._base
        made.id = asker.ask(
            "id",
            "Name of the station",
            base.id,
            "The gateway and the records know it by this name. It stays for the station's life.",
            lambda text: (
                None
                if not fields.identifier(text) and len(text) <= NAME_BYTES_MAX
                else f"Write {fields.identifier(None)}, at most {NAME_BYTES_MAX}."
            ),
        )
        config = self._options.gateway
        kind = base.kind or (blocks.kind_of(config) if config else "")
        made.kind = asker.ask(
            "kind",
            "What it watches",
            kind or KINDS[0],
            "The kind of station, as its gateway's configuration says it. Profiles are offered for it.",
            choices=KINDS,
        )
        text = asker.ask(
            "link",
            "How it reaches its gateway",
            words.text_of(self._base.link) if self._base.link else "usb",
            f"Write {words.LINK_EXAMPLES}. A board in a cabinet with its gateway hangs on USB; tx and rx are "
            "the pins of its UART; an address is the gateway's, and a number, not a name.",
            _checks(lambda faults, text: words.link(faults, text)),
        )
        made.link = words.link([], text)
        made.gateway_link = asker.ask(
            "gateway_link",
            "How the gateway reaches it",
            base.gateway_link or blocks.gateway_link(made.link),
            "The link of its [[device]], as the gateway's configuration has it: its serial port, or the "
            "address that it listens on.",
            _device_link,
        )

    def _lines(self) -> None:
        asker, made, offered = (
            self._asker,
            self._made,
            [f"{bus['id']}={words.text_of(bus)}" for bus in self._base.buses] or [LINE],
        )
        help = (
            f"ID=PATH, with a name of yours and a path such as {words.BUS_EXAMPLES}. Pins are those of the "
            "board; de turns an RS-485 transceiver to sending, leave it out where it does that itself. "
            "baud=, parity= and stopbits= may follow; without them the instruments decide."
        )
        while True:
            n = len(made.buses) + 1
            more = f", {NONE} for no more" if made.buses else ""

            def check(text: str, first: bool = n == 1) -> str | None:
                if text == NONE:
                    return "One line is needed at least." if first else None
                if text.partition("=")[0] in [bus["id"] for bus in made.buses]:
                    return "There is a line of this name already, write another."
                return _checks(lambda faults, text: words.named_bus(faults, text))(text)

            default = offered[n - 1] if n <= len(offered) else NONE
            text = asker.ask(f"bus {n}", f"Line {n} of instruments, ID=PATH{more}", default, help, check)
            if text == NONE:
                return
            found = words.named_bus([], text)
            assert found is not None
            made.buses.append(found)

    # Limits

    def _limits(self) -> None:
        basis = self._base.basis
        self._asker.say("")
        for n, one in enumerate(self._made.instruments, 1):
            profile = profile_of(one)
            for quantity in profile.quantities if profile else ():
                if quantity.id not in one.get("quantities", [quantity.id]):
                    continue
                symbol = one.get("symbol", {}).get(quantity.id, quantity.symbol)
                basis = self._limit(one, quantity, symbol, basis, n)

    def _limit(self, one: dict[str, Any], quantity: Any, symbol: str, basis: str, n: int) -> str:
        """Ask for one channel's limit; the basis that is offered for the next."""
        table = {"symbol": symbol, "unit": quantity.unit}

        def highest(faults: list[str], given: dict[str, Any]) -> float | None:
            basis = {} if given.get("basis") else {"basis": "asked for next"}
            return fit.highest(faults, f"limit of {symbol}", given | basis, table, self._options.gateway)

        def check(text: str) -> str | None:
            faults: list[str] = []
            found = None if text == NONE else words.limit(faults, f"{symbol}={text}", "")
            if found and found[1] and not faults:
                highest(faults, found[1])
            return said(faults)

        text = self._asker.ask(
            f"limit {symbol}",
            f"Limit of {symbol}{f' in {quantity.unit}' if quantity.unit else ''}, {NONE} for none",
            NONE,
            "What the permit allows for a mean of 5 minutes: the highest value, as 75, or the lowest and the "
            "highest, as 6..9. Or a regulation's row: rule QCVN 40:2011; column=A; kq=0.9; kf=1.1",
            check,
        )
        found = None if text == NONE else words.limit([], f"{symbol}={text}", "")
        if found is None or not found[1]:
            return basis
        limits = found[1]
        if not limits.get("rule") and not limits["basis"]:
            basis = limits["basis"] = self._asker.ask(
                f"basis {symbol}",
                "  On what it is based",
                basis,
                "The rule or the permit, as it shall stand beside the limit: QCVN 40:2011 A.",
                lambda text: (
                    None if text.strip() else "A limit needs what it is based on, as QCVN 40:2011 A."
                ),
            )
        self._made.limits[symbol] = limits
        most = highest([], limits)
        if most is not None:
            self._range(one, quantity, symbol, RANGE_TO_LIMIT_MIN * most, n)
        return basis

    def _range(self, one: dict[str, Any], quantity: Any, symbol: str, need: float, n: int) -> None:
        low, high = quantity.plausible
        usual = f"{low:g}..{high:g}"
        free = quantity.unit == "oC"  # see fit.py, rule 2

        def check(text: str) -> str | None:
            ends = words.span(text)
            if ends is None or ends[0] is None or ends[1] is None or ends[0] >= ends[1]:
                return "Write the lowest and the highest value, as 0..250."
            if ends[1] >= need or free:
                return None
            return (
                f"It ends below 3 times the limit, {need:g}, which the regulation asks for. Set the "
                f"instrument to {need:g} or more, take another one, or go back (<) where the limit is wrong."
            )

        text = self._asker.ask(
            f"range {n} {symbol}",
            "  Range that the instrument is set to",
            usual if high >= need or free else "",
            f"Its measuring range has to reach 3 times the limit, {need:g}. Look at its "
            f"display: its profile only knows what is plausible, {low:g} to {high:g}.",
            check,
        )
        if text != usual:
            one.setdefault("range", {})[quantity.id] = [float(part) for part in text.split("..")]

    # The end

    def _updates(self) -> None:
        def check(text: str) -> str | None:
            wrong = None if text == NONE else public_fault(Path(text))
            return f"{wrong}." if wrong else None

        text = self._asker.ask(
            "update_public",
            f"update.pub, the public key of signed updates, {NONE} for none",
            str(self._base.update_public or NONE),
            "With it the station takes only updates that its private half signed; without it, none.",
            check,
        )
        self._made.update_public = None if text == NONE else Path(text)

    def _end(self) -> tuple[Choices, fit.Fit]:
        asker, faults = self._asker, []
        found = fit.fit(faults, self._made, self._options.gateway)
        if found is None or faults:
            asker.say("", "It does not fit together yet:", *(f"- {fault}" for fault in faults))
            asker.ask("fix", "< goes back to what is wrong", check=lambda _: "Write < until you are there.")
            raise AssertionError("a question that takes no answer was answered")
        asker.say("", *summary(self._made, found), *(f"Note: {note}." for note in found.notes), "")
        if not asker.yes("write", f"Write it to {self._options.dir}"):
            raise KeyboardInterrupt
        return self._made, found


def said(faults: list[str]) -> str | None:
    """The first fault as a sentence."""
    return f"{faults[0][0].upper()}{faults[0][1:].rstrip('.')}." if faults else None


def _checks(read: Any) -> Any:
    """A check of an answer by one of words.py."""

    def check(text: str) -> str | None:
        faults: list[str] = []
        found = read(faults, text)
        return said(faults) or (None if found else "Write something.")

    return check


def _device_link(text: str) -> str | None:
    try:
        device_link(text)
    except LinkFault as fault:
        return f"{fault.what} {fault.instead}"
    return None
