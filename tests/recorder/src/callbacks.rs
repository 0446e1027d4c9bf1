//! Calls into what the caller implements: logger, error recorder, progress monitor, calibrators.

use std::ffi::c_void;

use crate::journal::{fail, record, stop};
use crate::object::{copy, version};
use crate::show::{Flag, Show};
use crate::types::{InterfaceInfo, Ptr, Slot, Text};

const TEXT: &str = include_str!("callbacks.txt");

/// An object of the caller's, with its class.
#[derive(Clone, Copy)]
struct Callback {
    class: &'static str,
    this: Ptr,
}

impl Callback {
    /// Introduces itself where its interface has versions, as real libraries ask it to.
    fn new(class: &'static str, this: Ptr) -> Callback {
        let callback = Callback { class, this };
        if !this.is_null() && slot(class, "lang").is_some() {
            // SAFETY: the types of IVersionedInterface's methods.
            unsafe {
                let language = callback.method::<unsafe extern "C" fn(Ptr) -> i32>("lang")(this);
                record(&format!("  {class}.getAPILanguage() -> {language}"));
                let info = callback.method::<unsafe extern "C" fn(Ptr) -> InterfaceInfo>("info")(this);
                let kind = info.kind.show();
                record(&format!("  {class}.getInterfaceInfo() -> {kind} {}.{}", info.major, info.minor));
            }
        }
        callback
    }

    /// The function in the slot of a method.
    ///
    /// # Safety
    /// `F` is that method's type.
    unsafe fn method<F>(&self, name: &str) -> F {
        const { assert!(size_of::<F>() == size_of::<Slot>()) };
        let slot = slot(self.class, name)
            .unwrap_or_else(|| fail(&format!("{}.{name} does not exist in {}", self.class, version())));
        // SAFETY: the object starts with its vptr; the caller vouches for the type.
        unsafe { std::mem::transmute_copy(&*(*self.this.cast::<*const Slot>()).add(slot)) }
    }
}

/// Where a method of a callback class is in this version.
fn slot(class: &str, method: &str) -> Option<usize> {
    let family = ["8", "10", "11", "A", "B"][version().column];
    let row = TEXT.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut words = line.split_whitespace();
        let fits = words.next() == Some(class) && words.next()?.split(',').any(|known| known == family);
        fits.then(|| words.collect::<Vec<_>>())
    })?;
    row.iter()
        .flat_map(|&word| if word == "D" { vec!["D1", "D0"] } else { vec![word] })
        .position(|w| w == method)
}

type Get<R> = unsafe extern "C" fn(Ptr) -> R;

/// `ILogger::log`.
pub fn log(logger: Ptr, severity: i32, text: &std::ffi::CStr) {
    let logger = Callback::new("ILogger", logger);
    record(&format!("  ILogger.log({severity}, {text:?})"));
    // SAFETY: the method's type; the text lives during the call.
    unsafe {
        logger.method::<unsafe extern "C" fn(Ptr, i32, Text)>("log")(logger.this, severity, text.as_ptr())
    };
}

/// What a library does with a new error recorder, and what it may ask of it.
pub fn adopt_error_recorder(recorder: Ptr) {
    let recorder = Callback::new("IErrorRecorder", recorder);
    // SAFETY: the type of incRefCount.
    unsafe { recorder.method::<Get<i32>>("incRefCount")(recorder.this) };
    record("  IErrorRecorder.incRefCount()");
    report_error(recorder.this, 3, c"recorder: an error that is taken back");
    // SAFETY: the types of these methods in every version.
    unsafe {
        let count = recorder.method::<Get<i32>>("getNbErrors")(recorder.this);
        let code = recorder.method::<unsafe extern "C" fn(Ptr, i32) -> i32>("getErrorCode")(recorder.this, 0);
        let text =
            recorder.method::<unsafe extern "C" fn(Ptr, i32) -> Text>("getErrorDesc")(recorder.this, 0);
        let overflowed = recorder.method::<Get<Flag>>("hasOverflowed")(recorder.this);
        record(&format!(
            "  IErrorRecorder holds {count}: {code} {}, overflowed {}",
            text.show(),
            overflowed.show()
        ));
        recorder.method::<Get<()>>("clear")(recorder.this);
        let count = recorder.method::<Get<i32>>("getNbErrors")(recorder.this);
        record(&format!("  IErrorRecorder.clear() leaves {count}"));
    }
}

/// `IErrorRecorder::reportError`.
pub fn report_error(recorder: Ptr, code: i32, text: &std::ffi::CStr) {
    if recorder.is_null() {
        return;
    }
    let recorder = Callback { class: "IErrorRecorder", this: recorder };
    record(&format!("  IErrorRecorder.reportError({code}, {text:?})"));
    // SAFETY: the method's type; the text lives during the call.
    unsafe {
        recorder.method::<unsafe extern "C" fn(Ptr, i32, Text) -> Flag>("reportError")(
            recorder.this,
            code,
            text.as_ptr(),
        )
    };
}

/// `IErrorRecorder::decRefCount`, when the object that it was set on is deleted.
pub fn release_error_recorder(recorder: Ptr) {
    let recorder = Callback { class: "IErrorRecorder", this: recorder };
    record("  IErrorRecorder.decRefCount()");
    // SAFETY: the method's type; a caller keeps the recorder until now.
    unsafe { recorder.method::<Get<i32>>("decRefCount")(recorder.this) };
}

