#!/usr/bin/env python3
"""The parts that networks are made of, in true float16 arithmetic.

    fp16_patterns.py make DIR     writes DIR/NAME.onnx for every pattern
    fp16_patterns.py judge DIR    compares each with its conversion, DIR/NAME.fp16.onnx, and fails beyond a bound

ONNX's own interpreter rounds every result to the type that the graph states; ONNX Runtime computes in float32 on a CPU,
but refuses a graph whose types do not fit, so it has to load every conversion. Inputs are numbers that float16 holds.
A bound is the largest error beside the largest magnitude of the output in float32.

DIR/NAME.careless.onnx was converted without regard to overflow. Where a pattern says so, `judge` fails if that is as
good, for then the pattern shows nothing.
"""
import pathlib, sys
import numpy as np, onnx, onnx.parser, onnxruntime as ort
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(1)
PATTERNS = {}  # of each name: the model, its feeds, the bound, and whether careless conversion fails


def normal(*shape, scale=1.0, mean=0.0):
    return RNG.normal(mean, scale, shape)


def positive(*shape, scale=1.0):
    return np.abs(RNG.normal(0, scale, shape)) + scale / 8


def pattern(name, inputs, outputs, body, *feeds, bound=0.002, overflows=False):
    """`body` in ONNX's text format, where #0.5# is a stored number; each feed has the inputs in their order."""
    pieces, constants = body.split("#"), []
    for index in range(1, len(pieces), 2):
        constants.append(f"c{index} = Constant <value = float {{{pieces[index]}}}> ()")
        pieces[index] = f"c{index}"
    statements = "\n".join([*constants, "".join(pieces)])
    text = f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => ({outputs}) {{ {statements} }}'
    PATTERNS[name] = onnx.parser.parse_model(text), feeds, bound, overflows


MEAN_OF_SQUARES = "v = ReduceMean <axes = [-1]> (q)"
pattern("softmax", "float[4,32] x", "float[4,32] y", """
    e = Exp (x)
    a = Constant <value_ints = [-1]> ()
    s = ReduceSum (e, a)
    y = Div (e, s)
    """, [normal(4, 32, scale=4)], [np.full((4, 32), 12.0)], overflows=True)
pattern("softmax-shifted", "float[4,32] x", "float[4,32] y", """
    m = ReduceMax <axes = [-1]> (x)
    d = Sub (x, m)
    e = Exp (d)
    a = Constant <value_ints = [-1]> ()
    s = ReduceSum (e, a)
    y = Div (e, s)
    """, [normal(4, 32, scale=8)], [np.full((4, 32), 12.0)])
for square, of in [("pow", "q = Pow ({0}, #2#)"), ("mul", "q = Mul ({0}, {0})")]:
    pattern(f"layernorm-{square}", "float[4,256] x", "float[4,256] y", f"""
        m = ReduceMean <axes = [-1]> (x)
        d = Sub (x, m)
        {of.format("d")}
        {MEAN_OF_SQUARES}
        e = Add (v, #1e-5#)
        s = Sqrt (e)
        n = Div (d, s)
        g = Mul (n, #1.5#)
        y = Add (g, #0.25#)
        """, [normal(4, 256)], [normal(4, 256, scale=600)], [normal(4, 256, scale=0.01)],
        [normal(4, 256, scale=4, mean=500)], [np.zeros((4, 256))], overflows=True)
    for inverse, body in [
        ("div", "y = Div (x, s)"),
        ("reciprocal", "r = Reciprocal (s)\ny = Mul (x, r)"),
        ("one-over", "r = Div (#1#, s)\nn = Mul (x, r)\ny = Mul (n, #1.5#)"),
    ]:
        pattern(f"rmsnorm-{square}-{inverse}", "float[4,256] x", "float[4,256] y", f"""
            {of.format("x")}
            {MEAN_OF_SQUARES}
            e = Add (v, #1e-12#)
            s = Sqrt (e)
            {body}
            """, [normal(4, 256)], [normal(4, 256, scale=300)], [normal(4, 256, scale=0.001)],
            [np.zeros((4, 256))], overflows=True)
