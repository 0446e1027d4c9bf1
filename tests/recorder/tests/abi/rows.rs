//! Every row of our binding's slot table, called through the table's own slot and function type.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_void};
use std::fs::File;
use std::io::{Read, Seek};

use nvinfer::Version;
use nvinfer::sys::Method;
use nvinfer::sys::slots::*;
use nvinfer::sys::types::{Dims32, Dims64, Ptr};
use recorder::golden;

use crate::stage::{Stage, VERSIONS, child, rows_of, text};

const TEST: &str = "rows::every_row_of_our_table_reaches_its_method_with_its_arguments_in_every_version";

/// Drives all rows in a child process; what was wrong, if anything.
pub fn drive(number: i32, plants: &str) -> (Stage, Result<(), String>) {
    let stage = Stage::new(number, plants);
    let output = stage.run(TEST);
    let result = if output.status.success() { Ok(()) } else { Err(text(&output)) };
    (stage, result)
}

/// The rows that our table's slots and types were tried with, per version.
pub fn covered() -> Vec<(golden::Version, BTreeSet<String>)> {
    let drive = |&number: &i32| {
        let (stage, result) = drive(number, "");
        result.unwrap_or_else(|found| panic!("{}: {found}", stage.version));
        (stage.version, stage.called())
    };
    VERSIONS.iter().map(drive).collect()
}

#[test]
fn every_row_of_our_table_reaches_its_method_with_its_arguments_in_every_version() {
    if child().is_some() {
        return Driver::new().run();
    }
    for (version, called) in covered() {
        assert_eq!(called, rows_of(version).into_iter().collect(), "{version}");
        eprintln!("{version}: {} rows", called.len());
    }
}

/// Calls methods and compares the log.
struct Driver {
    version: Version,
    log: RefCell<File>,
    /// Whether each row could be called.
    called: RefCell<BTreeMap<&'static str, bool>>,
}

/// Calls a row: `row!(driver, target, class::METHOD(arguments) = "arguments as recorded")`. The result is `None` where this
/// version has no such row; with `=> value` it must otherwise be that value.
macro_rules! row {
    ($driver:expr, $target:expr, $module:ident::$method:ident($($argument:expr),*) = $shown:expr) => {{
        let target = $target;
        // SAFETY: the target is null or an object of the recorder's; a wrong type or slot ends this process.
        let result = unsafe {
            $driver.function(&$module::$method, target).map(|function| function(target $(, $argument)*))
        };
        $driver.check($module::$method.name, $shown, result.is_some());
        result
    }};
    ($driver:expr, $target:expr, $module:ident::$method:ident($($argument:expr),*) = $shown:expr => $value:expr) => {{
        let result = row!($driver, $target, $module::$method($($argument),*) = $shown);
        let expected = result.is_some().then_some($value);
        assert_eq!(result, expected, "the result of {}", $module::$method.name);
    }};
}

/// An object of ours that answers zero to everything: the callbacks themselves are tried in `binding` and `nvidia`.
fn silent() -> Ptr {
    extern "C" fn zero() -> usize {
        0
    }
    let vtable: &[*const c_void] = vec![zero as *const c_void; 32].leak();
    (Box::leak(Box::new(vtable.as_ptr())) as *mut *const *const c_void).cast()
}

/// The implementation of a public object; null for null.
fn of(public: Option<Ptr>) -> Ptr {
    match public {
        // SAFETY: an object of the recorder's, { vptr, implementation }.
        Some(public) if !public.is_null() => unsafe { *public.cast::<Ptr>().add(1) },
        _ => std::ptr::null_mut(),
    }
}

