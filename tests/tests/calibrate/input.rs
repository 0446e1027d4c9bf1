//! Odd models, odd samples and missing libraries: what a user is told.

mod files;

use std::process::Command;

use e2e::{Host, Run};
use files::{Elem, Graph, npy, white};

/// A folder with a model `net.onnx` and three photographs, the first of them white.
fn host(graph: Graph) -> Host {
    let host = Host::new();
    host.write("net.onnx", graph.bytes());
    e2e::models::photographs(&host.path("photos"), 2);
    white(&host.path("photos/a-white.png"));
    host
}

/// Calibrates with the embedded backend.
fn calibrate(host: &Host, more: &[&str]) -> Run {
    let photos = ["calibrate", "--onnx", "net.onnx", "--images", "photos", "--preprocess", "plain"];
    let backend: &[&str] = if more.contains(&"--backend") { &[] } else { &["--backend", "rten"] };
    host.run(&[&photos[..], backend, more].concat())
}

fn image_model() -> Graph {
    Graph::new().input("images", Elem::Float, &[1, 3, 8, 8])
}

#[test]
fn samples_that_give_nan_are_left_out_if_asked_for_and_named() {
    // (1 - x) / (1 - x) is 0 / 0 where x is 1.
    let graph = image_model().floats("one", &[1.0]).node("Sub", &["one", "images"], "rest").node(
        "Div",
        &["rest", "rest"],
        "bad",
    );
    let host = host(graph);
    calibrate(&host, &[])
        .fails(3, &["activation `bad`", "192 value(s) that are not a number", "a-white.png"]);
    let told = calibrate(&host, &["--on-nan", "skip-image"]).ok().stderr;
    assert!(told.contains("1 sample(s) were left out"), "{told}");
    assert!(told.contains("`a-white.png`: activation `bad`"), "{told}");
}

#[test]
fn weights_that_are_no_numbers_are_named_with_their_reader() {
    let table = image_model().floats("factors", &[1.0, f32::NAN]).ints("first", &[0]).node(
        "Gather",
        &["factors", "first"],
        "factor",
    );
    let harmless = host(table.node("Mul", &["images", "factor"], "scaled"));
    let words = ["weight `factors`", "1 of 2 values are NaN"];
    let told = calibrate(&harmless, &["--dry-run"]).ok().stdout;
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    let told = calibrate(&harmless, &[]).ok().stderr;
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    let harmful =
        host(image_model().floats("factors", &[f32::NAN]).node("Mul", &["images", "factors"], "bad"));
    calibrate(&harmful, &[]).fails(3, &["activation `bad`", "weight `factors`, read by `bad_node`"]);
}

#[test]
fn infinities_dead_tensors_and_samples_that_are_few_or_alike_are_warned_of() {
    let graph = image_model()
        .floats("zero", &[0.0])
        .floats("one", &[1.0])
        .node("Mul", &["images", "zero"], "dead")
        .node("Add", &["dead", "one"], "ones")
        .node("Div", &["ones", "zero"], "mask");
    let host = host(graph);
    let told = calibrate(&host, &[]).ok();
    for words in [
        "1 activation(s) held infinities and have no scale",
        "512 samples asked for, there are 3",
        "1 tensor(s) were 0 throughout, and have no scale",
        "`ones`: it was 1 throughout",
        "of 3 layers may run in INT8",
    ] {
        assert!(told.stderr.contains(words), "{words}:\n{}", told.stderr);
    }
    let coverage = host.run(&["table", "coverage", "net.cache", "--onnx", "net.onnx", "--json"]).ok().json();
    assert_eq!(coverage["health"]["dead"][0], "dead");
    assert_eq!(coverage["health"]["suspicious"]["ones"], "it was 1 throughout");
    let printed = host.run(&["table", "coverage", "net.cache", "--onnx", "net.onnx"]).ok().stdout;
    assert!(printed.contains("1 tensors were 0 throughout\n  `dead`\n"), "{printed}");

    let told = calibrate(&host, &["--count", "1", "--force"]).ok().stderr;
    assert!(told.contains("a single sample was used"), "{told}");
    for (at, photo) in ["photos/photo000.jpg", "photos/photo001.jpg"].into_iter().enumerate() {
        std::fs::remove_file(host.path(photo)).unwrap();
        white(&host.path(&format!("photos/white{at}.png")));
    }
    let told = calibrate(&host, &[]).ok().stderr;
    assert!(told.contains("input `images` had the same values in every sample"), "{told}");
}

