//! The rows that the real TensorRT-RTX answers on a machine without a GPU: the builder's side of families A and B.
//!
//! A row counts only if its answer is one that no other method gives by chance: a pointer of ours, a name of the model, a number
//! just set. The binding's own tests with the same libraries are in `crates/nvinfer/tests/rtx`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use nvinfer::Version;
use nvinfer::sys::slots::*;
use nvinfer::sys::types::{Dims64, Ptr};
use recorder::golden;

use test_support::{onnx, skip};

use crate::raw::{self, of};
use crate::stage::text;

const TEST: &str = "real::tensorrt_rtx_answers_the_builders_rows";
const CHILD: &str = "REAL_RTX_CHILD";

/// The rows that each real library here has answered.
pub fn covered() -> Vec<(golden::Version, BTreeSet<String>)> {
    test_support::rtx().iter().map(|folder| answered(folder)).collect()
}

fn answered(folder: &Path) -> (golden::Version, BTreeSet<String>) {
    let program = std::env::current_exe().expect("the path of this program");
    let output = std::process::Command::new(program)
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .output()
        .expect("a child process");
    assert!(output.status.success(), "{}: {}", folder.display(), text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = |word: &str| {
        said.lines().find_map(|line| line.strip_prefix(word)).expect("the child's findings").to_string()
    };
    let version =
        golden::Version::new(line("version ").parse().expect("a number")).expect("a version of the text");
    (version, line("rows ").split_whitespace().map(str::to_string).collect())
}

#[test]
fn tensorrt_rtx_answers_the_builders_rows() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return examine(Path::new(&folder));
    }
    let covered = covered();
    if covered.is_empty() {
        return skip("no TensorRT-RTX; scripts/test installs it and sets TRT_RTX_LIB_DIR");
    }
    for (version, rows) in covered {
        eprintln!("{version}: {} rows answered by the real library", rows.len());
        assert!(rows.len() >= 65, "{version}: {rows:?}");
    }
}

/// Makes calls on real objects and keeps the rows whose answers were right.
struct Real {
    version: Version,
    answered: RefCell<BTreeSet<&'static str>>,
}

/// Calls a row: `real!(real, target, class::METHOD(arguments))` gives the result, and `None` where the version has no such row.
/// With `=> value` the answer must be that, and the row counts; a `[module::OTHER]` before it counts too, being what made
/// that answer.
macro_rules! real {
    ($real:expr, $target:expr, $module:ident::$method:ident($($argument:expr),*)) => {{
        let target = $target;
        // SAFETY: a live object of the class; slot and type are what is tested, in a process of its own.
        unsafe { raw::function(&$module::$method, $real.version, target).map(|function| function(target $(, $argument)*)) }
    }};
    ($real:expr, $target:expr, $module:ident::$method:ident($($argument:expr),*) $([$by:ident::$maker:ident])* => $value:expr) => {{
        let result = real!($real, $target, $module::$method($($argument),*));
        if let Some(found) = result {
            assert_eq!(found, $value, "{}", $module::$method.name);
            $real.right($module::$method.name);
            $($real.right($by::$maker.name);)*
        }
    }};
}

fn string(text: *const c_char) -> String {
    // SAFETY: TensorRT's texts are C strings, alive as long as their objects.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl Real {
    fn right(&self, name: &'static str) {
        self.answered.borrow_mut().insert(name);
    }

    /// A text that holds another; the row counts.
    fn says(&self, name: &'static str, found: Option<*const c_char>, expected: &str) {
        let found = found.map(string).expect(name);
        assert!(found.contains(expected) && !found.is_empty(), "{name}: {found}");
        self.right(name);
    }
}

