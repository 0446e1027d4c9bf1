//! What TensorRT's libraries export, and our binding or NVIDIA's Python bindings import.

use crate::callbacks;
use crate::journal::{fail, record};
use crate::object::{Object, public, version};
use crate::show::{ObjectArg, Show};
use crate::types::{Ptr, Text};

/// `NV_ONNX_PARSER_VERSION` 0.1.0: the parser counts versions of its own.
const PARSER_VERSION: i32 = 100;

/// The version of the library that is played.
#[unsafe(no_mangle)]
pub extern "C" fn getInferLibVersion() -> i32 {
    version().number
}

/// Makes a builder.
#[unsafe(no_mangle)]
pub extern "C" fn createInferBuilder_INTERNAL(logger: Ptr, number: i32) -> Ptr {
    create("createInferBuilder_INTERNAL", "VBuilder", logger, number)
}

/// Makes a runtime.
#[unsafe(no_mangle)]
pub extern "C" fn createInferRuntime_INTERNAL(logger: Ptr, number: i32) -> Ptr {
    create("createInferRuntime_INTERNAL", "VRuntime", logger, number)
}

fn create(function: &str, class: &'static str, logger: Ptr, number: i32) -> Ptr {
    record(&format!("{function}({}, {number})", ObjectArg(logger).show()));
    if number != version().number {
        fail(&format!("{function} with the number of another version"));
    }
    callbacks::log(logger, 3, c"recorder: not TensorRT");
    let object = Object::new(class, None);
    object.set_pointer("logger", logger);
    object.as_ptr()
}

/// The parser's own version.
#[unsafe(no_mangle)]
pub extern "C" fn getNvOnnxParserVersion() -> i32 {
    PARSER_VERSION
}

/// Makes a parser.
#[unsafe(no_mangle)]
pub extern "C" fn createNvOnnxParser_INTERNAL(network: Ptr, logger: Ptr, number: i32) -> Ptr {
    let (network_shown, logger_shown) = (ObjectArg(network).show(), ObjectArg(logger).show());
    record(&format!("createNvOnnxParser_INTERNAL({network_shown}, {logger_shown}, {number})"));
    let Some(network) = public(network) else { fail("createNvOnnxParser_INTERNAL without a network") };
    callbacks::log(logger, 2, c"recorder: no parser either");
    Object::new("IParser", Some(network)).as_ptr()
}

/// Registers TensorRT's plugins.
#[unsafe(no_mangle)]
pub extern "C" fn initLibNvInferPlugins(logger: Ptr, namespace: Text) -> bool {
    record(&format!("initLibNvInferPlugins({}, {})", ObjectArg(logger).show(), namespace.show()));
    true
}

macro_rules! unexpected {
    ($($name:ident = $symbol:literal)*) => {
        $(
            /// Exported because NVIDIA's Python bindings link to it; nothing here calls it.
            #[unsafe(export_name = $symbol)]
            pub extern "C" fn $name() -> Ptr {
                fail(concat!($symbol, " unexpected"))
            }
        )*
    };
}
unexpected! {
    refitter = "createInferRefitter_INTERNAL"
    parser_refitter = "createNvOnnxParserRefitter_INTERNAL"
    plugin_registry = "getPluginRegistry"
    builder_plugin_registry = "getBuilderPluginRegistry"
    global_logger = "getLogger"
    uff_parser = "_ZN11nvuffparser15createUffParserEv"
    uff_field_map = "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi"
    caffe_parser = "_ZN14nvcaffeparser117createCaffeParserEv"
    caffe_shutdown = "_ZN14nvcaffeparser123shutdownProtobufLibraryEv"
}
