//! An OpenSSH server of the test's own: own port, own host keys, own authorized key.
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::SshOptions;

const SSHD: &str = "/usr/sbin/sshd";
const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// A running server; dropping it kills it and its sessions.
pub struct Server {
    child: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

/// Keys are made once, beside the tests' program; RSA takes a while.
fn keys() -> &'static Path {
    static KEYS: OnceLock<PathBuf> = OnceLock::new();
    KEYS.get_or_init(|| {
        let program = std::env::current_exe().expect("a test knows its own file");
        let keys = program.with_file_name("ssh-test-keys");
        if !keys.exists() {
            let new = tempfile::tempdir_in(program.parent().expect("a file's folder")).expect("folder");
            for kind in KINDS {
                make_key(&new.path().join(format!("host_{kind}")), kind, "");
            }
            make_key(&new.path().join("user"), "ed25519", "");
            // Another test's are as good.
            let made = fs::rename(new.path(), &keys);
            assert!(made.is_ok() || keys.exists(), "{made:?}");
        }
        keys
    })
}

pub fn make_key(file: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test key", "-f"])
        .arg(file)
        .args(if kind == "rsa" { &["-b", "2048"][..] } else { &[] })
        .status();
    assert!(made.is_ok_and(|status| status.success()), "ssh-keygen -t {kind}");
}

pub fn user() -> String {
    let out = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

impl Server {
    /// Starts a server with all three host keys and these lines before its other configuration; says so without sshd.
    pub fn start(lines: &[&str]) -> Option<Self> {
        Self::start_with(&KINDS, lines)
    }

    pub fn start_with(host_keys: &[&str], lines: &[&str]) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            test_support::skip("no /usr/sbin/sshd (Debian package openssh-server)");
            return None;
        }
        // Where sshd, started by root, wants to confine its children. Its packages make it at boot.
        let _ = fs::create_dir_all("/run/sshd");
        // Another process may take the port in between, so try again.
        let server = (0..5).find_map(|_| Self::spawn(host_keys, lines).wait_until_up());
        Some(server.expect("sshd starts"))
    }

    fn spawn(host_keys: &[&str], lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name| folder.path().join(name).display().to_string();
        fs::copy(keys().join("user.pub"), path("authorized_keys")).expect("authorized_keys");
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("port").port();
        let mut config: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        config.extend(
            host_keys.iter().map(|k| format!("HostKey {}", keys().join(format!("host_{k}")).display())),
        );
        config.extend([
            format!("Port {port}"),
            "ListenAddress 127.0.0.1".into(),
            format!("AuthorizedKeysFile {}", path("authorized_keys")),
            format!("PidFile {}", path("pid")),
            "StrictModes no".into(),
            "UsePAM no".into(),
            "PermitRootLogin yes".into(),
            "PasswordAuthentication no".into(),
            "KbdInteractiveAuthentication no".into(),
            "MaxStartups 100".into(),
        ]);
        fs::write(path("sshd_config"), config.join("\n") + "\n").expect("sshd_config");
        let child = Command::new(SSHD)
            .args(["-D", "-f", &path("sshd_config"), "-E", &path("log")])
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd starts");
        Self { child, port, folder }
    }

    fn wait_until_up(mut self) -> Option<Self> {
        let patience = Instant::now() + test_support::patience(Duration::from_secs(30));
        while Instant::now() < patience && !self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Some(self);
            }
            sleep(Duration::from_millis(10));
        }
        eprintln!("sshd: {}", fs::read_to_string(self.path("log")).unwrap_or_default());
        None
    }

    /// Options that work: the right user, key, and a known_hosts file with all host keys.
    pub fn options(&self) -> SshOptions {
        let known_hosts = self.path("known_hosts");
        if !known_hosts.exists() {
            let lines: Vec<_> = KINDS.iter().map(|kind| self.known_host_line(kind)).collect();
            fs::write(&known_hosts, lines.concat()).expect("known_hosts");
        }
        SshOptions {
            port: self.port,
            identity: Some(keys().join("user")),
            known_hosts: vec![known_hosts],
            use_agent: false,
            ..SshOptions::new("127.0.0.1", &user())
        }
    }

    /// The line of a host key, as OpenSSH would have written it.
    pub fn known_host_line(&self, kind: &str) -> String {
        format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(kind))
    }

    /// Type and key in base64.
    pub fn host_key(&self, kind: &str) -> String {
        let line = fs::read_to_string(keys().join(format!("host_{kind}.pub"))).expect("host key");
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// A path in the server's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets another public key in.
    pub fn authorize(&self, public: &Path) {
        let file = self.path("authorized_keys");
        let both = fs::read_to_string(&file).expect("keys") + &fs::read_to_string(public).expect("key");
        fs::write(file, both).expect("authorized_keys");
    }

    /// Kills the processes that serve connections, as a crash or a power cut would.
    pub fn kill_sessions(&self) {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|c| Pid::from_raw(c.parse().ok()?)) {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_sessions();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
