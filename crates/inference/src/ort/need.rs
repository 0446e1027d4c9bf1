//! What the activations of a batch take of the memory.

use std::sync::atomic::{AtomicU64, Ordering};

use onnxruntime::{Kind, Output, Session};

use super::Seen;
use crate::SourceError;
use crate::memory::{available, gib};

/// Bytes of the activations that a session hands out: at least so many, since shapes need not be stated.
#[derive(Debug, Default)]
pub struct Need {
    /// Of those whose first axis is open, for one sample.
    each: u64,
    /// Of the others.
    once: u64,
    /// For one sample, as the batches so far had it.
    seen: AtomicU64,
    /// Of the greatest batch so far: ONNX Runtime keeps that memory and uses it again.
    held: AtomicU64,
}

impl Need {
    /// By the shapes that the session's outputs state.
    pub fn of(session: &Session, found: &[(String, Seen)]) -> Self {
        let mut need = Self::default();
        for (_, seen) in found {
            let Seen::Output(at) = seen else { continue };
            let Kind::Tensor { element, dims } = &session.outputs()[*at].kind else { continue };
            let sides = dims.iter().map(|side| side.unwrap_or(1) as u64);
            let bytes = sides.fold(element.bytes().unwrap_or(0) as u64, u64::saturating_mul);
            let sum = if dims.first() == Some(&None) { &mut need.each } else { &mut need.once };
            *sum = sum.saturating_add(bytes);
        }
        need
    }

    /// For a batch of so many samples.
    fn bytes(&self, samples: usize) -> u64 {
        let samples = samples as u64;
        let stated = self.each.saturating_mul(samples).saturating_add(self.once);
        stated.max(self.seen.load(Ordering::Relaxed).saturating_mul(samples))
    }

    /// Whether a batch of so many samples fits.
    ///
    /// # Errors
    /// [`SourceError::OutOfMemory`].
    pub fn check(&self, samples: usize) -> Result<(), SourceError> {
        self.check_against(samples, available())
    }

    fn check_against(&self, samples: usize, available: Option<u64>) -> Result<(), SourceError> {
        let bytes = self.bytes(samples);
        let room = available.map_or(u64::MAX, |free| free.saturating_add(self.held.load(Ordering::Relaxed)));
        if bytes <= room {
            return Ok(());
        }
        let samples = if samples == 1 { "1 sample".to_owned() } else { format!("{samples} samples") };
        let reason = format!("the activations of {samples} take {}, and there are {}", gib(bytes), gib(room));
        Err(SourceError::OutOfMemory { reason })
    }

    /// Notes what a batch of so many samples had.
    pub fn learn(&self, samples: usize, outputs: &[Output<'_>]) {
        let bytes: u64 =
            outputs.iter().filter_map(|output| Some(output.elements.as_ref().ok()?.bytes() as u64)).sum();
        // What does not grow with the samples is left out.
        self.seen.fetch_max(bytes.saturating_sub(self.once) / samples.max(1) as u64, Ordering::Relaxed);
        self.held.fetch_max(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use onnxruntime::Elements;

    use super::*;

    fn output(values: &[f32]) -> Output<'_> {
        Output { name: "y", shape: vec![values.len()], elements: Ok(Elements::F32(values)) }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_what_is_stated_or_was_seen() {
        let need = Need { each: 100, once: 50, ..Need::default() };
        for (samples, available, fits) in [
            (1, Some(150), true),
            (1, Some(149), false),
            (3, Some(350), true),
            (3, Some(349), false),
            (9, None, true),
        ] {
            assert_eq!(need.check_against(samples, available).is_ok(), fits, "{samples}, {available:?}");
        }
        // No shapes are stated: the second batch tells, and what the first has taken is used again.
        let need = Need::default();
        need.check_against(1000, Some(0)).unwrap();
        let values = [0.0; 100];
        need.learn(2, &[output(&values[..50]), output(&values[50..])]);
        need.check_against(2, Some(0)).unwrap();
        need.check_against(4, Some(400)).unwrap();
        let error = need.check_against(4, Some(399)).unwrap_err();
        assert!(error.to_string().contains("the activations of 4 samples take 0.0 GiB"), "{error}");
        assert!(error.hint().unwrap().contains("rten"));
    }

    #[test]
    fn numbers_without_end_fit_nowhere() {
        let need = Need { each: u64::MAX, once: u64::MAX, ..Need::default() };
        assert!(need.check_against(2, Some(1 << 50)).is_err());
    }
}
