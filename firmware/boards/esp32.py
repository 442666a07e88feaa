# ESP32 and its relatives: what differs from other boards.
#
# Rule 1: the clock runs on through a reset, not through a power cut; its zero is 2000 (metal.py allows for
#         it).
# Rule 2: the UART's interrupt lives in RAM: flash may be written while bytes come in.
# Rule 3: pulses that do not bounce (gap_ms=0) are counted by hardware, where the chip has a counter.
# Rule 4: where the console is UART 0, a link of the kind "usb" is that UART, through the board's USB chip.
#
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

import machine

from firmware.boards.metal import Metal


class Board(Metal):
    name = "esp32"
    flash_stops_uart = False
    _counters = 0

    def taken(self, network):
        return ("uart0", 1, 3) if self._usb else ()

    def analog(self, pin):
        return machine.ADC(pin, atten=machine.ADC.ATTN_11DB)  # up to 2.45 V, calibrated in the chip

    def microvolts(self, adc):
        return adc.read_uv()

    def counter(self, pin, pull="up", gap_ms=2):
        if gap_ms or not hasattr(machine, "Counter"):
            return super().counter(pin, pull, gap_ms)
        Counter = machine.Counter
        source = self.input(pin, pull)
        counter = Counter(self._counters, source, edge=Counter.RISING if pull == "down" else Counter.FALLING)
        self._counters += 1
        return counter.value

    def wired(self, settings):
        import network

        Pin = machine.Pin
        spi = machine.SPI(
            settings["spi"],
            sck=Pin(settings["sck"]),
            mosi=Pin(settings["mosi"]),
            miso=Pin(settings["miso"]),
        )
        more = {"reset": Pin(settings["rst"])} if "rst" in settings else {}
        return network.LAN(
            phy_type=network.PHY_W5500,
            phy_addr=0,
            spi=spi,
            cs=Pin(settings["cs"]),
            int=Pin(settings["int"]),
            **more,
        )
