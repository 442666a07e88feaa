# The network of a board: Wi-Fi, or Ethernet by a W5500. identity.json's "network" is one of
#   {"kind": "wifi", "ssid": "...", "password": "...", "country": "VN"}
#   {"kind": "w5500", "spi": 0, "sck": 18, "mosi": 19, "miso": 16, "cs": 17, "rst": 20, "int": 21}
# and may hold "address": [ip, mask, gateway, dns]; without it, DHCP. RP2 needs a MicroPython that was built
# with the W5500, as that for the W5500-EVB-Pico.
#
# Rule 1: nobody waits in here for longer than WAIT_MS, nor without giving the others their turn. Joining
#         goes on in the background; up() looks whether it is done.
# Rule 2: calls that load the radio's firmware or reset a chip take up to seconds: the watchdog is fed before.
# Rule 3: what does not come up is asked again; after RESTART_AFTER failures the interface is switched off
#         and on, which is what helps a radio that has hung.
#
# pyright: reportAttributeAccessIssue=false

import network
from micropython import const

_WAIT_MS = const(15000)
_LOOK_MS = const(100)
_RESTART_AFTER = const(4)


class Net:
    def __init__(self, board, settings):
        self.failures = 0  # in a row
        self.restarts = 0
        self._board = board
        self._settings = settings
        self._nic = None
        self._asked = False

    # Returns once there is an address, OSError when there is none in time.
    async def up(self):
        board = self._board
        began = board.ticks_ms()
        while not (self._nic and self._nic.isconnected()):
            if not self._asked:
                self._ask()
            if board.ticks_diff(board.ticks_ms(), began) >= _WAIT_MS:
                self._failed()
                raise OSError("no network")
            await board.sleep_ms(_LOOK_MS)
        self.failures = 0

    def _ask(self):
        board, settings = self._board, self._settings
        board.feed()
        wifi = settings.get("kind") == "wifi"
        try:
            nic = self._nic
            if nic is None:
                if wifi and "country" in settings:
                    network.country(settings["country"])
                nic = network.WLAN(network.WLAN.IF_STA) if wifi else board.wired(settings)
                nic.active(True)
                board.feed()
                if wifi:
                    nic.config(pm=network.WLAN.PM_NONE)  # asleep, it answers late or never
                if "address" in settings:
                    nic.ifconfig(tuple(settings["address"]))
                elif not wifi:
                    nic.ipconfig(dhcp4=True)
                self._nic = nic
            self._asked = True
            if wifi:
                nic.connect(settings["ssid"], settings.get("password"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OSError(f"identity.json, network: {error}")  # noqa: B904 (MicroPython cannot chain)

    def _failed(self):
        board, nic = self._board, self._nic
        self.failures += 1
        self._asked = False
        if nic is None:
            return  # somebody else's wait ended just before
        board.feed()
        try:
            if self._settings.get("kind") == "wifi":
                nic.disconnect()
            if self.failures % _RESTART_AFTER == 0:
                self.restarts += 1
                self._nic = None
                nic.active(False)
        except OSError:
            pass
