//! Builders, networks, configurations, builds.

use super::*;

impl Scene {
    pub(super) fn builder(&self, builder: &mut Builder) {
        assert_eq!(self.step(&["VBuilder::getNbDLACores()"], builder.dla_cores()), Some(2));
        assert_ne!(self.step(&["VBuilder::platformHasFastFp16()"], builder.has_fast_fp16()), Some(false));
        assert_ne!(self.step(&["VBuilder::platformHasFastInt8()"], builder.has_fast_int8()), Some(true));
        self.step(&["VBuilder::setMaxThreads(4)"], builder.set_max_threads(4));
        if let Some(error) = self.has("VBuilder::setMaxThreads").then(|| builder.set_max_threads(0)) {
            assert!(matches!(self.fails(&["VBuilder::setMaxThreads(0)"], error), Error::Rejected { .. }));
        }
        let plugins = self.library.init_plugins();
        let expected: &[&str] =
            if plugins.is_ok() { &["initLibNvInferPlugins(callback, \"\")"] } else { &[] };
        assert_eq!(self.recorded(), expected);
        assert_eq!(plugins.is_ok(), !self.is_rtx(), "{plugins:?}");
    }

    /// A network, empty. In the order of the families: explicit batch, none, and the strongly typed bit of each.
    fn network(&self, builder: &Builder) -> Network {
        let (typing, flags) = match self.version.family {
            Family::V8 => (Typing::Weak, 1),
            Family::V10 => (Typing::Weak, 0),
            Family::RtxA => (Typing::Strong, 2),
            Family::V11 | Family::RtxB => (Typing::Strong, 1),
        };
        let created = format!("VBuilder::createNetworkV2({flags})");
        let canaries = [
            &created,
            "VNetworkDefinition::setName(\"canary\")",
            "VNetworkDefinition::getName()",
            "VNetworkDefinition::setName(\"\")",
            "VNetworkDefinition::getName()",
        ];
        self.step(&canaries, builder.create_network(typing)).expect("a network")
    }

    fn config(&self, builder: &Builder) -> BuilderConfig {
        let workspace: &[&str] = match self.has("VBuilderConfig::setMemoryPoolLimit") {
            true => &[
                "VBuilderConfig::getMemoryPoolLimit(0)",
                "VBuilderConfig::setMemoryPoolLimit(0, 67108864)",
                "VBuilderConfig::getMemoryPoolLimit(0)",
                "VBuilderConfig::setMemoryPoolLimit(0, 8589934592)",
            ],
            false => &[
                "VBuilderConfig::getMaxWorkspaceSize()",
                "VBuilderConfig::setMaxWorkspaceSize(67108864)",
                "VBuilderConfig::getMaxWorkspaceSize()",
                "VBuilderConfig::setMaxWorkspaceSize(0)",
            ],
        };
        let rest = [
            "VBuilderConfig::setFlag(2)",
            "VBuilderConfig::getFlag(2)",
            "VBuilderConfig::getFlags()",
            "VBuilderConfig::clearFlag(2)",
            "VBuilderConfig::getFlag(2)",
            "VBuilderConfig::setProgressMonitor(callback)",
            "VBuilderConfig::getProgressMonitor()",
            "VBuilderConfig::setProgressMonitor(null)",
            "VBuilderConfig::getProgressMonitor()",
        ];
        let lines = [&["VBuilder::createBuilderConfig()"], workspace, &rest].concat();
        self.step(&lines, builder.create_config()).expect("a configuration")
    }

