//! TensorRT's log: all of it in a file, its warnings and errors to the host, and what it proves kept.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nvinfer::{Library, Severity};
use trt_wire::message::Event;
use trt_wire::{Failure, FailureCode};

use super::implicit::proof::Proof;
use super::{Output, failure};

/// Where TensorRT's words go. Clones share it.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<Mutex<File>>,
    seen: Mutex<Seen>,
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
    /// A log that is kept in a new file at `path`.
    ///
    /// # Errors
    /// [`FailureCode::Store`] if the file cannot be made.
    pub fn create(path: &Path, output: &Output) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| failure(FailureCode::Store, &error, None))?;
        Ok(Self::with(Some(Mutex::new(file)), output))
    }

    /// A log of which only warnings and errors go anywhere: to the host.
    pub fn without_file(output: &Output) -> Self {
        Self::with(None, output)
    }

    fn with(file: Option<Mutex<File>>, output: &Output) -> Self {
        Self(Arc::new(Inner { file, seen: Mutex::default(), output: output.clone() }))
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

    /// The same file for another attempt, of which nothing was seen yet.
    pub fn afresh(&self) -> Self {
        let file = self
            .0
            .file
            .as_ref()
            .and_then(|file| file.lock().unwrap_or_else(PoisonError::into_inner).try_clone().ok());
        Self::with(file.map(Mutex::new), &self.0.output)
    }

    /// What the log has shown so far.
    pub fn seen(&self) -> Seen {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).see(severity, text);
        }
        if severity <= Severity::Warning {
            self.0.output.event(Event::Log { severity: word.into(), text: text.to_owned() });
        }
    }

    /// Writes a line to the file, and looks for nothing in it.
    pub fn write(&self, word: &str, text: &str) {
        let Some(file) = &self.0.file else { return };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk shows when the engine is written; losing log lines before that is no reason to stop.
        let _ = writeln!(file, "[{word}] {text}");
    }
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
