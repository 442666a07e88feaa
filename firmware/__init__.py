# The station device. See README.md for what each file does.
import sys

# MICROPYPATH replaces the unix interpreter's own search path, and with it the place where its asyncio lives.
if sys.implementation.name == "micropython" and sys.platform == "linux" and ".frozen" not in sys.path:
    sys.path.append(".frozen")
