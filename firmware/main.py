# Development: runs the firmware that is on the path. On a device, /main.py is starter.py.

from firmware.app import main

main()
