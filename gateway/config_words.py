"""From what pydantic says to two sentences for a person: what is wrong, and what to write instead."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

NEEDED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "model_type": "a table",
    "dict_type": "a table",
    "list_type": "a list",
}
BOUNDS = ("greater_than_equal", "less_than_equal", "greater_than", "less_than")


def sentences(error: dict[str, Any], model: type[BaseModel] | None) -> tuple[str, str]:
    """(what is wrong, what to write instead) for one entry of ValidationError.errors().

    `model` is the section that holds the setting, None when it is not known.
    """
    kind, key, value = error["type"], str(error["loc"][-1]) if error["loc"] else "", error["input"]
    field = model.model_fields.get(key) if model else None
    if kind == "said":
        return error["ctx"]["what"], error["ctx"]["instead"]
    if kind == "missing":
        return f"'{key}' is missing.", write(key, field)
    if kind == "extra_forbidden":
        return unknown(key, list(model.model_fields) if model else [])
    if kind in NEEDED:
        return f"{shown(value)} is not {NEEDED[kind]}.", write(key, field)
    if kind == "literal_error":
        return (
            f"{shown(value)} is not possible here.",
            f"Write one of: {error['ctx']['expected'].replace(' or ', ', ')}.",
        )
    if kind in BOUNDS:
        return f"{shown(value)} is out of range.", write(key, field)
    if kind in ("string_too_short", "string_too_long", "string_pattern_mismatch"):
        return f"{shown(value)} is too short, too long or not of the right form.", write(key, field)
    return f"{shown(value)}: {error['msg']}.", write(key, field)


def unknown(key: str, known: list[str]) -> tuple[str, str]:
    """The sentences for a key that does not exist."""
    near = get_close_matches(key, known, n=1, cutoff=0.7)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"There is no setting '{key[:60]}' here.", f"{hint}Remove it, or use one of: {', '.join(known)}."


def write(key: str, field: FieldInfo | None) -> str:
    """ "Write 400, a number from 60 to 36500 days: <description>"."""
    if field is None:
        return "See the commented configuration that `quantrac gateway init` writes."
    bounds = limits(field)
    example = field.examples[0] if field.examples else field.default
    literal = "" if example in (PydanticUndefined, None) or isinstance(example, BaseModel) else toml(example)
    head = f"Write {key} = {literal}" if literal else f"Write {key}"
    return f"{head}{f' ({bounds})' if bounds else ''}: {field.description}"


def limits(field: FieldInfo) -> str:
    """ "60 to 36500 days", "days" or ""."""
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    extra = field.json_schema_extra
    unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
    if low is None or high is None:
        return unit
    return f"{low:,} to {high:,} {unit}".rstrip()


def toml(value: Any) -> str:
    """A value as one would type it into the file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if value.startswith("{") else f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return str(value)


def shown(value: Any) -> str:
    """A wrong value, short enough for a sentence."""
    if isinstance(value, dict):
        return "A table"
    text = toml(value) if isinstance(value, str | int | float | list) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
