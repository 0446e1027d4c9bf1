# shellcheck shell=bash
# shellcheck disable=SC2034 # what it sets is for the scripts that source it
# The simulated device with a Jetson's processor: an arm64 Debian under qemu with its own sshd, in user, mount and
# process namespaces of its own. Sourced by jetson-sim, which sets DIR.

SIM_USER=nvidia
SIM_HOME=/home/nvidia
SIM_SAYS="a SIMULATED device (arm64 programs under qemu, this machine's kernel), not a Jetson. Real OpenSSH and
agent, both arm64; the builder is the real TensorRT-RTX for arm64 in place of the Jetson's TensorRT."

# The first process of the namespace; everything in it ends with it. Pids are used again, so the time of its start is
# recorded as well.
sshd_pid() {
    local pid start
    read -r pid start 2>/dev/null <"$DIR/init.pid" && [ "$start" = "$(started "$pid")" ] && echo "$pid"
}
started() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; } # PID; the program's name has no blank here

agent_pid() {
    ssh -F "$DIR/ssh_config" jetson-sim \
        'pid=$(cat ~/.local/share/trt-agent/agent.pid 2>/dev/null) && kill -0 "$pid" && echo "$pid"' 2>/dev/null
}

prepare() {
    [ "$(id -u)" = 0 ] || die "--arch aarch64 needs root, for namespaces with several users: run it with sudo"
    # In a shell of its own: common.sh has a \`die\` of its own and changes the folder.
    TENSORRT=$(bash -c '. "$1/scripts/lib/common.sh"; . "$1/scripts/lib/cross.sh"
        reason=$(can_start_arm64) || die "the simulated arm64 device cannot run: $reason"
        { need_arm64; need_arm64_rootfs; need_arm64_tensorrt_rtx; } >&2
        echo "$TRT_RTX_ARM64_DIR"' - "$ROOT") || exit 1
}

# The accounts, keys and configuration of the device, in the writable layer over the unpacked Debian.
write_config() { # PORT
    local etc=$DIR/layer/etc ssh=$DIR/home/.ssh
    mkdir -p "$DIR"/{layer,scratch,root} "$etc/ssh" "$ssh" \
        "$DIR"/layer/{run/sshd,opt/tensorrt-rtx,home/nvidia,proc,dev,tmp}
    chmod 755 "$DIR"/layer "$DIR"/layer/run "$DIR"/layer/run/sshd
    chmod 1777 "$DIR/layer/tmp"
    cat >"$etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/bash
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
nvidia:x:1000:1000::/home/nvidia:/bin/bash
nobody:x:65534:65534::/:/usr/sbin/nologin
PASSWD
    printf 'root:x:0:\nnvidia:x:1000:\nnogroup:x:65534:\n' >"$etc/group"
    awk -F: '{print $1":*:19000:0:99999:7:::"}' "$etc/passwd" >"$etc/shadow"
    chmod 600 "$etc/shadow"
    cp "$DIR/host_key" "$etc/ssh/host_key"
    cp "$DIR/authorized_keys" "$ssh/authorized_keys"
    chmod 700 "$ssh"
    chmod 600 "$etc/ssh/host_key" "$ssh/authorized_keys"
    chown -R 1000:1000 "$DIR/home"
    cat >"$etc/ssh/sshd_config" <<CONFIG
ListenAddress 127.0.0.1
Port $1
HostKey /etc/ssh/host_key
PidFile none
UsePAM no
AllowUsers nvidia
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
MaxStartups 64
MaxSessions 64
Subsystem sftp /usr/lib/openssh/sftp-server
CONFIG
}

# start_sshd PORT: 0 once it listens, 1 if the port is taken, ends the script if it cannot run at all.
start_sshd() {
    write_config "$1"
    rm -f "$DIR/init.pid"
    local outer inner='' namespace
    namespace=$(readlink /proc/self/ns/user)
    setsid unshare --user --mount --pid --fork "$ROOT/scripts/lib/sim-aarch64-init" "$DIR" "$ROOT/.cross" "$TENSORRT" \
        </dev/null >"$DIR/sshd.log" 2>&1 &
    outer=$!
    # The namespace has no users until they are given to it from outside.
    for _ in $(seq 500); do
        [ "$(readlink "/proc/$outer/ns/user" || echo "$namespace")" = "$namespace" ] || break
        sleep 0.01
    done
    if ! { echo '0 0 65536' >"/proc/$outer/uid_map" && echo '0 0 65536' >"/proc/$outer/gid_map"; }; then
        die "the user namespace could not be given its users, see $DIR/sshd.log"
    fi
    for _ in $(seq 1000); do
        inner=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null) && inner=${inner%% *}
        [ -z "$inner" ] || echo "$inner $(started "$inner")" >"$DIR/init.pid"
        ! grep -q 'Server listening' "$DIR/sshd.log" || return 0
        kill -0 "$outer" 2>/dev/null || break
        sleep 0.02
    done
    grep -q 'Address already in use' "$DIR/sshd.log" && return 1
    cat "$DIR/sshd.log" >&2
    die "the arm64 sshd did not start, see $DIR/sshd.log"
}

stop_all() {
    local pid
    if pid=$(sshd_pid); then
        kill -9 "$pid" 2>/dev/null || true
        # Its mounts go with its last process.
        for _ in $(seq 500); do
            sshd_pid >/dev/null || break
            sleep 0.01
        done
        rm -f "$DIR/init.pid"
        echo "stopped the arm64 sshd, the agent and whatever else ran in there (pid $pid)"
    fi
}
