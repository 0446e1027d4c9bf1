#!/usr/bin/env python3
"""Hold simulated INT8 graphs and graphs with more outputs against independent computations.

    check_simulated.py reference MODEL SIMULATED   ONNX's own interpreter runs MODEL node by node, rounding what
                                                   --rounds says in numpy; every value that both graphs have must agree
    check_simulated.py same ONE OTHER              ONNX Runtime, optimised, runs both; the outputs must agree
    check_simulated.py exposed MODEL EXPOSED       ONNX Runtime, optimised, must give the outputs that EXPOSED has, as ONNX
                                                   Runtime without optimisation gives them for MODEL
    check_simulated.py external ONE OTHER          as `same`, with OTHER's external data in --folder

Agreement: the largest difference, relative to the largest value, is at most --most.
--rounds is JSON: {"tensors": {"NODE": {"INPUT": scale}}, "weights": {"NODE": [input, axis or null]}}.
"""
import argparse, json, pathlib, sys
import numpy as np, onnx, onnxruntime as ort
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def session(model, optimise=True, folder=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not arguments.integers:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feed(run, seed):
    rng = np.random.default_rng(seed)
    shape = lambda value: [size if isinstance(size, int) else 1 for size in value.shape]
    return {value.name: rng.normal(0, 1, shape(value)).astype(np.float32) for value in run.get_inputs()}


def differ(name, expected, found):
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return f"{name}: {expected.dtype}{expected.shape} and {found.dtype}{found.shape}"
    if not np.issubdtype(expected.dtype, np.floating):
        return None if np.array_equal(expected, found) else f"{name}: integers differ"
    largest = max(float(np.abs(expected).max(initial=0)), 1e-30)
    error = float(np.abs(expected - found).max(initial=0)) / largest
    print(f"{name} {error:.2e}")
    return None if error <= arguments.most else f"{name}: {error:.3e}"


def rounded(values, scale):
    return (np.clip(np.rint(values / np.float32(scale)), -128, 127) * np.float32(scale)).astype(np.float32)


def rounded_weight(values, axis):
    others = None if axis is None else tuple(a for a in range(values.ndim) if a != axis)
    scale = np.abs(values).max(axis=others, keepdims=True).astype(np.float32) / np.float32(127)
    return (np.rint(values / np.where(scale == 0, 1, scale)) * scale).astype(np.float32)


def reference(model, values, rounds):
    """Every value of the model by name."""
    values = values | {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        inputs = {name: values[name] for name in node.input if name}
        renamed = onnx.NodeProto.FromString(node.SerializeToString())
        for at, scale in rounds["tensors"].get(node.name, {}).items():
            renamed.input[int(at)] = f"rounded {at}"
            inputs[f"rounded {at}"] = rounded(values[node.input[int(at)]], scale)
        if node.name in rounds["weights"]:
            at, axis = rounds["weights"][node.name]
            renamed.input[at] = "rounded weight"
            inputs["rounded weight"] = rounded_weight(values[node.input[at]], axis)
        given = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), None)
                 for name, value in inputs.items() if name in renamed.input]
        wanted = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output if name]
        graph = helper.make_graph([renamed], "one", given, wanted)
        one = helper.make_model(graph, opset_imports=model.opset_import)
        results = ReferenceEvaluator(one).run(None, {value.name: inputs[value.name] for value in given})
        values |= zip([name for name in node.output if name], results)
    return values


def pairs():
    if arguments.verb == "reference":
        model, simulated = onnx.load(arguments.model), onnx.load(arguments.other)
        onnx.checker.check_model(simulated, full_check=True)
        names = [name for node in model.graph.node for name in node.output if name]
        own = {output.name for output in simulated.graph.output}
        simulated.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in own)
        rounds = json.loads(arguments.rounds)
        for optimise in (False, True):
            run = session(simulated.SerializeToString(), optimise)
            inputs = feed(run, 0)
            expected = reference(model, inputs, rounds)
            for output, found in zip(run.get_outputs(), run.run(None, inputs)):
                yield output.name, expected[output.name], found
        return
    one = session(arguments.model)
    if arguments.verb == "external":
        other = session(pathlib.Path(arguments.other).read_bytes(), folder=arguments.folder)
    else:
        other = session(arguments.other)
    if arguments.verb == "exposed":
        model = onnx.load(arguments.model)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=output.name) for output in other.get_outputs())
        one = session(model.SerializeToString(), optimise=False)
    inputs = feed(one, 0)
    for output, expected, found in zip(one.get_outputs(), one.run(None, inputs), other.run(None, inputs)):
        yield output.name, expected, found


parser = argparse.ArgumentParser()
parser.add_argument("verb", choices=["reference", "same", "exposed", "external"])
parser.add_argument("model")
parser.add_argument("other")
parser.add_argument("--rounds", default='{"tensors": {}, "weights": {}}')
parser.add_argument("--most", type=float, default=1e-5)
parser.add_argument("--folder")
parser.add_argument("--integers", action="store_true", help="let ONNX Runtime make integer kernels of Q/DQ, its default")
arguments = parser.parse_args()
compared = list(pairs())
wrong = [text for text in (differ(*pair) for pair in compared) if text]
if wrong or not compared:
    sys.exit(f"{len(wrong)} of {len(compared)} values differ: {'; '.join(wrong[:5])}")
