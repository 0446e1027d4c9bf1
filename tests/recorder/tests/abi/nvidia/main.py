"""Drives NVIDIA's compiled Python bindings on the recorder and compares its log to what each call must reach.

usage: main.py MODULE ROWS   (with LD_LIBRARY_PATH, RECORDER_VERSION and RECORDER_LOG set)

MODULE is the `tensorrt.so` of a wheel, loaded without the package around it, which would look for real libraries. ROWS is
a file with the methods that this version has. Prints `absent ROW` for methods that these bindings do not offer, `value
Enum::kNAME 1` for the values compiled into them, and what differs from the expectation; ends with 1 if anything did.
"""

import sys

# The folder is part of the source.
sys.dont_write_bytecode = True

import steps
from callbacks import ADOPTED, Logger, Recorder, builds, heard, kept, said
from steps import ROWS, RTX, V8, VERSION, compare, lines, same, step, trt

BINDINGS = [0x10, 0x20, 0x30, 0, 0, 0]


def main():
    logger, recorder = Logger(), Recorder()
    builder = step(
        [f"createInferBuilder_INTERNAL(callback, {VERSION})"] + said(3, "recorder: not TensorRT"),
        lambda: trt.Builder(logger),
    )
    same([(3, "recorder: not TensorRT")], heard)
    heard.clear()
    same(True, step("VBuilder::platformHasFastFp16()", lambda: builder.platform_has_fast_fp16) in (True, None))
    same(True, step("VBuilder::platformHasFastInt8()", lambda: builder.platform_has_fast_int8) in (False, None))
    same(2, step("VBuilder::getNbDLACores()", lambda: builder.num_DLA_cores))
    same(True, step("VBuilder::getLogger()", lambda: builder.logger) is logger)
    step("VBuilder::setMaxThreads(4)", lambda: setattr(builder, "max_threads", 4))
    step(["VBuilder::setErrorRecorder(callback)"] + ADOPTED, lambda: setattr(builder, "error_recorder", recorder))
    same(True, step("VBuilder::getErrorRecorder()", lambda: builder.error_recorder) in (recorder, None))
    network = step("VBuilder::createNetworkV2(3)", lambda: builder.create_network(3))
    config = step("VBuilder::createBuilderConfig()", builder.create_builder_config)
    profile = step("VBuilder::createOptimizationProfile()", builder.create_optimization_profile)

    parse(network, logger)
    tensors_and_layers(network, config)
    settings(config, profile)
    same(
        True,
        step(
            "VBuilder::isNetworkSupported(INetworkDefinition#1, IBuilderConfig#1)",
            lambda: builder.is_network_supported(network, config),
        ),
    )
    builds(builder, network, config)
    run(logger, recorder)
    kept.clear()


def parse(network, logger):
    # NV_ONNX_PARSER_VERSION, compiled into the bindings.
    number = 200 if VERSION >= 110400 or VERSION == 10701 else 100
    parser = step(
        [f"createNvOnnxParser_INTERNAL(INetworkDefinition#1, callback, {number})"]
        + said(2, "recorder: no parser either"),
        lambda: trt.OnnxParser(network, logger),
    )
    model = b"an unparsable model"
    size = len(model)
    parsed = step(
        [f"IParser::parse(bytes, {size}, null)", f'  a model of "{model.decode()}"'],
        lambda: parser.parse(model),
    )
    same(False, parsed)
    same(2, step("IParser::getNbErrors()", lambda: parser.num_errors))
    error = step("IParser::getError(0)", lambda: parser.get_error(0))
    other = step("IParser::getError(1)", lambda: parser.get_error(1))
    for name, method, first, second in [
        ("code", "code", 8, 2),
        ("desc", "desc", "no importer for Gelu", "second error"),
        ("file", "file", "ModelImporter.cpp", "onnx2trt_utils.cpp"),
        ("line", "line", 100, 101),
        ("func", "func", "parseNode", "convertAxis"),
        ("node", "node", 7, -1),
        ("node_name", "nodeName", "head/act", ""),
        ("node_operator", "nodeOperator", "Gelu", ""),
    ]:
        for which, value in [(error, first), (other, second)]:
            found = step(f"IParserError::{method}()", lambda: getattr(which, name)())
            same(True, found is None or (int(found) if name == "code" else found) == value)
    step("IParser::clearErrors()", parser.clear_errors)
    same(True, step('IParser::supportsOperator("Conv")', lambda: parser.supports_operator("Conv")))
    same(False, step('IParser::supportsOperator("Gelu")', lambda: parser.supports_operator("Gelu")))
    parsed = step(
        [
            'IParser::parseFromFile("no file but a model", 0)',
            '  INetworkDefinition#1 is filled from "no file but a model"',
        ],
        lambda: parser.parse_from_file("no file but a model"),
    )
    same(True, parsed)
    kept.append(parser)


