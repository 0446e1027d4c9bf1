"""NVIDIA's module, and calls whose lines in the recorder's log are compared to what they must be."""

import importlib.util
import os
import sys
import warnings

# Half of TensorRT 8 is deprecated, and that half is what Jetsons run.
warnings.simplefilter("ignore")


def load(path):
    name = os.path.basename(path).removesuffix(".so")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


trt = load(sys.argv[1])
ROWS = set(open(sys.argv[2]).read().split())
VERSION = int(os.environ["RECORDER_VERSION"])
RTX = 10000 <= VERSION < 20000
V8 = VERSION < 10000
LOG = os.environ["RECORDER_LOG"]
open(LOG, "ab").close()
wrong = 0
at = 0


def lines():
    """What was logged since the last call."""
    global at
    with open(LOG, "rb") as log:
        log.seek(at)
        text = log.read()
    at += len(text)
    return text.decode().splitlines()


def compare(expected, found):
    global wrong
    if expected != found:
        wrong += 1
        print("expected:", *expected, "but found:", *found, sep="\n  ")


def row(line):
    return line.split("(")[0]


def step(expected, call):
    """Makes a call that must write these lines. Returns its result, None where the version lacks the first one."""
    expected = [expected] if isinstance(expected, str) else expected
    lines()
    if "::" in expected[0] and row(expected[0]) not in ROWS:
        return None
    try:
        result = call()
    except AttributeError as error:
        compare([], lines())
        print("absent", row(expected[0]))
        return None
    compare(expected, lines())
    return result


def same(expected, found):
    global wrong
    if expected != found:
        wrong += 1
        print(f"expected the result {expected!r} but found {found!r}")


def prefix(kind, interface=None):
    """What a library first asks of a callback whose interface has versions."""
    if V8 or (kind == "ILogger" and (VERSION < 110000 and not 10500 <= VERSION < 20000)):
        return []
    return [f"  {kind}.getAPILanguage() -> 0", f'  {kind}.getInterfaceInfo() -> "{interface or kind}" 1.0']
