"""make_models.py FOLDER [NAME…]: ONNX graphs as exporters write them, with random weights from a fixed seed."""
import pathlib, sys
import numpy as np, onnx, onnxruntime as ort
from onnx import TensorProto as T, helper, numpy_helper


class Graph:
    """Nodes and weights in the order in which they are added; values are names."""

    def __init__(self, seed):
        self.nodes, self.weights, self.random, self.count = [], [], np.random.default_rng(seed), 0

    def node(self, op, inputs, outputs=1, name=None, **attributes):
        self.count += 1
        name = name or f"/{op}_{self.count}"
        names = [f"{name}_output_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def stored(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *values):
        self.count += 1
        return self.stored(f"ints_{self.count}", np.array(values, np.int64))

    def number(self, value):
        self.count += 1
        return self.stored(f"number_{self.count}", np.float32(value))

    def weight(self, name, *shape, gain=1.0, axis=0):
        """Normal, so that what a node computes is about as large as what it reads."""
        fan_in = np.prod(shape) / shape[axis] if len(shape) > 1 else 100
        return self.stored(name, self.random.normal(0, gain / np.sqrt(fan_in), shape).astype(np.float32))

    def conv(self, x, name, inputs, outputs, kernel=1, stride=1, gain=1.7, **more):
        weight = self.weight(f"{name}.weight", outputs, inputs, kernel, kernel, gain=gain)
        pad = [kernel // 2] * 4
        bias = self.weight(f"{name}.bias", outputs)
        return self.node("Conv", [x, weight, bias], name=f"/{name}/Conv", kernel_shape=[kernel] * 2,
                         strides=[stride] * 2, pads=pad, **more)

    def save(self, path, opset, inputs, outputs, external=None):
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="make-models")
        model.ir_version = 8
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        settle(model)
        if external:
            (path.parent / external).unlink(missing_ok=True)  # The writer appends.
            onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=1024)
        else:
            onnx.save(model, path)
        onnx.checker.check_model(path, full_check=True)


