//! Asks for passphrases and passwords on the terminal.

use std::io::{IsTerminal, stdin};

use crate::transport::{Prompt, Secret};
use crate::ui::Ui;

/// The user at the terminal, or nobody if there is none.
pub struct Terminal<'a>(&'a Ui);

impl<'a> Terminal<'a> {
    /// `None` where nobody can answer.
    pub fn if_present(ui: &'a Ui) -> Option<Self> {
        stdin().is_terminal().then_some(Self(ui))
    }
}

impl Prompt for Terminal<'_> {
    fn secret(&mut self, secret: &Secret, again: bool) -> Option<String> {
        if again {
            self.0.say("that was not it");
        }
        let question = match secret {
            Secret::Passphrase { file } => format!("Passphrase of {}: ", file.display()),
            Secret::Password { user, host } => format!("Password of {user} on {host}: "),
        };
        rpassword::prompt_password(question).ok().filter(|answer| !answer.is_empty())
    }
}