#[test]
fn values_in_bodies_are_named_and_what_lies_outside_is_calibrated() {
    let branch = |op: &str, output: &str| Graph::new().node(op, &["root"], output);
    let graph = image_model().bools("yes", &[true]).node("Relu", &["images"], "root").branches(
        "yes",
        branch("Neg", "negated"),
        branch("Exp", "raised"),
        "either",
    );
    let host = host(graph);
    let told = calibrate(&host, &["-v"]).ok().stderr;
    assert!(told.contains("2 node(s) in the bodies of If, Loop or Scan were not calibrated"), "{told}");
    assert!(told.contains("negated, raised"), "{told}");
    let coverage = host.run(&["table", "coverage", "net.cache", "--onnx", "net.onnx", "-v"]).ok().stdout;
    assert!(coverage.contains("`negated` needs none: it lies in the body of"), "{coverage}");
    assert!(coverage.contains("3 of 3 activations"), "{coverage}");
}

#[test]
fn what_lies_before_an_unknown_operator_is_calibrated_and_the_rest_is_listed() {
    let graph = image_model()
        .node("Relu", &["images"], "root")
        .custom("acme", "Frobnicate", &["root"], "odd")
        .node("Relu", &["odd"], "after");
    let host = host(graph);
    let told = calibrate(&host, &[]).ok().stderr;
    assert!(
        told.contains("only a part of the model can be run here") && told.contains("Frobnicate"),
        "{told}"
    );
    for lost in ["`odd`", "`after`"] {
        assert!(told.contains(lost), "{told}");
    }
    let table = std::fs::read_to_string(host.path("net.cache")).unwrap();
    assert!(table.contains("\nroot: ") && !table.contains("odd"), "{table}");
}

#[test]
fn models_with_nothing_to_calibrate_and_inputs_of_strings_are_refused() {
    let whole = Graph::new().input("ids", Elem::Int64, &[1, 4]).node("Add", &["ids", "ids"], "twice");
    let strings = Graph::new().input("words", Elem::String, &[1, 4]).node("Identity", &["words"], "same");
    let array = ["calibrate", "--onnx", "net.onnx", "--array", "ids.npy", "--backend", "rten"];
    let host = host(whole);
    host.write("ids.npy", npy("<i8", &[1, 4], &[1_i64, 2, 3, 4].map(i64::to_le_bytes).concat()));
    host.run(&array).fails(3, &["the model has no float activation"]);
    host.write("net.onnx", strings.bytes());
    host.run(&array).fails(3, &["input `words` takes strings"]);
}

#[test]
fn models_above_the_limit_of_protobuf_are_refused_and_larger_ones_have_external_data() {
    let host = host(image_model().node("Relu", &["images"], "root"));
    let huge = std::fs::File::create(host.path("huge.onnx")).unwrap();
    huge.set_len(1 << 31).unwrap();
    host.run(&["calibrate", "--onnx", "huge.onnx", "--images", "photos", "--preprocess", "plain"])
        .fails(3, &["huge.onnx", "2147483648"]);

    // Bytes that only one row is taken of; the file has holes in place of them.
    let graph = image_model()
        .external("weights", "weights.bin", Elem::Uint8, &[(1 << 31) / 192 + 1, 192])
        .ints("first", &[0])
        .node("Gather", &["weights", "first"], "row")
        .node("Relu", &["images"], "root");
    host.write("net.onnx", graph.bytes());
    calibrate(&host, &[]).fails(3, &["weights.bin"]);
    let file = std::fs::File::create(host.path("weights.bin")).unwrap();
    file.set_len(((1 << 31) / 192 + 1) * 192).unwrap();
    calibrate(&host, &[]).ok();
    assert!(std::fs::read_to_string(host.path("net.cache")).unwrap().contains("\nroot: "));
}

#[test]
fn runtimes_that_are_missing_too_old_or_no_runtime_are_told_apart() {
    let host = host(image_model().node("Relu", &["images"], "root"));
    let with = |library: &str, backend: &str| {
        let library = host.path(library);
        let mut command = host.command(&[
            "calibrate",
            "--onnx",
            "net.onnx",
            "--images",
            "photos",
            "--preprocess",
            "plain",
            "--backend",
            backend,
            "--onnxruntime",
            library.to_str().unwrap(),
        ]);
        command.env_remove("ORT_DYLIB_PATH");
        e2e::run(command)
    };
    with("absent.so", "onnxruntime").fails(3, &["absent.so"]);
    let source = "struct api { void *(*get)(unsigned); const char *(*version)(void); };\n\
                  static void *get(unsigned n) { (void)n; return 0; }\n\
                  static const char *version(void) { return \"1.10.0\"; }\n\
                  struct api *OrtGetApiBase(void) { static struct api a = {get, version}; return &a; }\n";
    for (name, text) in [("old.so", source), ("other.so", "int nothing(void) { return 0; }\n")] {
        let code = host.write(&format!("{name}.c"), text);
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(host.path(name)).arg(code).status();
        assert!(compiled.unwrap().success());
    }
    with("old.so", "onnxruntime").fails(3, &["too old: 1.10.0"]);
    with("old.so", "cuda").fails(3, &["too old: 1.10.0"]);
    with("other.so", "onnxruntime").fails(3, &["not ONNX Runtime", "OrtGetApiBase"]);
    // What was not asked for by name is passed over, and that is said.
    let told = with("old.so", "auto").ok().stderr;
    assert!(told.contains("rten, since ") && told.contains("too old: 1.10.0"), "{told}");
}

