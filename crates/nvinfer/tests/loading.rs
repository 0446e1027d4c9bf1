//! What is said when there is no TensorRT, or something else of its name. Needs none, but a C compiler, as Rust does.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{CHILD, on_every};
use nvinfer::*;

/// An empty folder of this test.
fn folder(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn compile(source: &str, library: &Path) {
    let file = library.with_extension("c");
    std::fs::write(&file, source).unwrap();
    let soname = format!("-Wl,-soname,{}", library.file_name().unwrap().display());
    let status =
        Command::new("cc").args(["-shared", "-fPIC", &soname, "-o"]).args([library, &file]).status().unwrap();
    assert!(status.success());
}

fn open(dir: &Path) -> LoadError {
    Library::open(&SearchPath::only([dir])).unwrap_err()
}

#[test]
fn a_missing_library_is_reported_with_every_name_tried() {
    let dir = folder("missing");
    let error = open(&dir);
    let text = error.to_string();
    for name in ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libtensorrt_rtx.so.1"] {
        assert!(text.contains(&format!("`{}` (", dir.join(name).display())), "{text}");
    }
    assert!(text.contains("No such file"), "{text}");
}

#[test]
fn a_file_that_is_no_library_is_broken_and_not_skipped() {
    let dir = folder("no-elf");
    std::fs::write(
        dir.join("libnvinfer.so.8"),
        "not an ELF file, but long enough to look for a header in it",
    )
    .unwrap();
    let error = open(&dir);
    assert!(
        matches!(&error, LoadError::NotALibrary { path } if *path == dir.join("libnvinfer.so.8")),
        "{error}"
    );
}

#[test]
fn a_library_for_another_processor_is_named_as_such_and_not_called_missing() {
    let dir = folder("foreign");
    let machine: [u8; 2] = if cfg!(target_arch = "aarch64") { [62, 0] } else { [183, 0] };
    // A header as the loader wants it: 64 bits, little endian, current version, shared object.
    let header = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &[3, 0], &machine, &[1, 0, 0, 0], &[0; 200]];
    std::fs::write(dir.join("libnvinfer.so.10"), header.concat()).unwrap();
    let error = open(&dir);
    let LoadError::WrongArchitecture { found, expected, .. } = &error else { panic!("{error}") };
    assert_ne!(found, expected);
    assert!(error.hint().unwrap().contains(expected), "{error}");
}

#[test]
fn a_library_whose_own_libraries_are_missing_is_broken_and_names_them() {
    let dir = folder("dependency");
    compile("int part(void) { return 1; }", &dir.join("libpart.so"));
    let library = dir.join("libnvinfer.so.10");
    let status = Command::new("cc")
        .args(["-shared", "-Wl,--no-as-needed", "-o"])
        .args([&library, &dir.join("libpart.so")])
        .current_dir(&dir)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::remove_file(dir.join("libpart.so")).unwrap();
    let error = open(&dir);
    assert!(matches!(error, LoadError::Broken { .. }), "{error}");
    assert!(error.to_string().contains("libpart.so"), "{error}");
}

#[test]
fn another_library_of_the_name_lacks_the_symbols() {
    let dir = folder("other");
    compile("int nothing;", &dir.join("libnvinfer.so.10"));
    let error = open(&dir);
    assert!(matches!(error, LoadError::NoSymbol { symbol: "getInferLibVersion", .. }), "{error}");
}

#[test]
fn a_version_without_a_table_is_refused() {
    let dir = folder("unknown");
    let source = "int getInferLibVersion(void) { return 90300; } void* createInferBuilder_INTERNAL(void) { return 0; }";
    compile(source, &dir.join("libnvinfer.so.10"));
    let error = open(&dir);
    assert!(matches!(error, LoadError::UnknownVersion { number: 90300, .. }), "{error}");
}

/// A builder of which every slot returns the builder, but those at `LOGGER` and `RECORDER`. Its runtime is what some
/// releases return without a driver.
const FAKE: &str = r#"
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
    let test = "a_library_with_other_slots_than_its_version_has_is_unmasked_by_the_first_call";
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

/// The exported functions of a library and its parser, each doing nothing.
const STUB: &str = r#"
    int getInferLibVersion(void) { return VERSION; }
    void* createInferRuntime_INTERNAL(void* logger, int version) { return 0; }
    #ifndef LEAN
    void* createInferBuilder_INTERNAL(void* logger, int version) { return 0; }
    #endif
    int getNvOnnxParserVersion(void) { return 100; }
    void* createNvOnnxParser_INTERNAL(void) { return 0; }
