//! One deployment at a time, with the holder's name and age for whoever comes second.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use trt_wire::message::Busy;
use trt_wire::{Failure, FailureCode, Retry};

/// Who deploys right now.
#[derive(Debug, Default)]
pub struct DeployLock(Mutex<Option<Holder>>);

#[derive(Debug)]
struct Holder {
    who: String,
    since: Instant,
}

impl DeployLock {
    /// Takes the lock, or says who has it.
    pub fn take(&self, who: &str) -> Result<Held<'_>, Failure> {
        let mut holder = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(holder) = &*holder {
            let seconds = holder.since.elapsed().as_secs();
            let message = format!("the device is being deployed to by {} since {seconds} s", holder.who);
            return Err(Failure::new(FailureCode::Busy, Retry::Now, message)
                .with_hint("wait for the other deployment to end; `trt-deploy status` shows it"));
        }
        *holder = Some(Holder { who: who.to_owned(), since: Instant::now() });
        Ok(Held(self))
    }

    /// Who has the lock.
    pub fn holder(&self) -> Option<Busy> {
        let holder = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holder
            .as_ref()
            .map(|holder| Busy { who: holder.who.clone(), seconds: holder.since.elapsed().as_secs() })
    }
}

/// The lock, until dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a DeployLock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_was_first() {
        let lock = DeployLock::default();
        let held = lock.take("ann@desk").unwrap();
        assert!(lock.take("bob@desk").unwrap_err().message.contains("ann@desk"));
        assert_eq!(lock.holder().unwrap().who, "ann@desk");
        drop(held);
        assert!(lock.take("bob@desk").is_ok());
    }
}
