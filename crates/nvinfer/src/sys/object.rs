//! Finding a method of a C++ object: class and method -> slot of this version -> function pointer.

use std::ffi::c_void;
use std::marker::PhantomData;

use super::types::Ptr;
use crate::error::Unsupported;
use crate::version::Version;

/// One place in a vtable, and the minor release that added it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Counted from the address point; V* classes have their two destructors at 0 and 1.
    pub slot: u16,
    /// Older minors of the family end before this slot.
    pub since_minor: u16,
}

/// A row of the slot table: one cell per [`crate::Family`], in its order; `None` where the method does not exist.
pub type Cells = [Option<Cell>; 5];

/// A cell of a table: `-` is absent, `19` a number, `19@2` one that is present since minor release 2.
macro_rules! cell {
    (-) => {
        None
    };
    ($slot:literal) => {
        Some($crate::sys::Cell { slot: $slot, since_minor: 0 })
    };
    ($slot:literal @ $minor:literal) => {
        Some($crate::sys::Cell { slot: $slot, since_minor: $minor })
    };
}
pub(crate) use cell;

/// A C++ method of class `C` with the Rust function type `F`, whose first parameter is `this`.
pub struct Method<C, F> {
    /// `VBuilder::createBuilderConfig`, as the headers spell it.
    pub name: &'static str,
    /// Where it is, per family.
    pub cells: Cells,
    _types: PhantomData<(C, F)>,
}

impl<C, F> Method<C, F> {
    pub(super) const fn new(name: &'static str, cells: Cells) -> Method<C, F> {
        assert!(size_of::<F>() == size_of::<*const c_void>(), "a method is a plain function pointer");
        Method { name, cells, _types: PhantomData }
    }

    /// The slot in this version.
    pub fn slot(&self, version: Version) -> Result<usize, Unsupported> {
        match self.cells[version.family as usize] {
            Some(cell) if version.minor >= u32::from(cell.since_minor) => Ok(usize::from(cell.slot)),
            _ => Err(Unsupported { what: self.name, version }),
        }
    }

    /// The function to call on `object`.
    pub(crate) fn on(&self, object: Handle<C>) -> Result<F, Unsupported> {
        let slot = self.slot(object.version)?;
        // SAFETY: whoever made the handle promised a live object of class C and of this version, so its first word
        // points to a vtable that has this slot, and the slot table pairs the slot with the function type F.
        unsafe {
            let vtable = *object.target.cast::<*const *const c_void>();
            Ok(std::mem::transmute_copy::<*const c_void, F>(&*vtable.add(slot)))
        }
    }
}

/// An unowned pointer to a live object of class `C`.
///
/// Public TensorRT objects are `{ vptr, impl }` and forward every call to the implementation's V* class; objects passed
/// as *arguments* are the public pointers. The ONNX parser's classes have no implementation object.
pub struct Handle<C> {
    pub(crate) version: Version,
    pub(crate) public: Ptr,
    pub(crate) target: Ptr,
    _class: PhantomData<C>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Handle<C> {}

impl<C> Handle<C> {
    /// The handle of a TensorRT object; `None` for null, or for an object without an implementation.
    ///
    /// Addresses in the zero page are null too: without a driver, `createInferRuntime` of some releases returns 0x228.
    ///
    /// # Safety
    /// `public` is null or a live public object of `version` whose implementation is a `C`, for as long as the handle
    /// is used.
    pub(crate) unsafe fn forwarding(version: Version, public: Ptr) -> Option<Handle<C>> {
        if public.addr() < 4096 {
            return None;
        }
        // SAFETY: the caller vouches for { vptr, impl }.
        let target = unsafe { *public.cast::<Ptr>().add(1) };
        (!target.is_null()).then_some(Handle { version, public, target, _class: PhantomData })
    }

    /// The handle of a parser object, which is called directly; `None` for null.
    ///
    /// # Safety
    /// `public` is null or a live `C` of `version` for as long as the handle is used.
    pub(crate) unsafe fn direct(version: Version, public: Ptr) -> Option<Handle<C>> {
        (!public.is_null()).then_some(Handle { version, public, target: public, _class: PhantomData })
    }
}

/// Calls a method of the slot table: `call!(handle, class::METHOD, arguments…)`, giving `Result<_, Unsupported>`.
///
/// The expansion is unsafe: the arguments must be what the C++ method accepts.
macro_rules! call {
    ($handle:expr, $method:path $(, $argument:expr)* $(,)?) => {{
        let handle = $handle;
        $method.on(handle).map(|function| function(handle.target $(, $argument)*))
    }};
}
pub(crate) use call;

#[cfg(test)]
mod tests {
    use super::*;

    enum Fake {}
    const ANSWER: Method<Fake, unsafe extern "C" fn(Ptr) -> i32> =
        Method::new("Fake::answer", [None, None, None, None, Some(Cell { slot: 1, since_minor: 6 })]);

    unsafe extern "C" fn wrong(_: Ptr) -> i32 {
        -1
    }

    unsafe extern "C" fn answer(this: Ptr) -> i32 {
        // SAFETY: `this` is the implementation made below, whose second word is the answer.
        unsafe { *this.cast::<usize>().add(1) as i32 }
    }

    #[test]
    fn a_call_goes_through_the_implementation_to_the_slot_of_the_version() {
        let vtable = [wrong as *const c_void, answer as *const c_void];
        let implementation = [vtable.as_ptr() as usize, 42];
        let public = [0usize, implementation.as_ptr() as usize];
        let version = Version::from_number(10701).unwrap();
        // SAFETY: the three arrays above are such an object, alive to the end of the test.
        let handle: Handle<Fake> = unsafe { Handle::forwarding(version, public.as_ptr() as Ptr) }.unwrap();
        // SAFETY: slot 1 is `answer`, which takes no arguments.
        assert_eq!(unsafe { call!(handle, ANSWER) }, Ok(42));
    }

    #[test]
    fn null_objects_have_no_handle() {
        let version = Version::from_number(10701).unwrap();
        let hollow = [0usize, 0];
        // SAFETY: null and an object without implementation are what is tested.
        unsafe {
            assert!(Handle::<Fake>::forwarding(version, std::ptr::null_mut()).is_none());
            assert!(Handle::<Fake>::forwarding(version, std::ptr::without_provenance_mut(0x228)).is_none());
            assert!(Handle::<Fake>::forwarding(version, hollow.as_ptr() as Ptr).is_none());
            assert!(Handle::<Fake>::direct(version, std::ptr::null_mut()).is_none());
        }
    }

    #[test]
    fn a_method_is_unsupported_before_the_minor_that_added_it_and_in_families_without_it() {
        let slot = |number| ANSWER.slot(Version::from_number(number).unwrap());
        assert_eq!(slot(10600), Ok(1));
        let too_old = slot(10500).unwrap_err();
        assert_eq!(too_old.to_string(), "`Fake::answer` does not exist in TensorRT-RTX 1.5.0");
        assert!(slot(100300).is_err());
    }
}