pattern("rmsnorm-power", "float[4,256] x", "float[4,256] y", f"""
    q = Pow (x, #2#)
    {MEAN_OF_SQUARES}
    e = Add (v, #1e-12#)
    s = Pow (e, #-0.5#)
    y = Mul (x, s)
    """, [normal(4, 256)], [normal(4, 256, scale=300)], [np.zeros((4, 256))], overflows=True)
pattern("mean-of-squares", "float[2,64] x", "float[2,64] y", f"""
    q = Mul (x, x)
    {MEAN_OF_SQUARES}
    s = Sqrt (v)
    y = Div (x, s)
    """, [np.full((2, 64), 300.0)], overflows=True)
pattern("l2-reduce", "float[2,8192] x", "float[2,8192] y", """
    n = ReduceL2 <axes = [-1]> (x)
    c = Clip (n, #1e-12#)
    t = Shape (x)
    b = Expand (c, t)
    y = Div (x, b)
    """, [normal(2, 8192)], [normal(2, 8192, scale=1000)], [np.zeros((2, 8192))], overflows=True)
pattern("l2-written", "float[2,8192] x", "float[2,8192] y", """
    q = Mul (x, x)
    a = Constant <value_ints = [-1]> ()
    v = ReduceSum (q, a)
    s = Sqrt (v)
    m = Max (s, #1e-12#)
    y = Div (x, m)
    """, [normal(2, 8192)], [normal(2, 8192, scale=1000)], [np.zeros((2, 8192))], overflows=True)
pattern("l2-operator", "float[2,8] x", "float[2,8] y", "y = LpNormalization <axis = -1, p = 2> (x)",
        [np.full((2, 8), 300.0)], [normal(2, 8, scale=300)], overflows=True)
pattern("lp-pool", "float[1,2,8,8] x", "float[1,2,4,4] y", """
    p = LpPool <kernel_shape = [2, 2], strides = [2, 2], p = 2> (x)
    y = Mul (p, #0.5#)
    """, [np.full((1, 2, 8, 8), 300.0)], overflows=True)
pattern("mean-variance", "float[2,4,8,8] x", "float[2,4,8,8] y", "y = MeanVarianceNormalization <axes = [0, 2, 3]> (x)",
        [normal(2, 4, 8, 8, scale=600)], overflows=True)
pattern("lrn", "float[1,8,4,4] x", "float[1,8,4,4] y", "y = LRN <size = 5, alpha = 0.001, bias = 1.0> (x)",
        [normal(1, 8, 4, 4, scale=600)], overflows=True)
pattern("cosine", "float[2,512] x, float[2,512] z", "float[2,1] y", """
    p = Mul (x, z)
    a = Constant <value_ints = [-1]> ()
    dot = ReduceSum (p, a)
    l = ReduceL2 <axes = [-1]> (x)
    r = ReduceL2 <axes = [-1]> (z)
    n = Mul (l, r)
    m = Max (n, #1e-8#)
    y = Div (dot, m)
    """, [positive(2, 512, scale=300), positive(2, 512, scale=300)], overflows=True)
pattern("distances", "float[4,1,64] x, float[1,16,64] codes", "int64[4] y", """
    d = Sub (x, codes)
    q = Mul (d, d)
    a = Constant <value_ints = [-1]> ()
    s = ReduceSum <keepdims = 0> (q, a)
    y = ArgMin <axis = 1, keepdims = 0> (s)
    """, [normal(4, 1, 64, scale=60), normal(1, 16, 64, scale=60)], bound=0, overflows=True)
pattern("gelu-erf", "float[4,64] x", "float[4,64] y", """
    d = Div (x, #1.4142135#)
    e = Erf (d)
    a = Add (e, #1#)
    m = Mul (x, a)
    y = Mul (m, #0.5#)
    """, [normal(4, 64)], [normal(4, 64, scale=300)])
for cube, how in [("pow", "c = Pow (x, #3#)"), ("mul", "q = Mul (x, x)\nc = Mul (q, x)")]:
    pattern(f"gelu-tanh-{cube}", "float[4,64] x", "float[4,64] y", f"""
        {how}
        k = Mul (c, #0.044715#)
        a = Add (x, k)
        b = Mul (a, #0.7978846#)
        t = Tanh (b)
        p = Add (t, #1#)
        h = Mul (x, #0.5#)
        y = Mul (h, p)
        """, [normal(4, 64)], [normal(4, 64, scale=300)])
