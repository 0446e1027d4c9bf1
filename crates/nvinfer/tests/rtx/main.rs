//! Engines built by real TensorRT-RTX libraries, on a machine that need not have a GPU.

#[path = "../common/mod.rs"]
mod common;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use common::on_every;
use nvinfer::*;
use test_support::onnx::{Weights, conv, weights};
use test_support::rtx as releases;

/// Runs `body` in a child process for every release; `test` is the name of the calling test.
#[track_caller]
fn on_every_release(test: &str, body: fn(&Library)) {
    on_every(test, &releases(), |dir| body(&Library::open(&SearchPath::only([dir])).unwrap()));
}

/// The architecture to build for; every release offers it.
const SM: i32 = 86;

fn range(min: i64, opt: i64, max: i64) -> ShapeRange {
    let shape = |batch| vec![batch, 3, 8, 8];
    ShapeRange { min: shape(min), opt: shape(opt), max: shape(max) }
}

/// A parsed network and a configuration that it can be built with.
fn prepare(builder: &Builder) -> (Network, BuilderConfig) {
    let mut network = builder.create_network(Typing::Strong).unwrap();
    network.parse(&conv("Relu", Weights::Inside), None).unwrap();
    let mut config = builder.create_config().unwrap();
    config.set_compute_capabilities(&[SM]).unwrap();
    let mut profile = builder.create_profile().unwrap();
    profile.set("images", &range(1, 2, 4)).unwrap();
    assert_eq!(config.add_profile(&profile).unwrap(), 0);
    (network, config)
}

#[test]
fn an_fp32_engine_with_a_dynamic_batch_is_built() {
    on_every_release("an_fp32_engine_with_a_dynamic_batch_is_built", |library| {
        let heard: Arc<Mutex<Vec<Severity>>> = Arc::default();
        library.set_logger({
            let heard = heard.clone();
            move |severity, text| {
                assert!(!text.is_empty());
                heard.lock().unwrap().push(severity);
            }
        });
        let phases: Arc<Mutex<Vec<String>>> = Arc::default();
        let builder = Builder::new(library).unwrap();
        let (network, mut config) = prepare(&builder);
        let tensor = |name: &str, shape: [i64; 4]| TensorInfo {
            name: name.into(),
            data_type: DataType::Float,
            shape: shape.to_vec(),
        };
        assert_eq!(network.inputs().unwrap(), [tensor("images", [-1, 3, 8, 8])]);
        assert_eq!(network.outputs().unwrap(), [tensor("scores", [-1, 4, 6, 6])]);
        assert_eq!(network.layer_names().unwrap(), ["stem", "last"]);
        assert_eq!(network.layer_count().unwrap(), 2);

        config.set_workspace_limit(32 << 20).unwrap();
        assert_eq!(config.workspace_limit().unwrap(), 32 << 20);
        config.set_profiling_verbosity(ProfilingVerbosity::Detailed).unwrap();
        config.set_flag(BuilderFlag::Tf32, false).unwrap();
        assert!(!config.flag(BuilderFlag::Tf32).unwrap());
        config
            .set_progress({
                let phases = phases.clone();
                move |event| {
                    if let ProgressEvent::Started { phase, parent, .. } = event {
                        phases.lock().unwrap().push(format!("{}/{phase}", parent.unwrap_or("")));
                    }
                    ControlFlow::Continue(())
                }
            })
            .unwrap();

        let engine = builder.build(&network, &config).unwrap();
        assert!(engine.len() > 10_000, "{engine:?}");
        assert!(engine.windows(4).any(|bytes| bytes == b"stem"), "a detailed engine names its layers");
        let phases = phases.lock().unwrap();
        assert!(
            phases[0].starts_with('/') && phases.iter().any(|phase| !phase.starts_with('/')),
            "{phases:?}"
        );
        assert!(heard.lock().unwrap().contains(&Severity::Info));
    });
}

#[test]
fn an_unknown_operator_is_named_with_its_node() {
    on_every_release("an_unknown_operator_is_named_with_its_node", |library| {
        let builder = Builder::new(library).unwrap();
        let mut network = builder.create_network(Typing::Strong).unwrap();
        let error = network.parse(&conv("Frobnicate", Weights::Inside), None).unwrap_err();
        assert!(error.to_string().contains("node 1 `last` (Frobnicate): "), "{error}");
        let Error::Parse { errors } = error else { panic!("{error}") };
        let named = errors.iter().find(|error| error.node == Some(1)).unwrap();
        assert_eq!(
            (named.node_name.as_deref(), named.operator.as_deref()),
            (Some("last"), Some("Frobnicate"))
        );
        assert!(named.line > 0 && !named.file.is_empty() && !named.function.is_empty(), "{named:?}");
    });
}