fn examine(folder: &Path) {
    let open = |name: &str| {
        // SAFETY: NVIDIA's library in a folder that the tests were given.
        Box::leak(Box::new(unsafe { libloading::Library::new(folder.join(name)) }.expect(name)))
    };
    let (library, parsers) = (open("libtensorrt_rtx.so.1"), open("libtensorrt_onnxparser_rtx.so.1"));
    // SAFETY: the type of the function.
    let number =
        unsafe { library.get::<unsafe extern "C" fn() -> i32>("getInferLibVersion").expect("a version")() };
    let version = Version::from_number(number).expect("a version with a table");
    let real = Real { version, answered: RefCell::default() };
    let logger = raw::logger(version);
    // SAFETY: the types of the functions; the logger lives forever.
    let builder = unsafe {
        let create = library.get::<unsafe extern "C" fn(Ptr, i32) -> Ptr>("createInferBuilder_INTERNAL");
        of(Some(create.expect("an exported function")(logger, number)))
    };
    let new_parser = |network: Ptr| {
        // SAFETY: as above; the network is alive.
        unsafe {
            let parser_version =
                parsers.get::<unsafe extern "C" fn() -> i32>("getNvOnnxParserVersion").expect("a version")();
            let create =
                parsers.get::<unsafe extern "C" fn(Ptr, Ptr, i32) -> Ptr>("createNvOnnxParser_INTERNAL");
            create.expect("an exported function")(network, logger, parser_version)
        }
    };
    real.builder(builder, logger);
    let strongly_typed = if version.family == nvinfer::Family::RtxA { 2 } else { 1 };
    let new_network = || real!(real, builder, builder::CREATE_NETWORK_V2(strongly_typed)).expect("a network");
    real.refusals(&new_parser, new_network());
    let network = new_network();
    let parser = new_parser(network);
    let model = onnx::conv("Relu", onnx::Weights::Inside);
    real!(real, parser, parser::PARSE(model.as_ptr(), model.len(), std::ptr::null()) => 1);
    real!(real, parser, parser::GET_NB_ERRORS() => 0);
    real.network(of(Some(network)));
    let config = real!(real, builder, builder::CREATE_BUILDER_CONFIG()).expect("a configuration");
    real.config(of(Some(config)), of(Some(network)), builder);
    real!(real, builder, builder::IS_NETWORK_SUPPORTED(network, config) => 1);
    let plan = of(real!(real, builder, builder::BUILD_SERIALIZED_NETWORK(network, config)));
    let size = real!(real, plan, host_memory::SIZE()).expect("a size");
    let data = real!(real, plan, host_memory::DATA()).expect("an address").cast::<u8>();
    // SAFETY: TensorRT's memory of that size.
    let bytes = unsafe { std::slice::from_raw_parts(data, size) };
    assert!(
        (1_000..10_000_000).contains(&size) && bytes.iter().any(|byte| *byte != 0),
        "a plan of {size} bytes"
    );
    for name in [
        builder::CREATE_NETWORK_V2.name,
        builder::CREATE_BUILDER_CONFIG.name,
        builder::BUILD_SERIALIZED_NETWORK.name,
        host_memory::SIZE.name,
        host_memory::DATA.name,
    ] {
        real.right(name);
    }
    real!(real, parser, parser::D0());
    real.right(parser::D0.name);
    let rows: Vec<_> = real.answered.into_inner().into_iter().collect();
    eprintln!("version {number}\nrows {}", rows.join(" "));
}

impl Real {
    fn builder(&self, b: Ptr, logger: Ptr) {
        real!(self, b, builder::GET_LOGGER() => logger);
        real!(self, b, builder::GET_NB_DLA_CORES() => 0);
        real!(self, b, builder::SET_MAX_THREADS(2) => 1);
        real!(self, b, builder::SET_MAX_THREADS(-1) => 0);
        let recorder = raw::silent(raw::recorder_info);
        real!(self, b, builder::SET_ERROR_RECORDER(recorder));
        real!(self, b, builder::GET_ERROR_RECORDER() [builder::SET_ERROR_RECORDER] => recorder);
    }

