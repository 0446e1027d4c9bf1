//! What `trtexec` does wrong, and what the user is told.

use e2e::eventually;
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// Nothing is left behind, and the agent goes on.
#[track_caller]
fn fails(device: &Device, host: &Host, behaviour: &str, words: &[&str]) {
    host.run(&["push", "here"]).fails(5, words);
    assert_eq!(device.workers(), 0, "{behaviour}");
    assert_eq!(fs::read_dir(device.store("work")).expect("a folder").count(), 0, "{behaviour}");
    assert!(!device.store("models/net/current").exists(), "{behaviour}");
}

#[test]
fn a_build_that_used_other_ranges_than_the_tables_fails_whatever_it_exits_with() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    let device = tensorrt.device();
    let host = host(&device, INT8);
    host.run(&["calibrate", "net"]).ok();
    for (behaviour, words) in [
        // Another calibrator's or version's header, as it sees it: batches of null buffers follow.
        (
            "read_table() { error '[TRT] Calibration table does not match calibrator algorithm type.'; error 'null'; fail; }",
            &["rejected the calibration table"][..],
        ),
        // The same, and the random batch of another trtexec calibrates.
        (
            "read_table() { error '[TRT] Calibration table does not match calibrator algorithm type.'; calibrate; }",
            &["rejected the calibration table"],
        ),
        // The path is lost on the way.
        ("read_table() { calibrate; }", &["calibrated by itself", "Calibrated batch 0"]),
        ("int8=1 calib=/nonexistent/table", &["calibrated by itself", "Calibrated batch 0"]),
        // Ranges of its own, and no word about them.
        ("calib=", &["ranges are made up", "Calibration: Dynamic"]),
        ("options() { :; }\nread_table() { :; }", &["never asked for the calibration table"]),
        (
            "read_table() { say I 'Reading Calibration Cache for calibrator: EntropyCalibration2'; }",
            &["does not say that the calibration table was used"],
        ),
        // Words of the user's own are no proof.
        (
            "read_table() { line='Reading Calibration Cache for calibrator: Generated calibration scales using \
             calibration cache'; banner RUNNING; }",
            &["never asked for the calibration table"],
        ),
        (
            "read_table() { error 'Cuda failure: null device buffer for binding images'; fail; }",
            &["null device buffer"],
        ),
    ] {
        tensorrt.behaves(behaviour);
        fails(&device, &host, behaviour, words);
    }
    let log = fs::read_to_string(device.store("models/net/last-failure.log")).expect("its words are kept");
    says(&log, &["--int8", "null device buffer", "&&&& FAILED"]);
    tensorrt.behaves("");
    host.run(&["push", "here"]).ok();
}

#[test]
fn an_end_without_an_engine_is_a_failure_whatever_it_exits_with() {
    let Some(tensorrt) = TensorRt::new(100_300, 10) else { return };
    let device = tensorrt.device();
    let host = host(&device, FP16);
    for (behaviour, words) in [
        ("save() { :; }", &["says that it passed, and there is no engine"][..]),
        ("save() { : >\"$engine\"; }", &["says that it passed, and there is no engine"]),
        ("save() { plan | head -c 20 >\"$engine\"; }", &["no whole engine: it has only 20 bytes"]),
        (
            "built() { say I 'Created engine with size: 3.25 MiB'; }",
            &["no whole engine", "the log tells of 3407872"],
        ),
        ("plan() { cat \"$onnx\"; }", &["does not begin as engines do"]),
        (
            "plan() { printf 'Segmentation fault (core dumped), see the log'; }",
            &["does not begin as engines do"],
        ),
        (
            "save() { version=100200; plan >\"$engine\"; version=100300; }",
            &["its header says TensorRT 10.2.0"],
        ),
        ("pass() { banner FAILED; exit 0; }", &["`trtexec` built no engine"]),
        ("pass() { banner PASSED; banner FAILED; exit 0; }", &["`trtexec` built no engine"]),
        ("pass() { exit 0; }", &["without saying that it passed", "exit code 0"]),
        ("pass() { exit 1; }", &["without saying that it passed", "exit code 1"]),
        (
            "pass() { error 'Error[2]: no tactic'; banner FAILED; exit 1; }",
            &["built no engine: Error[2]: no tactic"],
        ),
        ("act() { parse; kill -9 $$; }", &["`trtexec` was killed (SIGKILL)", "memory"]),
        (
            "act() { parse; error 'stack smashed'; kill -11 $$; }",
            &["crashed with signal 11", "stack smashed"],
        ),
        (
            "act() { error '[TRT] 1: Cuda Runtime (out of memory)'; fail; }",
            &["memory ran out: [TRT] 1: Cuda Runtime (out of memory)", "`workspace`"],
        ),
        ("act() { error 'Unknown option: --skipInference '; fail; }", &["Unknown option: --skipInference"]),
        (
            "act() { { say E '[TRT] ModelImporter.cpp:949: While parsing node number 7 [Gelu -> \"out\"]:'\n\
             say E '[TRT] ModelImporter.cpp:950: --- Begin node ---'\necho 'name: \"head/act\"'\n\
             echo 'op_type: \"Gelu\"'\nsay E '[TRT] ModelImporter.cpp:951: --- End node ---'\n\
             say E '[TRT] ModelImporter.cpp:954: ERROR: importers.cpp:5412 In function importFallbackPluginImporter:'\n\
             echo '[8] No importer registered for op: Gelu'; } >&2; error 'Failed to parse onnx file'; fail; }",
            &[
                "parser refuses the model: node 7 `head/act` (Gelu): No importer",
                "does not know `Gelu`",
                "`plugins`",
            ],
        ),
        // Garbage, in lines that no memory holds.
        (
            "act() { head -c 30000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/urandom >&2; exit 0; }",
            &["without saying that it passed"],
        ),
        ("exit 3", &["without saying that it passed", "exit code 3"]),
    ] {
        // Only the build misbehaves.
        tensorrt.behaves(&format!("case $line in *--help*) ;; *) {behaviour}\n;; esac\n"));
        fails(&device, &host, behaviour, words);
    }
}