def tensors_and_layers(network, config):
    step('VNetworkDefinition::setName("net")', lambda: setattr(network, "name", "net"))
    same("net", step("VNetworkDefinition::getName()", lambda: network.name))
    same(3, step("VNetworkDefinition::getNbLayers()", lambda: network.num_layers))
    same(1, step("VNetworkDefinition::getNbInputs()", lambda: network.num_inputs))
    same(2, step("VNetworkDefinition::getNbOutputs()", lambda: network.num_outputs))
    images = step("VNetworkDefinition::getInput(0)", lambda: network.get_input(0))
    boxes = step("VNetworkDefinition::getOutput(1)", lambda: network.get_output(1))
    for tensor, name, shape, kind in [
        (images, "images", (-1, 3, 224, 224), trt.DataType.FLOAT),
        (boxes, "boxes", (-1, 100, 4), trt.DataType.INT32),
    ]:
        same(name, step("VTensor::getName()", lambda: tensor.name))
        same(shape, tuple(step("VTensor::getDimensions()", lambda: tensor.shape)))
        same(kind, step("VTensor::getType()", lambda: tensor.dtype))
    same(None, step("VTensor::dynamicRangeIsSet()", lambda: images.dynamic_range))
    same(True, step("VTensor::setDynamicRange(-1.5, 2.25)", lambda: images.set_dynamic_range(-1.5, 2.25)) in (True, None))

    layer = step("VNetworkDefinition::getLayer(2)", lambda: network.get_layer(2))
    step("VLayer::getType()", lambda: layer.type)
    same("head", step("VLayer::getName()", lambda: layer.name))
    same(1, step("VLayer::getNbInputs()", lambda: layer.num_inputs))
    same(2, step("VLayer::getNbOutputs()", lambda: layer.num_outputs))
    fed = step("VLayer::getInput(0)", lambda: layer.get_input(0))
    same("body/out", step("VTensor::getName()", lambda: fed.name))
    made = step("VLayer::getOutput(1)", lambda: layer.get_output(1))
    same("boxes", step("VTensor::getName()", lambda: made.name))
    step("VLayer::setPrecision(1)", lambda: setattr(layer, "precision", trt.DataType.HALF))
    same(True, step("VLayer::getPrecision()", lambda: layer.precision) in (trt.DataType.HALF, None))
    same(True, step("VLayer::precisionIsSet()", lambda: layer.precision_is_set) in (True, None))
    step("VLayer::setOutputType(1, 3)", lambda: layer.set_output_type(1, trt.DataType.INT32))
    same(True, step("VLayer::outputTypeIsSet(1)", lambda: layer.output_type_is_set(1)) in (True, None))
    step("VBuilderConfig::setDeviceType(ILayer#3, 1)", lambda: config.set_device_type(layer, trt.DeviceType.DLA))
    same(False, step("VBuilderConfig::canRunOnDLA(ILayer#3)", lambda: config.can_run_on_DLA(layer)))


