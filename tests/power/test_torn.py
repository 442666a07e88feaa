"""The chip that loses its power, and the helper that cuts at every operation (torn.py): do they do it?"""

from tests.power.rig import cuts


def test_every_operation_is_cut_and_a_hasty_check_is_caught():
    counts = cuts("tests.power.torn_self")
    assert counts["cuts"] == counts["programs"] + counts["erases"] + counts["syncs"]
