//! Libraries that are not what they say.

use crate::common::{CHILD, on_every};
use crate::workshop::{compile, folder, has_compiler};
use nvinfer::*;

/// A builder of which every slot returns the builder, but those at `LOGGER` and `RECORDER`, and that of the deletion, which
/// may be anything in a library with another interface and must not be called. Its runtime is what some
/// releases return without a driver.
const FAKE: &str = r#"
    void abort(void);
    static void* logger;
    static void* slots[80];
    static void* object[2] = { slots, object };
    static void* self(void) { return object; }
    static void* get_logger(void) { return logger; }
    int getInferLibVersion(void) { return VERSION; }
    static void* recorder;
    static void set_recorder(void* this, void* given) { recorder = given; }
    static void* get_recorder(void) { return recorder; }
    int getNvOnnxParserVersion(void) { return 100; }
    void* createNvOnnxParser_INTERNAL(void) { return 0; }
    void* createInferBuilder_INTERNAL(void* given, int version) {
        for (int i = 0; i < 80; i++) slots[i] = self;
        slots[1] = abort;
        slots[LOGGER] = get_logger;
        slots[RECORDER] = set_recorder;
        slots[RECORDER + 1] = get_recorder;
        logger = given;
        return version == VERSION ? object : 0;
    }
    void* createInferRuntime_INTERNAL(void* given, int version) { return (void*)0x228; }
"#;

#[test]
fn a_library_with_other_slots_than_its_version_has_is_unmasked_by_the_first_call() {
    let test = "canaries::a_library_with_other_slots_than_its_version_has_is_unmasked_by_the_first_call";
    if !has_compiler(test) {
        return;
    }
    let versions = [
        ("8.0", 8001, 19, 13),
        ("8", 8601, 19, 13),
        ("10", 100300, 16, 10),
        ("11", 110000, 13, 8),
        ("A", 10400, 16, 10),
        ("B", 10701, 13, 8),
    ];
    let mut dirs = vec![];
    // In the child the folders are there already, and in use.
    if std::env::var_os(CHILD).is_none() {
        for (name, version, logger, recorder) in versions {
            for (kind, by) in [("right", 0), ("wrong", 1)] {
                let dir = folder(&format!("fake-{name}-{kind}"));
                let (logger, recorder) = (logger + by, recorder + by);
                let source = format!(
                    "#define VERSION {version}\n#define LOGGER {logger}\n#define RECORDER {recorder}\n{FAKE}"
                );
                compile(&source, &dir.join("libnvinfer.so.10"));
                std::fs::copy(dir.join("libnvinfer.so.10"), dir.join("libnvonnxparser.so.10")).unwrap();
                dirs.push(dir);
            }
        }
    }
    on_every(test, &dirs, |dir| {
        let library = Library::open(&SearchPath::only([dir])).unwrap();
        let version = library.version();
        let mismatch = |result: Option<Error>| match result {
            Some(Error::AbiMismatch { method, .. }) => method,
            other => panic!("{other:?}"),
        };
        assert!(matches!(Runtime::new(&library).err(), Some(Error::Creation { .. })), "0x228 is no runtime");
        // Before 8.2 a builder does not know its logger.
        let is_old = version.family == Family::V8 && version.minor < 2;
        if dir.to_string_lossy().ends_with("wrong") {
            let canary = if is_old { "VBuilder::getErrorRecorder" } else { "VBuilder::getLogger" };
            assert_eq!(mismatch(Builder::new(&library).err()), canary);
            return;
        }
        let builder = Builder::new(&library).expect("the first canaries are content");
        let canary =
            if is_old { "VBuilderConfig::getMaxWorkspaceSize" } else { "VBuilderConfig::getMemoryPoolLimit" };
        assert_eq!(mismatch(builder.create_config().err()), canary);
        let typing = if version.family == Family::V8 { Typing::Weak } else { Typing::Strong };
        assert_eq!(mismatch(builder.create_network(typing).err()), "VNetworkDefinition::getName");
    });
}
