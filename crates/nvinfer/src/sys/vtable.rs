//! Vtables for C++ classes that are implemented here: loggers, recorders, monitors, calibrators.
//!
//! An object is `{ vptr, state }`. A block is `[offset to top = 0, type info, slot 0, slot 1, …]` and vptr points to
//! slot 0. Blocks are leaked on purpose: TensorRT may log from static destructors.

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::types::{InterfaceInfo, Ptr, Text};

/// A function in a vtable, its type forgotten.
pub type Slot = *const c_void;

/// The smallest `std::type_info`, so that a `dynamic_cast` of our object finds a class and not null.
#[repr(C)]
struct TypeInfo {
    vptr: *const c_void,
    name: Text,
}

/// A C++ interface: what the slots of an implementation look like.
pub struct Interface {
    /// The mangled class name, for the type info.
    pub mangled: &'static CStr,
    /// `getInterfaceInfo()` of this interface.
    pub info: unsafe extern "C" fn(Ptr) -> InterfaceInfo,
    /// Whether it derives from `IVersionedInterface` in the version at hand.
    pub versioned: bool,
    /// Where its virtual destructor is declared when it does not.
    pub destructor: DestructorPosition,
}

/// Where a class without `IVersionedInterface` declares its destructor, relative to its methods.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DestructorPosition {
    /// Before them: `IErrorRecorder` of TensorRT 8.
    First,
    /// After them: `ILogger` up to TensorRT 10.
    Last,
    /// After the first few: the calibrators of TensorRT 8, of which one adds methods to those of their base class.
    After(usize),
}

impl Interface {
    /// The slots in declaration order; a destructor takes two, complete and deleting.
    fn slots(&self, methods: &[Slot]) -> Vec<Slot> {
        let destructors = [no_destructor as Slot; 2];
        let language = api_language as Slot;
        match (self.versioned, self.destructor) {
            (true, _) => [&[language, self.info as Slot], &destructors[..], methods].concat(),
            (false, DestructorPosition::First) => [&destructors[..], methods].concat(),
            (false, DestructorPosition::Last) => [methods, &destructors[..]].concat(),
            (false, DestructorPosition::After(count)) => {
                let (first, last) = methods.split_at(count);
                [first, &destructors[..], last].concat()
            }
        }
    }

    /// The address point of a new, leaked vtable. `class_type_info` is the vtable of `__cxxabiv1::__class_type_info`
    /// in the C++ runtime that TensorRT uses; without it the type info is null, as if compiled without RTTI.
    pub fn vtable(&self, methods: &[Slot], class_type_info: Option<ClassTypeInfo>) -> *const Slot {
        let type_info = class_type_info.map_or(std::ptr::null(), |ClassTypeInfo(vptr)| {
            &raw const *Box::leak(Box::new(TypeInfo { vptr, name: self.mangled.as_ptr() }))
        });
        let block = [&[std::ptr::null(), type_info.cast()], &self.slots(methods)[..]].concat();
        block.leak()[2..].as_ptr()
    }
}

/// The address point of `__cxxabiv1::__class_type_info`'s own vtable.
#[derive(Clone, Copy, Debug)]
pub struct ClassTypeInfo(pub *const c_void);

// SAFETY: it is the address of constant data in a library that is never unloaded.
unsafe impl Send for ClassTypeInfo {}
// SAFETY: as above.
unsafe impl Sync for ClassTypeInfo {}

/// TensorRT never deletes what its caller owns; should it try, nothing happens.
unsafe extern "C" fn no_destructor(_: Ptr) {}

/// `IVersionedInterface::getAPILanguage()`: 0 is C++.
unsafe extern "C" fn api_language(_: Ptr) -> i32 {
    0
}

/// Makes a `getInterfaceInfo` for version 1.0 of an interface.
macro_rules! interface_info {
    ($name:ident, $kind:literal) => {
        unsafe extern "C" fn $name(_: $crate::sys::types::Ptr) -> $crate::sys::types::InterfaceInfo {
            $crate::sys::types::InterfaceInfo { kind: $kind.as_ptr(), major: 1, minor: 0 }
        }
    };
}
pub(crate) use interface_info;

/// Runs a callback's body; a panic must not cross into C++, so it becomes `otherwise`.
pub fn guard<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Copies a C string; null gives an empty one and bytes outside UTF-8 are replaced.
///
/// # Safety
/// `text` is null or NUL-terminated and alive during the call.
pub unsafe fn copy_text(text: Text) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Slot `index` of a C++ object made here, as a function of type `F`.
    ///
    /// # Safety
    /// The slot exists and holds an `F`.
    pub unsafe fn slot<F>(object: Ptr, index: usize) -> F {
        assert_eq!(size_of::<F>(), size_of::<Slot>());
        // SAFETY: the object starts with its vptr; the caller vouches for slot and type.
        unsafe {
            let vtable = *object.cast::<*const Slot>();
            std::mem::transmute_copy(&*vtable.add(index))
        }
    }

    unsafe extern "C" fn first(_: Ptr) -> i32 {
        1
    }

    unsafe extern "C" fn second(_: Ptr) -> i32 {
        2
    }

    interface_info!(info, c"IThing");

    #[test]
    fn slots_follow_the_declaration_order_of_all_layouts() {
        let methods = [first as Slot, second as Slot];
        let (d, l, i) = (no_destructor as Slot, api_language as Slot, info as Slot);
        let cases: [(bool, DestructorPosition, &[Slot]); 4] = [
            (true, DestructorPosition::Last, &[l, i, d, d, methods[0], methods[1]]),
            (false, DestructorPosition::First, &[d, d, methods[0], methods[1]]),
            (false, DestructorPosition::Last, &[methods[0], methods[1], d, d]),
            (false, DestructorPosition::After(1), &[methods[0], d, d, methods[1]]),
        ];
        for (versioned, destructor, expected) in cases {
            let interface = Interface { mangled: c"6IThing", info, versioned, destructor };
            assert_eq!(interface.slots(&methods), expected);
        }
    }

    #[test]
    fn the_words_before_the_slots_are_offset_zero_and_the_type_info() {
        let interface =
            Interface { mangled: c"6IThing", info, versioned: true, destructor: DestructorPosition::Last };
        let runtime = [0usize; 1];
        let address = runtime.as_ptr().cast();
        for (class_type_info, expected) in
            [(None, None), (Some(ClassTypeInfo(address)), Some((address, "6IThing")))]
        {
            let vtable = interface.vtable(&[first as Slot], class_type_info);
            // SAFETY: the block starts two words before the address point, and is leaked.
            let (offset, type_info) =
                unsafe { (*vtable.sub(2), (*vtable.sub(1)).cast::<TypeInfo>().as_ref()) };
            assert!(offset.is_null());
            // SAFETY: the name is a static C string.
            let found =
                type_info.map(|info| (info.vptr, unsafe { CStr::from_ptr(info.name) }.to_str().unwrap()));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_panic_in_a_callback_becomes_the_safe_answer() {
        assert_eq!(guard(7, || panic!("must not unwind into C++")), 7);
        assert_eq!(guard(7, || 8), 8);
    }

    #[test]
    fn texts_are_copied_whatever_they_hold() {
        // SAFETY: null and static strings.
        let copies =
            unsafe { [copy_text(std::ptr::null()), copy_text(c"a".as_ptr()), copy_text(c"\xff".as_ptr())] };
        assert_eq!(copies, ["", "a", "\u{fffd}"]);
    }
}
