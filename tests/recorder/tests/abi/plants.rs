//! Slots put elsewhere on purpose: a proof that notices nothing proves nothing.

use nvinfer::{Builder, Error, Library, Runtime, SearchPath, Typing};

use test_support::skip;

use crate::stage::{Stage, child, text};
use crate::{binding, nvidia, rows};

const TEST: &str = "plants::the_bindings_canaries_stop_at_a_wrong_slot";

/// Version, plant (see the recorder), and the method at which the binding's canaries must stop; `None` where they do not
/// look. Most plants exchange two methods of the same type, the errors that crash nothing.
const PLANTS: [(i32, &str, Option<&str>); 12] = [
    (8601, "VBuilder::getLogger=14", Some("VBuilder::getLogger")),
    (8601, "VBuilderConfig::setFlag=14", Some("VBuilderConfig::getFlag")),
    (100300, "VBuilderConfig::getMemoryPoolLimit=48", Some("VBuilderConfig::getMemoryPoolLimit")),
    (110400, "VBuilderConfig::getProgressMonitor=31", Some("VBuilderConfig::getProgressMonitor")),
    (10701, "VNetworkDefinition::getName=12", Some("VNetworkDefinition::getName")),
    (101601, "VRuntime::getLogger=10", Some("VRuntime::getLogger")),
    (100001, "VCudaEngine::getTensorDataType=23", None),
    (8601, "VExecutionContext::setTensorAddress=33", None),
    (110000, "VLayer::getNbInputs=7", None),
    (8601, "VTensor::getType=5", None),
    (10400, "IParser::parseFromFile=4", None),
    (101303, "IParserError::nodeName=7", None),
];

#[test]
fn our_rows_notice_every_wrong_slot() {
    for (number, plant, _) in PLANTS {
        let (stage, result) = rows::drive(number, plant);
        assert!(result.is_err(), "{plant} went unnoticed in {}", stage.version);
    }
}

#[test]
fn our_bindings_own_methods_notice_every_wrong_slot() {
    for (number, plant, _) in PLANTS {
        let (stage, result) = binding::drive(number, plant);
        assert!(result.is_err(), "{plant} went unnoticed in {}", stage.version);
    }
}

#[test]
fn nvidias_bindings_notice_every_wrong_slot() {
    for (number, plant, _) in PLANTS {
        let Some((stage, result)) = nvidia::drive(number, plant) else {
            return skip("no Python bindings of TensorRT");
        };
        assert!(result.is_err(), "{plant} went unnoticed in {}", stage.version);
    }
}

#[test]
fn the_bindings_canaries_stop_at_a_wrong_slot() {
    if let Some(folder) = child() {
        let library = Library::open(&SearchPath::only([folder])).expect("the recorder");
        println!("canaries: {}", canaries(&library).unwrap_or_else(|error| format!("{error:?}")));
        // What is left of the objects is not to be touched.
        std::process::exit(0);
    }
    let said = |number, plant| {
        let output = Stage::new(number, plant).run(TEST);
        let text = text(&output);
        assert!(output.status.success(), "{plant}: {text}");
        let (_, answer) = text.split_once("canaries: ").expect("an answer");
        answer.lines().next().unwrap_or_default().to_string()
    };
    for (number, plant, method) in PLANTS {
        let Some(method) = method else { continue };
        assert_eq!(said(number, ""), "content", "without a plant, {number}");
        assert_eq!(said(number, plant), method, "{plant}");
    }
}

/// What the first calls of every session find: the method of the mismatch.
fn canaries(library: &Library) -> Result<String, Error> {
    let typing = if library.version().is_strongly_typed_only() { Typing::Strong } else { Typing::Weak };
    let first_calls = || {
        let builder = Builder::new(library)?;
        std::mem::forget((builder.create_network(typing)?, builder.create_config()?));
        std::mem::forget((builder, Runtime::new(library)?));
        Ok("content".to_string())
    };
    match first_calls() {
        Err(Error::AbiMismatch { method, .. }) => Ok(method.into()),
        other => other,
    }
}