def settle(model):
    """Makes every channel of a convolution vary about zero, as training does.

    Without that all pictures look the same to a deep network of random weights, and rounding outweighs what is left.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    shape = [dim.dim_value or 1 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(6):
        octaves = (random.normal(size=(shape[1], cells, cells)) for cells in (2, 4, 8, 16, 32))
        pictures.append(sum(np.kron(o, np.ones([side // o.shape[1] for side in shape[2:]])) / 3 for o in octaves) + 0.5)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for node in model.graph.node:
        if node.op_type != "Conv" or len(node.input) < 3:
            continue
        part = onnx.ModelProto()
        part.CopyFrom(model)
        del part.graph.output[:]
        part.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
        run = ort.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        name = model.graph.input[0].name
        values = np.concatenate([run.run(None, {name: p[None].astype(np.float32)})[0] for p in pictures])
        mean, deviation = values.mean((0, 2, 3)), np.maximum(values.std((0, 2, 3)), 1e-3)
        weight, bias = (numpy_helper.to_array(weights[name]) for name in node.input[1:])
        for name, array in (
            (node.input[1], weight / deviation[:, None, None, None]),
            (node.input[2], bias + (bias - mean) / deviation),
        ):
            weights[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))


def picture(side, batch=1):
    return helper.make_tensor_value_info("images", T.FLOAT, [batch, 3, side, side])


def yolov8(path, side=160, classes=80, bins=16):
    """C2f blocks, SiLU, SPPF, a decoupled head for each stride, and boxes decoded from distributions (DFL)."""
    g = Graph(8)

    def conv(x, name, inputs, outputs, kernel=1, stride=1):
        y = g.conv(x, f"{name}/conv", inputs, outputs, kernel, stride)
        return g.node("Mul", [y, g.node("Sigmoid", [y], name=f"/{name}/act/Sigmoid")], name=f"/{name}/act/Mul")

    def c2f(x, name, inputs, outputs, repeats, shortcut):
        half = outputs // 2
        parts = g.node("Split", [conv(x, f"{name}/cv1", inputs, outputs)], 2, axis=1, num_outputs=2)
        for index in range(repeats):
            y = conv(parts[-1], f"{name}/m.{index}/cv1", half, half, 3)
            y = conv(y, f"{name}/m.{index}/cv2", half, half, 3)
            parts.append(g.node("Add", [parts[-1], y]) if shortcut else y)
        return conv(g.node("Concat", parts, axis=1), f"{name}/cv2", (2 + repeats) * half, outputs)

    def sppf(x, name, channels):
        half = channels // 2
        parts = [conv(x, f"{name}/cv1", channels, half)]
        for _ in range(3):
            parts.append(g.node("MaxPool", [parts[-1]], kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1]))
        return conv(g.node("Concat", parts, axis=1), f"{name}/cv2", 4 * half, channels)

    def up(x):
        scales = g.stored(f"scales_{g.count}", np.array([1, 1, 2, 2], np.float32))
        return g.node("Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
                      coordinate_transformation_mode="asymmetric")

    def join(*parts):
        return g.node("Concat", list(parts), axis=1)

    x = conv(conv("images", "0", 3, 16, 3, 2), "1", 16, 32, 3, 2)
    x = conv(c2f(x, "2", 32, 32, 1, True), "3", 32, 64, 3, 2)
    p3 = c2f(x, "4", 64, 64, 2, True)
    p4 = c2f(conv(p3, "5", 64, 128, 3, 2), "6", 128, 128, 2, True)
    x = c2f(conv(p4, "7", 128, 256, 3, 2), "8", 256, 256, 1, True)
    p5 = sppf(x, "9", 256)
    n4 = c2f(join(up(p5), p4), "12", 384, 128, 1, False)
    n3 = c2f(join(up(n4), p3), "15", 192, 64, 1, False)
    n4 = c2f(join(conv(n3, "16", 64, 64, 3, 2), n4), "18", 192, 128, 1, False)
    n5 = c2f(join(conv(n4, "19", 128, 128, 3, 2), p5), "21", 384, 256, 1, False)

    flat, anchors, strides = [], [], []
    for level, (x, channels, stride) in enumerate([(n3, 64, 8), (n4, 128, 16), (n5, 256, 32)]):
        box, score = x, x
        for step, inputs in (("0", channels), ("1", 64)):
            box = conv(box, f"22/cv2.{level}.{step}", inputs, 64, 3)
        for step, inputs in (("0", channels), ("1", classes)):
            score = conv(score, f"22/cv3.{level}.{step}", inputs, classes, 3)
        box = g.conv(box, f"22/cv2.{level}.2", 64, 4 * bins)
        score = g.conv(score, f"22/cv3.{level}.2", classes, classes)
        flat.append(g.node("Reshape", [join(box, score), g.ints(1, 4 * bins + classes, -1)]))
        rows, columns = np.mgrid[0 : side // stride, 0 : side // stride] + 0.5
        anchors.append(np.stack([columns.ravel(), rows.ravel()]))
        strides.append(np.full((1, rows.size), stride))
    anchors, strides = (np.concatenate(parts, axis=1).astype(np.float32) for parts in (anchors, strides))
    count = anchors.shape[1]
    box, score = g.node("Split", [g.node("Concat", flat, axis=2), g.ints(4 * bins, classes)], 2, axis=1)
    box = g.node("Transpose", [g.node("Reshape", [box, g.ints(1, 4, bins, count)])], perm=[0, 2, 1, 3])
    box = g.node("Softmax", [box], name="/22/dfl/Softmax", axis=1)
    expectation = g.stored("22.dfl.weight", np.arange(bins, dtype=np.float32).reshape(1, bins, 1, 1))
    box = g.node("Reshape", [g.node("Conv", [box, expectation], name="/22/dfl/Conv"), g.ints(1, 4, count)])
    near, far = (g.node("Slice", [box, g.ints(start), g.ints(start + 2), g.ints(1)]) for start in (0, 2))
    anchors = g.stored("anchors", anchors[None])
    near, far = g.node("Sub", [anchors, near]), g.node("Add", [anchors, far])
    centre = g.node("Div", [g.node("Add", [near, far]), g.number(2)])
    boxes = g.node("Concat", [centre, g.node("Sub", [far, near])], axis=1)
    boxes = g.node("Mul", [boxes, g.stored("strides", strides[None])])
    g.nodes.append(helper.make_node("Concat", [boxes, g.node("Sigmoid", [score])], ["output0"], axis=1))
    output = helper.make_tensor_value_info("output0", T.FLOAT, [1, 4 + classes, count])
    g.save(path, 18, [picture(side)], [output], external=f"{path.stem}.data")


def vit(path, side=224, patch=16, width=192, heads=3, depth=6, classes=1000):
    """Patches, a class token, attention, GELU written out with Erf; every other LayerNorm written out with Pow."""
    g = Graph(17)
    tokens, head = (side // patch) ** 2, width // heads

    def linear(x, name, inputs, outputs, gain=1.0):
        weight = g.weight(f"{name}.weight", inputs, outputs, gain=gain, axis=1)
        product = g.node("MatMul", [x, weight], name=f"/{name}/MatMul")
        return g.node("Add", [g.weight(f"{name}.bias", outputs), product], name=f"/{name}/Add")

    def norm(x, name, written_out):
        scale = g.stored(f"{name}.weight", g.random.normal(1, 0.1, width).astype(np.float32))
        bias = g.weight(f"{name}.bias", width)
        if not written_out:
            return g.node("LayerNormalization", [x, scale, bias], name=f"/{name}/LayerNormalization", epsilon=1e-6)
        centred = g.node("Sub", [x, g.node("ReduceMean", [x], axes=[-1])])
        variance = g.node("ReduceMean", [g.node("Pow", [centred, g.number(2)])], axes=[-1])
        deviation = g.node("Sqrt", [g.node("Add", [variance, g.number(1e-6)])])
        return g.node("Add", [g.node("Mul", [g.node("Div", [centred, deviation]), scale]), bias])

    def gelu(x):
        erf = g.node("Erf", [g.node("Div", [x, g.number(2**0.5)])])
        return g.node("Mul", [g.node("Mul", [x, g.node("Add", [erf, g.number(1)])]), g.number(0.5)])

    def attention(x, name):
        qkv = linear(x, f"{name}/qkv", width, 3 * width)
        shape = g.node("Concat", [g.node("Unsqueeze", [batch, g.ints(0)]), g.ints(tokens + 1, 3, heads, head)], axis=0)
        parts = g.node("Transpose", [g.node("Reshape", [qkv, shape])], perm=[2, 0, 3, 1, 4])
        q, k, v = (g.node("Gather", [parts, g.stored(f"{name}.part{index}", np.int64(index))], axis=0)
                   for index in range(3))
        logits = g.node("MatMul", [g.node("Mul", [q, g.number(head**-0.5)]), g.node("Transpose", [k], perm=[0, 1, 3, 2])])
        mixed = g.node("MatMul", [g.node("Softmax", [logits], axis=-1), v])
        shape = g.node("Concat", [g.node("Unsqueeze", [batch, g.ints(0)]), g.ints(tokens + 1, width)], axis=0)
        mixed = g.node("Reshape", [g.node("Transpose", [mixed], perm=[0, 2, 1, 3]), shape])
        return linear(mixed, f"{name}/proj", width, width)

    weight = g.weight("patches.weight", width, 3, patch, patch)
    x = g.node("Conv", ["images", weight, g.weight("patches.bias", width)], name="/patches/Conv",
               kernel_shape=[patch] * 2, strides=[patch] * 2)
    batch = g.node("Gather", [g.node("Shape", ["images"]), g.stored("first", np.int64(0))], axis=0)
    shape = g.node("Concat", [g.node("Unsqueeze", [batch, g.ints(0)]), g.ints(width, tokens)], axis=0)
    x = g.node("Transpose", [g.node("Reshape", [x, shape])], perm=[0, 2, 1])
    shape = g.node("Concat", [g.node("Unsqueeze", [batch, g.ints(0)]), g.ints(-1, -1)], axis=0)
    ones = g.node("ConstantOfShape", [g.ints(3)], value=helper.make_tensor("one", T.INT64, [1], [1]))
    shape = g.node("Where", [g.node("Equal", [shape, g.node("Mul", [ones, g.ints(-1)])]), ones, shape])
    x = g.node("Concat", [g.node("Expand", [g.weight("class_token", 1, 1, width), shape]), x], axis=1)
    x = g.node("Add", [x, g.weight("positions", 1, tokens + 1, width)])
    for block in range(depth):
        name = f"blocks.{block}"
        x = g.node("Add", [x, attention(norm(x, f"{name}/norm1", block % 2), f"{name}/attn")])
        y = gelu(linear(norm(x, f"{name}/norm2", block % 2), f"{name}/mlp/fc1", width, 4 * width, 1.4))
        x = g.node("Add", [x, linear(y, f"{name}/mlp/fc2", 4 * width, width)])
    x = g.node("Gather", [norm(x, "norm", False), g.stored("class_index", np.int64(0))], axis=1)
    weight = g.weight("head.weight", classes, width)
    g.nodes.append(helper.make_node("Gemm", [x, weight, g.weight("head.bias", classes)], ["logits"], "/head/Gemm", transB=1))
    output = helper.make_tensor_value_info("logits", T.FLOAT, ["batch", classes])
    g.save(path, 17, [picture(side, "batch")], [output])


def segmenter(path, side=128, classes=19, width=24):
    """Down by depthwise convolutions and pooling, up by ConvTranspose and Resize, with what was there on the way."""
    g = Graph(13)

    def batch_norm(x, name, channels):
        parts = [g.stored(f"{name}.{part}", values.astype(np.float32)) for part, values in (
            ("weight", g.random.normal(1, 0.1, channels)), ("bias", g.random.normal(0, 0.1, channels)),
            ("mean", g.random.normal(0, 0.1, channels)), ("variance", g.random.uniform(0.5, 1.5, channels)))]
        return g.node("BatchNormalization", [x, *parts], name=f"/{name}/BatchNormalization")

    def block(x, name, inputs, outputs):
        x = g.node("Relu", [g.conv(x, f"{name}/in", inputs, outputs, 3)])
        depthwise = g.weight(f"{name}/depthwise.weight", outputs, 1, 3, 3, gain=1.7)
        y = g.node("Conv", [x, depthwise], name=f"/{name}/depthwise/Conv", group=outputs, kernel_shape=[3, 3], pads=[1] * 4)
        y = g.node("HardSigmoid", [batch_norm(y, f"{name}/bn", outputs)], alpha=1 / 6)
        return g.node("Add", [x, g.conv(g.node("Mul", [x, y]), f"{name}/out", outputs, outputs)])

    def up(x, name, inputs, outputs):
        weight = g.weight(f"{name}.weight", inputs, outputs, 2, 2, gain=1.7, axis=1)
        y = g.node("ConvTranspose", [x, weight, g.weight(f"{name}.bias", outputs)], name=f"/{name}/ConvTranspose",
                   kernel_shape=[2, 2], strides=[2, 2])
        return g.node("Relu", [batch_norm(y, f"{name}/bn", outputs)])

    down = [block("images", "enc0", 3, width)]
    for level in range(1, 4):
        pooled = g.node("MaxPool", [down[-1]], kernel_shape=[2, 2], strides=[2, 2])
        down.append(block(pooled, f"enc{level}", width << level - 1, width << level))
    x = down[3]
    squeezed = g.node("Clip", [g.conv(g.node("GlobalAveragePool", [x]), "gate", width << 3, width << 3), g.number(0), g.number(6)])
    x = g.node("Mul", [x, squeezed])
    for level in (2, 1):
        x = up(x, f"up{level}", width << level + 1, width << level)
        x = block(g.node("Concat", [x, down[level]], axis=1), f"dec{level}", width << level + 1, width << level)
    logits = g.conv(x, "classifier", width << 1, classes)
    sizes = g.stored("sizes", np.array([1, classes, side, side], np.int64))
    g.nodes.append(helper.make_node("Resize", [logits, "", "", sizes], ["logits"], "/upsample/Resize", mode="linear",
                                    coordinate_transformation_mode="half_pixel"))
    g.nodes.append(helper.make_node("ArgMax", ["logits"], ["classes"], "/ArgMax", axis=1, keepdims=0))
    outputs = [helper.make_tensor_value_info("logits", T.FLOAT, [1, classes, side, side]),
               helper.make_tensor_value_info("classes", T.INT64, [1, side, side])]
    g.save(path, 13, [picture(side)], outputs)


folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
folder.mkdir(parents=True, exist_ok=True)
for make in (yolov8, vit, segmenter):
    if not names or make.__name__ in names:
        make(folder / f"{make.__name__}.onnx")
