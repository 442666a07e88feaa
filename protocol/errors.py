# What can go wrong in protocol/, as one tree. Every leaf says who is wrong and what to do next.
#
#   ProtocolError          the root: catch this to catch everything that protocol/ raises on purpose
#   +-- CodecError         bytes or a message break the format. Drop the frame, count it, never retry the same
#   |                      bytes.
#   +-- AuthError          tag, key id or shape of a COSE_Mac0 is wrong. Drop the frame, count it, do not act
#   |                      on it.
#   +-- BadReply           an instrument's Modbus answer is damaged, or answers something else. Ask again.
#   +-- ExceptionReply     an instrument answered "no"; .code is the Modbus exception code. Asking again helps
#   |                      with 5 and 6 (busy) only; 1 to 3 mean that the profile does not fit the instrument.
#   +-- ConfigError        a profile or a station file is wrong. The text names the field and what to write
#   |                      instead.
#
# Rule 1: on any input whatever, decoders of this folder raise one of these and nothing else.
# Rule 2: the text is for a person; code looks at the class and at ExceptionReply.code.


class ProtocolError(Exception):
    pass


class CodecError(ProtocolError):
    pass


class AuthError(ProtocolError):
    pass


class BadReply(ProtocolError):
    pass


# Modbus Application Protocol 1.1b3, section 7.
_EXCEPTIONS = {
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


class ExceptionReply(ProtocolError):
    def __init__(self, code):
        meaning = _EXCEPTIONS.get(code, "see the instrument's manual")
        super().__init__(f"Modbus exception {code}: {meaning}")
        self.code = code


class ConfigError(ProtocolError):
    pass
