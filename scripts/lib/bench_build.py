"""What scripts/bench-build measures; `python bench_build.py peer …` is the program that it measures us against."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TARGET = 1.1


def main():
    if sys.argv[1] == "peer":
        return peer(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--libraries", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("models", nargs="+", help="NAME=ONNX=INPUT:SHAPE; an empty shape for a fixed one")
    options = parser.parse_args()
    tensorrt = probe(options)
    result = {"machine": machine(), "tensorrt": tensorrt["version"], "load_before": os.getloadavg(), "models": {}}
    for model in options.models:
        name, path, shape = model.split("=")
        result["models"][name] = bench(options, tensorrt, name, path, shape)
    result["load_after"] = os.getloadavg()
    print(json.dumps(result))
    table(result)


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine():
    model = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {"cpu": model[0].split(":")[1].strip() if model else "", "cores": os.cpu_count(), "date": time.strftime("%F")}


def worker(options, job):
    """A job on the worker's stdin; its measurements and the last line it said."""
    return measure([options.agent, "worker"], options.folder / "worker.err", json.dumps(job) + "\n")


def probe(options):
    _, line = worker(options, {"job": "probe", "tensorrt_dir": options.libraries})
    tensorrt = json.loads(line)["tensorrt"]
    return tensorrt.get("Ok") or sys.exit(f"the worker finds no TensorRT: {tensorrt}")


def measure(command, errors, line=None):
    """Runs a command with stdin open, as the agent keeps it; gives its cost and the last line of its output."""
    with open(errors, "w") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        if line:
            process.stdin.write(line)
            process.stdin.flush()
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdin.close()
    if process.returncode or not out.strip():
        sys.exit(f"{command[0]} failed ({process.returncode}):\n{out}\n{Path(errors).read_text()[-4000:]}")
    cost = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}
    return cost, out.splitlines()[-1]


def bench(options, tensorrt, name, path, shape):
    """Both in turn, changing who begins: what the machine does meanwhile must not always hit the same one."""
    runs = {"worker": [], "python": []}
    engines = {who: options.folder / f"{name}-{who}.engine" for who in runs}
    # One round that is not counted brings the files into memory.
    for round in range(options.rounds + 1):
        for who in sorted(runs, reverse=round % 2 == 1):
            say(f"{name}: {who}, round {round} of {options.rounds}")
            if who == "worker":
                cost, line = worker(options, build_job(options, tensorrt, path, shape, engines[who]))
                done = json.loads(line)
                if done["worker"] != "done":
                    sys.exit(f"the worker failed: {line}")
                cost["inside"] = done["wall_ms"] / 1000
            else:
                command = [sys.executable, __file__, "peer", path, shape, str(engines[who])]
                cost, line = measure(command, options.folder / "python.err")
                cost["inside"] = float(line)
            runs[who] += [cost] if round else []
    medians = {who: {key: statistics.median(run[key] for run in costs) for key in costs[0]} for who, costs in runs.items()}
    return {
        **medians,
        "ratio": {key: medians["worker"][key] / medians["python"][key] for key in medians["worker"]},
        "spread": {who: {key: [min(r[key] for r in costs), max(r[key] for r in costs)] for key in costs[0]} for who, costs in runs.items()},
        "engine_bytes": {who: engine.stat().st_size for who, engine in engines.items()},
    }


def build_job(options, tensorrt, path, shape, engine):
    """As the agent plans it for FP32 on RTX."""
    shapes = {}
    if shape:
        input_name, _, dims = shape.partition(":")
        dims = [int(dim) for dim in dims.split("x")]
        shapes[input_name] = {"min": dims, "opt": dims, "max": dims}
    plan = {
        "precision": "fp32", "mode": "none", "strongly_typed": True, "convert_fp16": False, "strip_qdq": False,
        "other_layers": "fp32", "keep": [], "calibrator": None, "backend": "nvinfer", "dla": None,
        "optimization_level": None, "plugins": [], "runtime": None, "shapes": shapes, "workspace": None,
        "compute_capability": [8, 6], "decisions": [],
    }  # fmt: skip
    return {
        "job": "build", "tensorrt_dir": options.libraries, "plugins": [], "model": path, "table": None, "plan": plan,
        "tensorrt": tensorrt, "timing_cache": None, "engine": str(engine), "log": str(options.folder / "build.log"),
    }  # fmt: skip


def peer(path, shape, engine):
    """The same build in NVIDIA's words; prints its seconds."""
    began = time.monotonic()
    import tensorrt_rtx_bindings as trt

    logger = trt.Logger(trt.Logger.INFO)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(path):
        sys.exit("\n".join(str(parser.get_error(index)) for index in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    if shape:
        input_name, _, dims = shape.partition(":")
        dims = [int(dim) for dim in dims.split("x")]
        profile = builder.create_optimization_profile()
        profile.set_shape(input_name, dims, dims, dims)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        sys.exit("no engine")
    with open(engine, "wb") as file:
        file.write(plan)
    print(time.monotonic() - began)


def table(result):
    keys = {"seconds": ("time", "s"), "inside": ("inside", "s"), "cpu": ("CPU", "s"), "peak_mib": ("peak", "MiB")}
    print(f"\n{'':20}{'':8}{'worker':>12}{'Python API':>12}{'ratio':>8}   (target: at most {TARGET})")
    for name, numbers in result["models"].items():
        for key, (label, unit) in keys.items():
            ours, theirs = numbers["worker"][key], numbers["python"][key]
            print(f"{name:20}{label:8}{ours:8.2f} {unit:3}{theirs:8.2f} {unit:3}{numbers['ratio'][key]:8.2f}")
            name = ""


if __name__ == "__main__":
    main()
