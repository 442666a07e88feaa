# Numbers of Linux's <asm-generic/termbits.h> that MicroPython's termios module does not name.

SPEEDS = {
    1200: 0o11,
    2400: 0o13,
    4800: 0o14,
    9600: 0o15,
    19200: 0o16,
    38400: 0o17,
    57600: 0o10001,
    115200: 0o10002,
    230400: 0o10003,
    460800: 0o10004,
    921600: 0o10007,
}

_CS8 = 0o60
_CSTOPB = 0o100
_CREAD = 0o200
_PARENB = 0o400
_PARODD = 0o1000
_CLOCAL = 0o4000

# c_cflag bits that we set ourselves: size, stop bits, parity, hardware flow control
FRAME_BITS = _CS8 | _CSTOPB | _PARENB | _PARODD | 0o20000000000

_PARITY = {"N": 0, "E": _PARENB, "O": _PARENB | _PARODD}
CONTROL = {
    (parity, stopbits): _CS8 | _CREAD | _CLOCAL | _PARITY[parity] | (_CSTOPB if stopbits == 2 else 0)
    for parity in _PARITY
    for stopbits in (1, 2)
}
