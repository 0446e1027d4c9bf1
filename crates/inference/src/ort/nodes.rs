//! What people call the nodes, by the numbers that ONNX Runtime is given as their names.
//!
//! Nodes need no name in ONNX, and several may share one, while an error should always say which node it is.

use onnxruntime::OrtError;
use trt_onnx::proto::{GraphProto, NodeProto};

use crate::SourceError;
use crate::names::{describe, domain_of};

/// How a node is called in ONNX Runtime's messages, before its number.
const PREFIX: &str = "node#";

/// The nodes of a graph, by number.
pub(crate) struct Nodes(Vec<Node>);

struct Node {
    shown: String,
    op: String,
    /// Where its operator comes from, if it is none of ONNX itself.
    domain: Option<String>,
}

impl Nodes {
    /// Calls every node of the graph by its number; nodes in bodies keep their names.
    pub fn replace(graph: &mut GraphProto) -> Self {
        let one = |(index, node): (usize, &mut NodeProto)| {
            let (shown, domain) = (describe(node, index), domain_of(node));
            node.name = Some(format!("{PREFIX}{index}"));
            Node { shown, op: node.op().to_owned(), domain }
        };
        Self(graph.node.iter_mut().enumerate().map(one).collect())
    }

    /// The number of the node that an error is about, if it is one of these.
    fn number(&self, error: &OrtError) -> Option<usize> {
        let (OrtError::Model { node, reason, .. } | OrtError::Run { node, reason }) = error else {
            return None;
        };
        let named = node.as_ref().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        // An unknown domain is reported by operator: `TRT:EfficientNMS_TRT(-1) is not a registered function/op`.
        let by_operator = || {
            self.0.iter().position(|node| {
                let domain = node.domain.as_deref();
                domain.is_some_and(|domain| reason.contains(&format!("{domain}:{}(", node.op)))
            })
        };
        named.or_else(by_operator).filter(|number| *number < self.0.len())
    }

    /// The error with the user's names in it.
    pub fn explain(&self, error: OrtError) -> SourceError {
        let node = self.number(&error).map(|number| &self.0[number]);
        let shown = |given: Option<String>| node.map(|node| node.shown.clone()).or(given);
        match error {
            OrtError::Model { node: given, missing_operator, reason } => {
                let reason = self.rename(&reason);
                match (missing_operator, node.and_then(|node| node.domain.clone()), shown(given)) {
                    (true, Some(domain), Some(node)) => SourceError::Foreign { node, domain, reason },
                    (true, _, node) => SourceError::Unsupported { node, reason },
                    (false, _, node) => SourceError::Load { node, reason },
                }
            }
            OrtError::Run { node: given, reason } => {
                SourceError::Run { node: shown(given), reason: self.rename(&reason) }
            }
            other => other.into(),
        }
    }

    /// Puts the user's names into a text of ONNX Runtime's.
    fn rename(&self, text: &str) -> String {
        let mut parts = text.split(PREFIX);
        let mut renamed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            match part[..digits].parse().ok().and_then(|number: usize| self.0.get(number)) {
                Some(node) => renamed.extend([node.shown.as_str(), &part[digits..]]),
                None => renamed.extend([PREFIX, part]),
            }
        }
        renamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Nodes {
        let node = |name: &str, op: &str, domain: &str, output: &str| NodeProto {
            name: Some(name.to_owned()),
            op_type: Some(op.to_owned()),
            domain: Some(domain.to_owned()),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let node = vec![node("", "Conv", "", "a"), node("boxes", "EfficientNMS_TRT", "TRT", "b")];
        Nodes::replace(&mut GraphProto { node, ..GraphProto::default() })
    }

    #[test]
    fn nodes_are_called_as_in_the_users_model() {
        let text = nodes().rename("in node#0: 'node#1' is not node#7 or node#");
        assert_eq!(text, "in Conv #0 (output `a`): '`boxes` (TRT.EfficientNMS_TRT)' is not node#7 or node#");
    }

    #[test]
    fn an_operator_of_another_domain_is_found_by_its_name() {
        let reason = "Fatal error: TRT:EfficientNMS_TRT(-1) is not a registered function/op".to_owned();
        let error = OrtError::Model { node: None, missing_operator: true, reason };
        assert_eq!(nodes().number(&error), Some(1));
        let explained = nodes().explain(error);
        assert!(matches!(&explained, SourceError::Foreign { domain, .. } if domain == "TRT"), "{explained}");
    }
}
