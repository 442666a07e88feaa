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


# Made this way a class takes a third of the memory, and a board has little.
CodecError = type("CodecError", (ProtocolError,), {})
AuthError = type("AuthError", (ProtocolError,), {})
BadReply = type("BadReply", (ProtocolError,), {})
ConfigError = type("ConfigError", (ProtocolError,), {})


class ExceptionReply(ProtocolError):
    @property
    def code(self):
        return self.args[0]

    def __str__(self):
        from protocol.meanings import modbus  # texts for people: loaded when somebody reads one

        return modbus(self.code)
