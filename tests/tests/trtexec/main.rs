//! Builds by `trtexec`, whatever it does: the worker is the real one, the library says its version and nothing else, and
//! `trtexec` is a script that misbehaves in every way that is known of the real one.

mod misbehaviour;
mod versions;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use e2e::{Device, Host, Options, models, program};
use tempfile::TempDir;

const FP16: &str =
    "  net:\n    onnx: net.onnx\n    precision: fp16\n    backend: trtexec\n    verify: {required: false}\n";
const INT8: &str = "  net:\n    onnx: net.onnx\n    precision: int8\n    backend: trtexec\n    verify: {required: false}\n    \
                    calibration: {images: photos, preprocess: plain}\n";

/// A TensorRT as `trtexec` needs it: `lib` with libraries, `bin` beside it with the program.
struct TensorRt {
    dir: TempDir,
}

impl TensorRt {
    /// A library that says this number, under the file name of this major, and a `trtexec` of that number.
    ///
    /// `None`, with a message, on machines without a C compiler.
    fn new(number: u32, major: u32) -> Option<Self> {
        let tensorrt = Self::without_library(number);
        let library = tensorrt.path(&format!("lib/libnvinfer.so.{major}"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trtexec/stub.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", &format!("-DVERSION={number}"), source, "-o"]).arg(&library);
        match compiler.status() {
            Ok(status) => assert!(status.success(), "the stub compiles"),
            Err(error) => {
                e2e::skip(&format!("no C compiler: {error}"));
                return None;
            }
        }
        fs::copy(&library, tensorrt.path(&format!("lib/libnvonnxparser.so.{major}"))).expect("a copy");
        Some(tensorrt)
    }

    /// A `trtexec` whose library has a name that nobody knows yet.
    fn without_library(number: u32) -> Self {
        let dir = tempfile::Builder::new().prefix("trt-exec-").tempdir().expect("a folder");
        for name in ["lib", "bin"] {
            fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        let tensorrt = Self { dir };
        tensorrt.write("bin/version", &number.to_string());
        tensorrt.write("bin/trtexec", include_str!("trtexec.sh"));
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(tensorrt.path("bin/trtexec"), executable).expect("permissions");
        tensorrt
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Shell that redefines what the script does.
    fn behaves(&self, behaviour: &str) {
        self.write("bin/behaviour", behaviour);
    }

    /// A device with this TensorRT. Its GPU is SIMULATED; everything else of the probe and the build is real.
    fn device(&self) -> Device {
        let agent = program("trt-agent").display().to_string();
        let gpu = r#""gpu":{"Ok":{"name":"SIMULATED Orin","compute_capability":[8,7],"source":"driver"}}"#;
        let worker = format!(
            "read -r job\nall() {{ printf '%s\\n' \"$job\"; cat; }}\ncase $job in\n*'\"job\":\"probe\"'*) all | {agent} \
             worker | sed -u 's/\"gpu\":{{\"Err\":\"[^\"]*\"}}/{gpu}/' ;;\n*) all | {agent} worker ;;\nesac\n"
        );
        Device::with(&Options {
            worker: ["sh", "-c", &worker].map(str::to_owned).to_vec(),
            config: format!("tensorrt-dir: {}\n", self.path("lib").display()),
            without_tensorrt: true,
            ..Options::default()
        })
    }
}

/// A host with a fleet file of this model for the device.
fn host(device: &Device, model: &str) -> Host {
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 2));
    models::photographs(&host.path("photos"), 4);
    host.fleet(model, device);
    host
}

/// The engine's log on the device.
fn log(device: &Device) -> String {
    fs::read_to_string(device.engine("net").with_file_name("log")).expect("a log")
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}
