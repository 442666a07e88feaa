"""What `quantrac station new --example` prints: a file of choices, to be filled in. It fits as it is."""

TEXT = """\
# A station, for: quantrac station new DIR --from THIS-FILE
# Arguments on the command line stand in the place of what is written here. A line that begins with '#' is
# not in force. Every fault is told at once, before anything is written.

id = "st-01"                      # small letters, digits, - and _; the gateway knows it by this name
kind = "wastewater"       # wastewater | stack | surface-water | ambient-air | groundwater | water-level

# How the device reaches its gateway: "usb", a UART of its board, a tty, or the gateway's address.
link = "usb"                      # "uart0 tx=0 rx=1" | "/dev/ttyS0 baud=115200" | "tcp 192.168.1.10:7311"
# How the gateway reaches it; left out, it follows from link, with the usual port.
# gateway_link = "serial:/dev/ttyACM0?baud=115200"

basis = "QCVN 40:2011 A"          # of limits that name none
# update_public = "update.pub"    # updates have to be signed with its private half; beside this file
# seal = false                    # true is usual: records are sealed, the inspector keeps the key

# The lines of the device. baud, parity and stopbits may stand behind a path; else the instruments decide.
[buses]
rs485 = "uart1 tx=4 rx=5 de=6"    # de turns the line; or "/dev/ttyUSB0", or "tcp 192.168.1.20:502"

[[instrument]]
profile = "supmea-sup-ph8001"     # `quantrac station profile list` shows all
bus = "rs485"
unit = 1                          # its address; left out, that of its profile
quantities = ["ph", "temperature"]        # left out, all of them
poll_ms = 10000                   # left out, it follows from how often the instrument has a new value
# every = { temperature = 60000 }         # another pace for some
# rename = { temperature = "temp-2" }     # the channel's name, where it is taken
# symbol = { temperature = "Temp2" }      # in the provincial file; also units, decimals, average, sent
# baud = 9600                     # as the instrument was set, where that is not how it left the factory;
# parity = "N"                    # also stopbits, timeout_ms, retries, gap_ms, phase_ms

[[instrument]]
profile = "generic-tss"
bus = "rs485"
unit = 2
quantities = ["tss"]
range = { tss = [0, 500] }        # what it is set to: at least 3 times the limit. Left out, its profile's
# answers = { order = "CDAB" }    # where its profile asks: `quantrac station profile show NAME`

# By the symbol of the channel, or its name.
[limits]
pH = { min = 6.0, max = 9.0 }
TSS = { max = 50.0, basis = "QCVN 40:2011 A" }
# COD = { rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }     # a row of a regulation

# More keys of the gateway's [[channel]], by the name of the channel.
# [channels.ph]
# unit_when_none = "-"

# What is wired to the board itself (tools/station/wiring.py). A loop or a counter needs a [channels.NAME]
# with symbol and unit, since no profile gives them.
# [[inputs]]
# id = "door"
# kind = "door"                   # door | mains | maintenance | sampler | float | other
# pin = 10
# [[outputs]]
# id = "sampler"
# kind = "sampler"                # relay | sampler | alarm
# pin = 11
# pulse_ms = 500
# per_day = 24
# [[analogs]]
# channel = "level"
# pin = 26
# shunt_ohm = 150.0
# low = 0.0                       # at 4 mA
# high = 5.0                      # at 20 mA
# poll_ms = 10000
# [channels.level]
# symbol = "Level"
# unit = "m"

# A board on a network, for link = "tcp ..." or a line over TCP.
# [network]
# kind = "w5500"                  # Ethernet; or kind = "wifi" with ssid, password and country = "VN"
# spi = 0
# sck = 18
# mosi = 19
# miso = 16
# cs = 17
"""
