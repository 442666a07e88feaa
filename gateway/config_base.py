"""What every section of the configuration is made of: pydantic's, or the plain classes of config_carried.py.

The modules that declare settings take pydantic's names from here; nobody else needs them but what reads a
configuration (config.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import config_carried

PRINTABLE = r"^\P{C}*$"  # no control characters

if TYPE_CHECKING or not config_carried.chosen():
    from pydantic import (
        BaseModel,
        ConfigDict,
        Discriminator,
        Field,
        PlainValidator,
        PrivateAttr,
        Tag,
        ValidationInfo,
        WithJsonSchema,
    )
    from pydantic_core import PydanticCustomError

    def setting(
        description: str, default: Any = ..., *, unit: str = "", example: Any = None, **limits: Any
    ) -> Any:
        """One setting; `unit` is shown behind its limits, `example` when it is missing."""
        extra: dict[str, Any] = {"unit": unit} if unit else {}
        examples = None if example is None else [example]
        return Field(default, description=description, examples=examples, json_schema_extra=extra, **limits)

    class Section(BaseModel):
        model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

else:
    Section, setting, PydanticCustomError = config_carried.Section, config_carried.setting, ValueError
    Discriminator = PlainValidator = PrivateAttr = Tag = ValidationInfo = WithJsonSchema = (
        config_carried.nothing
    )

__all__ = [
    "PRINTABLE",
    "Discriminator",
    "PlainValidator",
    "PrivateAttr",
    "PydanticCustomError",
    "Section",
    "Tag",
    "ValidationInfo",
    "WithJsonSchema",
    "setting",
]
