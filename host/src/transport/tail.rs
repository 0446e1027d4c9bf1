//! The end of a program's stderr.

/// How much of stderr is kept.
const KEPT: usize = 64 << 10;

/// Keeps the last 64 KiB of what is pushed.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Adds bytes and forgets the oldest ones.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        // Twice the size is allowed for a while, so that not every push moves everything.
        if self.0.len() > 2 * KEPT {
            self.0.drain(..self.0.len() - KEPT);
        }
    }

    /// The kept bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0[self.0.len().saturating_sub(KEPT)..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_64_kib_are_kept() {
        let mut tail = Tail::default();
        for _ in 0..100 {
            tail.push(&[b'a'; 5000]);
        }
        tail.push(b"the end");
        assert_eq!(tail.text().len(), KEPT);
        assert!(tail.text().ends_with("aathe end"));
    }
}
