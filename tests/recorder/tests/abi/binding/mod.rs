//! Our binding's public interface on the recorder: what each call makes of it, callbacks, lifetimes and all.

mod building;
mod running;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nvinfer::{
    Builder, BuilderConfig, BuilderFlag, Calibrator, CalibratorClass, DataType, DeviceMemory, DeviceStream,
    DeviceType, Error, Family, HardwareCompatibility, IoMode, Library, MemoryPool, Network, PreviewFeature,
    ProfilingVerbosity, ProgressEvent, Runtime, SearchPath, Severity, ShapeRange, TacticSource, Typing,
    Version,
};
use recorder::golden;

use crate::stage::{Stage, VERSIONS, child, rows_of, text};

const TEST: &str = "binding::every_call_of_our_binding_is_the_methods_it_should_be_in_every_version";

/// Drives the binding in a child process; what was wrong, if anything.
pub fn drive(number: i32, plants: &str) -> (Stage, Result<(), String>) {
    let stage = Stage::new(number, plants);
    let output = stage.run(TEST);
    let result = if output.status.success() { Ok(()) } else { Err(text(&output)) };
    (stage, result)
}

#[test]
fn every_call_of_our_binding_is_the_methods_it_should_be_in_every_version() {
    if let Some(folder) = child() {
        return Scene::new(&folder).play();
    }
    for number in VERSIONS {
        let (stage, result) = drive(number, "");
        result.unwrap_or_else(|found| panic!("{}: {found}\n{}", stage.version, stage.log()));
        let [made, deleted] = stage.objects();
        assert_eq!(made, deleted, "{}", stage.version);
        eprintln!("{}: {} rows called by the binding's own methods", stage.version, stage.called().len());
    }
}

/// The rows that the binding's methods do not need: the other half of a pair, or of another way to the same end.
const UNUSED: [&str; 6] = [
    "IParser::clearErrors",
    "IParser::supportsOperator",
    "VBuilder::isNetworkSupported",
    "VBuilderConfig::getTimingCache",
    "VBuilderConfig::setFlags",
    "VExecutionContext::executeV2",
];

/// The rows that the binding does not use where there is a newer one, with that one.
const SUPERSEDED: [(&str, &[&str]); 3] = [
    (
        "VBuilderConfig::setMemoryPoolLimit",
        &["VBuilderConfig::setMaxWorkspaceSize", "VBuilderConfig::getMaxWorkspaceSize"],
    ),
    (
        "VCudaEngine::getNbIOTensors",
        &[
            "VCudaEngine::getNbBindings",
            "VCudaEngine::getBindingName",
            "VCudaEngine::bindingIsInput",
            "VCudaEngine::getBindingDimensions",
            "VCudaEngine::getBindingDataType",
            "VCudaEngine::getLocation",
            "VExecutionContext::setBindingDimensions",
            "VExecutionContext::getBindingDimensions",
            "VExecutionContext::enqueueV2",
        ],
    ),
    ("VCudaEngine::getDeviceMemorySizeV2", &["VCudaEngine::getDeviceMemorySize"]),
];

struct Scene {
    library: Library,
    version: Version,
    rows: BTreeSet<String>,
    log: RefCell<File>,
    heard: Arc<Mutex<Vec<(Severity, String)>>>,
    unsupported: Cell<usize>,
}

struct Buffer(usize, usize);

// SAFETY: the recorder never looks at device memory.
unsafe impl DeviceMemory for Buffer {
    fn address(&self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.0)
    }

    fn bytes(&self) -> usize {
        self.1
    }
}

struct Stream;

// SAFETY: the recorder never looks at streams.
unsafe impl DeviceStream for Stream {
    fn handle(&self) -> *mut c_void {
        std::ptr::without_provenance_mut(0x40)
    }

    fn synchronize(&self) -> Result<(), trt_cuda::DriverError> {
        Ok(())
    }
}

/// The words before a line's parenthesis.
fn row(line: &str) -> &str {
    line.split('(').next().unwrap_or_default()
}

impl Scene {
    fn new(folder: &Path) -> Scene {
        let log = File::open(std::env::var_os("RECORDER_LOG").expect("the log's path")).expect("the log");
        let library =
            Library::open(&SearchPath::only([folder])).expect("the recorder is a complete TensorRT");
        let version = library.version();
        let heard: Arc<Mutex<Vec<_>>> = Arc::default();
        let sink = heard.clone();
        library.set_logger(move |severity, text| sink.lock().unwrap().push((severity, text.to_string())));
        let golden = golden::Version::new(version.table_version() as i32).expect("a version of the text");
        let rows = rows_of(golden).into_iter().collect();
        Scene { library, version, rows, log: RefCell::new(log), heard, unsupported: Cell::new(0) }
    }

    fn is(&self, families: &[Family]) -> bool {
        families.contains(&self.version.family)
    }

    fn is_rtx(&self) -> bool {
        self.is(&[Family::RtxA, Family::RtxB])
    }

    fn has(&self, row: &str) -> bool {
        self.rows.contains(row)
    }

    /// What was recorded since the last step.
    fn recorded(&self) -> Vec<String> {
        let mut text = String::new();
        self.log.borrow_mut().read_to_string(&mut text).expect("to read the log");
        text.lines().map(str::to_string).collect()
    }

