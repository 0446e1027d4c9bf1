//! Objects with TensorRT's layout: a public one `{ vptr, implementation }` and the implementation, `{ vptr, … }`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock};

use crate::callbacks;
use crate::golden::{self, Version};
use crate::journal::{account, fail, record, required, stop};
use crate::methods;
use crate::types::{Ptr, Slot, Text};

/// More slots than any class has; those past the last method are traps like those between methods.
const SLOTS: usize = 96;

/// What the caller holds and passes as an argument.
#[repr(C)]
struct Public {
    vptr: *const Slot,
    implementation: *const Object,
}

/// An object. It is leaked, so that calls after its deletion are seen and not undefined.
#[repr(C)]
pub struct Object {
    vptr: *const Slot,
    public: Public,
    /// `VBuilder`, or `IParser`, whose methods are called on the object itself.
    pub class: &'static str,
    /// Counted from 1 in each class.
    number: usize,
    /// What made it, and must outlive it.
    pub parent: Option<&'static Object>,
    deleted: AtomicBool,
    state: Mutex<State>,
}

/// What was set on an object.
#[derive(Default)]
struct State {
    numbers: BTreeMap<(&'static str, i64), i64>,
    texts: BTreeMap<String, Vec<u8>>,
}

// SAFETY: the pointers are to leaked memory, the rest is behind a lock.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

/// Every object there was.
static OBJECTS: Mutex<Vec<&'static Object>> = Mutex::new(Vec::new());

fn objects() -> MutexGuard<'static, Vec<&'static Object>> {
    OBJECTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Object {
    /// Makes an object of a class.
    pub fn new(class: &'static str, parent: Option<&'static Object>) -> &'static Object {
        let mut objects = objects();
        let number = 1 + objects.iter().filter(|object| object.class == class).count();
        let table = vtables().get(class).unwrap_or_else(|| stop(&format!("no vtable of {class}")));
        let object: &'static mut Object = Box::leak(Box::new(Object {
            vptr: table.implementation,
            public: Public { vptr: table.public, implementation: std::ptr::null() },
            class,
            number,
            parent,
            deleted: AtomicBool::new(false),
            state: Mutex::default(),
        }));
        object.public.implementation = &raw const *object;
        let object: &'static Object = object;
        objects.push(object);
        if methods::OWNED.contains(&class) || class == "IParser" {
            account('+', object);
        }
        object
    }

    /// The pointer for the caller.
    pub fn as_ptr(&'static self) -> Ptr {
        if self.is_direct() {
            (&raw const *self).cast_mut().cast()
        } else {
            (&raw const self.public).cast_mut().cast()
        }
    }

    /// The parser's classes have no implementation object.
    fn is_direct(&self) -> bool {
        self.class.starts_with('I')
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What was set under this key, or what holds before.
    pub fn get(&self, key: &'static str, index: i64, before: i64) -> i64 {
        self.state().numbers.get(&(key, index)).copied().unwrap_or(before)
    }

    /// Sets a number, a switch or an address.
    pub fn set(&self, key: &'static str, index: i64, value: i64) {
        self.state().numbers.insert((key, index), value);
    }

    /// A pointer that was set; null before.
    pub fn pointer(&self, key: &'static str) -> Ptr {
        std::ptr::with_exposed_provenance_mut(self.get(key, 0, 0) as usize)
    }

    /// Sets a pointer.
    pub fn set_pointer(&self, key: &'static str, pointer: Ptr) {
        self.set(key, 0, pointer.expose_provenance() as i64);
    }

    /// Bytes that were set; empty before.
    pub fn bytes(&self, key: &str) -> Vec<u8> {
        self.state().texts.get(key).cloned().unwrap_or_default()
    }

    /// Sets bytes.
    pub fn set_bytes(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.state().texts.insert(key.into(), bytes.into());
    }

    /// The living objects of a class that were made by this one, in their order.
    pub fn children(&self, class: &str) -> Vec<&'static Object> {
        let mine = |object: &&Object| object.parent.is_some_and(|parent| std::ptr::eq(parent, self));
        let living = |object: &&'static Object| !object.deleted.load(Ordering::SeqCst);
        objects()
            .iter()
            .filter(|object| mine(object) && object.class == class && living(object))
            .copied()
            .collect()
    }

    /// The caller's `delete`: everything that was made of this object must be gone.
    pub fn delete(&'static self) {
        let name = self.public_class();
        record(&format!("~{name}"));
        if self.deleted.swap(true, Ordering::SeqCst) {
            fail(&format!("~{name} twice"));
        }
        account('-', self);
        for class in ["VBuilderConfig", "VNetworkDefinition", "VCudaEngine", "VExecutionContext"] {
            if let Some(child) = self.children(class).first() {
                fail(&format!("~{name} before {child}"));
            }
        }
        let recorder = self.pointer("error recorder");
        if !recorder.is_null() {
            callbacks::release_error_recorder(recorder);
        }
    }

    /// `IBuilder` of `VBuilder`.
    fn public_class(&self) -> String {
        format!("I{}", &self.class[1..])
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.public_class(), self.number)
    }
}

