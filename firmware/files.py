# Files of the device: the same few calls on littlefs, on MicroPython's unix port and on CPython.
#
# Rule 1: replace() leaves the old content or the new one, whenever the power goes: the new file is complete
#         under another name before it takes the old one's.
# Rule 2: what append() and replace() wrote is on the flash when they return: littlefs writes at close;
#         CPython is told to. All errors are OSError, and the file is closed then as well.
# Rule 3: names are ours and have no "..": nothing outside of the directory is ever touched.

import os


class Files:
    def __init__(self, directory):
        self._directory = directory.rstrip("/") + "/"

    # Called now and then by what takes long. Boards feed their watchdog in it.
    def feed(self):
        pass

    def path(self, name):
        return self._directory + name

    # n bytes from `at`, fewer at the end; without n all of them
    def read(self, name, at=0, n=-1):
        with open(self._directory + name, "rb") as file:
            if at:
                file.seek(at)
            return file.read(n)

    # mode "wb" begins the file anew
    def append(self, name, data, mode="ab"):
        with open(self._directory + name, mode) as file:
            file.write(data)
            if hasattr(os, "fsync"):
                file.flush()
                os.fsync(file.fileno())

    def replace(self, name, data):
        self.append(name + ".new", data, "wb")
        os.rename(self._directory + name + ".new", self._directory + name)

    def rename(self, name, to):
        os.rename(self._directory + name, self._directory + to)

    # It is no error when there is none.
    def remove(self, name):
        try:
            os.remove(self._directory + name)
        except OSError as error:
            if error.errno != 2:
                raise

    # Of the files in a folder: sorted [(name, bytes)]. There need not be a folder.
    def names(self, folder):
        path = self._directory + folder
        found = []
        try:
            entries = os.ilistdir(path) if hasattr(os, "ilistdir") else os.listdir(path)
            for entry in entries:
                name = entry if isinstance(entry, str) else entry[0]
                if len(entry) == 4 and entry is not name:  # littlefs tells all
                    mode, size = entry[1], entry[3]
                else:
                    status = os.stat(path + "/" + name)
                    mode, size = status[0], status[6]
                if not int(mode) & 0x4000:
                    found.append((name, size))
        except OSError as error:
            if error.errno != 2:
                raise
        found.sort()
        return found

    def make(self, folder):
        try:
            os.mkdir(self._directory + folder)
        except OSError as error:
            if error.errno != 17:  # it is there
                raise

    # bytes
    def free(self):
        status = os.statvfs(self._directory)
        return status[1] * status[4]