"#;

/// Compiles [`STUB`], with these lines before it.
fn stub(version: i32, before: &str, library: &Path) {
    compile(&format!("#define VERSION {version}\n{before}\n{STUB}"), library);
}

/// Runs the rest of a test in a child process with a folder of its own; `fill` makes the libraries.
#[track_caller]
fn alone(test: &str, fill: impl FnOnce(&Path), body: impl FnOnce(&Path)) {
    let dirs = if std::env::var_os(CHILD).is_none() {
        let dir = folder(test);
        fill(&dir);
        vec![dir]
    } else {
        vec![]
    };
    on_every(test, &dirs, body);
}

#[test]
fn of_two_majors_the_newer_is_taken_unless_the_older_is_named() {
    alone(
        "of_two_majors_the_newer_is_taken_unless_the_older_is_named",
        |dir| {
            for (major, version) in [("8", 8601), ("10", 100300)] {
                stub(version, "", &dir.join(format!("libnvinfer.so.{major}")));
                std::fs::copy(
                    dir.join(format!("libnvinfer.so.{major}")),
                    dir.join(format!("libnvonnxparser.so.{major}")),
                )
                .unwrap();
            }
        },
        |dir| {
            let library = Library::open(&SearchPath::only([dir])).unwrap();
            assert_eq!(library.version().major, 10);
            let older = Library::open_file(&dir.join("libnvinfer.so.8")).unwrap_err();
            assert!(matches!(older, LoadError::OnePerProcess { .. }), "{older}");
        },
    );
}

#[test]
fn a_file_that_is_named_is_taken_with_the_parser_of_its_major() {
    alone(
        "a_file_that_is_named_is_taken_with_the_parser_of_its_major",
        |dir| {
            stub(100300, "", &dir.join("libnvinfer.so.10"));
            stub(8601, "", &dir.join("libnvinfer.so.8.6.1"));
            stub(8601, "", &dir.join("libnvonnxparser.so.8"));
        },
        |dir| {
            let library = Library::open_file(&dir.join("libnvinfer.so.8.6.1")).unwrap();
            assert_eq!(library.version().to_string(), "TensorRT 8.6.1");
        },
    );
    let missing = Library::open_file("/nowhere/libnvinfer.so.8".as_ref()).unwrap_err();
    assert!(matches!(missing, LoadError::NotFound { .. }), "{missing}");
}

#[test]
fn a_parser_of_another_major_is_refused() {
    alone(
        "a_parser_of_another_major_is_refused",
        |dir| {
            stub(100300, "", &dir.join("libnvinfer.so.10"));
            stub(8601, "", &dir.join("libnvinfer.so.8"));
            link(&dir.join("libnvonnxparser.so.10"), STUB, "libnvinfer.so.8");
        },
        |dir| {
            let error = Library::open(&SearchPath::only([dir])).unwrap_err();
            let LoadError::Mixed { path, needs, .. } = &error else { panic!("{error}") };
            assert_eq!((path, *needs), (&dir.join("libnvonnxparser.so.10"), "libnvinfer.so.8"));
        },
    );
}

