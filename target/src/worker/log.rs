//! TensorRT's log: all of it in a file, its warnings and errors to the host, and what it proves kept.

mod file;
mod repeats;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nvinfer::{Library, Severity};
use trt_wire::message::Event;
use trt_wire::{Decision, Failure};

use self::file::LogFile;
use self::repeats::Repeats;
use super::implicit::proof::Proof;
use super::{FREE_SPACE, Output, failure, not_written};

/// Where TensorRT's words go. Clones share it.
#[derive(Debug, Clone)]
pub struct Log {
    file: Option<Arc<Mutex<LogFile>>>,
    repeats: Arc<Mutex<Repeats>>,
    seen: Arc<Mutex<Seen>>,
    output: Output,
}

/// What of the log matters after the build.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What it says about the calibration table.
    pub proof: Proof,
    /// The first line that tells of too little memory.
    pub out_of_memory: Option<String>,
}

/// How TensorRT and CUDA say that memory ran out.
const OUT_OF_MEMORY: [&str; 3] = ["out of memory", "outofmemory", "std::bad_alloc"];

impl Log {
    /// A log that is kept in a new file at `path`. [`Self::end`] completes it.
    ///
    /// # Errors
    /// [`trt_wire::FailureCode::Store`] or `DiskFull` if the file cannot be made.
    pub fn create(path: &Path, output: &Output) -> Result<Self, Failure> {
        let file = LogFile::create(path)
            .map_err(|error| failure(not_written(&error), &error, Some(FREE_SPACE.into())))?;
        Ok(Self { file: Some(Arc::new(Mutex::new(file))), ..Self::without_file(output) })
    }

    /// A log of which only warnings and errors go anywhere: to the host.
    pub fn without_file(output: &Output) -> Self {
        Self { file: None, repeats: Arc::default(), seen: Arc::default(), output: output.clone() }
    }

    /// Takes all that this library says from now on.
    pub fn attach(&self, library: &Library) {
        let log = self.clone();
        library.set_logger(move |severity, text| log.say(severity, text));
    }

    /// Adds a line of our own.
    pub fn note(&self, text: &str) {
        self.write("agent", text);
    }

    /// Adds a decision, and tells the host of it.
    pub fn decided(&self, decision: &Decision) {
        self.note(&format!("decided: {decision}"));
        self.output.event(Event::Decision { decision: decision.clone() });
    }

    /// The same log for another attempt, of which nothing was seen yet.
    pub fn afresh(&self) -> Self {
        Self { seen: Arc::default(), ..self.clone() }
    }

    /// What the log has shown so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Takes a message of TensorRT's.
    pub fn say(&self, severity: Severity, text: &str) {
        let word = match severity {
            Severity::InternalError | Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
            Severity::Verbose => "verbose",
        };
        self.write(word, text);
        // Verbose lines are many, and nothing that counts is among them.
        if severity < Severity::Verbose {
            lock(&self.seen).see(severity, text);
        }
        if severity <= Severity::Warning && lock(&self.repeats).is_worth_telling(text) {
            self.tell(word, text.to_owned());
        }
    }

    /// Writes a line to the file, and looks for nothing in it.
    pub fn write(&self, word: &str, text: &str) {
        if let Some(file) = &self.file {
            lock(file).write(word, text);
        }
    }

    /// Completes the file, and tells the host how much was not told. TensorRT holds a copy of the log to the end of the
    /// process, so nothing but this does.
    pub fn end(&self) {
        for rest in lock(&self.repeats).rests() {
            self.tell("warning", rest);
        }
        if let Some(file) = &self.file {
            lock(file).flush();
        }
    }

    fn tell(&self, severity: &str, text: String) {
        self.output.event(Event::Log { severity: severity.into(), text });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn see(&mut self, severity: Severity, text: &str) {
        self.proof.see(text);
        let lower = || text.to_ascii_lowercase();
        if severity <= Severity::Warning
            && self.out_of_memory.is_none()
            && OUT_OF_MEMORY.iter().any(|words| lower().contains(words))
        {
            self.out_of_memory = Some(text.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_recognised_in_the_words_of_tensorrt_and_cuda() {
        let first = |lines: &[(Severity, &str)]| {
            let mut seen = Seen::default();
            lines.iter().for_each(|(severity, text)| seen.see(*severity, text));
            seen.out_of_memory
        };
        let cuda = "1: [defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)";
        let requested =
            "Requested amount of GPU memory (5368709120 bytes) could not be allocated. OutOfMemory";
        assert_eq!(first(&[(Severity::Error, cuda), (Severity::Error, requested)]).as_deref(), Some(cuda));
        assert_eq!(first(&[(Severity::Warning, requested)]).as_deref(), Some(requested));
        assert_eq!(first(&[(Severity::Info, cuda), (Severity::Error, "no implementation")]), None);
    }
}
