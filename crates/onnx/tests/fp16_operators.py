#!/usr/bin/env python3
"""ONNX's own test of each operator, converted to FP16: do the types fit that its schemas and ONNX Runtime want?

    fp16_operators.py make DIR     writes DIR/NAME.onnx for each test with a float32 input or output, and for a few graphs
                                   in which a node's type does not follow from what it reads
    fp16_operators.py judge DIR    checks DIR/NAME.fp16.onnx wherever the original passes the same check
"""
import pathlib, sys, warnings
import onnx, onnx.parser, onnxruntime as ort

# What computes float32 beside float16 numbers (`h`), in ONNX's text format: inputs, output, body.
MIXED = {
    "size": ("float[4] x, int64[1] n", "float[?] y", "h = Relu (x) o = ConstantOfShape <value = float[1] {0.5}> (n) y = Add (h, o)"),
    "mel": ("float[4] x, int64 n, float l, float u", "float[?, ?] y",
            "h = Relu (x) k = Neg (u) o = MelWeightMatrix (n, n, n, l, k) y = Add (h, o)"),
    "hann": ("float[4] x, int64 n", "float[?] y", "h = Relu (x) o = HannWindow (n) y = Add (h, o)"),
    "hamming": ("float[4] x, int64 n", "float[?] y", "h = Relu (x) o = HammingWindow (n) y = Add (h, o)"),
    "blackman": ("float[4] x, int64 n", "float[?] y", "h = Relu (x) o = BlackmanWindow (n) y = Add (h, o)"),
    "words": ("float[4] x, int64[6] n", "float[?] y", """h = Relu (x)
        o = TfIdfVectorizer <max_gram_length = 1, max_skip_count = 0, min_gram_length = 1, mode = "TF",
            ngram_counts = [0], ngram_indexes = [0, 1, 2, 3], pool_int64s = [1, 2, 3, 4]> (n)
        y = Add (h, o)"""),
    "statistics": ("float[2, 4] x, float[4] s", "float[2, 4] y, float[2, 1] m", """h = Relu (x)
        o, m, d = LayerNormalization (h, s) e = Mul (d, m) f = Relu (e) y = Add (f, o)"""),
    "celu": ("float[4] x", "float[4] y", "h = Relu (x) o = Celu (h) y = Add (h, o)"),
    "infinite": ("float[4] x", "float[4] y", "h = Relu (x) b = IsInf (h) o = Cast <to = 1> (b) y = Add (h, o)"),
    "classes": ("float[4] x, float[3] i, float d", "float[3, ?] y",
                "h = Abs (i) v = Slice (x, zero, two, zero) k = Relu (d) y = OneHot (h, k, v)"),
    "like": ("float[4] x, int64[4] i", "float[4] y", "h = Relu (x) o = CastLike (i, h) y = Add (h, o)"),
    "eye": ("float[4, 4] x", "float[4, 4] y", "h = Relu (x) o = EyeLike <dtype = 1> (h) y = Add (h, o)"),
    "noise": ("float[4] x", "float[4] y", "h = Relu (x) o = RandomNormalLike (h) y = Add (h, o)"),
    "steps": ("float[4] x, float a, float b", "float[?] y", "h = Relu (x) k = Abs (b) o = Range (a, k, k) y = Add (h, o)"),
    "integers": ("float[1, 1, 4, 4] x", "float[1, 1, 4, 4] y", """h = Relu (x)
        q, s, z = DynamicQuantizeLinear (h) w = Constant <value = uint8[1, 1, 1, 1] {2}> ()
        r = QLinearConv (q, s, z, w, s, z, s, z) d = DequantizeLinear (r, s, z) y = Add (h, d)"""),
    "sequence": ("float[4] x", "float[?] y", """h = Relu (x) s = SequenceConstruct (h, h)
        o = ConcatFromSequence <axis = 0> (s) a = SequenceAt (s, zero0) b = Add (a, h) y = Concat <axis = 0> (o, b)"""),
    "number": ("float[4] x", "float[4] y", "h = Relu (x) c = Constant <value_float = 0.5> () y = Add (h, c)"),
}
NUMBERS = "zero = Constant <value_ints = [0]> () two = Constant <value_ints = [2]> () zero0 = Constant <value_int = 0> ()"

ort.set_default_logger_severity(4)


def make(folder):
    from onnx.backend.test.case.node import collect_testcases

    warnings.filterwarnings("ignore")
    for case in collect_testcases(None):
        model = case.model
        versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
        values = [*model.graph.input, *model.graph.output]
        has_float = any(value.type.tensor_type.elem_type in (0, onnx.TensorProto.FLOAT) for value in values)
        if versions and versions[0] >= 13 and has_float:
            onnx.save(model, folder / f"{case.name}.onnx")
    for name, (inputs, outputs, body) in MIXED.items():
        outputs = outputs.replace("?", "N")
        text = f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => ({outputs}) {{ {NUMBERS} {body} }}'
        model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text), strict_mode=True)
        assert not problem(model), f"{name}: {problem(model)}"
        onnx.save(model, folder / f"mixed_{name}.onnx")


def problem(model):
    """What the schemas or ONNX Runtime say against it."""
    try:
        onnx.checker.check_model(model, full_check=True)
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # Each of them has several kinds.
        return str(error).strip()


def judge(folder):
    failures, passed = [], 0
    for path in sorted(folder.glob("*.fp16.onnx")):
        found = problem(onnx.load(path))
        if not found:
            passed += 1
        elif not problem(onnx.load(path.with_suffix("").with_suffix(".onnx"))):
            failures.append(f"{path.name}: {found}")
    print(f"{passed} graphs have types that fit")
    if failures or passed < 500:
        sys.exit("\n".join([f"{len(failures)} do not fit, {passed} do", *failures]))


{"make": make, "judge": judge}[sys.argv[1]](pathlib.Path(sys.argv[2]))