/// The object that the caller knows by this pointer.
pub fn public(pointer: Ptr) -> Option<&'static Object> {
    objects().iter().find(|object| object.as_ptr() == pointer).copied()
}

/// The object whose implementation this is.
fn implementation(pointer: Ptr) -> Option<&'static Object> {
    objects().iter().find(|object| std::ptr::eq(&raw const ***object, pointer.cast())).copied()
}

/// The start of every method: checks `this` and writes the call.
pub fn enter(this: Ptr, class: &str, method: &str, arguments: &[String]) -> &'static Object {
    let call = format!("{class}::{method}({})", arguments.join(", "));
    let Some(object) = implementation(this) else { fail(&format!("{call} on no object")) };
    if object.class != class {
        fail(&format!("{call} on {object}"));
    }
    if object.deleted.load(Ordering::SeqCst) {
        fail(&format!("{call} after its deletion"));
    }
    record(&call);
    object
}

/// The version that this process plays.
pub fn version() -> Version {
    static VERSION: OnceLock<Version> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let number = required("RECORDER_VERSION");
        let version = number.parse().ok().and_then(Version::new);
        version.unwrap_or_else(|| stop(&format!("RECORDER_VERSION is not a version with a column: {number}")))
    })
}

struct Vtables {
    implementation: *const Slot,
    public: *const Slot,
}

// SAFETY: the tables are leaked and never written to again.
unsafe impl Send for Vtables {}
// SAFETY: as above.
unsafe impl Sync for Vtables {}

/// The vtables of all classes in this version.
fn vtables() -> &'static HashMap<&'static str, Vtables> {
    static TABLES: LazyLock<HashMap<&'static str, Vtables>> = LazyLock::new(|| {
        let plants = std::env::var("RECORDER_PLANT").unwrap_or_default();
        let slots = golden::slots(version(), &plants).unwrap_or_else(|error| stop(&error));
        let handlers = methods::all(version());
        let mut tables: HashMap<&'static str, [Slot; SLOTS]> =
            methods::CLASSES.iter().map(|class| (*class, traps())).collect();
        for (name, slot) in slots {
            let Some((class, handler)) = handlers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(known, handler)| (known.split("::").next().unwrap_or_default(), *handler))
            else {
                stop(&format!("the golden text has a method that the recorder does not answer: {name}"))
            };
            let Some(table) = tables.get_mut(class) else { stop(&format!("no class of {name}")) };
            table[slot] = handler;
        }
        for (class, slot, handler) in methods::besides(version()) {
            if let Some(table) = tables.get_mut(class) {
                table[slot] = handler;
            }
        }
        tables.into_iter().map(|(class, slots)| (class, of(class, slots))).collect()
    });
    &TABLES
}

