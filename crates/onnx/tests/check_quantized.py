#!/usr/bin/env python3
"""Measure activation scales with ONNX Runtime, and compare a model with its quantized version.

    check_quantized.py scales MODEL OUT         write `name scale` lines (largest magnitude / 127)
    check_quantized.py compare MODEL QUANTIZED  run the ONNX checker, print the cosine of each output
    check_quantized.py exact MODEL CONVERTED    the same with ONNX's own interpreter for CONVERTED, which rounds every
                                                result to float16 (ONNX Runtime computes in float32 on a CPU)
    check_quantized.py qat MODEL OUT            quantize as users do, with ONNX Runtime: --style

Options: --shape 1,3,640,640 for an input with free dimensions; --photos DIR for photographs (needs Pillow) instead
of generated pictures; --count N; --least X makes `compare` fail below that cosine; --mean and --std as for the
network, for pixels in 0..1; --varying compares only what differs between pictures.
"""
import argparse, gzip, io, pathlib, sys
import numpy as np, onnx, onnxruntime as ort

STORED = ("Constant", "Identity")  # outputs that are no activations, or only copies of one


def session(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def generated(count, height, width, first):
    """Pictures with structure at every size: smooth noise in octaves and some hard-edged boxes."""
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        picture = np.zeros((height, width, 3))
        for octave in range(2, 8):
            cells = 2**octave
            noise = rng.normal(size=(cells, cells, 3))
            rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
            picture += noise[rows][:, columns] / octave
        for _ in range(12):
            top, left = rng.integers(0, height), rng.integers(0, width)
            bottom, right = top + rng.integers(1, height // 2), left + rng.integers(1, width // 2)
            picture[top:bottom, left:right] = rng.normal(size=3)
        yield np.clip(picture / 4 + 0.5, 0, 1)


def photographs(folder, count, height, width, first):
    from PIL import Image

    files = sorted(f for f in pathlib.Path(folder).rglob("*") if ".jpg" in f.name.lower() and f.stat().st_size > 15000)
    for file in files[first % 7 :: max(1, len(files) // count)][:count]:
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
        picture = Image.open(io.BytesIO(data)).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        yield np.asarray(picture) / 255


def feeds(model, arguments, first):
    name, shape = model.get_inputs()[0].name, model.get_inputs()[0].shape
    free = [int(size) for size in arguments.shape.split(",")] + [1] * len(shape)
    shape = [size if isinstance(size, int) else free[axis] for axis, size in enumerate(shape)]
    if len(shape) != 4:
        for seed in range(first, first + arguments.count):
            yield {name: np.random.default_rng(seed).normal(0, arguments.amplitude, shape).astype(np.float32)}
        return
    folder = [arguments.photos] if arguments.photos else []
    pictures = (photographs if folder else generated)(*folder, arguments.count, *shape[2:], first)
    for picture in pictures:
        planes = ((picture - arguments.mean) / arguments.std).transpose(2, 0, 1)[None]
        yield {name: np.resize(planes, shape).astype(np.float32)}


def scales(arguments):
    model = onnx.load(arguments.model)
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type not in STORED:
            model.graph.output.extend(onnx.ValueInfoProto(name=o) for o in node.output if o and o not in outputs)
    run = session(model.SerializeToString())
    names, largest = [output.name for output in run.get_outputs()], {}
    for feed in feeds(run, arguments, 0):
        for name, value in [*zip(names, run.run(None, feed)), *feed.items()]:
            if value.dtype == np.float32 and value.size:
                largest[name] = max(largest.get(name, 0), float(np.abs(value).max()))
    lines = [f"{name} {value / 127:.9e}\n" for name, value in largest.items()]
    pathlib.Path(arguments.other).write_text("".join(lines))


def likeness(pairs, varying):
    """The cosine over all pictures (a picture without text has no signal of its own); of integers, how many agree."""
    if np.issubdtype(pairs[0][0].dtype, np.integer):
        return float(np.mean([np.mean(a == b) for a, b in pairs]))
    a, b = (np.array(values, np.float64) for values in zip(*pairs))
    if varying:  # Boxes are mostly the grid that they are counted from, whatever the picture.
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-30))


def qat(arguments):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.feeds = feeds(session(arguments.model), arguments, 0)

        def get_next(self):
            return next(self.feeds, None)

    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True}
    float_weights = {"QuantizeBias": False, "AddQDQPairToWeight": True, "DedicatedQDQPair": True}
    style = {
        "symmetric": {"activation_type": QuantType.QInt8, "extra_options": symmetric},
        "float-weights": {  # As PyTorch's fake quantization exports them.
            "activation_type": QuantType.QInt8,
            "op_types_to_quantize": ["Conv", "MatMul", "Gemm"],
            "extra_options": symmetric | float_weights,
        },
        "unsigned": {"activation_type": QuantType.QUInt8, "extra_options": symmetric},  # Zero points of 128.
        "default": {"activation_type": QuantType.QUInt8},
    }[arguments.style]
    quantize_static(arguments.model, arguments.other, Reader(), quant_format=QuantFormat.QDQ,
                    per_channel=arguments.style != "default",
                    weight_type=QuantType.QUInt8 if arguments.style == "unsigned" else QuantType.QInt8, **style)


class Exact:
    def __init__(self, model):
        from onnx.reference import ReferenceEvaluator

        self.evaluator = ReferenceEvaluator(model)

    def run(self, outputs, feed):
        with np.errstate(all="ignore"):
            return self.evaluator.run(outputs, feed)


def compare(arguments):
    onnx.checker.check_model(arguments.other, full_check=True)
    original = session(arguments.model)
    quantized = (Exact if arguments.verb == "exact" else session)(arguments.other)
    outputs = {}  # of each output: the pairs of all pictures
    for feed in feeds(original, arguments, 1000):
        for output, *pair in zip(original.get_outputs(), original.run(None, feed), quantized.run(None, feed)):
            outputs.setdefault(output.name, []).append(pair)
    cosines = {name: likeness(pairs, arguments.varying) for name, pairs in outputs.items()}
    for name, cosine in cosines.items():
        print(f"{name} {cosine:.6f}")
    below = [name for name, cosine in cosines.items() if not cosine >= arguments.least]
    if below or not cosines:
        sys.exit(f"cosine below {arguments.least}: {', '.join(below)}")


def numbers(text):
    return np.array([float(number) for number in text.split(",")])


parser = argparse.ArgumentParser()
parser.add_argument("verb", choices=["scales", "compare", "exact", "qat"])
parser.add_argument("model")
parser.add_argument("other")
parser.add_argument("--shape", default="1,3,640,640")
parser.add_argument("--photos")
parser.add_argument("--count", type=int, default=8)
parser.add_argument("--least", type=float, default=-1)
parser.add_argument("--style", default="symmetric")
parser.add_argument("--amplitude", type=float, default=1, help="of inputs that are no pictures")
parser.add_argument("--varying", action="store_true")
parser.add_argument("--mean", type=numbers, default=numbers("0.5,0.5,0.5"))
parser.add_argument("--std", type=numbers, default=numbers("0.5,0.5,0.5"))
arguments = parser.parse_args()
{"scales": scales, "compare": compare, "exact": compare, "qat": qat}[arguments.verb](arguments)