    /// Reads a model into a network, by the parser with this number.
    fn parse(&self, network: &mut Network, model: &str, parser: usize) {
        let (size, of) = (model.len(), format!("INetworkDefinition#{parser}"));
        let lines = [
            format!("IParser::parse(bytes, {size}, \"folder/m.onnx\")"),
            format!("  a model of {model:?}"),
            format!("  {of} is filled from {model:?}"),
        ];
        let outputs = [
            "VNetworkDefinition::getNbOutputs()",
            "VNetworkDefinition::getOutput(0)",
            "VTensor::getDimensions()",
            "VTensor::getName()",
            "VTensor::getType()",
            "VNetworkDefinition::getOutput(1)",
            "VTensor::getDimensions()",
            "VTensor::getName()",
            "VTensor::getType()",
        ];
        let rest: Vec<&str> = std::iter::once("  ILogger.log(2, \"recorder: no parser either\")")
            .chain(lines.iter().map(String::as_str))
            .chain(outputs)
            .collect();
        let first = format!("createNvOnnxParser_INTERNAL({of}, callback, 100)");
        let parsed = network.parse(model.as_bytes(), Some("folder/m.onnx".as_ref()));
        self.introduced("ILogger", "ILogger", &first, &rest, parsed);
    }

    fn refused_models(&self, builder: &Builder) {
        let mut network = self.network(builder);
        let error = network.parse(b"unparsable", None).expect_err("two errors");
        let Error::Parse { errors } = &error else { panic!("{error:?}") };
        let read: Vec<String> =
            self.recorded().into_iter().filter(|line| line.starts_with("IParser")).collect();
        let each = |index| {
            let lines = ["code", "desc", "node", "nodeName", "nodeOperator", "file", "line", "func"];
            let lines =
                lines.iter().map(|name| format!("IParserError::{name}()")).filter(|line| self.has(row(line)));
            std::iter::once(format!("IParser::getError({index})")).chain(lines).collect::<Vec<_>>()
        };
        let start = ["IParser::parse(bytes, 10, null)".to_string(), "IParser::getNbErrors()".into()];
        assert_eq!(read, [&start[..], &each(0), &each(1)].concat());
        let named = |text: &str| self.has("IParserError::nodeName").then(|| text.to_string());
        let found: Vec<_> = errors
            .iter()
            .map(|e| {
                (
                    e.code,
                    &*e.description,
                    e.node,
                    e.node_name.clone(),
                    e.operator.clone(),
                    &*e.file,
                    e.line,
                    &*e.function,
                )
            })
            .collect();
        let expected = [
            (
                8,
                "no importer for Gelu",
                Some(7),
                named("head/act"),
                named("Gelu"),
                "ModelImporter.cpp",
                100,
                "parseNode",
            ),
            (2, "second error", None, named(""), named(""), "onnx2trt_utils.cpp", 101, "convertAxis"),
        ];
        assert_eq!(found, expected);

        let error = network.parse_file("an empty model".as_ref()).expect_err("no outputs");
        assert!(matches!(error, Error::EmptyModel), "{error:?}");
        let lines = self.recorded();
        assert!(lines.contains(&"IParser::parseFromFile(\"an empty model\", 2)".to_string()), "{lines:?}");
        drop(network);
        self.gone(&["IParser", "IParser", "INetworkDefinition"]);
    }