/// Compiles a library that needs another one of its folder.
fn link(library: &Path, source: &str, needs: &str) {
    let file = library.with_extension("c");
    std::fs::write(&file, format!("#define VERSION 0\n{source}")).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,--no-as-needed,-rpath,$ORIGIN", "-o"])
        .args([library, &file, &library.with_file_name(needs)])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_runtime_needs_no_parser_and_builds_nothing() {
    alone(
        "a_runtime_needs_no_parser_and_builds_nothing",
        |dir| stub(101601, "#define LEAN", &dir.join("libnvinfer_lean.so.10")),
        |dir| {
            let search = SearchPath::only([dir]);
            assert!(matches!(Library::open(&search), Err(LoadError::NotFound { .. })));
            let library = Library::open_runtime(&search).unwrap();
            let error = Builder::new(&library).err().unwrap();
            assert!(error.to_string().contains("is a runtime without a builder"), "{error}");
            assert!(error.hint().is_some());
            let error = Library::open_file(library.path()).unwrap_err();
            assert!(matches!(error, LoadError::RuntimeOnly { .. }), "{error}");
            assert!(matches!(Runtime::new(&library), Err(Error::Creation { .. })));
        },
    );
}

#[test]
fn a_library_opened_to_run_engines_can_be_opened_to_build_them_later() {
    alone(
        "a_library_opened_to_run_engines_can_be_opened_to_build_them_later",
        |dir| stub(100300, "", &dir.join("libnvinfer.so.10")),
        |dir| {
            let search = SearchPath::only([dir]);
            Library::open_runtime(&search).unwrap();
            assert!(matches!(Library::open(&search), Err(LoadError::NoParser { .. })));
            std::fs::copy(dir.join("libnvinfer.so.10"), dir.join("libnvonnxparser.so.10")).unwrap();
            let again = Library::open(&search).unwrap();
            assert_eq!(again.version().to_string(), "TensorRT 10.3.0");
        },
    );
}

#[test]
fn a_parser_without_its_function_is_not_what_it_is_named_after() {
    let dir = folder("half-parser");
    stub(100300, "", &dir.join("libnvinfer.so.10"));
    compile("int getNvOnnxParserVersion(void) { return 100; }", &dir.join("libnvonnxparser.so.10"));
    let error = open(&dir);
    assert!(matches!(error, LoadError::NoSymbol { symbol: "createNvOnnxParser_INTERNAL", .. }), "{error}");
}

#[test]
fn plugin_libraries_are_loaded_or_say_what_is_missing() {
    alone(
        "plugin_libraries_are_loaded_or_say_what_is_missing",
        |dir| {
            let registry = "int registered; int getPluginRegistry(void) { return ++registered; }";
            stub(100300, registry, &dir.join("libnvinfer.so.10"));
            std::fs::copy(dir.join("libnvinfer.so.10"), dir.join("libnvonnxparser.so.10")).unwrap();
            stub(8601, "", &dir.join("libnvinfer.so.8"));
            let constructor = "int getPluginRegistry(void); __attribute__((constructor)) void f(void) { getPluginRegistry(); }";
            compile(constructor, &dir.join("good.so"));
            let unknown = "int of_nobody(void); int g(void) { return of_nobody(); }";
            compile(unknown, &dir.join("incomplete.so"));
            link(&dir.join("other.so"), "int h;", "libnvinfer.so.8");
            std::fs::write(dir.join("text.so"), "text").unwrap();
        },
        |dir| {
            let library = Library::open(&SearchPath::only([dir])).unwrap();
            let load = |name: &str| library.load_plugin(&dir.join(name));
            load("good.so").expect("it sees the symbols of TensorRT, though it was linked without");
            let error = load("incomplete.so").unwrap_err();
            assert!(error.to_string().contains("of_nobody"), "{error}");
            assert!(matches!(load("missing.so"), Err(LoadError::Plugin { .. })));
            assert!(matches!(load("text.so"), Err(LoadError::NotALibrary { .. })));
            let error = load("other.so").unwrap_err();
            assert!(matches!(error, LoadError::Mixed { needs: "libnvinfer.so.8", .. }), "{error}");
        },
    );
}

#[test]
fn tensorrts_own_plugins_are_registered_with_our_logger() {
    alone(
        "tensorrts_own_plugins_are_registered_with_our_logger",
        |dir| {
            stub(100300, "", &dir.join("libnvinfer.so.10"));
            std::fs::copy(dir.join("libnvinfer.so.10"), dir.join("libnvonnxparser.so.10")).unwrap();
        },
        |dir| {
            let library = Library::open(&SearchPath::only([dir])).unwrap();
            let error = library.init_plugins().unwrap_err();
            assert!(matches!(&error, LoadError::NoPlugins { tried, .. } if tried.len() == 2), "{error}");
            let file = dir.join("libnvinfer_plugin.so.10");
            // The first slot of this version's logger is `log`; an answer of false is a failure.
            let source = r#"
                typedef void (*log)(void*, int, const char*);
                unsigned char initLibNvInferPlugins(void* logger, const char* name) {
                    (**(log**)logger)(logger, 1, "no plugins today");
                    return name[0] != 0;
                }"#;
            compile(source, &file);
            let error = library.init_plugins().unwrap_err();
            assert!(matches!(&error, LoadError::PluginsRefused { .. }), "{error}");
            assert!(error.to_string().contains("no plugins today"), "{error}");
        },
    );
}
