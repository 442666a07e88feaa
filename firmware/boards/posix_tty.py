# Opening a serial line on MicroPython's unix port. Loaded through lazy.call for that moment: its tables are
# needed at no other.
#
# open() has no O_NOCTTY here: in a process that leads its session, the first tty becomes its controlling
# terminal, and a hang-up of that line then ends the process (SIGHUP). Start the firmware from a shell or a
# service wrapper, not as session leader, or with SIGHUP ignored (nohup).

import termios

from firmware.boards.posix import CONTROL, FRAME_BITS, SPEEDS
from firmware.boards.stream import Stream


def open_serial(path, baud, parity, stopbits):
    file = open(path, "r+b")  # noqa: SIM115 (the stream keeps it)
    try:
        fd = file.fileno()
        termios.setraw(fd)
        modes = termios.tcgetattr(fd)
        modes[2] = modes[2] & ~FRAME_BITS | CONTROL[parity, stopbits]
        if baud in SPEEDS:
            modes[4] = modes[5] = SPEEDS[baud]
        modes[6][5] = modes[6][6] = 0  # VTIME, VMIN
        termios.tcsetattr(fd, termios.TCSANOW, modes)
    except OSError:
        file.close()
        raise
    stream = Stream(file)
    stream.read_now()
    return stream