    fn layers(&self, network: &Network, config: &mut BuilderConfig) {
        assert_eq!(network.layer_names().unwrap(), ["stem", "body", "head"]);
        assert_eq!(network.layer_count().unwrap(), 3);
        let info = |name: &str, data_type, shape: &[i64]| nvinfer::TensorInfo {
            name: name.into(),
            data_type,
            shape: shape.into(),
        };
        let images = info("images", DataType::Float, &[-1, 3, 224, 224]);
        let (scores, boxes) =
            (info("scores", DataType::Half, &[-1, 1000]), info("boxes", DataType::Int32, &[-1, 100, 4]));
        assert_eq!(network.inputs().unwrap(), [images]);
        assert_eq!(network.outputs().unwrap(), [scores, boxes]);
        let names: Vec<_> =
            network.tensors().unwrap().into_iter().map(|t| (t.info.name, t.producer)).collect();
        let by = |index, name: &str| Some((index, name.to_string()));
        let expected = [
            ("images".to_string(), None),
            ("stem/out".into(), by(0, "stem")),
            ("body/out".into(), by(1, "body")),
            ("scores".into(), by(2, "head")),
            ("boxes".into(), by(2, "head")),
        ];
        assert_eq!(names, expected);
        self.recorded();

        let lines = [
            "VNetworkDefinition::getNbLayers()",
            "VNetworkDefinition::getLayer(0)",
            "VNetworkDefinition::getLayer(1)",
            "VNetworkDefinition::getLayer(2)",
        ];
        let layers = self.step(&lines, network.layers()).unwrap();
        let [_, body, head] = &layers[..] else { panic!("three layers") };
        self.step(&["VLayer::getType()"], head.kind());
        let fed = self.step(&["VLayer::getNbInputs()", "VLayer::getInput(0)"], head.inputs()).unwrap();
        assert_eq!(fed[0].as_ref().unwrap().info().unwrap().name, "body/out");
        self.recorded();
        self.step(&["VLayer::setPrecision(1)"], head.set_precision(DataType::Half));
        let read = ["VLayer::precisionIsSet()", "VLayer::getPrecision()"];
        assert!(matches!(self.step(&read, head.precision()), None | Some(Some(DataType::Half))));
        let outputs = ["VLayer::getNbOutputs()", "VLayer::getOutput(0)", "VLayer::getOutput(1)"];
        let set = [&outputs[..], &["VLayer::setOutputType(1, 0)"]].concat();
        self.step(&set, head.set_output_type(1, DataType::Float));
        let read = [&outputs[..], &["VLayer::outputTypeIsSet(1)"]].concat();
        assert_ne!(self.step(&read, head.output_type_is_set(1)), Some(false));
        self.step(&["VBuilderConfig::setDeviceType(ILayer#3, 0)"], config.set_device(head, DeviceType::Gpu));
        assert_eq!(
            self.step(&["VBuilderConfig::canRunOnDLA(ILayer#2)"], config.can_run_on_dla(body)),
            Some(true)
        );
        assert_eq!(
            self.step(&["VBuilderConfig::canRunOnDLA(ILayer#3)"], config.can_run_on_dla(head)),
            Some(false)
        );
        let input = ["VNetworkDefinition::getNbInputs()", "VNetworkDefinition::getInput(0)"];
        let tensor = self.step(&input, network.input_tensors()).unwrap()[0];
        assert_ne!(self.step(&["VTensor::dynamicRangeIsSet()"], tensor.dynamic_range_is_set()), Some(true));
        self.step(&["VTensor::setDynamicRange(-1.5, 2.25)"], tensor.set_dynamic_range(-1.5, 2.25));
        assert_ne!(self.step(&["VTensor::dynamicRangeIsSet()"], tensor.dynamic_range_is_set()), Some(false));
    }

