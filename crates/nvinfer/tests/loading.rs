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
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([library, &file]).status().unwrap();
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
        matches!(&error, LoadError::Broken { path, .. } if *path == dir.join("libnvinfer.so.8")),
        "{error}"
    );
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

/// A builder of which every slot returns the builder, but that at `LOGGER`, which returns the logger.
const FAKE: &str = r#"
    static void* logger;
    static void* slots[80];
    static void* object[2] = { slots, object };
    static void* self(void) { return object; }
    static void* get_logger(void) { return logger; }
    int getInferLibVersion(void) { return VERSION; }
    int getNvOnnxParserVersion(void) { return 100; }
    void* createNvOnnxParser_INTERNAL(void) { return 0; }
    void* createInferBuilder_INTERNAL(void* given, int version) {
        for (int i = 0; i < 80; i++) slots[i] = self;
        slots[LOGGER] = get_logger;
        logger = given;
        return version == VERSION ? object : 0;
    }
"#;

#[test]
fn a_library_with_other_slots_than_its_version_has_is_unmasked_by_the_first_call() {
    let versions =
        [("8", 8601, 19), ("10", 100300, 16), ("11", 110000, 13), ("A", 10400, 16), ("B", 10701, 13)];
    let mut dirs = vec![];
    // In the child the folders are there already, and in use.
    if std::env::var_os(CHILD).is_none() {
        for (name, version, logger) in versions {
            for (kind, slot) in [("right", logger), ("wrong", logger + 1)] {
                let dir = folder(&format!("fake-{name}-{kind}"));
                let source = format!("#define VERSION {version}\n#define LOGGER {slot}\n{FAKE}");
                compile(&source, &dir.join("libnvinfer.so.10"));
                std::fs::copy(dir.join("libnvinfer.so.10"), dir.join("libnvonnxparser.so.10")).unwrap();
                dirs.push(dir);
            }
        }
    }
    let test = "a_library_with_other_slots_than_its_version_has_is_unmasked_by_the_first_call";
    on_every(test, &dirs, |dir| {
        let library = Library::open(&SearchPath::only([dir])).unwrap();
        let mismatch = |result: Option<Error>| match result {
            Some(Error::AbiMismatch { method, .. }) => method,
            other => panic!("{other:?}"),
        };
        if dir.to_string_lossy().ends_with("wrong") {
            assert_eq!(mismatch(Builder::new(&library).err()), "VBuilder::getLogger");
            return;
        }
        let builder = Builder::new(&library).expect("the first canary is content");
        assert_eq!(mismatch(builder.create_config().err()), "VBuilderConfig::getMemoryPoolLimit");
        let typing = if library.version().family == Family::V8 { Typing::Weak } else { Typing::Strong };
        assert_eq!(mismatch(builder.create_network(typing).err()), "VNetworkDefinition::getName");
    });
}
