//! TensorRT's plugin library, and those of users.

use crate::workshop::{alone, compile, link, stub};
use nvinfer::*;

#[test]
fn plugin_libraries_are_loaded_or_say_what_is_missing() {
    alone(
        "plugins::plugin_libraries_are_loaded_or_say_what_is_missing",
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
        "plugins::tensorrts_own_plugins_are_registered_with_our_logger",
        |dir| {
            stub(100300, "", &dir.join("libnvinfer.so.10"));
            std::fs::copy(dir.join("libnvinfer.so.10"), dir.join("libnvonnxparser.so.10")).unwrap();
        },
        |dir| {
            let library = Library::open(&SearchPath::only([dir])).unwrap();
            let error = library.init_plugins().unwrap_err();
            assert!(matches!(&error, LoadError::NoPlugins { tried, .. } if tried.len() == 1), "{error}");
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
