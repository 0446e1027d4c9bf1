//! What becomes of the activations to keep in higher precision.

use trt_wire::{Backend, Decision, Precision, QuantMode, TensorRt};

use crate::precision::Numbers;
use crate::typing::Typing;

/// The first release whose builder obeys the precision of a layer; 8.0 and 8.1 have `STRICT_TYPES`, which prefers it.
const FIRST_TO_OBEY: [u32; 3] = [8, 2, 0];

/// The first `trtexec` with `--layerPrecisions`.
const FIRST_TO_TELL_TRTEXEC: [u32; 3] = [8, 4, 0];

/// How far the precision of a layer can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// By the types of the graph.
    Graph,
    /// It is obeyed.
    Obeyed,
    /// It is followed where there is a kernel.
    Preferred,
    /// Not at all.
    No,
}

impl Told {
    fn of(tensorrt: &TensorRt, backend: Backend) -> Self {
        match (Typing::of(tensorrt), backend) {
            (Typing::Graph, _) => Self::Graph,
            (Typing::Flags, Backend::Nvinfer) if tensorrt.version < FIRST_TO_OBEY => Self::Preferred,
            (Typing::Flags, Backend::Trtexec) if tensorrt.version < FIRST_TO_TELL_TRTEXEC => Self::No,
            (Typing::Flags, _) => Self::Obeyed,
        }
    }
}

/// What is done for them, and what is not.
pub(crate) fn explain(
    numbers: &Numbers,
    tensorrt: &TensorRt,
    backend: Backend,
    decisions: &mut Vec<Decision>,
) {
    let count = match numbers.keep.len() {
        0 => return,
        1 => "1 activation".to_owned(),
        many => format!("{many} activations"),
    };
    let told = Told::of(tensorrt, backend);
    let how = match (numbers.mode, told) {
        (QuantMode::Implicit, Told::Obeyed | Told::Graph) => "kept out of INT8 by precision constraints",
        (QuantMode::Implicit, Told::Preferred) => {
            "kept out of INT8, in FP32 where TensorRT has a kernel for it"
        }
        (QuantMode::Implicit, Told::No) if numbers.other_layers == Precision::Fp16 => {
            "kept out of INT8 for want of a scale, and may run in FP16"
        }
        (QuantMode::Implicit, Told::No) => "kept out of INT8 for want of a scale",
        (QuantMode::Explicit, _) => "kept out of INT8 and FP16: no Q/DQ nodes, no conversion",
        // Nodes that the model has are the model's word on what is INT8.
        (QuantMode::ModelQdq, Told::No) => "not kept: `keep` changes nothing",
        (QuantMode::ModelQdq, Told::Preferred) => {
            "kept out of FP16 where TensorRT has a kernel for it, but in INT8 where the model's own Q/DQ nodes say so"
        }
        (QuantMode::ModelQdq, _) => "kept out of FP16, but in INT8 where the model's own Q/DQ nodes say so",
        (QuantMode::None, Told::Graph) => "kept out of FP16: no conversion",
        (QuantMode::None, Told::Obeyed) => "kept out of FP16 by precision constraints",
        (QuantMode::None, Told::Preferred) => "kept out of FP16 where TensorRT has a kernel for it",
        (QuantMode::None, Told::No) => "not kept: `keep` changes nothing",
    };
    let because = match told {
        Told::Graph | Told::Obeyed => "`keep` lists what needs higher precision".into(),
        Told::Preferred => format!("{tensorrt} can only be asked for precisions, not made to obey"),
        Told::No => format!("the `trtexec` of {tensorrt} cannot be told the precision of layers"),
    };
    decisions.push(Decision { what: format!("{count} ({}) {how}", shown(&numbers.keep)), because });
}

/// As many names as fit in a line.
fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = names[..names.len().min(SHOWN)].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", first.join(", "))
}
