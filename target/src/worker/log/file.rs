//! The file that a build's log is kept in: never larger than it must be, and never far behind.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// What verbose lines may take, and what all others may, in bytes. A large network gets as many as fit.
const LIMIT: u64 = 64 << 20;

/// How long verbose lines may stay in memory while others follow: the last ones before a crash are worth having.
const DELAY: Duration = Duration::from_secs(1);

/// A log file. Each kind of line, verbose and not, has a limit of its own, so that neither crowds out the other.
#[derive(Debug)]
pub struct LogFile {
    writer: BufWriter<File>,
    flushed: Instant,
    verbose: Budget,
    others: Budget,
}

/// What may still be written, in bytes.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: u64,
    is_spent: bool,
}

impl LogFile {
    /// A new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, LIMIT)
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let budget = Budget { left: limit, is_spent: false };
        let writer = BufWriter::new(File::create(path)?);
        Ok(Self { writer, flushed: Instant::now(), verbose: budget, others: budget })
    }

    /// Adds a line. What is not verbose is on the disk at once, and all that was before it.
    pub fn write(&mut self, word: &str, text: &str) {
        let is_verbose = word == "verbose";
        let budget = if is_verbose { &mut self.verbose } else { &mut self.others };
        if budget.is_spent {
            return;
        }
        let size = (word.len() + text.len() + "[] \n".len()) as u64;
        // A full disk shows when the engine is written; losing log lines before that is no reason to stop.
        let _ = if size > budget.left {
            budget.is_spent = true;
            let kind = if is_verbose { "verbose" } else { "more" };
            writeln!(self.writer, "[agent] the log is cut: {kind} lines are left out from here on")
        } else {
            budget.left -= size;
            writeln!(self.writer, "[{word}] {text}")
        };
        if !is_verbose || self.flushed.elapsed() > DELAY {
            self.flush();
        }
    }

    /// Brings everything to the file.
    pub fn flush(&mut self) {
        let _ = self.writer.flush();
        self.flushed = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_flood_of_verbose_lines_is_cut_and_leaves_room_for_what_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogFile::with_limit(&path, 40).unwrap();
        for _ in 0..1000 {
            log.write("verbose", "Tactic: 0x1");
        }
        log.write("error", "no tactic");
        let cut = "[agent] the log is cut: verbose lines are left out from here on\n";
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("[verbose] Tactic: 0x1\n{cut}[error] no tactic\n")
        );
        for _ in 0..1000 {
            log.write("info", "0123456789");
        }
        log.write("warning", "too late");
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with(
                "[info] 0123456789\n[agent] the log is cut: more lines are left out from here on\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn verbose_lines_wait_for_the_next_line_that_counts_or_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogFile::create(&path).unwrap();
        log.write("verbose", "a");
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        log.write("info", "b");
        log.write("verbose", "c");
        assert_eq!(fs::read_to_string(&path).unwrap(), "[verbose] a\n[info] b\n");
        log.flush();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[verbose] a\n[info] b\n[verbose] c\n");
    }
}
