# runs on: cpython, micropython
from firmware.files import Files
from tests.firmware.flash_rig import fresh_directory, remove_tree


def _with_files(test):
    def run():
        directory = fresh_directory()
        try:
            test(Files(directory))
            test(Files(directory + "/"))
        finally:
            remove_tree(directory)

    return run


@_with_files
def test_write_read_append_remove(files):
    files.replace("a", b"12345")
    files.append("a", b"678")
    assert (
        files.read("a") == b"12345678" and files.read("a", 3) == b"45678" and files.read("a", 3, 2) == b"45"
    )
    assert files.read("a", 8) == b"" and files.read("a", 6, 100) == b"78"
    files.append("a", b"new", "wb")
    assert files.read("a") == b"new"
    files.replace("a", b"")
    assert files.read("a") == b""
    files.remove("a")
    files.remove("a")
    assert _error(files.read, "a") == 2


def _error(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


@_with_files
def test_names_are_sorted_with_sizes_and_without_folders(files):
    assert files.names("log") == []
    files.make("log")
    files.make("log")
    files.make("log/deeper")
    for name in ("log/b", "log/c", "log/a", "log/long"):
        files.append(name, b"x" * len(name))
    assert files.names("log") == [("a", 5), ("b", 5), ("c", 5), ("long", 8)]
    files.rename("log/b", "log/z")
    assert [name for name, _ in files.names("log")] == ["a", "c", "long", "z"]
    for name, _ in files.names("log"):
        files.remove("log/" + name)


@_with_files
def test_errors_are_errors(files):
    assert _error(files.append, "nowhere/a", b"x") == 2
    assert _error(files.replace, "nowhere/a", b"x") == 2
    assert _error(files.rename, "nothing", "a") == 2
    assert files.free() > 0 and files.path("x").endswith("/x") and "//" not in files.path("x")


# The new content is complete under another name before it takes the old one's place.
@_with_files
def test_replace_never_has_half_of_it(files):
    files.replace("a", b"old")
    seen = []

    class Watched(Files):
        def append(self, name, data, mode="ab"):
            Files.append(self, name, data, mode)
            seen.append((name, files.read("a"), files.read(name)))

    Watched(files.path("")).replace("a", b"new")
    assert seen == [("a.new", b"old", b"new")] and files.read("a") == b"new"
    assert _error(files.read, "a.new") == 2
