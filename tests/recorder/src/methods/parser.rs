//! `IParser`, `IParserError`, which are called directly.

use super::{make, methods, network};
use crate::callbacks::{quote, quote_raw};
use crate::journal::record;
use crate::object::{Object, copy, leak};
use crate::show::{Flag, Start};
use crate::types::{Ptr, Text};

methods! {
    parser: IParser {
        fn parse(this, start: Start, length: usize, path: Text) -> Flag {
            // SAFETY: the caller passes a model of that length.
            unsafe { record(&format!("  a model of {}", quote_raw(start.0, length))) };
            let model: &[u8] = match start.0.is_null() {
                true => &[],
                // SAFETY: as above.
                false => unsafe { std::slice::from_raw_parts(start.0, length) },
            };
            parse_model(this, model)
        }
        fn parseFromFile(this, path: Text, verbosity: i32) -> Flag {
            // SAFETY: the caller's string is alive during the call.
            let path = String::from_utf8_lossy(&unsafe { copy(path) }).into_owned();
            parse_model(this, &std::fs::read(&path).unwrap_or_else(|_| path.into_bytes()))
        }
        fn supportsOperator(this, operator: Text) -> Flag {
            // SAFETY: as above.
            Flag((unsafe { copy(operator) } == b"Conv").into())
        }
        fn destroy(this) { this.delete() }
        fn getNbErrors(this) -> i32 { this.children("IParserError").len() as i32 }
        fn getError(this, index: i32) -> Ptr {
            let errors = this.children("IParserError");
            errors.get(index as usize).map_or(std::ptr::null_mut(), |error| error.as_ptr())
        }
        fn clearErrors(this) {}
        fn D0(this) { this.delete() }
    }
}

/// A model with the word `unparsable` has two errors, one with `empty` fills nothing.
fn parse_model(parser: &'static Object, model: &[u8]) -> Flag {
    let text = String::from_utf8_lossy(model);
    if text.contains("unparsable") {
        for _ in 0..2 {
            make("IParserError", parser);
        }
        return Flag(0);
    }
    let filled = parser.parent.filter(|network| !text.contains("empty") && network.bytes("model").is_empty());
    if let Some(filled) = filled {
        record(&format!("  {filled} is filled from {}", quote(model)));
        network::fill(filled, model);
    }
    Flag(1)
}

/// Each error differs in everything from the other, so that a test sees which one it got.
fn number(error: &'static Object) -> i32 {
    let siblings = error.parent.map(|parser| parser.children("IParserError")).unwrap_or_default();
    siblings.iter().position(|sibling| std::ptr::eq(*sibling, error)).unwrap_or_default() as i32
}

fn text(error: &'static Object, texts: [&str; 2]) -> Text {
    leak(texts[number(error) as usize % 2].as_bytes())
}

methods! {
    error: IParserError {
        fn code(this) -> i32 { [8, 2][number(this) as usize % 2] }
        fn desc(this) -> Text { text(this, ["no importer for Gelu", "second error"]) }
        fn file(this) -> Text { text(this, ["ModelImporter.cpp", "onnx2trt_utils.cpp"]) }
        fn line(this) -> i32 { 100 + number(this) }
        fn func(this) -> Text { text(this, ["parseNode", "convertAxis"]) }
        fn node(this) -> i32 { [7, -1][number(this) as usize % 2] }
        fn nodeName(this) -> Text { text(this, ["head/act", ""]) }
        fn nodeOperator(this) -> Text { text(this, ["Gelu", ""]) }
    }
}