#[test]
fn what_is_proven_counts_even_if_its_end_was_odd() {
    let Some(tensorrt) = TensorRt::new(100_300, 10) else { return };
    let device = tensorrt.device();
    let host = host(&device, FP16);
    // All its words on the stream for errors, a line that no screen holds among them.
    tensorrt.behaves(
        "act() { { parse; head -c 3000000 /dev/zero | tr '\\0' x; echo; save; banner PASSED; } >&2; kill -11 $$; }\n",
    );
    let run = host.run(&["push", "here"]).ok();
    says(&run.stdout, &["the engine is kept, because `trtexec` says that it passed", "signal 11"]);
    says(&log(&device), &["&&&& PASSED"]);
}

#[test]
fn a_timing_cache_that_it_refuses_costs_time_and_no_engine() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    let device = tensorrt.device();
    let host = host(&device, INT8);
    tensorrt.behaves("save() { plan >\"$engine\"; echo measured >\"$cache\"; }\n");
    host.run(&["push", "here"]).ok();
    tensorrt
        .behaves("parse() { if [ -e \"$cache\" ]; then error 'TimingCache creation failed'; fail; fi; }\n");
    // Another engine of the same model: a rebuild would start without a cache.
    host.fleet(&format!("{INT8}    workspace: 64MiB\n"), &device);
    let run = host.run(&["push", "here"]).ok();
    says(&run.stdout, &["every layer is measured afresh", "TimingCache creation failed"]);
}

#[test]
fn one_that_hangs_is_killed_with_the_worker() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    let device = tensorrt.device();
    let host = host(&device, FP16);
    tensorrt.behaves("act() { echo $$ >\"$here/pid\"; exec sleep 600; }\n");
    let trtexec = || tensorrt.read("bin/pid").trim().parse::<i32>().ok().and_then(Pid::from_raw);
    let runs = |pid: Pid| {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    // By the user.
    let push = host.start(&["push", "here", "--no-progress"]);
    eventually("it begins", || trtexec().is_some());
    let pid = trtexec().expect("a process");
    assert!(runs(pid));
    kill_process(Pid::from_child(&push), Signal::INT).expect("the push runs");
    assert_eq!(push.wait_with_output().expect("it ends").status.code(), Some(130));
    eventually("it ends with the worker", || !runs(pid));

    // With the agent, as in a power cut: the worker sees its stdin close.
    fs::remove_file(tensorrt.path("bin/pid")).expect("it was there");
    let mut device = device;
    let mut push = host.start(&["push", "here", "--no-progress"]);
    eventually("it begins again", || trtexec().is_some());
    let pid = trtexec().expect("a process");
    device.kill();
    eventually("it ends with the agent", || !runs(pid));
    push.wait().expect("it ends");
}
