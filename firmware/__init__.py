# The station device. See README.md for what each file does.
import sys

# `import struct` looks for a file first, each time, in all of the path: 8 ms on a board. `ustruct` does not.
if sys.implementation.name == "micropython" and sys.platform != "linux":
    _names = "array binascii collections errno hashlib io json machine os select struct time"
    for _name in _names.split():
        try:
            sys.modules[_name] = __import__("u" + _name)
        except ImportError:
            pass

# MICROPYPATH replaces the unix interpreter's own search path, and with it the place where its asyncio lives.
if sys.implementation.name == "micropython" and sys.platform == "linux" and ".frozen" not in sys.path:
    sys.path.append(".frozen")
