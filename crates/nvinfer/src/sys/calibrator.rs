//! `nvinfer1::IInt8*Calibrator`, implemented here: how TensorRT 8 and 10 are given a calibration table.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::device::DeviceMemory;
use super::types::{Ptr, Text};
use super::vtable::{ClassTypeInfo, DestructorPosition, Interface, Slot, copy_text, guard, interface_info};
use crate::error::Unsupported;
use crate::version::{Family, Version};

/// Which calibrator TensorRT is to see; it compares this with the header of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CalibratorClass {
    /// `IInt8LegacyCalibrator`, whose tables hold percentile scales.
    Legacy = 0,
    /// `IInt8EntropyCalibrator`.
    Entropy = 1,
    /// `IInt8EntropyCalibrator2`, the only one for DLAs.
    Entropy2 = 2,
    /// `IInt8MinMaxCalibrator`.
    MinMax = 3,
}

/// What the legacy calibrator is asked for besides the table, whose header holds both.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shares {
    /// The share of the range that a search may cut off.
    cutoff: f64,
    /// The share of activations that the range covers.
    quantile: f64,
}

impl Shares {
    /// Those of the header `0 3ff0000000000000 3fefffeb074a771d`; all of everything if it has none.
    fn of(table: &[u8]) -> Shares {
        let header =
            table.split(|&byte| byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
        let mut words = header.unwrap_or_default().trim_end().split(' ');
        let is_legacy = words.next() == Some("0");
        let mut share = || u64::from_str_radix(words.next()?, 16).ok().map(f64::from_bits);
        match (share(), share()) {
            (Some(cutoff), Some(quantile)) if is_legacy => Shares { cutoff, quantile },
            _ => Shares { cutoff: 1.0, quantile: 1.0 },
        }
    }
}

/// Samples for TensorRT to calibrate with.
pub trait Batches: Send {
    /// The next batch: device memory for each input, in the order of the names, in the shape that the network has been
    /// told to calibrate at. It must not change before the next call. `None` when there are no more, or none for an input.
    fn next(&mut self, inputs: &[&str]) -> Option<Vec<&dyn DeviceMemory>>;
}

/// What a calibrator gives to TensorRT, and what TensorRT did with it.
pub struct Calibration {
    pub class: CalibratorClass,
    pub table: Vec<u8>,
    /// What it is to calibrate with; without, it must take the table.
    batches: Option<Mutex<Box<dyn Batches>>>,
    shares: Shares,
    reads: AtomicUsize,
    batch_was_asked: AtomicBool,
    written: Mutex<Option<Vec<u8>>>,
}

impl Calibration {
    /// A table that was not used yet.
    pub fn new(class: CalibratorClass, table: Vec<u8>) -> Calibration {
        Calibration {
            class,
            shares: Shares::of(&table),
            table,
            batches: None,
            reads: AtomicUsize::new(0),
            batch_was_asked: AtomicBool::new(false),
            written: Mutex::default(),
        }
    }

    /// Samples to make a table with, and what the legacy class is asked for besides.
    pub fn feeding(
        class: CalibratorClass,
        quantile: f64,
        cutoff: f64,
        batches: Box<dyn Batches>,
    ) -> Calibration {
        let shares = Shares { cutoff, quantile };
        Calibration { batches: Some(Mutex::new(batches)), shares, ..Calibration::new(class, vec![]) }
    }

    /// How often TensorRT has read the table.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Whether TensorRT wanted images, which it got none of: it did not accept the table.
    pub fn batch_was_asked(&self) -> bool {
        self.batch_was_asked.load(Ordering::SeqCst)
    }

