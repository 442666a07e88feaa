"""The configuration's classes where configurations are only carried, not made: without pydantic.

Checking a configuration takes memory that is needed in the first second only (decisions/0022). So the gateway
that runs has it checked by a process of its own (config_apart.py), and gets the finished objects. Their
classes are those of config_model.py in both; what they are made of differs, and config_base.py chooses it.

Rule 1: here no configuration can be made of a table, and none is changed: whoever tries gets a TypeError.
Rule 2: what was made there is here as it was, and there again as it was: attributes, properties, equality.
"""

from __future__ import annotations

import sys
from typing import Any

REQUIRED = object()
_chosen = False


def choose() -> None:
    """From now on this process carries configurations. Where their classes are there already (in a test, in a
    tool that has read one) it is too late: that process makes them.
    """
    global _chosen
    _chosen = _chosen or "gateway.config_base" not in sys.modules


def chosen() -> bool:
    """Whether this process only carries configurations."""
    return _chosen


class Section:
    """Holds what a section of pydantic's held."""

    def __init_subclass__(cls) -> None:
        for name in [name for name, value in vars(cls).items() if value is REQUIRED]:
            delattr(cls, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("A configuration cannot be changed.")

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name.startswith("_")}
        shown = {name: value for name, value in vars(self).items() if name not in own}
        return {
            "__dict__": shown, "__pydantic_fields_set__": set(shown), "__pydantic_extra__": None,
            "__pydantic_private__": own or None,
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state["__dict__"], **(state["__pydantic_private__"] or {}))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        held = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({held})"


def setting(description: str, default: Any = REQUIRED, **more: Any) -> Any:
    """In the place of config_base.setting(): the default of an attribute, or none."""
    return default


def nothing(*of: Any, **more: Any) -> Any:
    """In the place of what only pydantic reads: types, limits, words."""
    return None
