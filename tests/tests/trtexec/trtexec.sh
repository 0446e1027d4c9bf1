#!/bin/sh
# A SIMULATED trtexec: it prints what NVIDIA's prints, calibrates where that would, and builds nothing.
# `behaviour` beside it redefines its functions; `version` holds the number in its banner.
# shellcheck disable=SC2034 # what the functions may use
here=$(dirname "$0")
version=$(cat "$here/version")
line="$0 $*"
int8='' calib='' onnx='' engine='' cache=''
for word; do
    case $word in
    --onnx=*) onnx=${word#*=} ;;
    --saveEngine=*) engine=${word#*=} ;;
    --calib=*) calib=${word#*=} ;;
    --timingCacheFile=*) cache=${word#*=} ;;
    --int8) int8=1 ;;
    esac
done

say() { echo "[11/23/2026-07:00:00] [$1] $2"; }
error() { say E "$1" >&2; }
banner() { echo "&&&& $1 TensorRT.trtexec [TensorRT v$version] # $line"; }
help() { echo "=== Model Options ==="; echo "  --onnx=<file>  ONNX model"; echo "  --saveEngine=<file>"; }
calibrate() {
    say I "[TRT] Calibrated batch 0 in 0.0107 seconds."
    say I "[TRT] Calibration completed in 2.31 seconds."
}
read_table() {
    say I "[TRT] Reading Calibration Cache for calibrator: EntropyCalibration2"
    if [ "$(head -n 1 "$1")" = "TRT-$version-EntropyCalibration2" ]; then
        say I "[TRT] Generated calibration scales using calibration cache. Make sure that calibration cache has latest scales."
    else
        error "[TRT] Calibration table does not match calibrator algorithm type."
        error "[TRT] 1: Unexpected exception _Map_base::at: binding 0 has a null device buffer"
        fail
    fi
}
options() { say I "Calibration: ${calib:-Dynamic}"; }
table() {
    [ -n "$int8" ] || return 0
    options
    if [ -z "$calib" ]; then say I "[TRT] Calibrator is not being used."; return 0; fi
    if [ -r "$calib" ]; then read_table "$calib"; else calibrate; fi
}
# shellcheck disable=SC2059 # the format is the byte
byte() { printf "\\$(printf %o "$1")"; }
# Tag, serialization version, what nobody knows, TensorRT's version, and the rest.
plan() {
    printf 'ftrt\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
    if [ "$version" -lt 10000 ]; then major=$((version / 1000)) rest=$((version % 1000))
    else major=$((version / 10000)) rest=$((version % 10000)); fi
    byte "$major"; byte $((rest / 100)); byte $((rest % 100)); byte 1
    cat "$onnx"
}
save() { plan >"$engine"; }
built() { say I "Engine built in 1.5 sec."; }
fail() { error "Engine set up failed"; banner FAILED; exit 1; }
pass() { banner PASSED; exit 0; }
parse() {
    say I "Start parsing network model"
    say I "Finish parsing network model"
    say V "[TRT] Original: 9 layers"
}
act() { parse; table; save; built; pass; }

# shellcheck disable=SC1091
[ -r "$here/behaviour" ] && . "$here/behaviour"
banner RUNNING
case "$*" in *--help*) help; exit 0 ;; esac
printf '%s\n' "$@" >"$here/arguments"
[ -r "$calib" ] && cp "$calib" "$here/table"
[ -r "$onnx" ] && cp "$onnx" "$here/model"
echo "${LD_LIBRARY_PATH:-}" >"$here/library-path"
act
