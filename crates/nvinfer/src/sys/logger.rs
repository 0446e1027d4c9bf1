//! `nvinfer1::ILogger`, implemented here.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::recorder::UNSPECIFIED;
use super::types::{Ptr, Text};
use super::values::Severity;
use super::vtable::{ClassTypeInfo, DestructorPosition, Interface, Slot, copy_text, guard, interface_info};
use crate::error::RecordedError;
use crate::version::{Family, Version};

/// Receives TensorRT's log, from any thread.
pub type LogSink = dyn Fn(Severity, &str) + Send + Sync;

/// How many errors of the log are kept for an error's text.
const KEPT_ERRORS: usize = 8;

/// The one logger of a library.
///
/// TensorRT keeps a single, global logger pointer and may use it from static destructors, so the object is never freed;
/// what can change is where its messages go.
#[repr(C)]
pub struct Logger {
    vptr: *const Slot,
    sink: RwLock<Option<Arc<LogSink>>>,
    errors: Mutex<Vec<String>>,
}

// SAFETY: vptr points to immutable, leaked memory; the sink is Send and Sync behind a lock.
unsafe impl Send for Logger {}
// SAFETY: as above.
unsafe impl Sync for Logger {}

interface_info!(info, c"ILogger");

impl Logger {
    /// A logger with the layout of `version`, silent until it is given a sink.
    pub fn leak(version: Version, class_type_info: Option<ClassTypeInfo>) -> &'static Logger {
        let interface = Interface {
            mangled: c"N8nvinfer17ILoggerE",
            info,
            versioned: matches!(version.family, Family::V11 | Family::RtxB),
            destructor: DestructorPosition::Last,
        };
        let vptr = interface.vtable(&[log as Slot], class_type_info);
        Box::leak(Box::new(Logger { vptr, sink: RwLock::new(None), errors: Mutex::default() }))
    }

    /// Sends all later messages to `sink`.
    pub fn set_sink(&self, sink: Arc<LogSink>) {
        *self.sink.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(sink);
    }

    /// Removes and returns the last errors that were logged: all there is where no recorder can be set yet.
    pub fn take_errors(&self) -> Vec<RecordedError> {
        let lines = std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner));
        let record = |line: String| RecordedError { code: UNSPECIFIED, description: line.trim().to_string() };
        lines.into_iter().map(record).collect()
    }

    fn keep(&self, message: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == KEPT_ERRORS {
            errors.remove(0);
        }
        errors.push(message.into());
    }

    /// The pointer for C++.
    pub fn as_ptr(&self) -> Ptr {
        (&raw const *self).cast_mut().cast()
    }
}

unsafe extern "C" fn log(this: Ptr, severity: i32, message: Text) {
    guard((), || {
        // SAFETY: TensorRT passes the leaked object it was given, and a NUL-terminated message.
        let (logger, message) = unsafe { (&*this.cast::<Logger>(), copy_text(message)) };
        let severity = Severity::from(severity);
        if severity <= Severity::Error {
            logger.keep(&message);
        }
        let sink = logger.sink.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if let Some(sink) = sink {
            sink(severity, &message);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::types::InterfaceInfo;
    use super::super::vtable::tests::slot;
    use super::*;

    type Log = unsafe extern "C" fn(Ptr, i32, Text);

    #[test]
    fn log_is_the_first_slot_up_to_10_and_rtx_1_4_and_the_fifth_after() {
        for (number, at) in
            [(8001, 0), (8601, 0), (100300, 0), (10400, 0), (110000, 4), (10500, 4), (10701, 4)]
        {
            let version = Version::from_number(number).unwrap();
            let logger = Logger::leak(version, None);
            let heard: Arc<Mutex<Vec<(Severity, String)>>> = Arc::default();
            // SAFETY: `log` is at that slot, or this test fails; before a sink is set, it says nothing.
            let log: Log = unsafe { slot(logger.as_ptr(), at) };
            // SAFETY: a live logger and a static string.
            unsafe { log(logger.as_ptr(), 0, c"unheard".as_ptr()) };
            logger.set_sink(Arc::new({
                let heard = heard.clone();
                move |severity, text: &str| heard.lock().unwrap().push((severity, text.into()))
            }));
            // SAFETY: as above.
            unsafe { log(logger.as_ptr(), 2, c"careful".as_ptr()) };
            assert_eq!(*heard.lock().unwrap(), [(Severity::Warning, "careful".to_string())], "{version}");
        }
    }

    #[test]
    fn a_versioned_logger_says_that_it_is_a_c_plus_plus_ilogger_1_0() {
        let logger = Logger::leak(Version::from_number(10701).unwrap(), None).as_ptr();
        // SAFETY: slots 0 and 1 of a versioned interface.
        unsafe {
            assert_eq!(slot::<unsafe extern "C" fn(Ptr) -> i32>(logger, 0)(logger), 0);
            let info = slot::<unsafe extern "C" fn(Ptr) -> InterfaceInfo>(logger, 1)(logger);
            assert_eq!((copy_text(info.kind).as_str(), info.major, info.minor), ("ILogger", 1, 0));
        }
    }

    #[test]
    fn the_last_errors_are_kept_for_those_who_ask_and_only_errors() {
        let logger = Logger::leak(Version::from_number(8601).unwrap(), None);
        // SAFETY: a live logger and static strings.
        unsafe {
            for _ in 0..KEPT_ERRORS {
                log(logger.as_ptr(), 1, c"old".as_ptr());
            }
            log(logger.as_ptr(), 0, c"no driver\n".as_ptr());
            log(logger.as_ptr(), 2, c"careful".as_ptr());
        }
        let errors = logger.take_errors();
        assert_eq!(errors.len(), KEPT_ERRORS);
        assert_eq!(errors.last().unwrap().description, "no driver");
        assert_eq!(logger.take_errors(), []);
    }

    #[test]
    fn a_sink_that_panics_does_not_unwind_into_the_library() {
        let logger = Logger::leak(Version::from_number(10400).unwrap(), None);
        logger.set_sink(Arc::new(|_, _| panic!("a broken sink")));
        // SAFETY: `log` is slot 0 in this version.
        unsafe { slot::<Log>(logger.as_ptr(), 0)(logger.as_ptr(), 1, c"x".as_ptr()) };
    }
}
