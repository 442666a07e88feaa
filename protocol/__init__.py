# The facts both ends agree on: codecs, messages, session, quality, registers, calibration.
#
# Rule 1: no I/O and no clock in here. Bytes go in, nouns come out; callers bring the time.
# Rule 2: every module runs unchanged on CPython >= 3.11 and MicroPython >= 1.28. What differs stands in
#         _compat.py.
# Rule 3: imports nothing of ours from outside this folder.
