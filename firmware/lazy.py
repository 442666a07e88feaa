# Code that is needed once in a while: loaded for one call, forgotten after it.
#
# Rule 1: a board's memory holds what runs all the time. Reading the configuration, answering a command,
#         taking an update, telling of a crash: 5 to 25 KB each, for a second a week.
# Rule 2: a module called this way keeps nothing: what it is to remember lives in what it is given.
# Rule 3: what it brings in with it goes with it, unless it was there before. So import the errors that it may
#         raise before calling: a class that is loaded twice is two classes.

import gc
import sys

_OWN = ("firmware.", "protocol.")


# What the module's function returns; a coroutine, when it is one, keeps its code alive by itself.
def call(module, function, *arguments):
    gc.collect()
    before = list(sys.modules)
    try:
        __import__(module)
        return getattr(sys.modules[module], function)(*arguments)
    finally:
        for name in list(sys.modules):
            if name not in before and name.startswith(_OWN):
                folder, _, leaf = name.rpartition(".")
                parent = sys.modules.get(folder)
                if parent is not None and hasattr(parent, leaf):
                    delattr(parent, leaf)
                del sys.modules[name]
        gc.collect()
