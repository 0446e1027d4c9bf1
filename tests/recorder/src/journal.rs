//! The log file, one line per call.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, OnceLock};

/// Writes a line. The file is opened for appending, so a reader in the same process sees it at once.
pub fn record(line: &str) {
    static FILE: OnceLock<Mutex<File>> = OnceLock::new();
    write(FILE.get_or_init(|| open(&required("RECORDER_LOG"))), line);
}

/// Writes that an object, which is the caller's to delete, was made or deleted, if anybody wants to know.
pub fn account(sign: char, object: &dyn Display) {
    static FILE: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var("RECORDER_OBJECTS").ok().map(|path| open(&path)));
    if let Some(file) = file {
        write(file, &format!("{sign}{object}"));
    }
}

fn open(path: &str) -> Mutex<File> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    Mutex::new(file.unwrap_or_else(|error| stop(&format!("cannot write {path}: {error}"))))
}

fn write(file: &Mutex<File>, line: &str) {
    let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
        stop(&format!("cannot write the log: {error}"));
    }
}

/// Writes a line that no correct caller causes, and ends the process: what comes after a wrong slot means nothing.
pub fn fail(line: &str) -> ! {
    record(line);
    stop(line)
}

/// A setting without which nothing recorded would mean anything.
pub fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        stop(&format!("{variable} is not set: this library only records calls for tests, it is not TensorRT"))
    })
}

/// A panic would unwind into C++.
pub fn stop(why: &str) -> ! {
    eprintln!("recorder: {why}");
    std::process::abort()
}
