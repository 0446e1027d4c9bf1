# shellcheck shell=bash
# shellcheck disable=SC2034 # what it sets is for the scripts that source it
# The aarch64 side of the scripts: a private cross toolchain, an arm64 userland, TensorRT-RTX for arm64. Sourced after
# common.sh. All of it lies in .cross/; nothing is installed system-wide, and rustup's toolchain is not touched.

CROSS=$ROOT/.cross
ZIG_VERSION=0.17.1

# Whether arm64 programs can be started like any other in a namespace of its own, through qemu. Says why not.
can_start_arm64() {
    local kernel
    kernel=$(uname -r)
    [ "$(printf '%s\n' 6.7 "$kernel" | sort -V | head -1)" = 6.7 ] || {
        echo "that needs Linux 6.7 or newer (binfmt_misc inside a user namespace), and this is $kernel"
        return 1
    }
    unshare --user --map-root-user --mount true 2>/dev/null || {
        echo "this user may not make user namespaces"
        return 1
    }
}

# zig links against any glibc floor; Debian's own linker would ask for 2.34, which only JetPack 6 has.
need_zig() {
    [ "$(cat "$CROSS/zig/version" 2>/dev/null)" != "$ZIG_VERSION" ] || return 0
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_apt python3-venv
    note "installing zig as linker into .cross/zig"
    rm -rf "$CROSS/zig"
    python3 -m venv "$CROSS/zig"
    "$CROSS/zig/bin/pip" install --quiet --disable-pip-version-check "ziglang==$ZIG_VERSION" cargo-zigbuild==0.24.0
    echo "$ZIG_VERSION" >"$CROSS/zig/version"
}

# A private apt that also knows arm64 and uses this machine's own package sources; nothing is installed system-wide.
write_private_apt() {
    local sources=$CROSS/apt/etc/parts
    mkdir -p "$CROSS"/apt/{state/lists,cache/archives}/partial "$sources" "$CROSS/debs"
    cp /etc/apt/sources.list.d/debian.sources "$sources/" 2>/dev/null ||
        cp /etc/apt/sources.list "$sources/debian.list"
    cat >"$CROSS/apt/apt.conf" <<CONF
APT::Architectures { "amd64"; "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::State "$CROSS/apt/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$CROSS/apt/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$sources";
CONF
}

# Debian's rustc-web, its arm64 standard library, qemu to run the result and an arm64 C library for it.
need_arm64() {
    [ ! -x "$CROSS/bin/rustc" ] || return 0
    [ "$(uname -m)" = x86_64 ] || die "this script crosses from x86_64 only; here, use Cross.toml or build on a Jetson"
    note "unpacking Debian's cross compiler into .cross/ (about 30 s)"
    rm -rf "${CROSS:?}"/{apt,debs,rust,sysroot-arm64}
    mkdir -p "$CROSS/bin"
    write_private_apt
    (
        export APT_CONFIG=$CROSS/apt/apt.conf
        cd "$CROSS/debs" || exit
        apt-get update -qq
        apt-get install -qq -y --download-only -o Dir::Cache::archives="$CROSS/debs" rustc-web
        # The arm64 library must be of the very same version as the compiler.
        version=$(dpkg-deb -f rustc-web_*_amd64.deb Version)
        apt-get download -qq "libstd-rust-web-dev:arm64=$version" libc6:arm64 libgcc-s1:arm64 libstdc++6:arm64 \
            qemu-user-static
        for deb in *_amd64.deb libstd-rust-web-dev*_arm64.deb; do
            case $deb in qemu*) ;; *) dpkg-deb -x "$deb" "$CROSS/rust" ;; esac
        done
        for deb in libc6_*_arm64.deb libgcc-s1_*_arm64.deb libstdc++6_*_arm64.deb; do
            dpkg-deb -x "$deb" "$CROSS/sysroot-arm64"
        done
        dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar -xO ./usr/bin/qemu-aarch64-static >"$CROSS/bin/qemu-aarch64"
        chmod +x "$CROSS/bin/qemu-aarch64"
    )
    rm -rf "$CROSS/apt" "$CROSS/debs"
    # Written last: its presence says that all of the above is complete.
    cat >"$CROSS/bin/rustc.new" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH=$CROSS/rust/usr/lib/x86_64-linux-gnu exec $CROSS/rust/usr/bin/rustc "\$@"
