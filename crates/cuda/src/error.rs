//! What can go wrong between us and the driver.

/// Why the driver could not be asked, or what it answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// There is no CUDA driver library, or it cannot be loaded.
    #[error("no CUDA driver: `libcuda.so.1` was not found or cannot be loaded")]
    NoLibrary,
    /// The library lacks a function that every driver since CUDA 10.2 has.
    #[error("the CUDA driver library has no function `{symbol}`")]
    MissingSymbol {
        /// The entry point that was looked for.
        symbol: &'static str,
    },
    /// The driver has no GPU.
    #[error("the CUDA driver knows no GPU")]
    NoDevice,
    /// The driver has GPUs, but not this one.
    #[error("there is no GPU {ordinal}; the CUDA driver counts: {count}")]
    NoSuchDevice {
        /// The ordinal that was asked for, from 0.
        ordinal: u32,
        /// How many GPUs there are.
        count: u32,
    },
    /// The driver refused a call, or reports the failure of earlier work.
    #[error("the CUDA driver failed in `{call}` with error {code}: `{name}`")]
    Call {
        /// The entry point.
        call: &'static str,
        /// The driver's `CUresult`. Drivers newer than this program may return numbers that it has never heard of.
        code: u32,
        /// The driver's own name for `code`, such as `CUDA_ERROR_OUT_OF_MEMORY`.
        name: String,
    },
    /// The driver cannot make machine code of our kernels.
    #[cfg(feature = "kernels")]
    #[error("the CUDA driver cannot load the kernels (`{name}`, error {code}): {log}")]
    Kernels {
        /// The driver's `CUresult`.
        code: u32,
        /// The driver's own name for `code`.
        name: String,
        /// What its compiler said.
        log: String,
    },
    /// A tensor with more values than the kernels can count.
    #[cfg(feature = "kernels")]
    #[error("a tensor has more values than can be counted on a GPU at once, which are 4294967295: {values}")]
    TooLong {
        /// Its values.
        values: usize,
    },
    /// A copy between host and device whose sides differ in size; both in bytes.
    #[error(
        "a buffer of {device} bytes on the GPU cannot be copied from or to host memory of this many bytes: {host}"
    )]
    Length {
        /// Bytes of the buffer.
        device: usize,
        /// Bytes of the host's slice.
        host: usize,
    },
}

impl DriverError {
    /// Whether the GPU's memory was too small for a request.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Call { code: 2, .. })
    }

    /// Whether the GPU, or the context on it, is lost: nothing on it can be used any more, in this process at least.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Call { code, .. } if Self::is_lost_by(*code))
    }

    /// [`Self::is_lost`], by the number of the driver's error.
    pub fn is_lost_by(code: u32) -> bool {
        matches!(code, 46 | 700..=702 | 709 | 710 | 714..=721 | 999)
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoLibrary => {
                "on a Jetson the driver is in the package `nvidia-l4t-cuda`, elsewhere in NVIDIA's display driver; in a \
                 container, start it with `--runtime nvidia` or `--gpus all`"
            }
            Self::MissingSymbol { .. } => {
                "the driver is older than CUDA 10.2 (JetPack 4.6) or another `libcuda.so` is in front of it: look at \
                 `LD_LIBRARY_PATH` and `ldconfig -p | grep libcuda`"
            }
            Self::NoDevice => NO_DEVICE,
            Self::NoSuchDevice { .. } => {
                "list the GPUs with `nvidia-smi -L`; a Jetson has one, with number 0"
            }
            Self::Call { code, .. } => call_hint(*code)?,
            #[cfg(feature = "kernels")]
            Self::Kernels { .. } => {
                "the kernels need a GPU of compute capability 7.0 (Volta) or later and a driver of CUDA 11.8 or later: see \
                 `nvidia-smi`; or calibrate with `--backend onnxruntime`"
            }
            #[cfg(feature = "kernels")]
            Self::TooLong { .. } => "use a smaller `batch`",
            Self::Length { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

const NO_DEVICE: &str = "check that the agent's user is in the groups `video` and `render`, that `CUDA_VISIBLE_DEVICES` does \
                         not hide the GPU, and that a container was started with `--runtime nvidia` or `--gpus all`";

/// By the numbers of `CUresult`, which never change their meaning.
fn call_hint(code: u32) -> Option<&'static str> {
    Some(match code {
        2 => {
            "the GPU has too little free memory: stop other users of it (`tegrastats` on a Jetson, `nvidia-smi` elsewhere); on \
             a Jetson it is the board's memory, so swap does not help here"
        }
        3 | 4 => {
            "the driver is not initialised or already shutting down: run the command again, and report it if it stays"
        }
        34 => {
            "this `libcuda.so` is the toolkit's stub for linking: take its folder (`…/stubs`) out of `LD_LIBRARY_PATH` and the \
             loader's configuration"
        }
        36 | 803 | 804 => {
            "the driver does not fit the CUDA libraries: install the JetPack, or the display driver, that they came with, and \
             take folders named `compat` out of `LD_LIBRARY_PATH`"
        }
        46 | 100 | 101 | 999 => NO_DEVICE,
        201 | 709 => "no valid CUDA context on this thread: report it, with the agent's log",
        700 | 714..=719 => {
            "work on the GPU crashed and took the context with it: look into `dmesg`, and build the engine again if its plugins \
             or the TensorRT changed"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_a_user_can_cause_has_a_hint() {
        let call = |code| DriverError::Call { call: "cuInit", code, name: String::new() };
        let all = [
            DriverError::NoLibrary,
            DriverError::MissingSymbol { symbol: "cuInit" },
            DriverError::NoDevice,
            DriverError::NoSuchDevice { ordinal: 1, count: 1 },
            call(2),
            call(3),
            call(34),
            call(100),
            call(201),
            call(700),
            call(803),
            call(999),
            #[cfg(feature = "kernels")]
            DriverError::Kernels { code: 222, name: String::new(), log: String::new() },
            #[cfg(feature = "kernels")]
            DriverError::TooLong { values: 1 << 32 },
        ];
        for error in &all {
            let hint = error.hint().unwrap_or_else(|| panic!("no hint: {error}"));
            assert!(hint.contains('`') || hint.contains("again") || hint.contains("report"), "{hint}");
        }
        // Ours to avoid, not the user's; and codes of which nothing is known.
        assert_eq!(DriverError::Length { device: 4, host: 5 }.hint(), None);
        assert_eq!(call(123_456).hint(), None);
    }
}
