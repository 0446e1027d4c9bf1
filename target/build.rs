//! Refuses to build into `target/`, which is this project's device source code.
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&manifest).parent().expect("the crate lies in the workspace");
    if Path::new(&out).starts_with(root.join("target")) {
        println!(
            "cargo::error=`target/` is source code here, not cargo's output. Run cargo from the workspace root, \
             where .cargo/config.toml sends the output to `build/`, or set CARGO_TARGET_DIR=build"
        );
    }
}
