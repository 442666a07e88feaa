"""The power goes at every operation of the flash while a device is updated or configured (promise 10)."""

import pytest

from tests.firmware import update_rig as keys
from tests.power import rig
from tests.promises.counted import counted
from tools.station import package

SCENARIOS = ("install", "confirm", "revert", "configure")
# blocks, bytes of a block, bytes of a program operation
GEOMETRIES = [(64, 4096, 256), *([(128, 2048, 128), (32, 8192, 512), (48, 4096, 1024)] if rig.LONG else [])]
BROKEN = [
    ("install", "state first"),
    ("install", "copied"),
    ("configure", "trial last"),
    ("configure", "in place"),
]
SECONDS = 7000 if rig.LONG else 550
pytestmark = pytest.mark.timeout(SECONDS + 50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three firmwares as packages with rising counters, a few blocks long."""
    made = tmp_path_factory.mktemp("packages")
    for counter, name in enumerate(("old", "new", "newer"), 1):
        files = keys.firmware(name)
        files["protocol/more.mpy"] = name.encode() * 2000
        (made / name).write_bytes(keys.make(files, counter=counter, version=str(counter)))
    (made / "update.pub").write_bytes(package.public_text(keys.key(0)))
    return made


def run(folder, scenario, geometry, nested=False, broken=()):
    words = [str(number) for number in geometry]
    nesting = "nested" if nested else "once"
    return rig.cuts(
        "tests.power.update_cuts", scenario, str(folder), *words, nesting, *broken, seconds=SECONDS
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_after_a_cut_at_every_operation_one_whole_firmware_runs(folder, scenario, geometry, capsys):
    counts = run(folder, scenario, geometry)
    assert counts["cuts"] == counts["operations"] >= 15
    counted("cuts", counts["cuts"])
    counted("geometries", int(scenario == SCENARIOS[0]))  # of one scenario: all take the same
    with capsys.disabled():
        print(f"\n{scenario}, {geometry}: {counts['cuts']} cuts", end="")


@pytest.mark.parametrize("scenario", SCENARIOS if rig.LONG else SCENARIOS[1:2])
def test_and_a_second_cut_while_it_comes_back(folder, scenario, capsys):
    counts = run(folder, scenario, GEOMETRIES[0], nested=True)
    assert counts["cuts"] == counts["operations"] and counts["nested"] > counts["cuts"]
    with capsys.disabled():
        print(f"\n{scenario}: {counts['cuts']} cuts, {counts['nested']} cuts within them", end="")


@pytest.mark.parametrize("scenario, broken", BROKEN)
def test_control_a_device_that_does_it_wrongly_is_caught(folder, scenario, broken):
    with pytest.raises(AssertionError, match="cut at operation"):
        run(folder, scenario, GEOMETRIES[0], broken=(broken,))
