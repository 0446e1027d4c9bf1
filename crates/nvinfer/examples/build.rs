//! Builds an engine from an ONNX file with the TensorRT of a folder, and says what happens.
//!
//! `cargo run -p nvinfer --example build -- LIBRARIES MODEL.onnx ENGINE [BATCH]`

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use nvinfer::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(model), Some(engine)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: build LIBRARIES MODEL.onnx ENGINE [BATCH]".into());
    };
    let batch: i64 = arguments.next().map_or(Ok(1), |batch| batch.to_string_lossy().parse())?;

    let start = Instant::now();
    let library = Library::open(&SearchPath::only([folder]))?;
    library.set_logger(|severity, text| {
        if severity <= Severity::Warning {
            eprintln!("{severity:?}: {text}");
        }
    });
    eprintln!("{} in {:.0?}: {}", library.version(), start.elapsed(), library.path().display());

    let start = Instant::now();
    let builder = Builder::new(&library)?;
    let mut network = builder.create_network(Typing::Strong)?;
    let mut config = builder.create_config()?;
    eprintln!("builder, network and configuration, checked, in {:.1?}", start.elapsed());
    let start = Instant::now();
    network.parse_file(&model)?;
    eprintln!("{} layers in {:.1?}", network.layer_count()?, start.elapsed());

    let mut profile = builder.create_profile()?;
    for input in network.inputs()? {
        eprintln!("{input:?}");
        if input.shape.contains(&-1) {
            let at =
                |size| input.shape.iter().map(|&extent| if extent < 0 { size } else { extent }).collect();
            profile.set(&input.name, &ShapeRange { min: at(1), opt: at(batch), max: at(batch) })?;
        }
    }
    if network.inputs()?.iter().any(|input| input.shape.contains(&-1)) {
        config.add_profile(&profile)?;
    }
    if !compute_capabilities(library.version()).is_empty() {
        config.set_compute_capabilities(&[86])?;
    }
    config.set_profiling_verbosity(ProfilingVerbosity::Detailed)?;
    config.set_progress(|event| {
        if let ProgressEvent::Started { phase, .. } = event {
            eprintln!("{phase}");
        }
        ControlFlow::Continue(())
    })?;
    let start = Instant::now();
    let bytes = builder.build(&network, &config)?;
    eprintln!("{} bytes in {:.2?}", bytes.len(), start.elapsed());
    std::fs::write(engine, &*bytes)?;
    Ok(())
}