    /// What a parser says of an operator that it does not have.
    fn refusals(&self, new_parser: &dyn Fn(Ptr) -> Ptr, network: Ptr) {
        let parser = new_parser(network);
        real!(self, parser, parser::SUPPORTS_OPERATOR(c"Conv".as_ptr()) => 1);
        real!(self, parser, parser::SUPPORTS_OPERATOR(c"NoSuchOperator".as_ptr()) => 0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, onnx::conv("NoSuchOperator", onnx::Weights::Inside)).expect("a model");
        let path = CString::new(file.to_str().expect("UTF-8")).expect("no NUL");
        real!(self, parser, parser::PARSE_FROM_FILE(path.as_ptr(), 1) => 0);
        let count = real!(self, parser, parser::GET_NB_ERRORS()).expect("a count");
        assert!((1..10).contains(&count), "{count} errors");
        let e = real!(self, parser, parser::GET_ERROR(0)).expect("an error");
        let code = real!(self, e, parser_error::CODE()).expect("a code");
        assert!((1..=14).contains(&code), "ErrorCode {code}");
        let node = real!(self, e, parser_error::NODE()).expect("a node");
        assert_eq!(node, 1, "the second node");
        let line = real!(self, e, parser_error::LINE()).expect("a line");
        assert!((10..100_000).contains(&line), "line {line}");
        self.says(parser_error::DESC.name, real!(self, e, parser_error::DESC()), " not ");
        self.says(parser_error::FILE.name, real!(self, e, parser_error::FILE()), ".cpp");
        self.says(parser_error::FUNC.name, real!(self, e, parser_error::FUNC()), "");
        self.says(parser_error::NODE_NAME.name, real!(self, e, parser_error::NODE_NAME()), "last");
        self.says(
            parser_error::NODE_OPERATOR.name,
            real!(self, e, parser_error::NODE_OPERATOR()),
            "NoSuchOperator",
        );
        for name in [
            parser_error::CODE.name,
            parser_error::NODE.name,
            parser_error::LINE.name,
            parser::GET_ERROR.name,
        ] {
            self.right(name);
        }
        real!(self, parser, parser::CLEAR_ERRORS());
        real!(self, parser, parser::GET_NB_ERRORS() [parser::CLEAR_ERRORS] => 0);
        let model = onnx::conv("Relu", onnx::Weights::External("nowhere.bin"));
        real!(self, parser, parser::PARSE(model.as_ptr(), model.len(), std::ptr::null()) => 0);
    }

    fn network(&self, n: Ptr) {
        real!(self, n, network::SET_NAME(c"a name".as_ptr()));
        self.says(network::GET_NAME.name, real!(self, n, network::GET_NAME()), "a name");
        self.right(network::SET_NAME.name);
        real!(self, n, network::GET_NB_INPUTS() => 1);
        real!(self, n, network::GET_NB_OUTPUTS() => 1);
        let input = of(real!(self, n, network::GET_INPUT(0)));
        let output = of(real!(self, n, network::GET_OUTPUT(0)));
        self.says(tensor::GET_NAME.name, real!(self, input, tensor::GET_NAME()), "images");
        self.says(network::GET_OUTPUT.name, real!(self, output, tensor::GET_NAME()), "scores");
        self.right(network::GET_INPUT.name);
        real!(self, input, tensor::GET_DIMENSIONS_64() => Dims64::new(&[-1, 3, 8, 8]).expect("4 dimensions"));
        real!(self, output, tensor::GET_TYPE() => 0);

        let count = real!(self, n, network::GET_NB_LAYERS()).expect("a count");
        assert!((2..10).contains(&count), "{count} layers");
        let layers: Vec<Ptr> =
            (0..count).map(|index| of(real!(self, n, network::GET_LAYER(index)))).collect();
        let names: Vec<String> =
            layers.iter().map(|&l| string(real!(self, l, layer::GET_NAME()).expect("a name"))).collect();
        let stem =
            layers[names.iter().position(|name| name == "stem").unwrap_or_else(|| panic!("{names:?}"))];
        for name in [network::GET_NB_LAYERS.name, network::GET_LAYER.name, layer::GET_NAME.name] {
            self.right(name);
        }
        // LayerType::kCONVOLUTION is 0 in all versions; the activation's is not.
        real!(self, stem, layer::GET_TYPE() => 0);
        let activation =
            layers[names.iter().position(|name| name == "last").unwrap_or_else(|| panic!("{names:?}"))];
        real!(self, activation, layer::GET_TYPE() => 2);
        real!(self, activation, layer::GET_NB_INPUTS() => 1);
        real!(self, activation, layer::GET_NB_OUTPUTS() => 1);
        let fed = of(real!(self, activation, layer::GET_INPUT(0)));
        self.says(layer::GET_INPUT.name, real!(self, fed, tensor::GET_NAME()), "features");
        let made = of(real!(self, activation, layer::GET_OUTPUT(0)));
        self.says(layer::GET_OUTPUT.name, real!(self, made, tensor::GET_NAME()), "scores");
    }

