# Files of a device that are nowhere but in a table. Runs in MicroPython too. `full`: writing fails.


class MemoryFiles:
    def __init__(self, **content):
        self.content = content
        self.full = False
        self.writes = 0

    def path(self, name):
        return "/" + name

    def read(self, name, at=0, n=-1):
        if name not in self.content:
            raise OSError(2, name)
        return self.content[name][at : at + n if n >= 0 else None]

    def append(self, name, data, mode="ab"):
        if self.full:
            raise OSError(28)
        self.writes += 1
        self.content[name] = (self.content.get(name, b"") if mode == "ab" else b"") + bytes(data)

    def replace(self, name, data):
        self.append(name, data, "wb")

    def rename(self, name, to):
        self.content[to] = self.read(name)
        del self.content[name]

    def remove(self, name):
        self.content.pop(name, None)

    def names(self, folder):
        prefix = folder + "/" if folder else ""
        names = [name for name in self.content if name.startswith(prefix)]
        return sorted([(name[len(prefix) :], len(self.content[name])) for name in names])

    def make(self, folder):
        pass

    def free(self):
        return 0 if self.full else 1000000