#[test]
fn bytes_that_are_no_model_give_a_parser_error() {
    on_every_release("bytes_that_are_no_model_give_a_parser_error", |library| {
        let builder = Builder::new(library).unwrap();
        let model = conv("Relu", Weights::Inside);
        let network = || builder.create_network(Typing::Strong).unwrap();
        for bytes in [b"not an onnx file", &model[..model.len() / 2]] {
            let error = network().parse(bytes, None).unwrap_err();
            assert!(matches!(&error, Error::Parse { errors } if !errors.is_empty()), "{error:?}");
        }
        assert!(matches!(network().parse(&[], None), Err(Error::EmptyModel)));
        let error = network().parse_file("/nowhere/model.onnx".as_ref()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/model.onnx"), "{error}");
    });
}

#[test]
fn external_data_is_found_beside_the_model_and_missed_by_name() {
    on_every_release("external_data_is_found_beside_the_model_and_missed_by_name", |library| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("external-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, model) = (dir.join("model.onnx"), conv("Relu", Weights::External("tiny.weights")));
        std::fs::write(&path, &model).unwrap();
        let builder = Builder::new(library).unwrap();
        let network = || builder.create_network(Typing::Strong).unwrap();

        let log: Arc<Mutex<String>> = Arc::default();
        library.set_logger({
            let log = log.clone();
            move |_, text| log.lock().unwrap().push_str(text)
        });
        let error = network().parse(&model, Some(&path)).unwrap_err();
        assert!(error.to_string().contains("stem.weight"), "{error}");
        assert!(log.lock().unwrap().contains("tiny.weights"), "the file is named in the log only");
        std::fs::write(dir.join("tiny.weights"), weights()).unwrap();
        network().parse(&model, Some(&path)).unwrap();
        network().parse_file(&path).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    });
}

#[test]
fn a_build_stops_when_the_progress_callback_asks_for_it() {
    on_every_release("a_build_stops_when_the_progress_callback_asks_for_it", |library| {
        let builder = Builder::new(library).unwrap();
        let (network, mut config) = prepare(&builder);
        config
            .set_progress(|event| match event {
                ProgressEvent::Step { .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .unwrap();
        assert!(matches!(builder.build(&network, &config), Err(Error::Cancelled)));
        config.set_progress(|_| ControlFlow::Continue(())).unwrap();
        builder.build(&network, &config).expect("the same builder, network and configuration go on");
    });
}

#[test]
fn a_failed_build_is_explained_in_tensorrts_words() {
    on_every_release("a_failed_build_is_explained_in_tensorrts_words", |library| {
        let builder = Builder::new(library).unwrap();
        let (network, _) = prepare(&builder);
        let mut config = builder.create_config().unwrap();
        config.set_compute_capabilities(&[SM]).unwrap();
        let error = builder.build(&network, &config).unwrap_err();
        assert!(error.to_string().contains("optimization profile"), "{error}");
        let Error::Build { recorded } = error else { panic!("{error}") };
        assert!(!recorded.is_empty());
    });
}

#[test]
fn settings_that_make_no_sense_are_errors_and_not_ignored() {
    on_every_release("settings_that_make_no_sense_are_errors_and_not_ignored", |library| {
        let builder = Builder::new(library).unwrap();
        let (mut network, mut config) = prepare(&builder);
        let mut profile = builder.create_profile().unwrap();
        let eleven = ShapeRange { min: vec![1; 11], opt: vec![1; 11], max: vec![1; 11] };
        let level = |config: &mut BuilderConfig, level| config.set_optimization_level(level);
        level(&mut config, 2).unwrap();
        let cases = [
            (profile.set("images", &range(4, 2, 1)).unwrap_err(), "MIN<=OPT<=MAX"),
            (profile.set("images", &range(-1, 1, 1)).unwrap_err(), "[-1, 3, 8, 8] as Min of `images`"),
            (profile.set("images", &eleven).unwrap_err(), "the shape of `images` does not fit"),
            (profile.set("im\0ages", &range(1, 1, 1)).unwrap_err(), "NUL"),
            (network.parse(b"", Some("a\0b".as_ref())).unwrap_err(), "NUL"),
            (level(&mut config, 99).unwrap_err(), "setBuilderOptimizationLevel"),
            (config.set_compute_capabilities(&[86, 87]).unwrap_err(), "87"),
            (config.set_flag(BuilderFlag::Int8, true).unwrap_err(), "BuilderFlag::kINT8"),
            (builder.create_network(Typing::Weak).err().unwrap(), "weakly typed"),
        ];
        let profile_error = cases[1].0.to_string();
        assert!(
            !profile_error.contains("MIN<=OPT<=MAX"),
            "an error carries its own words only: {profile_error}"
        );
        for (error, expected) in cases {
            assert!(error.to_string().contains(expected), "{expected}: {error}");
        }
    });
}

#[test]
fn layers_and_tensors_are_listed_with_what_makes_them() {
    on_every_release("layers_and_tensors_are_listed_with_what_makes_them", |library| {
        let builder = Builder::new(library).unwrap();
        let (network, config) = prepare(&builder);
        let layers = network.layers().unwrap();
        let wiring: Vec<String> = layers
            .iter()
            .map(|layer| {
                let inputs: Vec<_> = layer
                    .inputs()
                    .unwrap()
                    .iter()
                    .flatten()
                    .map(|tensor| tensor.info().unwrap().name)
                    .collect();
                let outputs: Vec<_> = layer
                    .outputs()
                    .unwrap()
                    .into_iter()
                    .flatten()
                    .map(|tensor| tensor.info().unwrap().name)
                    .collect();
                format!("{}: {inputs:?} -> {outputs:?}", layer.name().unwrap())
            })
            .collect();
        assert_eq!(wiring, [r#"stem: ["images"] -> ["features"]"#, r#"last: ["features"] -> ["scores"]"#]);
        let tensors = network.tensors().unwrap();
        let made: Vec<_> = tensors
            .iter()
            .map(|tensor| {
                (tensor.info.name.as_str(), tensor.producer.as_ref().map(|(_, name)| name.as_str()))
            })
            .collect();
        assert_eq!(made, [("images", None), ("features", Some("stem")), ("scores", Some("last"))]);
        assert!(tensors.iter().all(|tensor| tensor.info.data_type.is_quantizable()));
        assert!(!config.can_run_on_dla(&layers[0]).unwrap());
        let other = Builder::new(library).unwrap();
        let foreign = other.create_config().unwrap().can_run_on_dla(&layers[0]);
        assert!(matches!(foreign, Err(Error::Foreign { what: "layer" })));
    });
}

#[test]
fn what_rtx_does_not_have_is_unsupported_by_name() {
    on_every_release("what_rtx_does_not_have_is_unsupported_by_name", |library| {
        let builder = Builder::new(library).unwrap();
        let (network, mut config) = prepare(&builder);
        let tensor = network.input_tensors().unwrap()[0];
        let table = Calibrator::new(CalibratorClass::Entropy2, "TRT-8601-EntropyCalibration2\n");
        let cases = [
            (config.set_calibrator(&table).unwrap_err(), "IInt8Calibrator"),
            (tensor.set_dynamic_range(-1.0, 1.0).unwrap_err(), "VTensor::setDynamicRange"),
            (config.set_calibrate_before_fusion().unwrap_err(), "VBuilderConfig::setQuantizationFlag"),
            (
                config.set_precision_constraints(PrecisionConstraints::Obey).unwrap_err(),
                "BuilderFlag::kOBEY_PRECISION_CONSTRAINTS",
            ),
            (
                config.set_precision_constraints(PrecisionConstraints::Prefer).unwrap_err(),
                "BuilderFlag::kPREFER_PRECISION_CONSTRAINTS",
            ),
            (
                config.set_preview_feature(PreviewFeature::FasterDynamicShapes, true).unwrap_err(),
                "PreviewFeature::kFASTER_DYNAMIC_SHAPES_0805",
            ),
        ];
        for (error, name) in cases {
            assert!(matches!(&error, Error::Unsupported(missing) if missing.what == name), "{error}");
        }
        assert!(!table.was_read() && !table.batch_was_asked() && table.written().is_none());
        let dla = config.set_dla(0, true).unwrap_err();
        assert!(matches!(dla, Error::NoDla { core: 0, available: 0 }), "{dla}");
        assert_eq!(builder.dla_cores().unwrap(), 0);
        assert!(matches!(library.init_plugins(), Err(LoadError::NoPlugins { .. })));
    });
}

#[test]
fn pools_threads_and_sources_are_what_they_were_set_to() {
    on_every_release("pools_threads_and_sources_are_what_they_were_set_to", |library| {
        let mut builder = Builder::new(library).unwrap();
        let (_, mut config) = prepare(&builder);
        builder.set_max_threads(2).unwrap();
        config.set_pool_limit(MemoryPool::Workspace, 8 << 20).unwrap();
        assert_eq!(config.pool_limit(MemoryPool::Workspace).unwrap(), 8 << 20);
        assert_eq!(config.workspace_limit().unwrap(), 8 << 20);
        config.set_tactic_sources(&[TacticSource::EdgeMaskConvolutions]).unwrap();
        assert_eq!(config.tactic_sources().unwrap(), [TacticSource::EdgeMaskConvolutions]);
        config.set_tactic_sources(&[]).unwrap();
        assert_eq!(config.tactic_sources().unwrap(), []);
    });
}

#[test]
fn a_timing_cache_is_saved_and_used_again() {
    on_every_release("a_timing_cache_is_saved_and_used_again", |library| {
        let builder = Builder::new(library).unwrap();
        let (network, mut config) = prepare(&builder);
        assert!(config.timing_cache().unwrap().is_none());
        config.set_timing_cache(&[], false).unwrap();
        builder.build(&network, &config).unwrap();
        let saved = config.timing_cache().unwrap().unwrap();
        assert!(!saved.is_empty());
        let (network, mut config) = prepare(&builder);
        config.set_timing_cache(&saved, false).unwrap();
        builder.build(&network, &config).unwrap();
    });
}

#[test]
fn objects_of_two_builders_do_not_mix() {
    on_every_release("objects_of_two_builders_do_not_mix", |library| {
        let (one, other) = (Builder::new(library).unwrap(), Builder::new(library).unwrap());
        let (network, mut config) = prepare(&one);
        let (foreign_network, foreign_config) = prepare(&other);
        assert!(matches!(
            one.build(&network, &foreign_config),
            Err(Error::Foreign { what: "configuration" })
        ));
        assert!(matches!(one.build(&foreign_network, &config), Err(Error::Foreign { what: "network" })));
        let foreign = config.add_profile(&other.create_profile().unwrap());
        assert!(matches!(foreign, Err(Error::Foreign { what: "profile" })));
    });
}

#[test]
fn objects_may_be_dropped_in_any_order() {
    on_every_release("objects_may_be_dropped_in_any_order", |library| {
        let build = || {
            let builder = Builder::new(library).unwrap();
            let (network, mut config) = prepare(&builder);
            config.set_progress(|_| ControlFlow::Continue(())).unwrap();
            config.set_timing_cache(&[], false).unwrap();
            let profile = builder.create_profile().unwrap();
            let engine = builder.build(&network, &config).unwrap();
            (builder, network, config, profile, engine)
        };
        let (builder, network, config, mut profile, engine) = build();
        drop(builder);
        drop(network);
        drop(config);
        profile.set("images", &range(1, 1, 1)).expect("a profile keeps its builder alive");
        drop(profile);
        assert!(engine.len() > 10_000);
        let (builder, network, config, _, engine) = build();
        drop((engine, config));
        drop(network);
        drop(builder);
    });
}

#[test]
fn a_process_keeps_to_its_first_library() {
    let dirs = releases();
    on_every("a_process_keeps_to_its_first_library", &dirs, |dir| {
        let library = Library::open(&SearchPath::only([dir])).unwrap();
        let again = Library::open(&SearchPath::only([dir])).unwrap();
        assert_eq!(library.path(), again.path());
        assert_eq!(library.version().product, Product::Rtx);
        let dirs = releases();
        for other in dirs.iter().filter(|other| *other != dir) {
            let error = Library::open(&SearchPath::only([other])).unwrap_err();
            assert!(matches!(error, LoadError::OnePerProcess { .. }), "{error}");
        }
    });
}

#[test]
fn a_library_without_its_parser_is_called_half_installed() {
    on_every("a_library_without_its_parser_is_called_half_installed", &releases(), |release| {
        const NAME: &str = "libtensorrt_rtx.so.1";
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("half-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (from, to) = (release.join(NAME), dir.join(NAME));
        std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop)).unwrap();
        let error = Library::open(&SearchPath::only([&dir])).unwrap_err();
        std::fs::remove_dir_all(dir).unwrap();
        let LoadError::NoParser { library, tried } = &error else { panic!("{error}") };
        assert_eq!(*library, to);
        assert_eq!(tried.len(), 1, "beside the library only: {error}");
    });
}