    /// The table that TensorRT wrote.
    pub fn written(&self) -> Option<Vec<u8>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A calibrator; it must outlive the builder configuration it was given to.
#[repr(C)]
pub struct Calibrator {
    vptr: *const Slot,
    calibration: Arc<Calibration>,
}

// SAFETY: vptr points to immutable, leaked memory; the rest is Send and Sync.
unsafe impl Send for Calibrator {}
// SAFETY: as above.
unsafe impl Sync for Calibrator {}

interface_info!(info_entropy_2, c"IInt8EntropyCalibrator2");
interface_info!(info_entropy, c"IInt8EntropyCalibrator");
interface_info!(info_min_max, c"IInt8MinMaxCalibrator");
// Sic: the header of 10.x gives the legacy class the name of its base.
interface_info!(info_legacy, c"IInt8Calibrator");

impl Calibrator {
    /// A calibrator with the layout of `version`; TensorRT 11 and RTX have none.
    pub fn new(
        version: Version,
        class_type_info: Option<ClassTypeInfo>,
        calibration: Arc<Calibration>,
    ) -> Result<Arc<Calibrator>, Unsupported> {
        if !matches!(version.family, Family::V8 | Family::V10) {
            return Err(Unsupported { what: "IInt8Calibrator", version });
        }
        let of_all = [get_batch_size as Slot, get_batch as _, read_cache as _, write_cache as _];
        let (mangled, info, algorithm, rest) = match calibration.class {
            CalibratorClass::Entropy2 => {
                (c"N8nvinfer123IInt8EntropyCalibrator2E", info_entropy_2 as _, entropy_2 as Slot, vec![])
            }
            CalibratorClass::Entropy => {
                (c"N8nvinfer122IInt8EntropyCalibratorE", info_entropy as _, entropy as Slot, vec![])
            }
            CalibratorClass::MinMax => {
                (c"N8nvinfer121IInt8MinMaxCalibratorE", info_min_max as _, min_max as Slot, vec![])
            }
            CalibratorClass::Legacy => {
                let rest = vec![quantile as Slot, cutoff as _, read_histogram as _, write_histogram as _];
                (c"N8nvinfer121IInt8LegacyCalibratorE", info_legacy as _, legacy as Slot, rest)
            }
        };
        let methods = [&of_all[..], &[algorithm], &rest].concat();
        let interface = Interface {
            mangled,
            info,
            versioned: version.family == Family::V10,
            destructor: DestructorPosition::After(of_all.len() + 1),
        };
        Ok(Arc::new(Calibrator { vptr: interface.vtable(&methods, class_type_info), calibration }))
    }

    /// The pointer for C++.
    pub fn as_ptr(&self) -> Ptr {
        (&raw const *self).cast_mut().cast()
    }