LAST = np.tril(np.ones((8, 8)))
NONE = LAST.copy()
NONE[5] = 0  # A row of nothing gets equal shares of everything, not NaN.
for name, masked, mask in [
    ("lowest", "n = Sub (#1#, mask)\nh = Mul (n, #-3.4028235e38#)\nm = Add (s, h)", NONE),
    ("billion", "n = Sub (#1#, mask)\nh = Mul (n, #-1e9#)\nm = Add (s, h)", NONE),
    ("ten-thousand", "n = Sub (#1#, mask)\nh = Mul (n, #-10000#)\nm = Add (s, h)", LAST),
    ("where-lowest", "z = Cast <to = 9> (mask)\nm = Where (z, s, #-3.4028235e38#)", NONE),
    ("where-billion", "z = Cast <to = 9> (mask)\nm = Where (z, s, #-1e9#)", NONE),
    ("large-scores", "m = Mul (s, mask)", np.ones((8, 8))),
]:
    scale = 3 if name == "large-scores" else 1
    pattern(f"attention-{name}", "float[2,8,64] q, float[2,8,64] k, float[2,8,64] v, float[8,8] mask", "float[2,8,64] y",
            f"""
        t = Transpose <perm = [0, 2, 1]> (k)
        p = MatMul (q, t)
        s = Mul (p, #0.125#)
        {masked}
        w = Softmax <axis = -1> (m)
        y = MatMul (w, v)
        """, [normal(2, 8, 64, scale=scale), normal(2, 8, 64, scale=scale), normal(2, 8, 64), mask])
pattern("squeeze-excite", "float[1,8,64,64] x, float[4,8,1,1] a, float[8,4,1,1] b", "float[1,8,64,64] y", """
    p = ReduceMean <axes = [2, 3]> (x)
    c = Conv (p, a)
    r = Relu (c)
    d = Conv (r, b)
    g = Sigmoid (d)
    y = Mul (x, g)
    """, [normal(1, 8, 64, 64, scale=3, mean=2), normal(4, 8, 1, 1), normal(8, 4, 1, 1)])
for name, shape, between in [("", "1,8,1,1", "r = Identity (s)"), ("-flat", "1,8", "r = Flatten (s)")]:
    pattern(f"mean-as-sum{name}", "float[1,8,64,64] x", f"float[{shape}] y", f"""
        a = Constant <value_ints = [2, 3]> ()
        s = ReduceSum (x, a)
        {between}
        y = Mul (r, #0.000244140625#)
        """, [np.full((1, 8, 64, 64), 20.0)], [positive(1, 8, 64, 64, scale=20)], overflows=True)
pattern("mean-by-shape", "float[1,8,64,64] x", "float[1,8,1,1] y", """
    a = Constant <value_ints = [2, 3]> ()
    s = ReduceSum (x, a)
    t = Shape (x)
    g = Gather (t, a)
    n = ReduceProd <keepdims = 0> (g)
    f = Cast <to = 1> (n)
    y = Div (s, f)
    """, [np.full((1, 8, 64, 64), 20.0)], overflows=True)
pattern("hard-swish", "float[4,64] x", "float[4,64] y", """
    a = Add (x, #3#)
    c = Clip (a, #0#, #6#)
    m = Mul (x, c)
    y = Div (m, #6#)
    """, [normal(4, 64, scale=3)], [normal(4, 64, scale=300)])
pattern("hard-swish-operator", "float[4,64] x", "float[4,64] y", "y = HardSwish (x)", [normal(4, 64, scale=3)])
pattern("silu", "float[4,64] x", "float[4,64] y", "s = Sigmoid (x)\ny = Mul (x, s)", [normal(4, 64, scale=30)])
for name, inverse in [("div", "r = Div (#1#, a)\ny = Mul (x, r)"), ("x-div", "y = Div (x, a)")]:
    pattern(f"silu-written-{name}", "float[4,64] x", "float[4,64] y", f"""
        n = Neg (x)
        e = Exp (n)
        a = Add (e, #1#)
        {inverse}
        """, [normal(4, 64, scale=8)], [normal(4, 64, scale=30)])
