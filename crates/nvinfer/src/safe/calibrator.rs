//! A calibration table, in the hands of TensorRT 8 or 10, or samples to make one with.

use std::fmt;
use std::sync::Arc;

use crate::error::Unsupported;
use crate::sys::calibrator::{Batches, Calibration, Calibrator as Object, CalibratorClass};
use crate::sys::vtable::ClassTypeInfo;
use crate::version::Version;

/// Gives TensorRT a calibration table and never an image, or samples and no table, and tells what TensorRT did with it.
/// Clones are the same.
///
/// TensorRT compares the table's header with its own version and the class; a table that does not fit is ignored with a
/// line in the log, after which TensorRT asks for images, gets none, and the build fails. Headers are the caller's part.
#[derive(Clone)]
pub struct Calibrator {
    inner: Arc<Calibration>,
}

impl Calibrator {
    /// A calibrator with the bytes of a table.
    pub fn new(class: CalibratorClass, table: impl Into<Vec<u8>>) -> Calibrator {
        Calibrator { inner: Arc::new(Calibration::new(class, table.into())) }
    }

    /// A calibrator without a table: TensorRT runs the network on samples, decides, and writes one.
    ///
    /// The class says how it decides. Only the legacy one asks for `quantile` and `cutoff`, as shares from 0 to 1. Proven on
    /// recorder libraries only: no real TensorRT has calibrated with it yet.
    pub fn feeding(
        class: CalibratorClass,
        quantile: f64,
        cutoff: f64,
        batches: impl Batches + 'static,
    ) -> Calibrator {
        Calibrator { inner: Arc::new(Calibration::feeding(class, quantile, cutoff, Box::new(batches))) }
    }

    /// The class that TensorRT sees.
    pub fn class(&self) -> CalibratorClass {
        self.inner.class
    }

    /// Whether TensorRT has read the table. That it used it, is seen from [`Self::batch_was_asked`] and from the log.
    pub fn was_read(&self) -> bool {
        self.inner.reads() > 0
    }

    /// Whether TensorRT asked for images: then it did not accept the table.
    pub fn batch_was_asked(&self) -> bool {
        self.inner.batch_was_asked()
    }

    /// The table that TensorRT wrote, if it did.
    pub fn written(&self) -> Option<Vec<u8>> {
        self.inner.written()
    }

    /// The C++ object for a version.
    pub(super) fn bind(
        &self,
        version: Version,
        class_type_info: Option<ClassTypeInfo>,
    ) -> Result<Arc<Object>, Unsupported> {
        Object::new(version, class_type_info, self.inner.clone())
    }
}

impl fmt::Debug for Calibrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calibrator({:?}, {} bytes)", self.class(), self.inner.table.len())
    }
}
