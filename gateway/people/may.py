"""Who may do what: the one table of roles. Pure.

Rule 1: what is not in the table, nobody may do; a role that is not in it may do nothing.
Rule 2: an inspector sees everything and takes samples, and changes nothing of the facility's: nor may the
        facility say that an inspector did.
Rule 3: whoever may say that an instrument is being calibrated keeps its values from being compared with
        limits: that is not the operator's.
"""

from __future__ import annotations

from typing import NamedTuple

VIEWER, OPERATOR, TECHNICIAN = "viewer", "operator", "technician"
INSPECTOR, ADMINISTRATOR = "inspector", "administrator"
EVERYBODY = (VIEWER, OPERATOR, TECHNICIAN, INSPECTOR, ADMINISTRATOR)

ACTIONS: dict[str, tuple[str, ...]] = {
    "look": EVERYBODY,  # every page that only shows, and what can be downloaded there
    "own password": EVERYBODY,
    "acknowledge": (OPERATOR, TECHNICIAN, ADMINISTRATOR),  # an alert
    "release": (OPERATOR, TECHNICIAN, ADMINISTRATOR),  # or park documents
    "mark": (TECHNICIAN, ADMINISTRATOR),  # a channel as calibrating or in maintenance
    "calibrate": (TECHNICIAN, ADMINISTRATOR),  # enter the result of a calibration
    "sample": (TECHNICIAN, INSPECTOR, ADMINISTRATOR),  # let the sampler fill a bottle
    "report": (OPERATOR, TECHNICIAN, INSPECTOR, ADMINISTRATOR),  # have one made; it changes nothing
    "see people": (INSPECTOR, ADMINISTRATOR),
    "people": (ADMINISTRATOR,),  # add, change, remove
    "configure": (ADMINISTRATOR,),
}
"""Action -> roles."""


class Who(NamedTuple):
    """Who asks: an account that is logged in, or nobody in particular (name "")."""

    name: str
    role: str  # "" may do nothing
    csrf: str = ""  # what a form of theirs has to bring


NOBODY = Who("", "")
ANYBODY = Who("", VIEWER)
"""Where reading needs no account."""


def may(role: str, action: str) -> bool:
    """Whether somebody of this role may do it."""
    return role in ACTIONS.get(action, ())
