//! What is said when there is no TensorRT, or something else of its name. Needs none, but a C compiler, as Rust does.

mod canaries;
#[path = "../common/mod.rs"]
mod common;
mod plugins;
mod workshop;

use std::process::Command;

use nvinfer::*;
use workshop::{STUB, alone, compile, folder, has_compiler, link, open, stub};

#[test]
fn a_missing_library_is_reported_with_every_name_tried() {
    let dir = folder("missing");
    let error = open(&dir);
    let text = error.to_string();
    for name in ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libtensorrt_rtx.so.1"] {
        assert_eq!(text.matches(name).count(), 1, "{text}");
    }
    assert!(text.ends_with(&format!(" in {}", dir.display())), "{text}");
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
    if !has_compiler("a_library_whose_own_libraries_are_missing_is_broken_and_names_them") {
        return;
    }
    let dir = folder("dependency");
    compile("int part(void) { return 1; }", &dir.join("libpart.so"));
    let (library, source) = (dir.join("libnvinfer.so.10"), dir.join("whole.c"));
    std::fs::write(&source, "int whole(void) { return 2; }").unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,--no-as-needed", "-o"])
        .args([&library, &source, &dir.join("libpart.so")])
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
    if !has_compiler("another_library_of_the_name_lacks_the_symbols") {
        return;
    }
    let dir = folder("other");
    compile("int nothing;", &dir.join("libnvinfer.so.10"));
    let error = open(&dir);
    assert!(matches!(error, LoadError::NoSymbol { symbol: "getInferLibVersion", .. }), "{error}");
}

#[test]
fn a_version_without_a_table_is_refused() {
    if !has_compiler("a_version_without_a_table_is_refused") {
        return;
    }
    let dir = folder("unknown");
    let source = "int getInferLibVersion(void) { return 90300; } void* createInferBuilder_INTERNAL(void) { return 0; }";
    compile(source, &dir.join("libnvinfer.so.10"));
    let error = open(&dir);
    assert!(matches!(error, LoadError::UnknownVersion { number: 90300, .. }), "{error}");
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

#[test]
fn the_parser_and_plugins_of_another_installation_are_not_taken_for_a_folders_own() {
    alone(
        "the_parser_and_plugins_of_another_installation_are_not_taken_for_a_folders_own",
        |dir| {
            // What is in the process is found by its bare name, as the system's would be.
            let other = dir.join("other");
            std::fs::create_dir(&other).unwrap();
            let names = ["libnvonnxparser.so.10", "libnvinfer_plugin.so.10"];
            for name in names {
                stub(100200, "unsigned char initLibNvInferPlugins(void) { return 1; }", &other.join(name));
            }
            let source = dir.join("infer.c");
            std::fs::write(&source, format!("#define VERSION 100300\n{STUB}")).unwrap();
            let status = Command::new("cc")
                .args(["-shared", "-fPIC", "-Wl,--no-as-needed,-rpath,$ORIGIN/other", "-o"])
                .args([&dir.join("libnvinfer.so.10"), &source])
                .args(names.map(|name| other.join(name)))
                .status()
                .unwrap();
            assert!(status.success());
        },
        |dir| {
            let search = SearchPath::only([dir]);
            let error = Library::open(&search).unwrap_err();
            let LoadError::NoParser { tried, .. } = &error else { panic!("{error}") };
            assert!(tried.iter().all(|attempt| attempt.name.starts_with(dir)), "{error}");
            let library = Library::open_runtime(&search).unwrap();
            let error = library.init_plugins().unwrap_err();
            assert!(matches!(error, LoadError::NoPlugins { .. }), "{error}");
        },
    );
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
    if !has_compiler("a_parser_without_its_function_is_not_what_it_is_named_after") {
        return;
    }
    let dir = folder("half-parser");
    stub(100300, "", &dir.join("libnvinfer.so.10"));
    compile("int getNvOnnxParserVersion(void) { return 100; }", &dir.join("libnvonnxparser.so.10"));
    let error = open(&dir);
    assert!(matches!(error, LoadError::NoSymbol { symbol: "createNvOnnxParser_INTERNAL", .. }), "{error}");
}