#[test]
fn cuda_without_a_gpu_says_what_is_missing() {
    let Some(python) = test_support::python() else { return };
    let find = "import onnxruntime, glob, os; d = os.path.dirname(onnxruntime.__file__); \
                print(glob.glob(d + '/capi/libonnxruntime.so*')[0])";
    let output = Command::new(python).args(["-c", find]).output().unwrap();
    let library = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if std::path::Path::new("/dev/nvidiactl").exists() {
        test_support::skip("there is a GPU");
        return;
    }
    let host = host(image_model().node("Relu", &["images"], "root"));
    calibrate(&host, &["--backend", "cuda", "--onnxruntime", &library]).fails(3, &["CUDA"]);
    calibrate(&host, &["--backend", "onnxruntime", "--onnxruntime", &library]).ok();
}

#[test]
fn several_inputs_take_arrays_from_the_command_line_the_fleet_file_and_archives() {
    let graph = Graph::new().input("a", Elem::Float, &[1, 4]).input("b", Elem::Float, &[1, 4]).node(
        "Add",
        &["a", "b"],
        "sum",
    );
    let host = host(graph);
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    for (at, values) in [[0.5, 1.0, -3.0, 2.0], [1.5, 0.0, 1.0, 4.0]].into_iter().enumerate() {
        host.write(&format!("as/s{at}.npy"), npy("<f4", &[1, 4], &floats(&values)));
        host.write(&format!("bs/t{at}.npy"), npy("<f4", &[1, 4], &floats(&values.map(|value| 2.0 * value))));
    }
    let arrays = ["calibrate", "--onnx", "net.onnx", "--backend", "rten", "--algorithm", "minmax"];
    let both = ["--array", "a=as", "--array", "b=bs"];
    host.run(&[&arrays[..], &both[..2]].concat()).fails(3, &["no samples are given for input: b"]);
    host.run(&[&arrays[..], &both].concat()).fails(3, &["has no partner of the same name", "input `a`"]);
    host.run(&[&arrays[..], &both, &["--pairing", "order"]].concat()).ok();
    let table = std::fs::read(host.path("net.cache")).unwrap();
    // 4 + 8 is the greatest sum.
    assert!(String::from_utf8_lossy(&table).contains(&format!("sum: {:x}", (12.0_f32 / 127.0).to_bits())));

    let fleet = "models:\n  net:\n    onnx: net.onnx\n    precision: int8\n    calibration:\n      \
                 inputs: {a: {arrays: as}, b: {arrays: bs}}\n      pairing: order\n      \
                 algorithm: minmax\n      backend: rten\n";
    host.write("trt-deploy.yaml", fleet);
    host.run(&["calibrate"]).ok();
    assert_eq!(std::fs::read(host.path("calibration/net.cache")).unwrap(), table);

    let Some(python) = test_support::python() else { return };
    let pack = "import numpy\nfor n in range(2):\n  a = numpy.load(f'as/s{n}.npy')\n  \
                numpy.savez(f's{n}.npz', a=a, b=2 * a)\n";
    assert!(Command::new(python).args(["-c", pack]).current_dir(host.path("")).status().unwrap().success());
    host.run(&[&arrays[..], &["--array", "*.npz", "--force"]].concat()).ok();
    assert_eq!(std::fs::read(host.path("net.cache")).unwrap(), table);
}

#[test]
fn the_entropy_search_of_the_command_line_is_that_of_the_fleet_file() {
    let host = host(image_model().node("Relu", &["images"], "root"));
    calibrate(&host, &["--entropy", "stride=16,levels=128"]).ok();
    let one = std::fs::read(host.path("net.cache")).unwrap();
    let derive = ["table", "derive", "net.cache.histograms", "--propagate", "none", "-o", "other.cache"];
    host.run(&[&derive[..], &["--entropy", "stride=16,levels=128"]].concat()).ok();
    assert_eq!(std::fs::read(host.path("other.cache")).unwrap(), one);
    assert!(calibrate(&host, &["--entropy", "ncnn"]).ok().stderr.contains("the algorithm's `"));
    assert_eq!(calibrate(&host, &["--entropy", "levls=3"]).code, 2);
}