    fn settings(&self, builder: &Builder, config: &mut BuilderConfig) {
        let workspace = match self.has("VBuilderConfig::setMemoryPoolLimit") {
            true => {
                ["VBuilderConfig::setMemoryPoolLimit(0, 5368709120)", "VBuilderConfig::getMemoryPoolLimit(0)"]
            }
            false => {
                ["VBuilderConfig::setMaxWorkspaceSize(5368709120)", "VBuilderConfig::getMaxWorkspaceSize()"]
            }
        };
        self.step(&workspace[..1], config.set_workspace_limit(5 << 30));
        assert_eq!(self.step(&workspace[1..], config.workspace_limit()), Some(5 << 30));
        let pool =
            ["VBuilderConfig::setMemoryPoolLimit(2, 1048576)", "VBuilderConfig::getMemoryPoolLimit(2)"];
        self.step(&pool, config.set_pool_limit(MemoryPool::DlaLocalDram, 1 << 20));
        let limit = self.step(&pool[1..], config.pool_limit(MemoryPool::DlaLocalDram));
        assert!(matches!(limit, None | Some(0x10_0000)));
        let level = [
            "VBuilderConfig::setBuilderOptimizationLevel(5)",
            "VBuilderConfig::getBuilderOptimizationLevel()",
        ];
        self.step(&level, config.set_optimization_level(5));
        if self.has(row(level[0])) {
            let level = ["VBuilderConfig::setBuilderOptimizationLevel(9)", level[1]];
            assert!(matches!(self.fails(&level, config.set_optimization_level(9)), Error::Rejected { .. }));
        }
        let verbosity = config.set_profiling_verbosity(ProfilingVerbosity::Detailed);
        self.step(&["VBuilderConfig::setProfilingVerbosity(2)"], verbosity);
        let dla = [
            "VBuilder::getNbDLACores()",
            "VBuilderConfig::setDefaultDeviceType(1)",
            "VBuilderConfig::getDefaultDeviceType()",
            "VBuilderConfig::setDLACore(1)",
            "VBuilderConfig::getDLACore()",
            "VBuilderConfig::setFlag(3)",
        ];
        self.step(&dla, config.set_dla(1, true));
        assert!(matches!(
            self.fails(&dla[..1], config.set_dla(2, true)),
            Error::NoDla { core: 2, available: 2 }
        ));
        self.values(config);

        let cache = [
            "VBuilderConfig::createTimingCache(bytes, 6)",
            "  a timing cache of \"timing\"",
            "VBuilderConfig::setTimingCache(ITimingCache#1, true)",
        ];
        self.step(&cache, config.set_timing_cache(b"timing", true));
        let read = ["VTimingCache::serialize()", "VHostMemory::data()", "VHostMemory::size()"];
        assert_eq!(&**self.step(&read, config.timing_cache()).flatten().as_ref().unwrap(), b"timing");
        self.gone(&["IHostMemory"]);

        let mut profile =
            self.step(&["VBuilder::createOptimizationProfile()"], builder.create_profile()).unwrap();
        let set = [
            "VOptimizationProfile::setDimensions(\"images\", 0, [1, 3, 224, 224])",
            "VOptimizationProfile::setDimensions(\"images\", 1, [2, 3, 224, 224])",
            "VOptimizationProfile::setDimensions(\"images\", 2, [4, 3, 224, 224])",
            "VOptimizationProfile::isValid()",
        ];
        let [min, opt, max] = [1, 2, 4].map(|batch| vec![batch, 3, 224, 224]);
        self.step(&set, profile.set("images", &ShapeRange { min, opt, max }));
        let add = ["VBuilderConfig::addOptimizationProfile(IOptimizationProfile#1)"];
        assert_eq!(self.step(&add, config.add_profile(&profile)), Some(0));
        let calibrate = ["VBuilderConfig::setCalibrationProfile(IOptimizationProfile#1)"];
        self.step(&calibrate, config.set_calibration_profile(&profile));
    }

