"""What is allowed, and who hears when it is exceeded: `limits` of a channel, `[limits]`, `[alerts]`."""

from __future__ import annotations

from gateway.config_base import PRINTABLE, PrivateAttr, Section, setting
from gateway.config_types import Compare, FilePaths
from gateway.limits.choose import WINDOW, Asked, Figure, own
from gateway.limits.rule import FACTORS, Rule


class Limits(Section):
    """`limits = { max, min, basis }`: what the permit allows; or `{ rule, column, ... }`: a regulation's row.

    Once the configuration was read, max, min and basis are those that hold for a window, and `figures` all.
    """

    max: float | None = setting(
        "Highest value allowed; in the place of the rule's.",
        None,
        unit="(in the channel's unit)",
        ge=-1e12,
        le=1e12,
    )
    min: float | None = setting(
        "Lowest value allowed; in the place of the rule's.",
        None,
        unit="(in the channel's unit)",
        ge=-1e12,
        le=1e12,
    )
    basis: str = setting(
        "The rule it comes from.", "", example="QCVN 40:2011 A", max_length=200, pattern=PRINTABLE
    )
    rule: str = setting(
        "The name of a regulation, one of ours or of [limits] files.",
        "",
        example="QCVN 40:2011",
        max_length=200,
        pattern=PRINTABLE,
    )
    column: str = setting("The rule's column or class.", "", example="A", max_length=100, pattern=PRINTABLE)
    size: str = setting(
        "The rule's size of plant.", "", example="below 20 t/h", max_length=100, pattern=PRINTABLE
    )
    parameter: str = setting(
        "The rule's symbol for it, where the channel's differs.",
        "",
        example="NH4",
        max_length=32,
        pattern=PRINTABLE,
    )
    kq: float | None = setting("Factor of the receiving water.", None, unit="(factor)", ge=0.01, le=10)
    kf: float | None = setting("Factor of the discharge.", None, unit="(factor)", ge=0.01, le=10)
    kp: float | None = setting("Factor of the capacity (stacks).", None, unit="(factor)", ge=0.01, le=10)
    kv: float | None = setting("Factor of the region (stacks).", None, unit="(factor)", ge=0.01, le=10)
    compare: Compare = setting(
        "What is held against a figure for which the rule names no span: window, hour, day.",
        (WINDOW,),
        example=["window", "day"],
    )
    warn_share: float = setting(
        "Share of the limit beyond which it is warned; 1 for never.", 0.8, unit="(a share)", ge=0.1, le=1
    )
    clear_share: float = setting(
        "Share of what was exceeded below which an alert ends; 1: as soon as it is not exceeded.",
        0.95,
        unit="(a share)",
        ge=0.1,
        le=1,
    )
    _chosen: tuple[Figure, ...] | None = PrivateAttr(None)
    _by: Rule | None = PrivateAttr(None)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every limit that holds, each for one kind of mean."""
        return own(self.asked("", "")) if self._chosen is None else self._chosen

    @property
    def regulation(self) -> Rule | None:
        """The rule that `rule` names."""
        return self._by

    def asked(self, symbol: str, unit: str) -> Asked:
        """What a channel asks of its rule."""
        factors = {name: given for name in FACTORS if (given := getattr(self, name)) is not None}
        return Asked(
            self.parameter or symbol, unit, self.column, self.size, factors, self.compare, self.max, self.min,
            self.basis,
        )  # fmt: skip

    def by(self, rule: Rule, figures: tuple[Figure, ...]) -> Limits:
        """The same, with what the rule gives."""
        window = next((figure for figure in figures if figure.span == WINDOW), None)
        update = {} if window is None else {"max": window.max, "min": window.min, "basis": window.basis}
        if window is None:
            update = {"max": None, "min": None}
        found = self.model_copy(update=update)
        found._chosen, found._by = figures, rule
        return found


class LimitFiles(Section):
    """`[limits]`: regulations and permits in files of your own, in the form of gateway/limits/*.toml."""

    files: FilePaths = setting(
        "Files that hold one rule each, such as the permit's figures.", (), example=["permit.toml"]
    )


class AlertSettings(Section):
    """`[alerts]`: what happens when nobody acts."""

    escalate_min: int = setting(
        "Minutes after which an alert that nobody acknowledged is escalated; 0 for never.",
        60,
        unit="minutes",
        ge=0,
        le=10_080,
    )