fn string(text: *const std::ffi::c_char) -> String {
    // SAFETY: texts of the recorder are C strings that live forever.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl Driver {
    fn new() -> Driver {
        let log = File::open(std::env::var_os("RECORDER_LOG").expect("the log's path")).expect("the log");
        let number = std::env::var("RECORDER_VERSION").expect("a version").parse().expect("a number");
        let version = Version::from_number(number).expect("a version that the binding knows");
        Driver { version, log: RefCell::new(log), called: RefCell::default() }
    }

    /// What was recorded since the last call.
    fn recorded(&self) -> Vec<String> {
        let mut text = String::new();
        let mut log = self.log.borrow_mut();
        log.stream_position().and_then(|_| log.read_to_string(&mut text)).expect("to read the log");
        text.lines().map(str::to_string).collect()
    }

    /// The function in the slot that our table gives to a method.
    ///
    /// # Safety
    /// `target` is an object of class `C` of the recorder's, or null.
    unsafe fn function<C, F>(&self, method: &Method<C, F>, target: Ptr) -> Option<F> {
        self.recorded();
        let slot = method.slot(self.version).ok()?;
        assert!(!target.is_null(), "{} has a slot, but there is no object to call it on", method.name);
        // SAFETY: the recorder's vtables have 96 slots; `F` is a function pointer by the table's own assertion.
        unsafe {
            let vtable = *target.cast::<*const *const c_void>();
            Some(std::mem::transmute_copy(&*vtable.add(slot)))
        }
    }

    /// The call must have been recorded as this row's, or not been made because the version has no such row.
    fn check(&self, name: &'static str, arguments: &str, called: bool) {
        let lines = self.recorded();
        let calls: Vec<&String> =
            lines.iter().filter(|line| !line.starts_with(' ') && !line.starts_with('~')).collect();
        let expected = format!("{name}({arguments})");
        let expected: &[&String] = if called { &[&expected] } else { &[] };
        assert_eq!(calls, expected, "in {lines:?}");
        *self.called.borrow_mut().entry(name).or_default() |= called;
    }

    fn run(self) {
        let folder = child().expect("a child process");
        let golden_version = golden::Version::new(self.version.table_version() as i32).expect("a version");
        let open = |name: &str| {
            // SAFETY: the recorder, which has no constructors.
            unsafe { libloading::Library::new(folder.join(name)) }.expect("the recorder")
        };
        let library = Box::leak(Box::new(open(&golden_version.file_names()[0])));
        let number = golden_version.number;
        let logger = silent();
        let create = |symbol: &str| {
            // SAFETY: the type of both functions; the logger lives forever.
            unsafe {
                let create = library.get::<unsafe extern "C" fn(Ptr, i32) -> Ptr>(symbol).expect(symbol);
                create(logger, number)
            }
        };
        let builder = create("createInferBuilder_INTERNAL");
        let (network, config) = self.builder(of(Some(builder)), logger);
        self.parser(library, logger, network);
        self.network(of(Some(network)));
        self.config(of(Some(config)), of(Some(network)), of(Some(builder)));
        let network_and_config = "INetworkDefinition#1, IBuilderConfig#1";
        row!(self, of(Some(builder)), builder::IS_NETWORK_SUPPORTED(network, config) = network_and_config => 1);
        self.runtime(of(Some(create("createInferRuntime_INTERNAL"))), logger);
        self.conclude(golden_version);
    }

    fn builder(&self, b: Ptr, logger: Ptr) -> (Ptr, Ptr) {
        row!(self, b, builder::PLATFORM_HAS_FAST_FP16() = "" => 1);
        row!(self, b, builder::PLATFORM_HAS_FAST_INT8() = "" => 0);
        row!(self, b, builder::GET_NB_DLA_CORES() = "" => 2);
        row!(self, b, builder::GET_LOGGER() = "" => logger);
        row!(self, b, builder::SET_MAX_THREADS(4) = "4" => 1);
        let recorder = silent();
        row!(self, b, builder::SET_ERROR_RECORDER(recorder) = "callback");
        row!(self, b, builder::GET_ERROR_RECORDER() = "" => recorder);
        let network = row!(self, b, builder::CREATE_NETWORK_V2(3) = "3").expect("a network");
        let config = row!(self, b, builder::CREATE_BUILDER_CONFIG() = "").expect("a configuration");
        (network, config)
    }

    fn parser(&self, library: &libloading::Library, logger: Ptr, network: Ptr) {
        // SAFETY: the type of the function.
        let parser = unsafe {
            let create =
                library.get::<unsafe extern "C" fn(Ptr, Ptr, i32) -> Ptr>("createNvOnnxParser_INTERNAL");
            create.expect("an exported function")(network, logger, 100)
        };
        let bad = b"an unparsable model";
        row!(self, parser, parser::PARSE(bad.as_ptr(), bad.len(), c"m.onnx".as_ptr()) = "bytes, 19, \"m.onnx\"" => 0);
        row!(self, parser, parser::GET_NB_ERRORS() = "" => 2);
        let texts = [
            ["no importer for Gelu", "ModelImporter.cpp", "parseNode", "head/act", "Gelu"],
            ["second error", "onnx2trt_utils.cpp", "convertAxis", "", ""],
        ];
        for (index, [desc, file, func, node_name, operator]) in (0..).zip(texts) {
            let e = row!(self, parser, parser::GET_ERROR(index) = &index.to_string()).expect("an error");
            row!(self, e, parser_error::CODE() = "" => [8, 2][index as usize]);
            row!(self, e, parser_error::LINE() = "" => 100 + index);
            row!(self, e, parser_error::NODE() = "" => [7, -1][index as usize]);
            let told = [
                row!(self, e, parser_error::DESC() = "").map(string).zip(Some(desc)),
                row!(self, e, parser_error::FILE() = "").map(string).zip(Some(file)),
                row!(self, e, parser_error::FUNC() = "").map(string).zip(Some(func)),
                row!(self, e, parser_error::NODE_NAME() = "").map(string).zip(Some(node_name)),
                row!(self, e, parser_error::NODE_OPERATOR() = "").map(string).zip(Some(operator)),
            ];
            for (found, expected) in told.into_iter().flatten() {
                assert_eq!(found, expected);
            }
        }
        row!(self, parser, parser::CLEAR_ERRORS() = "");
        row!(self, parser, parser::SUPPORTS_OPERATOR(c"Conv".as_ptr()) = "\"Conv\"" => 1);
        row!(self, parser, parser::PARSE_FROM_FILE(c"a model".as_ptr(), 2) = "\"a model\", 2" => 1);
        row!(self, parser, parser::DESTROY() = "");
        row!(self, parser, parser::D0() = "");
    }

    fn network(&self, n: Ptr) {
        row!(self, n, network::SET_NAME(c"net".as_ptr()) = "\"net\"");
        assert_eq!(row!(self, n, network::GET_NAME() = "").map(string).as_deref(), Some("net"));
        row!(self, n, network::GET_NB_LAYERS() = "" => 3);
        row!(self, n, network::GET_NB_INPUTS() = "" => 1);
        row!(self, n, network::GET_NB_OUTPUTS() = "" => 2);
        let input = of(row!(self, n, network::GET_INPUT(0) = "0"));
        let output = of(row!(self, n, network::GET_OUTPUT(1) = "1"));
        let cases: [(Ptr, &str, &[i64], i32); 2] =
            [(input, "images", &[-1, 3, 224, 224], 0), (output, "boxes", &[-1, 100, 4], 3)];
        for (tensor, name, shape, kind) in cases {
            assert_eq!(row!(self, tensor, tensor::GET_NAME() = "").map(string).as_deref(), Some(name));
            row!(self, tensor, tensor::GET_DIMENSIONS_32() = "" => narrow(shape));
            row!(self, tensor, tensor::GET_DIMENSIONS_64() = "" => wide(shape));
            row!(self, tensor, tensor::GET_TYPE() = "" => kind);
        }
        row!(self, input, tensor::DYNAMIC_RANGE_IS_SET() = "" => 0);
        row!(self, input, tensor::SET_DYNAMIC_RANGE(-1.5, 2.25) = "-1.5, 2.25" => 1);
        row!(self, input, tensor::DYNAMIC_RANGE_IS_SET() = "" => 1);

        let l = of(row!(self, n, network::GET_LAYER(2) = "2"));
        row!(self, l, layer::GET_TYPE() = "" => 1);
        assert_eq!(row!(self, l, layer::GET_NAME() = "").map(string).as_deref(), Some("head"));
        row!(self, l, layer::GET_NB_INPUTS() = "" => 1);
        row!(self, l, layer::GET_NB_OUTPUTS() = "" => 2);
        let fed = of(row!(self, l, layer::GET_INPUT(0) = "0"));
        assert_eq!(row!(self, fed, tensor::GET_NAME() = "").map(string).as_deref(), Some("body/out"));
        let made = of(row!(self, l, layer::GET_OUTPUT(1) = "1"));
        assert_eq!(made, output);
        row!(self, l, layer::PRECISION_IS_SET() = "" => 0);
        row!(self, l, layer::SET_PRECISION(2) = "2");
        row!(self, l, layer::GET_PRECISION() = "" => 2);
        row!(self, l, layer::PRECISION_IS_SET() = "" => 1);
        row!(self, l, layer::SET_OUTPUT_TYPE(1, 3) = "1, 3");
        row!(self, l, layer::OUTPUT_TYPE_IS_SET(1) = "1" => 1);
    }

    fn config(&self, c: Ptr, n: Ptr, b: Ptr) {
        row!(self, c, config::SET_MAX_WORKSPACE_SIZE(5 << 30) = "5368709120");
        row!(self, c, config::GET_MAX_WORKSPACE_SIZE() = "" => 5 << 30);
        row!(self, c, config::SET_MEMORY_POOL_LIMIT(2, 8 << 30) = "2, 8589934592");
        row!(self, c, config::GET_MEMORY_POOL_LIMIT(2) = "2" => 8 << 30);
        row!(self, c, config::SET_FLAGS(0x8000_0001) = "2147483649");
        row!(self, c, config::SET_FLAG(6) = "6");
        row!(self, c, config::GET_FLAGS() = "" => 0x8000_0041);
        row!(self, c, config::GET_FLAG(6) = "6" => 1);
        row!(self, c, config::CLEAR_FLAG(6) = "6");
        row!(self, c, config::GET_FLAG(6) = "6" => 0);
        row!(self, c, config::SET_DLA_CORE(1) = "1");
        row!(self, c, config::GET_DLA_CORE() = "" => 1);
        row!(self, c, config::SET_DEFAULT_DEVICE_TYPE(1) = "1");
        row!(self, c, config::GET_DEFAULT_DEVICE_TYPE() = "" => 1);
        row!(self, c, config::SET_PROFILING_VERBOSITY(2) = "2");
        row!(self, c, config::SET_QUANTIZATION_FLAG(0) = "0");
        row!(self, c, config::GET_QUANTIZATION_FLAG(0) = "0" => 1);
        row!(self, c, config::SET_TACTIC_SOURCES(9) = "9" => 1);
        row!(self, c, config::GET_TACTIC_SOURCES() = "" => 9);
        row!(self, c, config::SET_PREVIEW_FEATURE(3, 1) = "3, true");
        row!(self, c, config::GET_PREVIEW_FEATURE(3) = "3" => 1);
        row!(self, c, config::SET_BUILDER_OPTIMIZATION_LEVEL(4) = "4");
        row!(self, c, config::GET_BUILDER_OPTIMIZATION_LEVEL() = "" => 4);
        row!(self, c, config::SET_HARDWARE_COMPATIBILITY_LEVEL(1) = "1");
        row!(self, c, config::GET_HARDWARE_COMPATIBILITY_LEVEL() = "" => 1);
        row!(self, c, config::SET_NB_COMPUTE_CAPABILITIES(1) = "1" => 1);
        row!(self, c, config::SET_COMPUTE_CAPABILITY(86, 0) = "86, 0" => 1);
        let (monitor, calibrator) = (silent(), silent());
        row!(self, c, config::SET_PROGRESS_MONITOR(monitor) = "callback");
        row!(self, c, config::GET_PROGRESS_MONITOR() = "" => monitor);
        row!(self, c, config::SET_INT8_CALIBRATOR(calibrator) = "callback");
        row!(self, c, config::GET_INT8_CALIBRATOR() = "" => calibrator);
        let layer = row!(self, n, network::GET_LAYER(1) = "1").expect("a layer");
        row!(self, c, config::SET_DEVICE_TYPE(layer, 1) = "ILayer#2, 1");
        row!(self, c, config::CAN_RUN_ON_DLA(layer) = "ILayer#2" => 1);

        let bytes = b"timing";
        let cache = row!(self, c, config::CREATE_TIMING_CACHE(bytes.as_ptr(), bytes.len()) = "bytes, 6");
        let cache = cache.expect("a timing cache");
        row!(self, c, config::SET_TIMING_CACHE(cache, 1) = "ITimingCache#1, true" => 1);
        row!(self, c, config::GET_TIMING_CACHE() = "" => cache);
        let memory = of(row!(self, of(Some(cache)), timing_cache::SERIALIZE() = ""));
        row!(self, memory, host_memory::SIZE() = "" => 6);
        let data = row!(self, memory, host_memory::DATA() = "").expect("an address");
        // SAFETY: memory of the recorder's, as long as it said.
        assert_eq!(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), 6) }, bytes);

        let profile = row!(self, b, builder::CREATE_OPTIMIZATION_PROFILE() = "").expect("a profile");
        let (p, name) = (of(Some(profile)), c"images".as_ptr());
        let (small, large) = (narrow(&[2, 3, 224, 224]), wide(&[1 << 40, 3, 224, 224]));
        row!(self, p, profile::SET_DIMENSIONS_32(name, 2, small) = "\"images\", 2, [2, 3, 224, 224]" => 1);
        let shown = "\"images\", 1, [1099511627776, 3, 224, 224]";
        row!(self, p, profile::SET_DIMENSIONS_64(name, 1, &raw const large) = shown => 1);
        row!(self, p, profile::IS_VALID() = "" => 1);
        row!(self, c, config::ADD_OPTIMIZATION_PROFILE(profile) = "IOptimizationProfile#1" => 0);
        row!(self, c, config::SET_CALIBRATION_PROFILE(profile) = "IOptimizationProfile#1" => 1);

        let (network, config) = (self.fresh_network(b), self.fresh_config(b));
        let plan = row!(
            self,
            b,
            builder::BUILD_SERIALIZED_NETWORK(network, config) = "INetworkDefinition#2, IBuilderConfig#2"
        );
        row!(self, of(plan), host_memory::SIZE() = "" => 13);
    }

    /// Without a model, so that nothing is checked but the call itself.
    fn fresh_network(&self, b: Ptr) -> Ptr {
        row!(self, b, builder::CREATE_NETWORK_V2(0) = "0").expect("a network")
    }

    fn fresh_config(&self, b: Ptr) -> Ptr {
        row!(self, b, builder::CREATE_BUILDER_CONFIG() = "").expect("a configuration")
    }

    fn runtime(&self, r: Ptr, logger: Ptr) {
        row!(self, r, runtime::SET_DLA_CORE(1) = "1");
        row!(self, r, runtime::GET_NB_DLA_CORES() = "" => 2);
        row!(self, r, runtime::GET_LOGGER() = "" => logger);
        let recorder = silent();
        row!(self, r, runtime::SET_ERROR_RECORDER(recorder) = "callback");
        row!(self, r, runtime::GET_ERROR_RECORDER() = "" => recorder);
        let plan = b"recorded plan, boxes on host";
        let (start, length) = (plan.as_ptr(), plan.len());
        let old = row!(
            self,
            r,
            runtime::DESERIALIZE_CUDA_ENGINE_8(start, length, std::ptr::null_mut()) = "bytes, 28, null"
        );
        let new = row!(self, r, runtime::DESERIALIZE_CUDA_ENGINE(start, length) = "bytes, 28");
        let e = of(old.or(new));
        row!(self, e, engine::GET_NB_LAYERS() = "" => 2);
        row!(self, e, engine::GET_NB_OPTIMIZATION_PROFILES() = "" => 2);
        row!(self, e, engine::GET_DEVICE_MEMORY_SIZE() = "" => 5 << 30);
        row!(self, e, engine::GET_DEVICE_MEMORY_SIZE_V2() = "" => 6 << 30);
        row!(self, e, engine::GET_NB_BINDINGS() = "" => 6);
        row!(self, e, engine::GET_NB_IO_TENSORS() = "" => 3);
        let io: [(&CStr, u8, &[i64], i32, i32); 3] = [
            (c"images", 1, &[-1, 3, 224, 224], 0, 0),
            (c"scores", 0, &[-1, 1000], 1, 0),
            (c"boxes", 0, &[-1, 100, 4], 3, 1),
        ];
        for (index, (name, input, shape, kind, place)) in (0..).zip(io) {
            let (at, text) = (index.to_string(), name.to_str().expect("ASCII"));
            let quoted = format!("{text:?}");
            for found in [
                row!(self, e, engine::GET_BINDING_NAME(index) = &at),
                row!(self, e, engine::GET_IO_TENSOR_NAME(index) = &at),
            ] {
                assert_eq!(found.map_or(text.to_string(), string), text);
            }
            row!(self, e, engine::BINDING_IS_INPUT(index) = &at => input);
            row!(self, e, engine::GET_BINDING_DIMENSIONS(index) = &at => narrow(shape));
            row!(self, e, engine::GET_BINDING_DATA_TYPE(index) = &at => kind);
            row!(self, e, engine::GET_LOCATION(index) = &at => place);
            row!(self, e, engine::GET_TENSOR_SHAPE_32(name.as_ptr()) = &quoted => narrow(shape));
            row!(self, e, engine::GET_TENSOR_SHAPE_64(name.as_ptr()) = &quoted => wide(shape));
            row!(self, e, engine::GET_TENSOR_DATA_TYPE(name.as_ptr()) = &quoted => kind);
            row!(self, e, engine::GET_TENSOR_IO_MODE(name.as_ptr()) = &quoted => 2 - i32::from(input));
            row!(self, e, engine::GET_TENSOR_LOCATION(name.as_ptr()) = &quoted => place);
        }
        let i = of(row!(self, e, engine::CREATE_ENGINE_INSPECTOR() = ""));
        row!(self, i, inspector::GET_LAYER_INFORMATION(1, 1) = "1, 1");
        row!(self, i, inspector::GET_ENGINE_INFORMATION(1) = "1");
        let old = row!(self, e, engine::CREATE_EXECUTION_CONTEXT_8() = "");
        let new = row!(self, e, engine::CREATE_EXECUTION_CONTEXT(2) = "2");
        self.context(of(old.or(new)));
    }

    fn context(&self, x: Ptr) {
        let shape = [2, 3, 224, 224];
        let (old, new, name) = (narrow(&shape), wide(&shape), c"images".as_ptr());
        row!(self, x, context::SET_BINDING_DIMENSIONS(0, old) = "0, [2, 3, 224, 224]" => 1);
        row!(self, x, context::GET_BINDING_DIMENSIONS(0) = "0" => old);
        let shown = "\"images\", [2, 3, 224, 224]";
        row!(self, x, context::SET_INPUT_SHAPE_32(name, &raw const old) = shown => 1);
        row!(self, x, context::SET_INPUT_SHAPE_64(name, &raw const new) = shown => 1);
        row!(self, x, context::GET_TENSOR_SHAPE_32(name) = "\"images\"" => old);
        row!(self, x, context::GET_TENSOR_SHAPE_64(name) = "\"images\"" => new);
        let address = std::ptr::without_provenance_mut;
        let bindings = [0x10, 0x20, 0x30, 0, 0, 0].map(address);
        row!(self, x, context::EXECUTE_V2(bindings.as_ptr()) = "[0x10, 0x20, 0x30, null, null, null]" => 1);
        let shown = "[0x10, 0x20, 0x30, null, null, null], 0x40, 0x50";
        row!(self, x, context::ENQUEUE_V2(bindings.as_ptr(), address(0x40), address(0x50)) = shown => 1);
        row!(self, x, context::SET_OPTIMIZATION_PROFILE_ASYNC(0, address(0x40)) = "0, 0x40" => 1);
        row!(self, x, context::SET_TENSOR_ADDRESS(name, address(0x60)) = "\"images\", 0x60" => 1);
        row!(self, x, context::ENQUEUE_V3(address(0x40)) = "0x40" => 1);
    }

    /// Every row was tried, and those that were called are exactly those that the golden text has in this version.
    fn conclude(self, version: golden::Version) {
        let tried = self.called.into_inner();
        let missed: Vec<_> =
            METHODS.iter().map(|(name, _)| name).filter(|name| !tried.contains_key(*name)).collect();
        assert!(missed.is_empty(), "rows that this test does not try: {missed:?}");
        let called: BTreeSet<String> =
            tried.iter().filter(|(_, called)| **called).map(|(name, _)| name.to_string()).collect();
        assert_eq!(called, rows_of(version).into_iter().collect());
    }
}

fn wide(extents: &[i64]) -> Dims64 {
    Dims64::new(extents).expect("at most 8 dimensions")
}

fn narrow(extents: &[i64]) -> Dims32 {
    Dims32::narrow(&wide(extents)).expect("32-bit extents")
}
