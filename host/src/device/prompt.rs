//! Asks for passphrases and passwords on the terminal.

use std::io::{ErrorKind, IsTerminal, stdin};

use crate::commands::Context;
use crate::interrupt::{Interrupt, Interrupted};
use crate::transport::{Prompt, Secret};

/// The user at the terminal, or nobody if there is none.
pub struct Terminal<'a>(&'a Context);

impl<'a> Terminal<'a> {
    /// `None` where nobody can answer.
    pub fn if_present(context: &'a Context) -> Option<Self> {
        stdin().is_terminal().then_some(Self(context))
    }
}

impl Prompt for Terminal<'_> {
    fn secret(&mut self, secret: &Secret, again: bool) -> Result<Option<String>, Interrupted> {
        let Self(context) = self;
        if again {
            context.ui.say("that was not it");
        }
        let question = match secret {
            Secret::Passphrase { file } => format!("Passphrase of {}: ", file.display()),
            Secret::Password { user, host } => format!("Password of {user} on {host}: "),
        };
        ask_secret(&question, &context.interrupt)
    }
}

/// Asks for a secret without showing it; `None` if the answer is empty or nobody can be asked.
///
/// The terminal sends no signal meanwhile: Ctrl-C is a key among others, and raises `interrupt` here.
pub fn ask_secret(question: &str, interrupt: &Interrupt) -> Result<Option<String>, Interrupted> {
    match rpassword::prompt_password(question) {
        Ok(answer) => Ok(Some(answer).filter(|answer| !answer.is_empty())),
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            interrupt.raise();
            Err(Interrupted)
        }
        Err(_) => interrupt.check().map(|()| None),
    }
}
