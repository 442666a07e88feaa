# A board whose time stands still until the test moves it. Runs in MicroPython too.


class BenchBoard:
    name = "bench"
    reset_reason = "test"

    def __init__(self, speed=1):
        self.now_ms = 0
        self.speed = speed
        self.rtc_ms = None  # what the board's own clock shows; None: it has none

    def rtc(self):
        return self.rtc_ms

    def set_rtc(self, time_ms):
        self.rtc_ms = time_ms

    def ticks_ms(self):
        return self.now_ms

    def ticks_diff(self, a, b):
        return a - b

    def station_ticks(self):
        return self.now_ms * self.speed

    def station_speed(self):
        return self.speed

    def real_ms(self, station_ms):
        return -(-station_ms // self.speed)

    def random_bytes(self, n):
        return bytes(range(n))