pattern("mish", "float[4,64] x", "float[4,64] y", """
    e = Exp (x)
    a = Add (e, #1#)
    l = Log (a)
    t = Tanh (l)
    y = Mul (x, t)
    """, [normal(4, 64, scale=8)], [normal(4, 64, scale=20)])
pattern("yolov5-boxes", "float[1,3,80,80,4] x, float[1,1,80,80,2] grid, float[1,3,1,1,2] anchors", "float[1,3,80,80,4] y",
        """
    s = Sigmoid (x)
    cut = Constant <value_ints = [2, 2]> ()
    p, e = Split <axis = 4> (s, cut)
    p2 = Mul (p, #2#)
    ph = Sub (p2, #0.5#)
    pg = Add (ph, grid)
    xy = Mul (pg, #8#)
    e2 = Mul (e, #2#)
    e4 = Pow (e2, #2#)
    wh = Mul (e4, anchors)
    y = Concat <axis = 4> (xy, wh)
    """, [normal(1, 3, 80, 80, 4, scale=2), np.stack(np.meshgrid(np.arange(80.), np.arange(80.)), -1)[None, None],
          np.array([10, 13, 16, 30, 33, 23]).reshape(1, 3, 1, 1, 2)], bound=0.001)
pattern("yolox-boxes", "float[1,400,4] x, float[1,400,2] grid", "float[1,400,4] y", """
    cut = Constant <value_ints = [2, 2]> ()
    p, e = Split <axis = 2> (x, cut)
    pg = Add (p, grid)
    xy = Mul (pg, #32#)
    x1 = Exp (e)
    wh = Mul (x1, #32#)
    y = Concat <axis = 2> (xy, wh)
    """, [np.clip(normal(1, 400, 4), -3, 3), np.stack(np.meshgrid(np.arange(20.), np.arange(20.)), -1).reshape(1, 400, 2)],
        bound=0.001)


def make(folder):
    for name, (model, *_) in PATTERNS.items():
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / f"{name}.onnx")


def outcome(model, original, feeds):
    """The largest error over all feeds, and infinite where there is NaN or an infinity that float32 does not have."""
    names, worst = [value.name for value in original.graph.input], 0.0
    exact, converted = ReferenceEvaluator(original), ReferenceEvaluator(model)
    for feed in feeds:
        feed = {name: np.asarray(values, np.float16).astype(np.float32) for name, values in zip(names, feed)}
        with np.errstate(all="ignore"):
            expected, found = (run.run(None, feed)[0].astype(np.float64) for run in (exact, converted))
        if not np.isfinite(expected).all():  # 0 by 0 without an epsilon: nothing to compare.
            sys.exit(f"{original.graph.node[-1].output}: float32 itself is not finite")
        error = np.abs(expected - found).max() / max(np.abs(expected).max(), 1e-30) if np.isfinite(found).all() else np.inf
        worst = max(worst, 0.0 if np.array_equal(expected, found) else error)
    return worst


def careless_outcome(path, original, feeds):
    try:
        return outcome(onnx.load(path), original, feeds)
    except RuntimeError as error:  # MeanVarianceNormalization is made of float32 constants.
        print(f"{path.stem}: {error}")
        return np.inf


def judge(folder):
    failures = []
    for name, (original, feeds, bound, overflows) in PATTERNS.items():
        path = folder / f"{name}.fp16.onnx"
        onnx.checker.check_model(path, full_check=True)
        ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        error = outcome(onnx.load(path), original, feeds)
        careless = careless_outcome(folder / f"{name}.careless.onnx", original, feeds)
        print(f"{name:28} {error:.5f} of {bound}, careless {careless:.5f}")
        if not error <= bound:
            failures.append(f"{name}: error {error} beyond {bound}")
        if overflows and careless <= bound:
            failures.append(f"{name}: converted carelessly it is as good, so that it shows nothing")
    if failures:
        sys.exit("\n".join(failures))


{"make": make, "judge": judge}[sys.argv[1]](pathlib.Path(sys.argv[2]))
