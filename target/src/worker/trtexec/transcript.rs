//! What `trtexec` says while it builds, and what that proves.

use std::collections::HashSet;

use nvinfer::{ParserError, Severity};
use trt_wire::Decision;
use trt_wire::message::{Event, Phase};

use super::find::banner;
use super::parser::ParserLog;
use super::process::Stream;
use crate::worker::Output;
use crate::worker::log::Log;
use crate::worker::words::{count, few_quoted};

/// A failure shows this many errors; the log has all.
const ERRORS_SHOWN: usize = 3;
/// As much of a line as is worth showing.
const LONGEST_SHOWN: usize = 500;
/// How the parser tells, in a verbose line, which layer it made for a node.
const REGISTERED: &str = "Registering layer: ";
const FOR_NODE: &str = " for ONNX node: ";
/// More layers than the largest network known has; beyond it a layer may be called lost that is not.
const MOST_LAYERS: usize = 100_000;
/// What `trtexec` says after any failure, which explains none.
const EMPTY_WORDS: [&str; 7] = [
    "Failed to parse onnx file",
    "Parsing model failed",
    "Engine set up failed",
    "Failed to create engine from model",
    "Building engine failed",
    "Engine creation failed",
    "Engine could not be created",
];

/// Everything of its words that matters after the build.
#[derive(Debug, Default)]
pub struct Transcript {
    parsers: [ParserLog; 2],
    errors: Vec<String>,
    /// The line that says it passed is there.
    pub passed: bool,
    /// The line that says it failed is there.
    pub failed: bool,
    /// What its banner says.
    pub version: Option<[u32; 3]>,
    /// Layers of the parsed network, if it tells.
    pub layers: Option<u32>,
    /// The engine's size in MiB, if it tells (10.0 and later).
    pub engine_mib: Option<f64>,
    /// An error that blames the timing cache.
    pub timing_cache: Option<String>,
    /// The layers that the parser made, by name.
    registered: HashSet<String>,
    is_building: bool,
}

/// A line without its time: how bad it is, and what it says.
fn split(line: &str) -> (Severity, &str) {
    let tagged = |line: &str| {
        let (letter, rest) = line.strip_prefix('[')?.split_once(']')?;
        let severity = match letter {
            "F" => Severity::InternalError,
            "E" => Severity::Error,
            "W" => Severity::Warning,
            "I" => Severity::Info,
            "V" => Severity::Verbose,
            _ => return None,
        };
        // The rest is not a part of `line` that outlives this closure, but its length is.
        Some((severity, rest.trim_start().len()))
    };
    let after_time = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map(|(_, rest)| rest);
    match tagged(line).or_else(|| tagged(after_time?)) {
        Some((severity, length)) => (severity, &line[line.len() - length..]),
        None => (Severity::Info, line),
    }
}

impl Transcript {
    /// Takes one line: into the log, to the host if it is a warning or worse, and into account.
    pub fn see(&mut self, stream: Stream, line: &str, log: &Log, output: &Output) {
        if let Some(verdict) = line.strip_prefix("&&&& ") {
            // It repeats the arguments, whose names are the user's own, so nothing else is looked for in it.
            log.write("trtexec", line);
            self.passed |= verdict.starts_with("PASSED TensorRT.trtexec");
            self.failed |= verdict.starts_with("FAILED");
            self.version = self.version.or_else(|| banner(line));
            return;
        }
        let (severity, text) = split(line);
        log.say(severity, text);
        self.parsers[stream as usize].see(text);
        self.measure(text);
        if severity <= Severity::Error {
            self.blame(text);
        }
        if !self.is_building && is_parsed(text) {
            self.is_building = true;
            output.event(Event::Phase { phase: Phase::Build });
        }
    }

    fn measure(&mut self, text: &str) {
        let words = text.strip_prefix("[TRT] ").unwrap_or(text);
        let between = |start: &str, end: &str| words.strip_prefix(start)?.split(end).next();
        if let Some(layers) = between("Original: ", " layers").and_then(|number| number.parse().ok()) {
            self.layers.get_or_insert(layers);
        }
        if let Some((layer, _)) = words.strip_prefix(REGISTERED).and_then(|rest| rest.split_once(FOR_NODE))
            && self.registered.len() < MOST_LAYERS
        {
            self.registered.insert(layer.to_owned());
        }
        let mib = between("Created engine with size: ", " MiB").and_then(|number| number.parse().ok());
        self.engine_mib = mib.or(self.engine_mib);
    }

    fn blame(&mut self, text: &str) {
        let text = text.strip_prefix("[TRT] ").unwrap_or(text).trim();
        let lower = text.to_ascii_lowercase();
        if self.timing_cache.is_none() && (lower.contains("timing cache") || lower.contains("timingcache")) {
            self.timing_cache = Some(shorten(text));
        }
        let is_empty = text.is_empty() || EMPTY_WORDS.iter().any(|words| text.starts_with(words));
        if !is_empty && self.errors.len() < ERRORS_SHOWN {
            self.errors.push(shorten(text));
        }
    }

    /// What became of layers that were to be held in FP32: names of no layer are ignored without a word.
    pub fn not_held(&self, held: &[String]) -> Option<Decision> {
        if held.is_empty() {
            return None;
        }
        if self.registered.is_empty() {
            return Some(Decision {
                what: format!(
                    "nobody knows whether {} that `keep` is about stay in FP32 ({})",
                    count(held.len(), "layer"),
                    few_quoted(held)
                ),
                because: "`trtexec` ignores names of layers that it does not have, and its log does not list those that it has"
                    .into(),
            });
        }
        let lost: Vec<&String> = held.iter().filter(|layer| !self.registered.contains(*layer)).collect();
        (!lost.is_empty()).then(|| Decision {
            what: format!(
                "{} that `keep` is about may not stay in FP32 ({})",
                count(lost.len(), "layer"),
                few_quoted(&lost)
            ),
            because: "TensorRT's log lists no layers of these names, and `trtexec` ignores names that it does not have".into(),
        })
    }

