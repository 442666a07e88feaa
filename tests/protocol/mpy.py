# Runs test modules inside MicroPython: every test_ function, one line each, and a final line of JSON.
#
#   cd ROOT && MICROPYPATH=.:.frozen micropython -X heapsize=192k tests/protocol/mpy.py
#   tests.protocol.test_cbor ...
#
# Exit status 0 when all passed and there was at least one.

import gc
import json
import sys


def run(names):
    passed = failed = 0
    for name in names:
        module = __import__(name, None, None, ("*",))
        for test in sorted(dir(module)):
            if not test.startswith("test_"):
                continue
            gc.collect()
            try:
                getattr(module, test)()
            except Exception as error:
                failed += 1
                print("FAILED", name, test)
                sys.print_exception(error)
            else:
                passed += 1
                print("passed", name, test)
    print(json.dumps({"passed": passed, "failed": failed}))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
