# shellcheck shell=bash
# shellcheck disable=SC2034 # what it sets is for the scripts that source it
# The simulated device on this machine's own processor: OpenSSH as this user, with a home folder of its own. Sourced by
# jetson-sim, which sets DIR.

SIM_USER=$(id -un)
SIM_SAYS="a SIMULATED device on this machine ($(uname -m)), not a Jetson. Real OpenSSH and agent; the builder
is TensorRT-RTX in place of the Jetson's TensorRT."
SSHD=/usr/sbin/sshd # sshd starts itself again for every connection and wants an absolute path

sshd_pid() { pid_of "$DIR/sshd.pid" "$(readlink -f $SSHD)"; }
agent_pid() { pid_of "$DIR/home/.local/share/trt-agent/agent.pid" "$(readlink -f "$DIR/home/.local/bin/trt-agent")"; }

prepare() {
    [ -x "$SSHD" ] || die "no $SSHD; install it with: apt-get install openssh-server"
    # The place where sshd as root locks its unprivileged half in; Debian's service makes it when it starts.
    [ "$(id -u)" != 0 ] || install -d -m 755 /run/sshd
    SIM_HOME=$DIR/home
}

# SetEnv gives sessions the simulated home, but sshd still starts them in the user's real one: the entry script moves
# them, so that nothing with a relative path (scp, sftp) lands there.
write_config() { # PORT
    mkdir -p "$DIR/home"
    cat >"$DIR/entry" <<'ENTRY'
#!/bin/sh
cd "$HOME" || exit 1
[ -n "$SSH_ORIGINAL_COMMAND" ] || exec /bin/sh -i
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
ENTRY
    chmod 755 "$DIR/entry"
    cat >"$DIR/sshd_config" <<CONFIG
ListenAddress 127.0.0.1
Port $1
HostKey $DIR/host_key
PidFile $DIR/sshd.pid
AuthorizedKeysFile $DIR/authorized_keys
AllowUsers $(id -un)
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
# The folder may lie below one that others can write (a checkout in /tmp); the keys themselves are 0600.
StrictModes no
UseDNS no
PrintMotd no
MaxStartups 64
MaxSessions 64
SetEnv HOME=$DIR/home
ForceCommand $DIR/entry
Subsystem sftp /usr/lib/openssh/sftp-server
CONFIG
}

# start_sshd PORT: 0 once it listens, 1 if the port is taken, ends the script if sshd cannot run at all.
start_sshd() {
    write_config "$1"
    rm -f "$DIR/sshd.pid"
    : >"$DIR/sshd.log"
    "$SSHD" -t -f "$DIR/sshd_config" || die "sshd refuses its configuration: $DIR/sshd_config"
    setsid "$SSHD" -D -E "$DIR/sshd.log" -f "$DIR/sshd_config" </dev/null >/dev/null 2>&1 &
    local pid=$!
    for _ in $(seq 200); do
        [ ! -s "$DIR/sshd.pid" ] || return 0 # written once it listens
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.02
    done
    grep -q 'Address already in use' "$DIR/sshd.log" && return 1
    cat "$DIR/sshd.log" >&2
    die "sshd did not start, see $DIR/sshd.log"
}

stop_all() {
    local pid
    if pid=$(agent_pid); then
        stop "$pid"
        echo "stopped the agent (pid $pid)"
    fi
    if pid=$(sshd_pid); then
        stop "$pid"
        rm -f "$DIR/sshd.pid"
        echo "stopped sshd (pid $pid)"
    fi
}