    /// The first errors that say what is wrong.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The ONNX parser's errors.
    pub fn parser_errors(&self) -> Vec<ParserError> {
        self.parsers.iter().flat_map(|parser| parser.errors().iter().cloned()).collect()
    }
}

/// 8.x to 8.5 and later versions say it differently.
fn is_parsed(text: &str) -> bool {
    ["Finish parsing network model", "Finished parsing network model"]
        .iter()
        .any(|words| text.starts_with(words))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(lines: &[&str]) -> (Transcript, String) {
        let dir = tempfile::tempdir().unwrap();
        let (path, output) = (dir.path().join("log"), Output::nowhere());
        let log = Log::create(&path, &output).unwrap();
        let mut transcript = Transcript::default();
        lines.iter().for_each(|line| transcript.see(Stream::Out, line, &log, &output));
        (transcript, std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn time_and_severity_are_split_off() {
        let cases = [
            ("[03/04/2024-10:11:12] [E] [TRT] no", (Severity::Error, "[TRT] no")),
            ("[03/04/2024-10:11:12] [W] x", (Severity::Warning, "x")),
            ("[I] === Build Options ===", (Severity::Info, "=== Build Options ===")),
            (
                "[03/04/2024-10:11:12] [V] [TRT] Original: 5 layers",
                (Severity::Verbose, "[TRT] Original: 5 layers"),
            ),
            ("[03/04/2024-10:11:12] [F] [TRT] x", (Severity::InternalError, "[TRT] x")),
            ("[6] Invalid Node - Pad_13", (Severity::Info, "[6] Invalid Node - Pad_13")),
            ("[03/04/2024-10:11:12] [I] ", (Severity::Info, "")),
            ("[E]", (Severity::Error, "")),
            ("", (Severity::Info, "")),
            ("[", (Severity::Info, "[")),
            ("name: \"x\"", (Severity::Info, "name: \"x\"")),
        ];
        for (line, expected) in cases {
            assert_eq!(split(line), expected, "{line}");
        }
    }

    #[test]
    fn a_good_build_is_understood() {
        let (seen, log) = transcript(&[
            "&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b27] # trtexec --onnx=&&&& PASSED.onnx",
            "[03/04/2026-10:11:12] [I] Start parsing network model.",
            "[03/04/2026-10:11:12] [I] Finished parsing network model. Parse time: 0.01",
            "[03/04/2026-10:11:12] [V] [TRT] Original: 113 layers",
            "[03/04/2026-10:11:12] [V] [TRT] Original: 7 layers",
            "[03/04/2026-10:12:12] [I] Engine built in 60.5 sec.",
            "[03/04/2026-10:12:12] [I] Created engine with size: 2.86102 MiB",
            "&&&& PASSED TensorRT.trtexec [TensorRT v101602] [b27] # trtexec",
        ]);
        assert!(seen.passed && !seen.failed && seen.errors().is_empty());
        assert_eq!((seen.version, seen.layers), (Some([10, 16, 2]), Some(113)));
        assert_eq!(seen.engine_mib, Some(2.86102));
        assert!(log.contains("[verbose] [TRT] Original: 113 layers\n"), "{log}");
    }

    #[test]
    fn layers_to_hold_are_looked_for_among_those_that_the_log_lists() {
        let held = ["conv".to_owned(), "head/conv: 1".to_owned()];
        let not_held = |lines: &[&str]| transcript(lines).0.not_held(&held).map(|decision| decision.what);
        let line = |layer: &str| {
            format!("[01/01/2026-00:00:00] [V] [TRT] Registering layer: {layer} for ONNX node: x")
        };
        let (conv, head) = (line("conv"), line("head/conv: 1"));
        assert_eq!(not_held(&[&conv, &head]), None);
        let lost = not_held(&[&conv]).unwrap();
        assert!(lost.contains("1 layer ") && lost.contains("(`head/conv: 1`)"), "{lost}");
        let unknown = not_held(&["[V] [TRT] Original: 9 layers"]).unwrap();
        assert!(unknown.starts_with("nobody knows whether 2 layers"), "{unknown}");
        assert_eq!(transcript(&[]).0.not_held(&[]), None);
    }

    #[test]
    fn a_verdict_is_only_a_line_of_its_own() {
        let lines = [
            "&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --onnx=&&&& PASSED TensorRT.trtexec",
            "[I] &&&& PASSED TensorRT.trtexec",
            "&&&& PASSED",
        ];
        let (seen, _) = transcript(&lines);
        assert!(!seen.passed && !seen.failed);
    }

    #[test]
    fn errors_that_explain_come_before_those_that_do_not() {
        let long = format!("[E] {}", "x".repeat(70_000));
        let (seen, _) = transcript(&[
            "[01/01/2026-00:00:00] [E] Engine set up failed",
            "[01/01/2026-00:00:00] [E] Error[10]: no implementation for node {a}",
            "[01/01/2026-00:00:00] [E] [TRT] TimingCache creation failed",
            &long,
            "[E] a fourth",
        ]);
        assert_eq!(seen.errors().len(), ERRORS_SHOWN);
        assert_eq!(seen.errors()[0], "Error[10]: no implementation for node {a}");
        assert!(seen.errors()[2].len() < 600);
        assert_eq!(seen.timing_cache.as_deref(), Some("TimingCache creation failed"));
    }
}
