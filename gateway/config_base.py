"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

PRINTABLE = r"^\P{C}*$"  # no control characters


def setting(
    description: str, default: Any = ..., *, unit: str = "", example: Any = None, **limits: Any
) -> Any:
    """One setting; `unit` is shown behind its limits, `example` when it is missing."""
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    examples = None if example is None else [example]
    return Field(default, description=description, examples=examples, json_schema_extra=extra, **limits)


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
