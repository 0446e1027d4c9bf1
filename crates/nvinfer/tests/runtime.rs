//! The runtimes of real libraries: NVIDIA's lean and dispatch runtimes of TensorRT 10 and 11, and TensorRT-RTX.
//!
//! Without a GPU they must say why they do nothing; with one they answer, and refuse what is no engine of theirs.

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::on_every;
use nvinfer::*;

/// Folders with one runtime each.
fn folders() -> Vec<PathBuf> {
    let runtimes = test_support::runtimes();
    let folders = runtimes.iter().filter_map(|file| file.parent()).map(Path::to_owned);
    test_support::rtx().into_iter().chain(folders).collect()
}

#[test]
fn a_runtime_answers_or_says_why_not_and_refuses_what_is_no_engine() {
    let test = "a_runtime_answers_or_says_why_not_and_refuses_what_is_no_engine";
    on_every(test, &folders(), |dir| {
        let library = Library::open_runtime(&SearchPath::only([dir])).unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        library.set_logger({
            let log = log.clone();
            move |_, text| log.lock().unwrap().push_str(text)
        });
        let runtime = match Runtime::new(&library) {
            Ok(runtime) => runtime,
            Err(error @ Error::Creation { .. }) => {
                eprintln!("{library:?}: {error}");
                assert!(!log.lock().unwrap().is_empty(), "the log says why");
                let Error::Creation { recorded, .. } = &error else { unreachable!() };
                assert!(!recorded.is_empty(), "and so does the error: {error}");
                return;
            }
            Err(error) => panic!("{library:?}: {error}"),
        };
        eprintln!("{library:?}: {} DLA cores", runtime.dla_cores().unwrap());
        for plan in [&b""[..], b"not an engine", &[0; 4096]] {
            let error = runtime.deserialize(plan).unwrap_err();
            eprintln!("{error}");
            let Error::Deserialize { bytes, recorded, .. } = &error else { panic!("{error}") };
            assert_eq!(*bytes, plan.len());
            assert!(!recorded.is_empty(), "{error}");
        }
    });
}