/// Two phases of a build; `false` if the monitor stopped it.
pub fn progress(monitor: Ptr) -> bool {
    let monitor = Callback::new("IProgressMonitor", monitor);
    let (build, tactics) = (c"Building engine".as_ptr(), c"Selecting tactics".as_ptr());
    type Start = unsafe extern "C" fn(Ptr, Text, Text, i32);
    type Step = unsafe extern "C" fn(Ptr, Text, i32) -> Flag;
    type Finish = unsafe extern "C" fn(Ptr, Text);
    // SAFETY: the types of the methods; the texts are static.
    unsafe {
        let (start, step, finish) = (
            monitor.method::<Start>("phaseStart"),
            monitor.method::<Step>("stepComplete"),
            monitor.method::<Finish>("phaseFinish"),
        );
        record("  IProgressMonitor.phaseStart(Building engine, null, 1)");
        start(monitor.this, build, std::ptr::null(), 1);
        record("  IProgressMonitor.phaseStart(Selecting tactics, Building engine, 4)");
        start(monitor.this, tactics, build, 4);
        let mut goes_on = true;
        for index in 0..4 {
            goes_on = step(monitor.this, tactics, index).0 != 0;
            record(&format!("  IProgressMonitor.stepComplete(Selecting tactics, {index}) -> {goes_on}"));
            if !goes_on {
                break;
            }
        }
        for phase in [tactics, build] {
            record(&format!("  IProgressMonitor.phaseFinish({})", phase.show()));
            finish(monitor.this, phase);
        }
        goes_on
    }
}

/// What a calibration asks: the cache, and without one batches until there are none, and then the new cache is written.
pub fn calibrate(calibrator: Ptr) {
    const LEGACY: i32 = 0;
    let c = Callback::new("IInt8Calibrator", calibrator);
    // SAFETY: the types of the methods in every version with calibrators; all pointers live during their calls.
    unsafe {
        let algorithm = c.method::<Get<i32>>("getAlgorithm")(c.this);
        record(&format!("  IInt8Calibrator.getAlgorithm() -> {algorithm}"));
        record(&format!(
            "  IInt8Calibrator.getBatchSize() -> {}",
            c.method::<Get<i32>>("getBatchSize")(c.this)
        ));
        let cached = read(&c, "readCalibrationCache");
        if !cached {
            while batch(&c) {}
            let said = std::env::var("RECORDER_CACHE").ok();
            write(&c, "writeCalibrationCache", said.as_ref().map_or(b"recorded cache", String::as_bytes));
        }
        if algorithm == LEGACY {
            let quantile = c.method::<Get<f64>>("getQuantile")(c.this);
            let cutoff = c.method::<Get<f64>>("getRegressionCutoff")(c.this);
            record(&format!("  IInt8Calibrator quantile {quantile}, cutoff {cutoff}"));
            read(&c, "readHistogramCache");
            write(&c, "writeHistogramCache", b"recorded histograms");
        }
    }
}

/// # Safety
/// `method` is one of the two that read.
unsafe fn read(calibrator: &Callback, method: &str) -> bool {
    let mut length = 0usize;
    // SAFETY: promised by the caller; the length is written during the call, and the bytes live until the next one.
    let bytes = unsafe {
        let read = calibrator.method::<unsafe extern "C" fn(Ptr, *mut usize) -> *const c_void>(method);
        let start = read(calibrator.this, &mut length);
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), length))
    };
    match bytes {
        Some(bytes) => record(&format!("  IInt8Calibrator.{method}() -> {}", quote(bytes))),
        None => record(&format!("  IInt8Calibrator.{method}() -> null, {length}")),
    }
    bytes.is_some()
}

/// # Safety
/// `method` is one of the two that write.
unsafe fn write(calibrator: &Callback, method: &str, bytes: &[u8]) {
    record(&format!("  IInt8Calibrator.{method}({})", quote(bytes)));
    // SAFETY: promised by the caller.
    unsafe {
        let write = calibrator.method::<unsafe extern "C" fn(Ptr, *const c_void, usize)>(method);
        write(calibrator.this, bytes.as_ptr().cast(), bytes.len());
    }
}

/// # Safety
/// The calibrator is alive.
unsafe fn batch(calibrator: &Callback) -> bool {
    let names = [c"images".as_ptr()];
    let mut addresses = [std::ptr::null_mut::<c_void>()];
    // SAFETY: as many names and places for addresses as it is told.
    let more = unsafe {
        let get =
            calibrator.method::<unsafe extern "C" fn(Ptr, *mut Ptr, *const Text, i32) -> Flag>("getBatch");
        get(calibrator.this, addresses.as_mut_ptr(), names.as_ptr(), 1)
    };
    record(&format!("  IInt8Calibrator.getBatch(images) -> {}, {:?}", more.show(), addresses[0]));
    more.0 != 0
}

/// Bytes as text, so long as they are short.
pub fn quote(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(64)]))
}

/// A text for a line, of what a caller passed.
///
/// # Safety
/// `start` is readable for `length` bytes, or null.
pub unsafe fn quote_raw(start: *const u8, length: usize) -> String {
    if start.is_null() {
        return "null".into();
    }
    if length > 1 << 30 {
        stop(&format!("a length that no test passes: {length}"));
    }
    // SAFETY: promised by the caller.
    quote(unsafe { std::slice::from_raw_parts(start, length) })
}

/// A name that the caller passed, for the scripts.
///
/// # Safety
/// `text` is null or NUL-terminated.
pub unsafe fn name(text: Text) -> String {
    // SAFETY: promised by the caller.
    String::from_utf8_lossy(&unsafe { copy(text) }).into_owned()
}
