//! The ONNX parser's errors, out of the log of `trtexec`.
//!
//! Each takes several lines: what was being parsed, the node as text between two marks, the source line, and a line
//! `[code] what is wrong`. TensorRT 10 has a form in one line, too.

use nvinfer::ParserError;

/// More errors than a failure shows; beyond it nobody reads on.
const MOST: usize = 100;
const PARSING: &str = "While parsing node number ";
const BEGIN: &str = "--- Begin node ---";
const END: &str = "--- End node ---";
const SOURCE: &str = "ERROR: ";

/// Collects the errors of one stream. Feed it every line, without time and severity.
#[derive(Debug, Default)]
pub struct ParserLog {
    errors: Vec<ParserError>,
    state: State,
    next: Draft,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Outside,
    /// Between the marks around a node.
    Node,
    /// The line after the source line says what is wrong.
    Source,
}

#[derive(Debug, Default)]
struct Draft {
    node: Option<usize>,
    name: Option<String>,
    operator: Option<String>,
    file: String,
    line: i32,
    function: String,
}

impl ParserLog {
    /// Looks at one line.
    pub fn see(&mut self, line: &str) {
        let line = line.strip_prefix("[TRT] ").unwrap_or(line);
        match self.state {
            State::Node => return self.see_node(line),
            State::Source => {
                self.state = State::Outside;
                if let Some((code, description)) = coded(line) {
                    return self.finish(code, description);
                }
            }
            State::Outside => {}
        }
        if let Some((_, rest)) = line.split_once(PARSING) {
            self.next = Draft { node: leading_number(rest), ..Draft::default() };
            let operator =
                rest.split_once('[').map(|(_, rest)| rest.split([' ', ']']).next().unwrap_or_default());
            self.next.operator = operator.filter(|operator| !operator.is_empty()).map(str::to_owned);
        } else if line.contains(BEGIN) {
            self.state = State::Node;
        } else if let Some((source, function)) =
            line.split_once(SOURCE).and_then(|(_, rest)| rest.split_once(" In function "))
        {
            let (file, number) = source.rsplit_once(':').unwrap_or((source, ""));
            self.next.file = file.to_owned();
            self.next.line = number.parse().unwrap_or_default();
            self.next.function = function.trim_end_matches(':').to_owned();
            self.state = State::Source;
        } else {
            self.see_one_line(line);
        }
    }

    /// A line of the node as protobuf writes it; what is indented belongs to an attribute.
    fn see_node(&mut self, line: &str) {
        let quoted = |key: &str| line.strip_prefix(key)?.strip_suffix('"').map(str::to_owned);
        if line.contains(END) {
            self.state = State::Outside;
        } else if let Some(name) = quoted("name: \"") {
            self.next.name = Some(name);
        } else if let Some(operator) = quoted("op_type: \"") {
            self.next.operator = Some(operator);
        }
    }

    /// `In node 3 with name: a and operator: Conv (importConv): INVALID_NODE: what is wrong`.
    fn see_one_line(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once("In node ") else { return };
        let Some((about, (function, description))) =
            rest.split_once(" (").and_then(|(about, rest)| Some((about, rest.split_once("): ")?)))
        else {
            return;
        };
        let Some(node) = about.split(' ').next().and_then(|number| number.parse::<i64>().ok()) else {
            return;
        };
        let named = about.split_once(" with name: ").and_then(|(_, rest)| rest.split_once(" and operator: "));
        self.next = Draft {
            node: usize::try_from(node).ok(),
            name: named.map(|(name, _)| name.to_owned()),
            operator: named.map(|(_, operator)| operator.to_owned()),
            function: function.to_owned(),
            ..Draft::default()
        };
        let code = if description.starts_with("UNSUPPORTED_NODE") { 8 } else { 0 };
        self.finish(code, description);
    }

    fn finish(&mut self, code: i32, description: &str) {
        let Draft { node, name, operator, file, line, function } = std::mem::take(&mut self.next);
        if self.errors.len() < MOST {
            let description = description.to_owned();
            self.errors.push(ParserError {
                code,
                description,
                node,
                node_name: name,
                operator,
                file,
                line,
                function,
            });
        }
    }

    /// The errors so far.
    pub fn errors(&self) -> &[ParserError] {
        &self.errors
    }
}

fn leading_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// `[6] Invalid Node - Pad_13`.
fn coded(line: &str) -> Option<(i32, &str)> {
    let (code, description) = line.strip_prefix('[')?.split_once("] ")?;
    Some((code.parse().ok()?, description))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(lines: &[&str]) -> Vec<String> {
        let mut log = ParserLog::default();
        lines.iter().for_each(|line| log.see(line));
        log.errors().iter().map(|error| format!("{error} ({})", error.code)).collect()
    }

    #[test]
    fn errors_of_every_age_name_node_and_operator() {
        let eight = [
            "[TRT] ModelImporter.cpp:773: While parsing node number 57 [Gelu -> \"/act/out\"]:",
            "[TRT] ModelImporter.cpp:774: --- Begin node ---",
            "[TRT] ModelImporter.cpp:775: input: \"x\"",
            "name: \"/act/Gelu\"",
            "op_type: \"Gelu\"",
            "attribute {",
            "  name: \"approximate\"",
            "}",
            "[TRT] ModelImporter.cpp:776: --- End node ---",
            "[TRT] ModelImporter.cpp:779: ERROR: builtin_op_importers.cpp:4890 In function importFallbackPluginImporter:",
            "[8] Assertion failed: creator && \"Plugin not found, are the plugin name, version, and namespace correct?\"",
            "Failed to parse onnx file",
        ];
        let old = [
            "While parsing node number 2 [Gather]:",
            "ERROR: onnx2trt_utils.hpp:347 In function convert_axis:",
            "[8] Assertion failed: axis >= 0 && axis < nbDims",
        ];
        let ten = [
            "[TRT] In node 3 with name: /head/Conv and operator: Conv (importConv): INVALID_NODE: Assertion failed: x",
            "[TRT] In node -1 (importModel): INVALID_GRAPH: Assertion failed: no inputs",
            "[TRT] In node 9 with name: a and operator: Foo (parseNode): UNSUPPORTED_NODE: No importer registered for op: Foo",
        ];
        let all = [&eight[..], &old, &ten].concat();
        insta::assert_snapshot!(errors(&all).join("\n"));
    }

    #[test]
    fn what_is_no_error_is_none_and_garbage_is_survived() {
        let lines = [
            "Start parsing network model",
            "While parsing node number",
            "While parsing node number x [",
            "ERROR: x In function f:",
            "not coded",
            "In node 3",
            "In node x (f): y",
            "[8] not after a source line",
            "--- Begin node ---",
            "ERROR: inside the node In function f:",
            "[8] x",
        ];
        assert_eq!(errors(&lines), Vec::<String>::new());
        let mut log = ParserLog::default();
        for _ in 0..1000 {
            log.see("ERROR: a.cpp:1 In function f:");
            log.see("[6] x");
        }
        assert_eq!(log.errors().len(), MOST);
    }
}
