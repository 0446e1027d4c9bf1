//! Command lines for the device's login shell.
use std::fmt;
use std::time::Duration;

/// A program to run on the device, quoted for its shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCommand {
    line: String,
    limit: Option<Duration>,
}

impl RemoteCommand {
    /// A program, by name or path, without arguments yet.
    pub fn new(program: &str) -> Self {
        Self { line: quote(program), limit: None }
    }

    /// A script for the POSIX shell, whatever the user's login shell is.
    pub fn script(script: &str) -> Self {
        Self::new("sh").arg("-c").arg(script)
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: &str) -> Self {
        self.line.push(' ');
        self.line.push_str(&quote(argument));
        self
    }

    /// Bounds the time from opening to the end; after it reads, writes and waits fail. Default: none.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The command line as the device's shell reads it.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The time limit, if there is one.
    pub fn time_limit(&self) -> Option<Duration> {
        self.limit
    }
}

impl fmt::Display for RemoteCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Quotes one word for the shell; harmless words stay readable as they are.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for word in [
            "plain",
            "",
            "two words",
            "it's",
            "$HOME",
            "a;b",
            "`id`",
            "\"q\"",
            "tab\there",
            "ünï",
            "~/x",
            "*",
        ] {
            let out = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quote(word))])
                .output()
                .expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&out.stdout), word);
        }
    }

    #[test]
    fn a_script_is_one_argument_of_sh() {
        assert_eq!(RemoteCommand::script("echo a && echo b").line(), "sh -c 'echo a && echo b'");
        assert_eq!(RemoteCommand::new("trt-agent").arg("connect").line(), "trt-agent connect");
    }
}
