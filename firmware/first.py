# The first file that runs. On a device it is /main.py: starter.py picks a firmware, this one starts it.
#
# Rule 1: written once at provisioning, never updated, so it depends on nothing of ours but starter.py.
# Rule 2: what is in this file stays in memory as long as the device runs, so it is short: the reader of the
#         package that runs, and what has to stand around it.

import gc
import sys


# A package as a file system, as far as import needs one: it asks with stat() and reads with open(). Bytecode
# knows its own end, so an open file is the package, at the right place. at: where the contents begin.
class Package:
    def __init__(self, path, index, at):
        self._path = path
        self._index = index  # b"\nfirmware/app 123\n...": where each file begins
        self._at = at

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        mode = 0x8000
        key = path[1:-4] + " "
        if path[-4:] != ".mpy":
            mode = 0x4000
            key = path[1:] + "/"
        if self._index.find(("\n" + key).encode()) < 0:
            raise OSError(2)
        return (mode, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def open(self, path, mode):
        key = ("\n" + path[1:-4] + " ").encode()
        at = self._index.find(key)
        if at < 0 or path[-4:] != ".mpy":
            raise OSError(2)
        at += len(key)
        file = open(self._path, "rb")  # noqa: SIM115 (import closes it)
        file.seek(self._at + int(self._index[at : self._index.find(b"\n", at)]))
        return file


# root: "/" or a path that ends with "/". The status for whoever started this process.
def run(root):
    slot = ""
    imported = False
    try:
        starter = __import__("starter")
        slot = starter.begin(root, Package)
        if slot is None:
            return 0
        del sys.modules["starter"]
        starter = None
        gc.collect()
        from firmware.app import main

        imported = True
        main()
        return 0
    except SystemExit as end:
        status = (end.args[0] if end.args else 0) or 0
        why = f"ended with status {status}"
    except Exception as error:
        status = 1
        why = f"{type(error).__name__}: {error}"
        show = getattr(sys, "print_exception", None) or __import__("traceback").print_exception
        show(error)
    if status == 0:
        return 0
    main = None
    for name in list(sys.modules):
        if name.partition(".")[0] in ("firmware", "protocol"):
            del sys.modules[name]  # room for what follows
    gc.collect()
    try:
        return __import__("starter").end(root, slot, imported, status, why)
    except Exception:  # no room all the same: the start is counted, only its reason is lost
        if sys.platform not in ("linux", "darwin"):
            __import__("machine").reset()
    return 75 if slot else status


if __name__ == "__main__":
    if sys.platform not in ("linux", "darwin"):
        run("/")
    else:
        if len(sys.argv) < 2:  # a device's directory is where its main.py is
            sys.argv.append(sys.argv[0].rpartition("/")[0] or ".")
        sys.exit(run(sys.argv[1].rstrip("/") + "/"))
