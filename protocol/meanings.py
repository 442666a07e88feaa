# What numbers mean, for people. Texts are large: loaded when one is to be read.

# Modbus Application Protocol 1.1b3, section 7.
_MODBUS = {
    1: "the instrument does not know this function: check the table (holding, input, coil) in its profile",
    2: "the instrument has no such register: check register addresses and counts in its profile",
    3: "the instrument refused the count or the value: ask for fewer registers",
    4: "the instrument failed while it worked on the request: look at its own display",
    5: "the instrument accepted the request and needs time: ask again later",
    6: "the instrument is busy: ask again later",
    8: "the instrument reports a memory parity fault: it needs service",
    10: "the Modbus gateway has no path to this unit: check its routing",
    11: "the unit behind the Modbus gateway did not answer: check its wiring, address and power",
}


# The sentence that belongs to a Modbus exception code.
def modbus(code):
    return f"Modbus exception {code}: {_MODBUS.get(code, 'see the manual of the instrument')}"
