# The torn chip itself: that it tears, and that a scenario which needs every byte is caught.
#
#   micropython -m tests.power.torn_self

import json

from tests.power import torn


def _write(directory, name, data):
    with open(f"{directory}/{name}", "wb") as file:
        file.write(data)


def _read(directory, name):
    with open(f"{directory}/{name}", "rb") as file:
        return file.read()


def _old(directory):
    _write(directory, "kept", b"old" * 1000)


def _in_place(directory, seen):
    _write(directory, "kept", b"new" * 1000)
    seen["done"] = True
    _write(directory, "kept", b"NEW" * 1000)


# littlefs replaces a file when it is closed: the old content or the new one, never half, never nothing.
def _whole(directory, seen):
    allowed = [b"NEW" * 1000]
    allowed.append(b"new" * 1000)
    if not seen.get("done"):
        allowed.append(b"old" * 1000)
    assert _read(directory, "kept") in allowed


# CONTROL: a check that wants the new content at once must fail somewhere.
def _hasty(directory, seen):
    assert _read(directory, "kept") == b"NEW" * 1000, "still the old content"


def _caught(*arguments, **options):
    try:
        torn.run(*arguments, **options)
    except AssertionError as error:
        return str(error)
    return ""


# The operation that is cut leaves something behind: neither the state before nor the one after.
def _tears():
    torn_programs = torn_erases = 0
    for _ in range(1, 40):
        for programs in (True, False):
            flash = torn.Flash(2, 4096, 256)
            flash.data[:4096] = bytes(4096)
            flash.cut = 1
            if programs:
                assert flash.writeblocks(1, b"\x0f" * 256, 256) == -5
                data = flash.data[4096 + 256 : 4096 + 512]
                torn_programs += 0 < data.count(b"\x0f") < 256
            else:
                assert flash.ioctl(6, 0) == -5
                torn_erases += 0 < bytes(flash.data[:4096]).count(b"\xff") < 4096
            assert flash.dead and flash.readblocks(0, bytearray(32)) == -5
            assert flash.ioctl(6, 0) == -5 and flash.ioctl(3, 0) == -5
    assert torn_programs > 30 and torn_erases > 30


def main():
    _tears()
    counts = torn.run(_in_place, _whole, _old, nested=True)
    assert counts["cuts"] == counts["operations"] > 10
    again = torn.run(_in_place, _whole, _old)
    assert again["operations"] == counts["operations"], "not the same twice"
    assert "cut at operation" in _caught(_in_place, _hasty, _old)
    print(json.dumps(counts))


main()