    /// # Safety
    /// `this` is a live calibrator.
    unsafe fn of<'a>(this: Ptr) -> &'a Calibration {
        // SAFETY: promised by the caller.
        unsafe { &(*this.cast::<Calibrator>()).calibration }
    }
}

/// Networks with explicit batch, the only ones here, take the size from their inputs.
unsafe extern "C" fn get_batch_size(_: Ptr) -> i32 {
    1
}

/// Without samples it never gives a batch: a table that is not accepted must fail the build, not be replaced by another.
unsafe extern "C" fn get_batch(this: Ptr, bindings: *mut Ptr, names: *const Text, count: i32) -> bool {
    guard(false, || {
        // SAFETY: TensorRT passes the calibrator it was given.
        let calibration = unsafe { Calibrator::of(this) };
        calibration.batch_was_asked.store(true, Ordering::SeqCst);
        let (Some(batches), Ok(count)) = (&calibration.batches, usize::try_from(count)) else { return false };
        if bindings.is_null() || names.is_null() {
            return false;
        }
        // SAFETY: TensorRT passes as many names as it says, each NUL-terminated and alive during the call.
        let names: Vec<String> = unsafe { (0..count).map(|at| copy_text(*names.add(at))).collect() };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = batches.next(&names).filter(|memory| memory.len() == count) else { return false };
        for (at, memory) in memory.into_iter().enumerate() {
            // SAFETY: TensorRT passes a place for as many addresses.
            unsafe { *bindings.add(at) = memory.address() };
        }
        true
    })
}

/// The bytes stay where they are as long as the calibrator, as the interface demands.
unsafe extern "C" fn read_cache(this: Ptr, length: *mut usize) -> *const c_void {
    guard(std::ptr::null(), || {
        // SAFETY: TensorRT passes the calibrator it was given, and a place for the length.
        let calibration = unsafe {
            let calibration = Calibrator::of(this);
            *length = calibration.table.len();
            calibration
        };
        calibration.reads.fetch_add(1, Ordering::SeqCst);
        if calibration.table.is_empty() { std::ptr::null() } else { calibration.table.as_ptr().cast() }
    })
}

unsafe extern "C" fn write_cache(this: Ptr, bytes: *const c_void, length: usize) {
    guard((), || {
        // SAFETY: TensorRT passes the calibrator it was given, and `length` bytes.
        let (calibration, bytes) = unsafe {
            let bytes =
                if bytes.is_null() { &[] } else { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
            (Calibrator::of(this), bytes.to_vec())
        };
        *calibration.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    });
}

/// Makes a `getAlgorithm` of one class.
macro_rules! algorithm {
    ($($name:ident = $class:ident),*) => {
        $(unsafe extern "C" fn $name(_: Ptr) -> i32 {
            CalibratorClass::$class as i32
        })*
    };
}
algorithm!(legacy = Legacy, entropy = Entropy, entropy_2 = Entropy2, min_max = MinMax);

/// What the table's header says: an answer that differs from it would be a reason to calibrate anew.
unsafe extern "C" fn quantile(this: Ptr) -> f64 {
    // SAFETY: TensorRT passes the calibrator it was given.
    unsafe { Calibrator::of(this) }.shares.quantile
}

/// As [`quantile`].
unsafe extern "C" fn cutoff(this: Ptr) -> f64 {
    // SAFETY: as above.
    unsafe { Calibrator::of(this) }.shares.cutoff
}

unsafe extern "C" fn read_histogram(_: Ptr, length: *mut usize) -> *const c_void {
    // SAFETY: TensorRT passes a place for the length.
    unsafe { *length = 0 };
    std::ptr::null()
}

unsafe extern "C" fn write_histogram(_: Ptr, _bytes: *const c_void, _length: usize) {}

#[cfg(test)]
mod tests {
    use super::super::types::InterfaceInfo;
    use super::super::vtable::copy_text;
    use super::super::vtable::tests::slot;
    use super::*;

    use CalibratorClass::*;

    type Number = unsafe extern "C" fn(Ptr) -> i32;
    type Share = unsafe extern "C" fn(Ptr) -> f64;
    type Batch = unsafe extern "C" fn(Ptr, *mut Ptr, *const Text, i32) -> bool;
    type Read = unsafe extern "C" fn(Ptr, *mut usize) -> *const c_void;
    type Write = unsafe extern "C" fn(Ptr, *const c_void, usize);

    fn version(number: i32) -> Version {
        Version::from_number(number).unwrap()
    }

    #[test]
    fn the_five_methods_are_first_in_8_and_follow_the_versioned_prefix_in_10() {
        for (number, at) in [(8001, 0), (8201, 0), (8601, 0), (100000, 4), (101602, 4)] {
            for (class, algorithm) in [(Legacy, 0), (Entropy, 1), (Entropy2, 2), (MinMax, 3)] {
                let calibration = Arc::new(Calibration::new(class, b"TRT-8601-".to_vec()));
                let calibrator = Calibrator::new(version(number), None, calibration.clone()).unwrap();
                let p = calibrator.as_ptr();
                let mut length = 7;
                // SAFETY: the order of IInt8Calibrator's methods in the headers, which is what is tested.
                unsafe {
                    assert_eq!(slot::<Number>(p, at)(p), 1, "getBatchSize");
                    assert_eq!(calibration.reads(), 0);
                    let table = slot::<Read>(p, at + 2)(p, &mut length);
                    assert_eq!((table, length), (calibration.table.as_ptr().cast(), 9), "readCache");
                    assert_eq!((calibration.reads(), calibration.batch_was_asked()), (1, false));
                    let batch = slot::<Batch>(p, at + 1);
                    assert!(!batch(p, std::ptr::null_mut(), std::ptr::null(), 1), "getBatch");
                    assert!(calibration.batch_was_asked());
                    slot::<Write>(p, at + 3)(p, c"new".as_ptr().cast(), 3);
                    assert_eq!(calibration.written().as_deref(), Some(&b"new"[..]), "writeCache");
                    assert_eq!(slot::<Number>(p, at + 4)(p), algorithm, "getAlgorithm");
                }
            }
        }
    }

    /// Memory that is nowhere but has an address.
    struct Somewhere(usize);

    // SAFETY: nobody reads or writes it: it is there for its address.
    unsafe impl DeviceMemory for Somewhere {
        fn address(&self) -> *mut c_void {
            self.0 as *mut c_void
        }

        fn bytes(&self) -> usize {
            0
        }
    }

    /// So many batches, for inputs called `a` and `b`.
    struct Two(Vec<Somewhere>, usize);

    impl Batches for Two {
        fn next(&mut self, inputs: &[&str]) -> Option<Vec<&dyn DeviceMemory>> {
            self.1 = self.1.checked_sub(1)?;
            let memory = |name: &&str| match *name {
                "a" => Some(&self.0[0] as &dyn DeviceMemory),
                "b" => Some(&self.0[1] as &dyn DeviceMemory),
                _ => None,
            };
            inputs.iter().map(memory).collect()
        }
    }

    #[test]
    fn samples_are_given_in_the_order_of_the_names_until_there_are_no_more() {
        let two = |count| Box::new(Two(vec![Somewhere(16), Somewhere(32)], count));
        for (number, at) in [(8601, 0), (100300, 4)] {
            let calibration = Arc::new(Calibration::feeding(Legacy, 0.999, 0.5, two(2)));
            let calibrator = Calibrator::new(version(number), None, calibration.clone()).unwrap();
            let p = calibrator.as_ptr();
            let names = [c"b".as_ptr(), c"a".as_ptr()];
            let mut addresses = [std::ptr::null_mut(); 2];
            // SAFETY: the order of IInt8Calibrator's methods in the headers; as many names and places as it is told.
            unsafe {
                let mut length = 7;
                assert!(slot::<Read>(p, at + 2)(p, &mut length).is_null(), "there is no table yet");
                let next = slot::<Batch>(p, at + 1);
                for goes_on in [true, true, false] {
                    assert_eq!(next(p, addresses.as_mut_ptr(), names.as_ptr(), 2), goes_on);
                }
                assert_eq!(addresses.map(|address| address as usize), [32, 16]);
                slot::<Write>(p, at + 3)(p, c"new".as_ptr().cast(), 3);
            }
            assert_eq!(calibration.written().as_deref(), Some(&b"new"[..]));
            assert_eq!((calibration.shares.quantile, calibration.shares.cutoff), (0.999, 0.5));
        }
        let calibration = Arc::new(Calibration::feeding(MinMax, 1.0, 1.0, two(2)));
        let calibrator = Calibrator::new(version(8601), None, calibration).unwrap();
        let (p, names) = (calibrator.as_ptr(), [c"unknown".as_ptr()]);
        let mut address = [std::ptr::null_mut()];
        // SAFETY: as above.
        assert!(!unsafe { slot::<Batch>(p, 1)(p, address.as_mut_ptr(), names.as_ptr(), 1) });
        assert!(address[0].is_null());
    }

    #[test]
    fn the_legacy_class_adds_four_methods_after_the_destructor_of_8() {
        let header = &b"0 3fe0000000000000 3fefffeb074a771d\nx: 1\n"[..];
        let cases = [
            (8601, 7, &b""[..], [1.0, 1.0]),
            (8601, 7, header, [f64::from_bits(0x3fef_ffeb_074a_771d), 0.5]),
            (100300, 9, header, [f64::from_bits(0x3fef_ffeb_074a_771d), 0.5]),
            (100300, 9, b"TRT-100300-EntropyCalibration2\n", [1.0, 1.0]),
            (100300, 9, b"0 x\n", [1.0, 1.0]),
        ];
        for (number, at, table, shares) in cases {
            let calibration = Arc::new(Calibration::new(Legacy, table.to_vec()));
            let calibrator = Calibrator::new(version(number), None, calibration).unwrap();
            let p = calibrator.as_ptr();
            let mut length = 7;
            // SAFETY: as above.
            unsafe {
                assert_eq!([slot::<Share>(p, at)(p), slot::<Share>(p, at + 1)(p)], shares);
                assert!(slot::<Read>(p, at + 2)(p, &mut length).is_null());
                assert_eq!(length, 0);
                slot::<Write>(p, at + 3)(p, std::ptr::null(), 0);
            }
        }
    }

    #[test]
    fn a_calibrator_of_10_says_what_it_is() {
        let names = [
            (Legacy, "IInt8Calibrator"),
            (Entropy, "IInt8EntropyCalibrator"),
            (Entropy2, "IInt8EntropyCalibrator2"),
            (MinMax, "IInt8MinMaxCalibrator"),
        ];
        for (class, name) in names {
            let calibration = Arc::new(Calibration::new(class, vec![]));
            let p = Calibrator::new(version(100300), None, calibration).unwrap();
            // SAFETY: slot 1 of a versioned interface.
            unsafe {
                let info = slot::<unsafe extern "C" fn(Ptr) -> InterfaceInfo>(p.as_ptr(), 1)(p.as_ptr());
                assert_eq!(copy_text(info.kind), name);
            }
        }
    }

    #[test]
    fn there_are_no_calibrators_in_11_and_rtx_and_an_empty_table_is_none() {
        for number in [110000, 10400, 10701] {
            let calibration = Arc::new(Calibration::new(Entropy2, vec![1]));
            assert!(Calibrator::new(version(number), None, calibration).is_err());
        }
        let calibration = Arc::new(Calibration::new(Entropy2, vec![]));
        let calibrator = Calibrator::new(version(8601), None, calibration).unwrap();
        let mut length = 7;
        // SAFETY: a live calibrator and a place for the length.
        assert!(unsafe { read_cache(calibrator.as_ptr(), &mut length) }.is_null());
        assert_eq!(length, 0);
    }
}