def settings(config, profile):
    step("VBuilderConfig::setMaxWorkspaceSize(268435456)", lambda: setattr(config, "max_workspace_size", 256 << 20))
    same(True, step("VBuilderConfig::getMaxWorkspaceSize()", lambda: config.max_workspace_size) in (256 << 20, None))
    pools = trt.MemoryPoolType
    step(
        "VBuilderConfig::setMemoryPoolLimit(2, 5368709120)",
        lambda: config.set_memory_pool_limit(pools.DLA_LOCAL_DRAM, 5 << 30),
    )
    same(5 << 30, step("VBuilderConfig::getMemoryPoolLimit(2)", lambda: config.get_memory_pool_limit(pools.DLA_LOCAL_DRAM)))
    debug = trt.BuilderFlag.DEBUG
    step("VBuilderConfig::setFlags(9)", lambda: setattr(config, "flags", 9))
    step("VBuilderConfig::setFlag(2)", lambda: config.set_flag(debug))
    same(13, step("VBuilderConfig::getFlags()", lambda: config.flags))
    same(True, step("VBuilderConfig::getFlag(2)", lambda: config.get_flag(debug)))
    step("VBuilderConfig::clearFlag(2)", lambda: config.clear_flag(debug))
    step("VBuilderConfig::setDLACore(1)", lambda: setattr(config, "DLA_core", 1))
    same(1, step("VBuilderConfig::getDLACore()", lambda: config.DLA_core))
    dla = trt.DeviceType.DLA
    step("VBuilderConfig::setDefaultDeviceType(1)", lambda: setattr(config, "default_device_type", dla))
    same(dla, step("VBuilderConfig::getDefaultDeviceType()", lambda: config.default_device_type))
    step(
        "VBuilderConfig::setProfilingVerbosity(2)",
        lambda: setattr(config, "profiling_verbosity", trt.ProfilingVerbosity.DETAILED),
    )
    step("VBuilderConfig::setTacticSources(3)", lambda: config.set_tactic_sources(3))
    same(3, step("VBuilderConfig::getTacticSources()", config.get_tactic_sources))
    feature = list(trt.PreviewFeature.__members__.values())[0]
    step(
        f"VBuilderConfig::setPreviewFeature({int(feature)}, true)",
        lambda: config.set_preview_feature(feature, True),
    )
    same(
        True,
        step(f"VBuilderConfig::getPreviewFeature({int(feature)})", lambda: config.get_preview_feature(feature)),
    )
    step("VBuilderConfig::setBuilderOptimizationLevel(4)", lambda: setattr(config, "builder_optimization_level", 4))
    same(4, step("VBuilderConfig::getBuilderOptimizationLevel()", lambda: config.builder_optimization_level))
    ampere = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    step(
        "VBuilderConfig::setHardwareCompatibilityLevel(1)",
        lambda: setattr(config, "hardware_compatibility_level", ampere),
    )
    same(ampere, step("VBuilderConfig::getHardwareCompatibilityLevel()", lambda: config.hardware_compatibility_level))
    if "VBuilderConfig::setQuantizationFlag" in ROWS:
        early = trt.QuantizationFlag.CALIBRATE_BEFORE_FUSION
        step("VBuilderConfig::setQuantizationFlag(0)", lambda: config.set_quantization_flag(early))
        same(True, step("VBuilderConfig::getQuantizationFlag(0)", lambda: config.get_quantization_flag(early)))
    step("VBuilderConfig::setNbComputeCapabilities(1)", lambda: setattr(config, "num_compute_capabilities", 1))
    if RTX:
        ampere = trt.ComputeCapability.SM86
        step("VBuilderConfig::setComputeCapability(86, 0)", lambda: config.set_compute_capability(ampere, 0))
    cache = step(
        ["VBuilderConfig::createTimingCache(bytes, 6)", '  a timing cache of "timing"'],
        lambda: config.create_timing_cache(b"timing"),
    )
    same(True, step("VBuilderConfig::setTimingCache(ITimingCache#1, true)", lambda: config.set_timing_cache(cache, True)))
    step("VBuilderConfig::getTimingCache()", config.get_timing_cache)
    memory = step("VTimingCache::serialize()", cache.serialize)
    same(6, step("VHostMemory::size()", lambda: memory.nbytes))
    lines()
    same(b"timing", bytes(memory))
    found = lines()
    compare(["VHostMemory::data()", "VHostMemory::kind()", "VHostMemory::size()"], sorted(set(found)))

    shapes = [(1, 3, 224, 224), (2, 3, 224, 224), (4, 3, 224, 224)]
    wanted = [
        f'VOptimizationProfile::setDimensions("images", {which}, {list(shape)})' for which, shape in enumerate(shapes)
    ]
    step(wanted, lambda: profile.set_shape("images", *shapes))
    same(True, step("VOptimizationProfile::isValid()", lambda: bool(profile)))
    same(0, step("VBuilderConfig::addOptimizationProfile(IOptimizationProfile#1)", lambda: config.add_optimization_profile(profile)))
    step(
        "VBuilderConfig::setCalibrationProfile(IOptimizationProfile#1)",
        lambda: config.set_calibration_profile(profile),
    )