    /// The call just made wrote these lines, those left out whose method this version does not have. If it is unsupported,
    /// the method that it names is not in the golden text.
    #[track_caller]
    fn step<T>(&self, expected: &[&str], result: Result<T, Error>) -> Option<T> {
        let exists = |line: &&&str| line.starts_with(' ') || !line.contains("::") || self.has(row(line));
        let expected: Vec<&str> = expected.iter().filter(exists).copied().collect();
        assert_eq!(self.recorded(), expected);
        match result {
            Ok(value) => Some(value),
            Err(Error::Unsupported(unsupported)) => {
                assert!(!self.has(unsupported.what), "{unsupported}");
                assert_eq!(unsupported.version, self.version);
                self.unsupported.set(self.unsupported.get() + 1);
                None
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The call just made fails in a typed way, after these lines.
    #[track_caller]
    fn fails<T>(&self, expected: &[&str], result: Result<T, Error>) -> Error {
        let Err(error) = result else { panic!("no error") };
        let exists = |line: &&&str| line.starts_with(' ') || !line.contains("::") || self.has(row(line));
        assert_eq!(self.recorded(), expected.iter().filter(exists).copied().collect::<Vec<_>>());
        error
    }

    /// What a library asks of a callback first, where interfaces have versions.
    fn introduction(&self, class: &str, kind: &str) -> Vec<String> {
        let versioned = match class {
            "ILogger" => self.is(&[Family::V11, Family::RtxB]),
            _ => !self.is(&[Family::V8]),
        };
        let lines = [
            format!("  {class}.getAPILanguage() -> 0"),
            format!("  {class}.getInterfaceInfo() -> {kind:?} 1.0"),
        ];
        if versioned { lines.to_vec() } else { vec![] }
    }

    /// A step with a callback's introduction in it, after its first line.
    #[track_caller]
    fn introduced<T>(
        &self,
        class: &str,
        kind: &str,
        first: &str,
        rest: &[&str],
        result: Result<T, Error>,
    ) -> Option<T> {
        let introduction = self.introduction(class, kind);
        let lines: Vec<&str> = std::iter::once(first)
            .chain(introduction.iter().map(String::as_str))
            .chain(rest.iter().copied())
            .collect();
        self.step(&lines, result)
    }

    /// These objects were deleted, in any order that the recorder lets pass, and nothing else happened.
    #[track_caller]
    fn gone(&self, classes: &[&str]) {
        let mut expected: Vec<String> = classes.iter().map(|class| format!("~{class}")).collect();
        let way = if self.has("IParser::destroy") { "IParser::destroy()" } else { "IParser::D0()" };
        expected.extend(classes.iter().filter(|class| **class == "IParser").map(|_| way.to_string()));
        let mut found = self.recorded();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    fn play(self) {
        let number = self.version.table_version();
        let adopted = [
            "  IErrorRecorder.incRefCount()",
            "  IErrorRecorder.reportError(3, \"recorder: an error that is taken back\")",
            "  IErrorRecorder holds 1: 3 \"recorder: an error that is taken back\", overflowed false",
            "  IErrorRecorder.clear() leaves 0",
        ];
        let introduction = self.introduction("IErrorRecorder", "IErrorRecorder");
        let adopted: Vec<&str> = introduction.iter().map(String::as_str).chain(adopted).collect();

        let created = format!("createInferBuilder_INTERNAL(callback, {number})");
        let rest = [
            "  ILogger.log(3, \"recorder: not TensorRT\")",
            "VBuilder::getLogger()",
            "VBuilder::setErrorRecorder(callback)",
        ];
        let rest = [&rest[..], &adopted, &["VBuilder::getErrorRecorder()"]].concat();
        let builder = self.introduced("ILogger", "ILogger", &created, &rest, Builder::new(&self.library));
        let mut builder = builder.expect("a builder");
        assert_eq!(*self.heard.lock().unwrap(), [(Severity::Info, "recorder: not TensorRT".to_string())]);
        self.builder(&mut builder);
        self.build(&builder);
        drop(builder);
        assert_eq!(self.recorded(), ["~IBuilder", "  IErrorRecorder.decRefCount()"]);

        let created = format!("createInferRuntime_INTERNAL(callback, {number})");
        let rest = [
            "  ILogger.log(3, \"recorder: not TensorRT\")",
            "VRuntime::getLogger()",
            "VRuntime::setErrorRecorder(callback)",
        ];
        let rest = [&rest[..], &adopted, &["VRuntime::getErrorRecorder()"]].concat();
        let runtime = self.introduced("ILogger", "ILogger", &created, &rest, Runtime::new(&self.library));
        self.runtime(runtime.expect("a runtime"));
        self.conclude();
    }

    fn conclude(&self) {
        let log = std::fs::read_to_string(std::env::var_os("RECORDER_LOG").unwrap()).unwrap();
        let called: BTreeSet<&str> = log.lines().map(row).collect();
        let superseded =
            |row: &str| SUPERSEDED.iter().any(|(newer, older)| self.has(newer) && older.contains(&row));
        let reached: BTreeSet<&str> = self
            .rows
            .iter()
            .map(String::as_str)
            .filter(|row| !(UNUSED.contains(row) || superseded(row)))
            .collect();
        let called: BTreeSet<&str> = called.into_iter().filter(|row| self.has(row)).collect();
        assert_eq!(called, reached, "rows that the binding calls");
        assert!(self.unsupported.get() > 0 || self.version.minor >= 6, "nothing was unsupported");
    }
}