    /// Settings whose values differ between families.
    fn values(&self, config: &mut BuilderConfig) {
        let (old, ten) = (self.is(&[Family::V8]), self.is(&[Family::V10]));
        let (sources, bits) = match self.version.family {
            Family::V8 | Family::V10 | Family::RtxA => ([TacticSource::Cublas, TacticSource::Cudnn], 5),
            Family::V11 | Family::RtxB => {
                ([TacticSource::EdgeMaskConvolutions, TacticSource::JitConvolutions], 3)
            }
        };
        let set = format!("VBuilderConfig::setTacticSources({bits})");
        self.step(&[&set], config.set_tactic_sources(&sources));
        let found = self.step(&["VBuilderConfig::getTacticSources()"], config.tactic_sources());
        assert_eq!(found.as_deref(), Some(&sources[..]));

        let feature = match self.version.family {
            Family::V8 => PreviewFeature::FasterDynamicShapes,
            Family::V10 | Family::RtxA => PreviewFeature::ProfileSharing,
            Family::V11 | Family::RtxB => PreviewFeature::AliasedPluginIo,
        };
        let preview = ["VBuilderConfig::setPreviewFeature(0, true)", "VBuilderConfig::getPreviewFeature(0)"];
        self.step(&preview, config.set_preview_feature(feature, true));
        let ampere = [
            "VBuilderConfig::setHardwareCompatibilityLevel(1)",
            "VBuilderConfig::getHardwareCompatibilityLevel()",
        ];
        self.step(&ampere, config.set_hardware_compatibility(HardwareCompatibility::AmperePlus));
        let fusion = ["VBuilderConfig::setQuantizationFlag(0)", "VBuilderConfig::getQuantizationFlag(0)"];
        self.step(&fusion, config.set_calibrate_before_fusion());
        let capability =
            ["VBuilderConfig::setNbComputeCapabilities(1)", "VBuilderConfig::setComputeCapability(86, 0)"];
        self.step(&capability, config.set_compute_capabilities(&[86]));

        let refit = if old { 5 } else { 4 };
        let flags =
            ["setFlag", "getFlag", "clearFlag"].map(|word| format!("VBuilderConfig::{word}({refit})"));
        self.step(&[&flags[0]], config.set_flag(BuilderFlag::Refit, true));
        assert_eq!(self.step(&[&flags[1]], config.flag(BuilderFlag::Refit)), Some(true));
        self.step(&[&flags[2]], config.set_flag(BuilderFlag::Refit, false));
        let precise: &[&str] = if old || ten { &["VBuilderConfig::setFlag(0)"] } else { &[] };
        self.step(precise, config.set_flag(BuilderFlag::Fp16, true));
    }

    pub(super) fn build(&self, builder: &Builder) {
        self.refused_models(builder);
        let mut network = self.network(builder);
        let mut config = self.config(builder);
        self.parse(&mut network, "a model", 2);
        self.layers(&network, &mut config);
        self.settings(builder, &mut config);

        let build = "VBuilder::buildSerializedNetwork(INetworkDefinition#2, IBuilderConfig#1)";
        let memory = ["VHostMemory::data()", "VHostMemory::size()"];
        let plan = self.step(&[&[build][..], &memory].concat(), builder.build(&network, &config)).unwrap();
        assert_eq!(&*plan, b"recorded plan");
        drop(plan);
        self.gone(&["IHostMemory"]);
        self.calibrated(builder, &network, &mut config, build);
        self.monitored(builder, &network, &mut config, build);
        drop(config);
        drop(network);
        self.gone(&["IBuilderConfig", "ITimingCache", "INetworkDefinition", "IParser"]);
        self.unbuildable(builder);
    }

    fn calibrated(&self, builder: &Builder, network: &Network, config: &mut BuilderConfig, build: &str) {
        let memory = ["VHostMemory::data()", "VHostMemory::size()"];
        let set = ["VBuilderConfig::setInt8Calibrator(callback)", "VBuilderConfig::getInt8Calibrator()"];
        let classes = [
            (CalibratorClass::Legacy, 0, "IInt8Calibrator"),
            (CalibratorClass::Entropy, 1, "IInt8EntropyCalibrator"),
            (CalibratorClass::Entropy2, 2, "IInt8EntropyCalibrator2"),
            (CalibratorClass::MinMax, 3, "IInt8MinMaxCalibrator"),
        ];
        for ((class, number, kind), table) in
            classes.into_iter().flat_map(|class| ["a table", ""].map(|t| (class, t)))
        {
            let calibrator = Calibrator::new(class, table);
            if self.step(&set, config.set_calibrator(&calibrator)).is_none() {
                assert!(
                    self.fails(&[], config.set_flag(BuilderFlag::Int8, true)).to_string().contains("kINT8")
                );
                continue;
            }
            self.step(&["VBuilderConfig::setFlag(1)"], config.set_flag(BuilderFlag::Int8, true));
            let algorithm = format!("  IInt8Calibrator.getAlgorithm() -> {number}");
            let mut lines = vec![&*algorithm, "  IInt8Calibrator.getBatchSize() -> 1"];
            match table {
                "" => lines.extend([
                    "  IInt8Calibrator.readCalibrationCache() -> null, 0",
                    "  IInt8Calibrator.getBatch(images) -> false, 0x0",
                    "  IInt8Calibrator.writeCalibrationCache(\"recorded cache\")",
                ]),
                _ => lines.push("  IInt8Calibrator.readCalibrationCache() -> \"a table\""),
            }
            if number == 0 {
                lines.extend([
                    "  IInt8Calibrator quantile 1, cutoff 1",
                    "  IInt8Calibrator.readHistogramCache() -> null, 0",
                    "  IInt8Calibrator.writeHistogramCache(\"recorded histograms\")",
                ]);
            }
            lines.extend(memory);
            let plan = builder.build(network, config);
            drop(self.introduced("IInt8Calibrator", kind, build, &lines, plan).expect("a plan"));
            self.gone(&["IHostMemory"]);
            assert!(calibrator.was_read());
            assert_eq!(calibrator.batch_was_asked(), table.is_empty());
            assert_eq!(calibrator.written(), table.is_empty().then(|| b"recorded cache".to_vec()));
            self.step(&["VBuilderConfig::clearFlag(1)"], config.set_flag(BuilderFlag::Int8, false));
        }
    }