WRAPPER
    chmod +x "$CROSS/bin/rustc.new"
    mv "$CROSS/bin/rustc.new" "$CROSS/bin/rustc"
}

# An arm64 Debian userland with OpenSSH in .cross/rootfs-arm64, unpacked and never run here. It is only read: what
# starts it lays a writable layer over it.
need_arm64_rootfs() {
    [ ! -x "$CROSS/rootfs-arm64/usr/sbin/sshd" ] || return 0
    note "unpacking an arm64 Debian with OpenSSH into .cross/ (about 20 s, 170 MB)"
    need_apt ca-certificates perl
    local tools=$CROSS/mmdebstrap uri suite
    # shellcheck disable=SC1091 # the system's own file
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # One of the two files is usually absent, which is no failure.
    uri=$(grep -hs -oE '^(URIs: *|deb +)[a-z]+://[^ ]+' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list |
        grep -oE '[a-z]+://[^ ]+' | head -1 || true)
    [ -n "$uri" ] || die "no Debian mirror in this machine's apt sources"
    rm -rf "$tools" "$CROSS/rootfs-arm64" "$CROSS/rootfs-arm64.new"
    mkdir -p "$tools"
    apt_update
    (cd "$tools" && apt-get -o APT::Sandbox::User="$(id -un)" download -qq mmdebstrap && dpkg-deb -x mmdebstrap_*.deb .)
    as_root env PATH="$tools/usr/bin:$PATH" perl "$tools/usr/bin/mmdebstrap" --quiet --variant=extract --mode=root --arch=arm64 --skip=check/qemu \
        --include=openssh-server,bash,coreutils,dash,util-linux,libc-bin,grep,sed,tar,libstdc++6,procps \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --aptopt='Apt::Install-Recommends "false"' \
        "$suite" "$CROSS/rootfs-arm64.new" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
    mv "$CROSS/rootfs-arm64.new" "$CROSS/rootfs-arm64"
    rm -rf "$tools"
}

# The real TensorRT-RTX for arm64, out of the PyPI package. Sets TRT_RTX_ARM64_DIR.
need_arm64_tensorrt_rtx() {
    TRT_RTX_ARM64_DIR=$CROSS/tensorrt-rtx-arm64-$TRT_RTX_VERSION/tensorrt_rtx_libs
    export TRT_RTX_ARM64_DIR
    [ ! -d "$TRT_RTX_ARM64_DIR" ] || return 0
    need_pip # the environment alone: the package is for another processor and is only unpacked
    note "unpacking TensorRT-RTX $TRT_RTX_VERSION for arm64 into .cross/ (90 MB to download)"
    local folder=${TRT_RTX_ARM64_DIR%/*}
    rm -rf "$CROSS"/tensorrt-rtx-arm64*
    mkdir -p "$folder.new"
    "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform manylinux_2_35_aarch64 -d "$folder.new" "tensorrt-rtx-cu13-libs==$TRT_RTX_VERSION"
    "$VENV/bin/python" -m zipfile -e "$folder.new"/*.whl "$folder.new"
    rm "$folder.new"/*.whl
    mv "$folder.new" "$folder"
}

# A clang and a libclang for tools/: the clang inside zig and a PyPI package, since Debian's are half a gigabyte. Sets
# CLANG and LIBCLANG_PATH.
need_clang() {
    need_zig
    need_apt g++ # the headers of C++'s library
    need_pip libclang==18.1.1
    CLANG=$CROSS/clang
    printf '#!/bin/sh\nexec %q -m ziglang clang "$@"\n' "$CROSS/zig/bin/python" >"$CLANG"
    chmod +x "$CLANG"
    LIBCLANG_PATH=$("$VENV/bin/python" -c 'import clang, os; print(os.path.join(clang.__path__[0], "native"))')
    export CLANG LIBCLANG_PATH
}