    fn config(&self, c: Ptr, n: Ptr, b: Ptr) {
        real!(self, c, config::SET_MEMORY_POOL_LIMIT(0, 64 << 20));
        real!(self, c, config::GET_MEMORY_POOL_LIMIT(0) [config::SET_MEMORY_POOL_LIMIT] => 64 << 20);
        real!(self, c, config::SET_FLAGS(1 << 2));
        real!(self, c, config::GET_FLAGS() [config::SET_FLAGS] => 1 << 2);
        real!(self, c, config::SET_FLAG(4));
        real!(self, c, config::GET_FLAG(4) [config::SET_FLAG] => 1);
        real!(self, c, config::CLEAR_FLAG(4));
        real!(self, c, config::GET_FLAGS() [config::CLEAR_FLAG] => 1 << 2);
        real!(self, c, config::CLEAR_FLAG(2));
        real!(self, c, config::SET_BUILDER_OPTIMIZATION_LEVEL(1));
        real!(self, c, config::GET_BUILDER_OPTIMIZATION_LEVEL() [config::SET_BUILDER_OPTIMIZATION_LEVEL] => 1);
        let monitor = raw::silent(raw::monitor_info);
        real!(self, c, config::SET_PROGRESS_MONITOR(monitor));
        real!(self, c, config::GET_PROGRESS_MONITOR() [config::SET_PROGRESS_MONITOR] => monitor);
        real!(self, c, config::SET_NB_COMPUTE_CAPABILITIES(1) => 1);
        real!(self, c, config::SET_COMPUTE_CAPABILITY(86, 0) => 1);
        real!(self, c, config::SET_COMPUTE_CAPABILITY(86, 5) => 0);
        real!(self, c, config::GET_DEFAULT_DEVICE_TYPE() => 0);
        let layer = real!(self, n, network::GET_LAYER(0)).expect("a layer");
        real!(self, c, config::CAN_RUN_ON_DLA(layer) => 0);

        let cache = real!(self, c, config::CREATE_TIMING_CACHE(std::ptr::null(), 0)).expect("a timing cache");
        real!(self, c, config::SET_TIMING_CACHE(cache, 0));
        real!(self, c, config::GET_TIMING_CACHE() [config::SET_TIMING_CACHE] [config::CREATE_TIMING_CACHE] => cache);
        let memory = of(real!(self, of(Some(cache)), timing_cache::SERIALIZE()));
        assert!(real!(self, memory, host_memory::SIZE()).expect("a size") < 1 << 20);
        self.right(timing_cache::SERIALIZE.name);

        let profile = real!(self, b, builder::CREATE_OPTIMIZATION_PROFILE()).expect("a profile");
        let (p, name) = (of(Some(profile)), c"images".as_ptr());
        for (selector, batch) in [(0, 1), (1, 2), (2, 4)] {
            let dims = Dims64::new(&[batch, 3, 8, 8]).expect("4 dimensions");
            real!(self, p, profile::SET_DIMENSIONS_64(name, selector, &raw const dims) => 1);
        }
        real!(self, p, profile::IS_VALID() [builder::CREATE_OPTIMIZATION_PROFILE] => 1);
        real!(self, c, config::ADD_OPTIMIZATION_PROFILE(profile) => 0);
    }
}
