"""What TensorRT calls in its user, implemented on NVIDIA's own compiled classes: logger, error recorder, calibrators, progress
monitor."""

from steps import ROWS, compare, lines, prefix, same, step, trt

heard = []
# What must live until everything else is gone: the network uses the parser's weights until it is built.
kept = []


class Logger(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)

    def log(self, severity, text):
        heard.append((int(severity), text))


class Recorder(trt.IErrorRecorder):
    def __init__(self):
        trt.IErrorRecorder.__init__(self)
        self.errors = []

    def get_num_errors(self):
        return len(self.errors)

    def get_error_code(self, index):
        return self.errors[index][0]

    def get_error_desc(self, index):
        return self.errors[index][1]

    def has_overflowed(self):
        return False

    def clear(self):
        self.errors = []

    def report_error(self, code, text):
        heard.append((int(code), text))
        self.errors.append((code, text))
        return False

    def inc_ref_count(self):
        return 1

    def dec_ref_count(self):
        return 0


def said(severity, text):
    return prefix("ILogger") + [f'  ILogger.log({severity}, "{text}")']


ADOPTED = prefix("IErrorRecorder") + [
    "  IErrorRecorder.incRefCount()",
    '  IErrorRecorder.reportError(3, "recorder: an error that is taken back")',
    '  IErrorRecorder holds 1: 3 "recorder: an error that is taken back", overflowed false',
    "  IErrorRecorder.clear() leaves 0",
]


def calibrator(base, cache, calls):
    class Calibrator(base):
        def __init__(self):
            base.__init__(self)
            self.left = 2

        def get_batch_size(self):
            return 8

        def get_batch(self, names):
            calls.append(("get_batch", tuple(names)))
            self.left -= 1
            return [0xD000] if self.left >= 0 else None

        def read_calibration_cache(self, *length):
            return cache

        def write_calibration_cache(self, cache, *length):
            calls.append(("write_calibration_cache", bytes(cache)))

        def get_quantile(self):
            return 0.75

        def get_regression_cutoff(self):
            return 0.5

        def read_histogram_cache(self, *length):
            return None

        def write_histogram_cache(self, *arguments):
            calls.append(("write_histogram_cache", True))

    return Calibrator()


def builds(builder, network, config):
    build = "VBuilder::buildSerializedNetwork(INetworkDefinition#1, IBuilderConfig#1)"
    kinds = [
        ("IInt8LegacyCalibrator", 0, "IInt8Calibrator"),
        ("IInt8EntropyCalibrator", 1, None),
        ("IInt8EntropyCalibrator2", 2, None),
        ("IInt8MinMaxCalibrator", 3, None),
    ]
    for kind, number, interface in kinds if "VBuilderConfig::setInt8Calibrator" in ROWS else []:
        for cache in [b"a table", None]:
            calls = []
            mine = calibrator(getattr(trt, kind), cache, calls)
            step("VBuilderConfig::setInt8Calibrator(callback)", lambda: setattr(config, "int8_calibrator", mine))
            same(True, step("VBuilderConfig::getInt8Calibrator()", lambda: config.int8_calibrator) is mine)
            step("VBuilderConfig::setFlag(1)", lambda: config.set_flag(trt.BuilderFlag.INT8))
            versions = [line.replace(kind + ".", "IInt8Calibrator.") for line in prefix(kind, interface)]
            asked = versions + [
                f"  IInt8Calibrator.getAlgorithm() -> {number}",
                "  IInt8Calibrator.getBatchSize() -> 8",
            ]
            if cache:
                asked += ['  IInt8Calibrator.readCalibrationCache() -> "a table"']
            else:
                asked += ["  IInt8Calibrator.readCalibrationCache() -> null, 0"]
                asked += ["  IInt8Calibrator.getBatch(images) -> true, 0xd000"] * 2
                asked += [
                    "  IInt8Calibrator.getBatch(images) -> false, 0x0",
                    '  IInt8Calibrator.writeCalibrationCache("recorded cache")',
                ]
            if number == 0:
                asked += [
                    "  IInt8Calibrator quantile 0.75, cutoff 0.5",
                    "  IInt8Calibrator.readHistogramCache() -> null, 0",
                    '  IInt8Calibrator.writeHistogramCache("recorded histograms")',
                ]
            step([build] + asked, lambda: builder.build_serialized_network(network, config))
            batches = [("get_batch", ("images",))] * 3 + [("write_calibration_cache", b"recorded cache")]
            histograms = [("write_histogram_cache", True)] if number == 0 else []
            same(([] if cache else batches) + histograms, calls)
            step("VBuilderConfig::clearFlag(1)", lambda: config.clear_flag(trt.BuilderFlag.INT8))

    if "VBuilderConfig::setProgressMonitor" in ROWS:
        monitored(builder, network, config, build)
    lines()
    plan = builder.build_serialized_network(network, config)
    same(True, build in lines())
    same(None if "VBuilderConfig::setProgressMonitor" in ROWS else b"recorded plan", plan and bytes(plan))


def monitored(builder, network, config, build):
    phases = []

    class Monitor(trt.IProgressMonitor):
        def __init__(self):
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase, parent, steps):
            phases.append(("start", phase, parent, steps))

        def phase_finish(self, phase):
            phases.append(("finish", phase))

        def step_complete(self, phase, step):
            phases.append(("step", phase, step))
            return step < 1

    monitor = Monitor()
    step("VBuilderConfig::setProgressMonitor(callback)", lambda: setattr(config, "progress_monitor", monitor))
    same(True, step("VBuilderConfig::getProgressMonitor()", lambda: config.progress_monitor) is monitor)
    plan = step(
        [build]
        + prefix("IProgressMonitor")
        + [
            "  IProgressMonitor.phaseStart(Building engine, null, 1)",
            "  IProgressMonitor.phaseStart(Selecting tactics, Building engine, 4)",
            "  IProgressMonitor.stepComplete(Selecting tactics, 0) -> true",
            "  IProgressMonitor.stepComplete(Selecting tactics, 1) -> false",
            '  IProgressMonitor.phaseFinish("Selecting tactics")',
            '  IProgressMonitor.phaseFinish("Building engine")',
        ],
        lambda: builder.build_serialized_network(network, config),
    )
    same(None, plan)
    same(
        [
            ("start", "Building engine", None, 1),
            ("start", "Selecting tactics", "Building engine", 4),
            ("step", "Selecting tactics", 0),
            ("step", "Selecting tactics", 1),
            ("finish", "Selecting tactics"),
            ("finish", "Building engine"),
        ],
        phases,
    )
    kept.append(monitor)
