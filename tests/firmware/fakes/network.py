# MicroPython's `network` as far as firmware/boards uses it. `answers` says what isconnected() will say, the
# last one for ever.

from machine import log

PHY_W5500 = 102
answers = [True]


def country(code):
    log.append(("country", code))


class Nic:
    kind = "nic"

    def active(self, on):
        log.append(("active", on))

    def isconnected(self):
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def ifconfig(self, address):
        log.append(("ifconfig", address))

    def ipconfig(self, **what):
        log.append(("ipconfig", what))


class WLAN(Nic):
    IF_STA = 0
    PM_NONE = 0xA11140

    def __init__(self, which):
        log.append(("wlan", which))

    def config(self, **what):
        log.append(("config", what))

    def connect(self, name, key=None):
        log.append(("connect", name, key))

    def disconnect(self):
        log.append(("disconnect",))


class WIZNET5K(Nic):
    def __init__(self, spi, cs, rst):
        log.append(("wiznet", cs.number, rst.number))


class LAN(Nic):
    def __init__(self, *, phy_type, phy_addr, spi, cs, reset=None, **more):
        log.append(("lan", phy_type, cs.number, more["int"].number))
