"""FP32 against simulated INT8 in ONNX Runtime: `compare.py fp32.onnx int8.onnx inputs.f32 C H W` prints figures as JSON."""

import json
import sys

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
# As the graph says: no fusing of QuantizeLinear and convolutions into integer kernels.
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
shape = [int(side) for side in sys.argv[4:]]
inputs = np.fromfile(sys.argv[3], "<f4").reshape(-1, 1, *shape)
both = []
for path in sys.argv[1:3]:
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    both.append(np.concatenate([session.run(None, {name: image})[0] for image in inputs]).astype(np.float64))
x, y = both
flat_x, flat_y = x.ravel(), y.ravel()
print(
    json.dumps(
        {
            "cosine": float(flat_x @ flat_y / np.sqrt((flat_x @ flat_x) * (flat_y @ flat_y))),
            "sqnr": float(10 * np.log10((flat_x**2).sum() / ((flat_x - flat_y) ** 2).sum())),
            "max_error": float(np.abs(flat_x - flat_y).max()),
            "top1": float((x.argmax(1) == y.argmax(1)).mean()),
            "top5": float(np.mean([a.argmax() in np.argsort(-b, kind="stable")[:5] for a, b in zip(x, y)])),
        }
    )
)
