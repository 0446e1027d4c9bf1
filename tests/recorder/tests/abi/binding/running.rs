//! Runtimes, engines, contexts.

use nvinfer::Running;

use super::*;

impl Scene {
    pub(super) fn runtime(&self, mut runtime: Runtime) {
        assert_eq!(self.step(&["VRuntime::getNbDLACores()"], runtime.dla_cores()), Some(2));
        self.step(&["VRuntime::getNbDLACores()", "VRuntime::setDLACore(1)"], runtime.set_dla_core(1));
        let tail = if self.is(&[Family::V8]) { ", null" } else { "" };
        let load = |bytes: &str| {
            [
                format!("VRuntime::deserializeCudaEngine(bytes, {}{tail})", bytes.len()),
                format!("  a plan of {bytes:?}"),
            ]
        };
        let [call, shown] = load("not a plan");
        let refusal = "  IErrorRecorder.reportError(4, \"recorder: a plan of another version\")";
        let error = self.fails(&[&call, &shown, refusal], runtime.deserialize(b"not a plan"));
        assert!(matches!(&error, Error::Deserialize { recorded, .. } if recorded.len() == 1), "{error:?}");

        let [call, shown] = load("recorded plan");
        let mut lines = vec![call, shown];
        let named = self.has("VCudaEngine::getNbIOTensors");
        match named {
            true => lines.push("VCudaEngine::getNbIOTensors()".into()),
            false => lines.extend([
                "VCudaEngine::getNbBindings()".into(),
                "VCudaEngine::getNbOptimizationProfiles()".into(),
            ]),
        }
        for (index, name) in ["images", "scores", "boxes"].iter().enumerate() {
            let methods: &[&str] = match named {
                true => &["getTensorIOMode", "getTensorShape", "getTensorDataType", "getTensorLocation"],
                false => &[
                    "bindingIsInput",
                    "getBindingName",
                    "getBindingDataType",
                    "getBindingDimensions",
                    "getLocation",
                ],
            };
            lines.extend(named.then(|| format!("VCudaEngine::getIOTensorName({index})")));
            let argument = if named { format!("{name:?}") } else { index.to_string() };
            lines.extend(methods.iter().map(|method| format!("VCudaEngine::{method}({argument})")));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let engine = self.step(&lines, runtime.deserialize(b"recorded plan")).unwrap();
        drop(runtime);
        self.gone(&[]);
        let io: Vec<_> = engine
            .io_tensors()
            .iter()
            .map(|t| (&*t.name, t.mode, t.data_type, &*t.shape, t.on_host))
            .collect();
        let expected: [(&str, IoMode, DataType, &[i64], bool); 3] = [
            ("images", IoMode::Input, DataType::Float, &[-1, 3, 224, 224], false),
            ("scores", IoMode::Output, DataType::Half, &[-1, 1000], false),
            ("boxes", IoMode::Output, DataType::Int32, &[-1, 100, 4], false),
        ];
        assert_eq!(io, expected);
        assert_eq!(self.step(&["VCudaEngine::getNbLayers()"], engine.layer_count()), Some(2));
        assert!(matches!(
            self.step(&["VCudaEngine::getNbOptimizationProfiles()"], engine.profile_count()),
            None | Some(2)
        ));
        let (method, bytes) = match self.has("VCudaEngine::getDeviceMemorySizeV2") {
            true => ("VCudaEngine::getDeviceMemorySizeV2()", 6 << 30),
            false => ("VCudaEngine::getDeviceMemorySize()", 5 << 30),
        };
        assert_eq!(self.step(&[method], engine.device_memory()), Some(bytes));
        self.inspect(&engine);
        let strategy = if self.is(&[Family::V8]) { "" } else { "0" };
        let created = format!("VCudaEngine::createExecutionContext({strategy})");
        let context = self.step(&[&created], engine.create_context()).unwrap();
        drop(engine);
        self.gone(&[]);
        self.context(context, named);
        let last = ["~IExecutionContext", "~ICudaEngine", "~IRuntime", "  IErrorRecorder.decRefCount()"];
        assert_eq!(self.recorded(), last);
    }

    fn inspect(&self, engine: &nvinfer::Engine) {
        let exists = self.has("VCudaEngine::createEngineInspector");
        let end: &[&str] = if exists { &["~IEngineInspector"] } else { &[] };
        let whole = ["VCudaEngine::createEngineInspector()", "VEngineInspector::getEngineInformation(1)"];
        let text = self.step(&[&whole[..], end].concat(), engine.information());
        assert_eq!(text.as_deref(), exists.then_some("{\"Layers\": [\"stem + body\", \"head\"]}"));
        let one = ["VCudaEngine::getNbLayers()", whole[0], "VEngineInspector::getLayerInformation(1, 1)"];
        let text = self.step(&[&one[..], end].concat(), engine.layer_information(1));
        assert_eq!(text.as_deref(), exists.then_some("{\"Name\": \"head\"}"));
    }

    fn context(&self, mut context: nvinfer::ExecutionContext, named: bool) {
        // With bindings, a second profile has the second half of them; the addresses before it are not read.
        let profile = 1;
        let set = format!("VExecutionContext::setOptimizationProfileAsync({profile}, 0x40)");
        self.step(&[&set], context.set_profile(profile, &Stream));
        let refused = self.fails(
            &["VExecutionContext::setOptimizationProfileAsync(2, 0x40)"],
            context.set_profile(2, &Stream),
        );
        assert!(matches!(refused, Error::Rejected { .. }));
        let line = match named {
            true => "VExecutionContext::setInputShape(\"images\", [2, 3, 224, 224])",
            false => "VExecutionContext::setBindingDimensions(3, [2, 3, 224, 224])",
        };
        self.step(&[line], context.set_input_shape("images", &[2, 3, 224, 224]));
        let line = if named {
            "VExecutionContext::getTensorShape(\"images\")"
        } else {
            "VExecutionContext::getBindingDimensions(3)"
        };
        assert_eq!(self.step(&[line], context.shape("images")).as_deref(), Some(&[2, 3, 224, 224][..]));
        self.fails(&[], context.set_input_shape("unknown", &[1]));

        let sizes = [2 * 3 * 224 * 224 * 4, 2 * 1000 * 2, 2 * 100 * 4 * 4];
        let [images, scores, boxes] = [0x1000, 0x2000, 0x3000].map(|at| Buffer(at, sizes[at / 0x1000 - 1]));
        let shapes: Vec<String> = match named {
            true => ["images", "scores", "boxes"]
                .map(|name| format!("VExecutionContext::getTensorShape({name:?})"))
                .into(),
            false => {
                [3, 4, 5].map(|index| format!("VExecutionContext::getBindingDimensions({index})")).into()
            }
        };
        let shapes: Vec<&str> = shapes.iter().map(String::as_str).collect();
        let start: &[&str] = match named {
            true => &[
                "VExecutionContext::setTensorAddress(\"images\", 0x1000)",
                "VExecutionContext::setTensorAddress(\"scores\", 0x2000)",
                "VExecutionContext::setTensorAddress(\"boxes\", 0x3000)",
                "VExecutionContext::enqueueV3(0x40)",
            ],
            false => &[
                "VCudaEngine::getNbOptimizationProfiles()",
                "VExecutionContext::enqueueV2([null, null, null, 0x1000, 0x2000, 0x3000], 0x40, null)",
            ],
        };
        let all: [(&str, &dyn DeviceMemory); 3] =
            [("boxes", &boxes), ("images", &images), ("scores", &scores)];
        self.step(&[&shapes, start].concat(), context.enqueue(&Stream, &all).and_then(Running::wait));
        let small = Buffer(0x2000, sizes[1] - 1);
        let refused = context.enqueue(&Stream, &[all[0], all[1], ("scores", &small)]);
        assert!(matches!(self.fails(&shapes[..2], refused), Error::Memory { given: 3999, needed: 4000, .. }));
    }
}
