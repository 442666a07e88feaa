# runs on: cpython
"""gateway.people.may: the table of roles, as it was decided."""

from gateway.people.accounts import ROLES
from gateway.people.may import ACTIONS, ANYBODY, EVERYBODY, NOBODY, may

CHANGES = set(ACTIONS) - {"look", "own password", "see people"}


def allowed(role):
    return {action for action in ACTIONS if may(role, action)}


def test_the_roles_are_those_of_accounts():
    assert set(EVERYBODY) == set(ROLES) == {role for roles in ACTIONS.values() for role in roles}


def test_what_each_role_may_change():
    assert allowed("viewer") & CHANGES == set()
    assert allowed("operator") & CHANGES == {"acknowledge", "release", "report"}
    assert allowed("technician") & CHANGES == {
        "acknowledge", "release", "mark", "calibrate", "sample", "report"
    }  # fmt: skip
    assert allowed("inspector") & CHANGES == {"sample", "report"}
    assert allowed("administrator") == set(ACTIONS)


def test_whoever_is_not_known_may_nothing_and_nobody_may_what_is_not_known():
    assert allowed(NOBODY.role) == allowed("Administrator") == allowed("root") == set()
    assert not any(may(role, "shut down") for role in EVERYBODY)
    assert allowed(ANYBODY.role) == {"look", "own password"}