    fn monitored(&self, builder: &Builder, network: &Network, config: &mut BuilderConfig, build: &str) {
        let events: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = events.clone();
        let stop = |event: ProgressEvent<'_>| matches!(event, ProgressEvent::Step { step: 1, .. });
        let set = config.set_progress(move |event| {
            sink.lock().unwrap().push(format!("{event:?}"));
            if stop(event) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if self.step(&["VBuilderConfig::setProgressMonitor(callback)"], set).is_none() {
            return;
        }
        let introduction = self.introduction("IProgressMonitor", "IProgressMonitor");
        let phases = [
            "  IProgressMonitor.phaseStart(Building engine, null, 1)",
            "  IProgressMonitor.phaseStart(Selecting tactics, Building engine, 4)",
            "  IProgressMonitor.stepComplete(Selecting tactics, 0) -> true",
            "  IProgressMonitor.stepComplete(Selecting tactics, 1) -> false",
            "  IProgressMonitor.phaseFinish(\"Selecting tactics\")",
            "  IProgressMonitor.phaseFinish(\"Building engine\")",
        ];
        let lines: Vec<&str> =
            std::iter::once(build).chain(introduction.iter().map(String::as_str)).chain(phases).collect();
        let error = self.fails(&lines, builder.build(network, config));
        assert!(matches!(error, Error::Cancelled), "{error:?}");
        let expected = [
            r#"Started { phase: "Building engine", parent: None, steps: 1 }"#,
            r#"Started { phase: "Selecting tactics", parent: Some("Building engine"), steps: 4 }"#,
            r#"Step { phase: "Selecting tactics", step: 0 }"#,
            r#"Step { phase: "Selecting tactics", step: 1 }"#,
            r#"Finished { phase: "Selecting tactics" }"#,
            r#"Finished { phase: "Building engine" }"#,
        ];
        assert_eq!(*events.lock().unwrap(), expected);
    }

    /// The reason of a failed build may be in the error recorder only.
    fn unbuildable(&self, builder: &Builder) {
        let mut network = self.network(builder);
        let config = self.config(builder);
        self.parse(&mut network, "an unbuildable model", 3);
        let lines = [
            "VBuilder::buildSerializedNetwork(INetworkDefinition#3, IBuilderConfig#2)",
            "  IErrorRecorder.reportError(4, \"recorder: no implementation of `head`\")",
        ];
        let error = self.fails(&lines, builder.build(&network, &config));
        assert_eq!(error.to_string(), "TensorRT built no engine: [4] recorder: no implementation of `head`");
        drop(config);
        drop(network);
        self.gone(&["IBuilderConfig", "INetworkDefinition", "IParser"]);
    }
}