fn of(class: &'static str, slots: [Slot; SLOTS]) -> Vtables {
    let public_name = format!("I{}", &class[1..]);
    let namespace = if class.starts_with('I') { "12nvonnxparser" } else { "8nvinfer1" };
    let mangled = format!("N{namespace}{}{public_name}E", public_name.len());
    let mut public = traps();
    public[1] =
        if methods::OWNED.contains(&class) { methods::delete_public as Slot } else { not_yours as Slot };
    Vtables { implementation: block(&mangled, slots), public: block(&mangled, public) }
}

/// The smallest `std::type_info`. NVIDIA's Python bindings ask every object for its dynamic type.
#[repr(C)]
struct TypeInfo {
    vptr: *const Slot,
    name: Text,
}

/// A leaked `[offset to top, type info, slots…]`; the result points to the slots.
fn block(mangled: &str, slots: [Slot; SLOTS]) -> *const Slot {
    let name = CString::new(mangled).unwrap_or_default().into_raw();
    let info: *const TypeInfo = Box::leak(Box::new(TypeInfo { vptr: class_type_info(), name }));
    let block = [&[std::ptr::null(), info.cast()], &slots[..]].concat();
    block.leak()[2..].as_ptr()
}

unsafe extern "C" {
    fn dlopen(file: *const c_char, mode: c_int) -> Ptr;
    fn dlsym(library: Ptr, symbol: *const c_char) -> Ptr;
}

/// The vtable of `__class_type_info`; null where there is no C++ runtime, and then nobody will ask for it.
fn class_type_info() -> *const Slot {
    const RTLD_NOW: c_int = 2;
    // SAFETY: static names; the symbol is a vtable by the C++ ABI, whose address point is two words in.
    unsafe {
        let runtime = dlopen(c"libstdc++.so.6".as_ptr(), RTLD_NOW);
        let vtable: *const Slot = match runtime.is_null() {
            true => std::ptr::null(),
            false => dlsym(runtime, c"_ZTVN10__cxxabiv117__class_type_infoE".as_ptr()).cast(),
        };
        if vtable.is_null() { vtable } else { vtable.add(2) }
    }
}

/// A table in which every slot is a trap.
fn traps() -> [Slot; SLOTS] {
    macro_rules! traps {
        ($($tens:literal)*) => {
            [$(
                trap::<{ $tens * 8 }> as Slot, trap::<{ $tens * 8 + 1 }> as Slot, trap::<{ $tens * 8 + 2 }> as Slot,
                trap::<{ $tens * 8 + 3 }> as Slot, trap::<{ $tens * 8 + 4 }> as Slot, trap::<{ $tens * 8 + 5 }> as Slot,
                trap::<{ $tens * 8 + 6 }> as Slot, trap::<{ $tens * 8 + 7 }> as Slot,
            )*]
        };
    }
    traps!(0 1 2 3 4 5 6 7 8 9 10 11)
}

/// A slot where the golden text has no method. `this` is the second argument if the caller expects a large result.
unsafe extern "C" fn trap<const SLOT: usize>(first: Ptr, second: Ptr) {
    let pointers = [first, second];
    let object =
        pointers.into_iter().find_map(|pointer| implementation(pointer).map(|object| (object.class, object)));
    let public = || pointers.into_iter().find_map(|pointer| public(pointer).map(|object| ("public", object)));
    match object.or_else(public) {
        Some((class, object)) => fail(&format!("{class}::slot{SLOT} unexpected on {object}")),
        None => fail(&format!("slot{SLOT} unexpected on no object")),
    }
}

/// The deleting destructor of an object that belongs to another.
unsafe extern "C" fn not_yours(this: Ptr) {
    match public(this) {
        Some(object) => fail(&format!("delete of {object}, which is not the caller's")),
        None => fail("delete of no object"),
    }
}

/// A copy of a C string that a caller passed; empty for null.
///
/// # Safety
/// `text` is null or NUL-terminated.
pub unsafe fn copy(text: Text) -> Vec<u8> {
    if text.is_null() {
        return vec![];
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
}

/// A C string that lives forever, as the texts of leaked objects do.
pub fn leak(text: &[u8]) -> Text {
    let text: Vec<u8> = text.iter().copied().take_while(|byte| *byte != 0).collect();
    CString::new(text).unwrap_or_default().into_raw()
}