def run(logger, recorder):
    runtime = step(
        [f"createInferRuntime_INTERNAL(callback, {VERSION})"] + said(3, "recorder: not TensorRT"),
        lambda: trt.Runtime(logger),
    )
    step("VRuntime::setDLACore(1)", lambda: setattr(runtime, "DLA_core", 1))
    same(2, step("VRuntime::getNbDLACores()", lambda: runtime.num_DLA_cores))
    same(True, step("VRuntime::getLogger()", lambda: runtime.logger) is logger)
    step(["VRuntime::setErrorRecorder(callback)"] + ADOPTED, lambda: setattr(runtime, "error_recorder", recorder))
    same(True, step("VRuntime::getErrorRecorder()", lambda: runtime.error_recorder) in (recorder, None))
    heard.clear()
    plan = b"not a plan"
    wanted = f"VRuntime::deserializeCudaEngine(bytes, {len(plan)}{', null' if V8 else ''})"
    refusal = "recorder: a plan of another version"
    same(
        None,
        step(
            [wanted, '  a plan of "not a plan"', f'  IErrorRecorder.reportError(4, "{refusal}")'],
            lambda: runtime.deserialize_cuda_engine(plan),
        ),
    )
    same([(4, refusal)], heard)
    wanted = f"VRuntime::deserializeCudaEngine(bytes, 28{', null' if V8 else ''})"
    engine = step(
        [wanted, '  a plan of "recorded plan, boxes on host"'],
        lambda: runtime.deserialize_cuda_engine(b"recorded plan, boxes on host"),
    )
    io = [("images", True, (-1, 3, 224, 224), "FLOAT"), ("scores", False, (-1, 1000), "HALF"), ("boxes", False, (-1, 100, 4), "INT32")]
    same(2, step("VCudaEngine::getNbLayers()", lambda: engine.num_layers))
    profiles = step("VCudaEngine::getNbOptimizationProfiles()", lambda: engine.num_optimization_profiles)
    same(True, profiles in (2, None))
    same(True, step("VCudaEngine::getNbBindings()", lambda: engine.num_bindings) in (6, None))
    same(True, step("VCudaEngine::getNbIOTensors()", lambda: engine.num_io_tensors) in (3, None))
    for index, (name, is_input, shape, kind) in enumerate(io):
        kind = getattr(trt.DataType, kind)
        mode = trt.TensorIOMode.INPUT if is_input else trt.TensorIOMode.OUTPUT
        place = trt.TensorLocation.HOST if name == "boxes" else trt.TensorLocation.DEVICE
        for call, method, value in [
            (f"getBindingName({index})", lambda: engine.get_binding_name(index), name),
            (f"bindingIsInput({index})", lambda: engine.binding_is_input(index), is_input),
            (f"getBindingDimensions({index})", lambda: tuple(engine.get_binding_shape(index)), shape),
            (f"getBindingDataType({index})", lambda: engine.get_binding_dtype(index), kind),
            (f"getLocation({index})", lambda: engine.get_location(index), place),
            (f'getTensorLocation("{name}")', lambda: engine.get_tensor_location(name), place),
            (f"getIOTensorName({index})", lambda: engine.get_tensor_name(index), name),
            (f'getTensorShape("{name}")', lambda: tuple(engine.get_tensor_shape(name)), shape),
            (f'getTensorDataType("{name}")', lambda: engine.get_tensor_dtype(name), kind),
            (f'getTensorIOMode("{name}")', lambda: engine.get_tensor_mode(name), mode),
        ]:
            same(True, step(f"VCudaEngine::{call}", method) in (value, None))
    same(True, step("VCudaEngine::getDeviceMemorySize()", lambda: engine.device_memory_size) in (5 << 30, None))
    same(True, step("VCudaEngine::getDeviceMemorySizeV2()", lambda: engine.device_memory_size_v2) in (6 << 30, None))
    inspector = step("VCudaEngine::createEngineInspector()", engine.create_engine_inspector)
    json = trt.LayerInformationFormat.JSON
    step("VEngineInspector::getLayerInformation(1, 1)", lambda: inspector.get_layer_information(1, json))
    same(
        '{"Layers": ["stem + body", "head"]}',
        step("VEngineInspector::getEngineInformation(1)", lambda: inspector.get_engine_information(json)),
    )
    if V8:
        context = step("VCudaEngine::createExecutionContext()", engine.create_execution_context)
    else:
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = step(
            f"VCudaEngine::createExecutionContext({int(strategy)})", lambda: engine.create_execution_context(strategy)
        )
    shape = (2, 3, 224, 224)
    step(f"VExecutionContext::setBindingDimensions(0, {list(shape)})", lambda: context.set_binding_shape(0, shape))
    bound = step("VExecutionContext::getBindingDimensions(0)", lambda: tuple(context.get_binding_shape(0)))
    same(True, bound in (shape, None))
    step("VExecutionContext::executeV2([0x10, 0x20, 0x30, null, null, null])", lambda: context.execute_v2(BINDINGS))
    step(
        "VExecutionContext::enqueueV2([0x10, 0x20, 0x30, null, null, null], 0x40, null)",
        lambda: context.execute_async_v2(BINDINGS, 0x40),
    )
    step("VExecutionContext::setOptimizationProfileAsync(0, 0x40)", lambda: context.set_optimization_profile_async(0, 0x40))
    step(f'VExecutionContext::setInputShape("images", {list(shape)})', lambda: context.set_input_shape("images", shape))
    same(True, (step('VExecutionContext::getTensorShape("images")', lambda: tuple(context.get_tensor_shape("images"))) or shape) == shape)
    step('VExecutionContext::setTensorAddress("boxes", 0x50)', lambda: context.set_tensor_address("boxes", 0x50))
    step("VExecutionContext::enqueueV3(0x40)", lambda: context.execute_async_v3(0x40))
    if not RTX:
        step('initLibNvInferPlugins(callback, "")', lambda: trt.init_libnvinfer_plugins(logger, ""))


def values():
    """The enums whose values our binding has in a table."""
    enums = ["BuilderFlag", "TacticSource", "PreviewFeature", "HardwareCompatibilityLevel", "MemoryPoolType", "LayerType"]
    for enum in enums:
        for name, member in getattr(getattr(trt, enum, None), "__members__", {}).items():
            print(f"value {enum}::k{name} {int(member)}")


main()
values()
sys.exit(1 if steps.wrong else 0)
