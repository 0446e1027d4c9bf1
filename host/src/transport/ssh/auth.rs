//! Proving who the user is: a named key, the SSH agent's keys, the usual key files, a password.
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh2::{KeyboardInteractivePrompt, Session};

use super::super::guard::Guard;
use super::super::{Attempt, AuthOutcome, Interrupt, KeyProblem, TransportError};
use super::driver::{Driver, Failure, code, is_lost};
use super::key_file::KeyFile;
use super::{SshOptions, default_identities};
use crate::interrupt::Interrupted;

/// How often a passphrase or a password is asked for, as OpenSSH does.
const ASK: usize = 3;

/// How long one attempt may take; it may wait for somebody to touch a hardware key.
const ATTEMPT: Duration = Duration::from_secs(60);

/// A secret that somebody must type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The passphrase of a private key file.
    Passphrase {
        /// The file.
        file: PathBuf,
    },
    /// The password of a user on the device.
    Password {
        /// The user's name there.
        user: String,
        /// The device, as it is named in the fleet file.
        host: String,
    },
}

/// Somebody who can be asked for secrets.
pub trait Prompt {
    /// Asks; `again` if the previous answer was wrong. `None` if the user does not want to answer.
    fn secret(&mut self, secret: &Secret, again: bool) -> Result<Option<String>, Interrupted>;
}

/// Lets the user in, or says what was tried. Returns what worked, in words.
pub fn authenticate(
    driver: &Driver,
    options: &SshOptions,
    prompt: Option<&mut (dyn Prompt + '_)>,
    interrupt: &Interrupt,
) -> Result<String, TransportError> {
    let mut auth = Auth {
        driver,
        options,
        prompt,
        interrupt,
        peer: options.describe(),
        attempts: Vec::new(),
        accepted: Vec::new(),
    };
    match auth.all() {
        Ok(Some(what)) => Ok(what),
        Ok(None) => Err(auth.rejected()),
        // Servers hang up after some attempts (`MaxAuthTries`); what was tried says more than the broken connection.
        Err(TransportError::Lost { .. }) if !auth.attempts.is_empty() => Err(auth.rejected()),
        Err(error) => Err(error),
    }
}

struct Auth<'a, 'p> {
    driver: &'a Driver,
    options: &'a SshOptions,
    prompt: Option<&'a mut (dyn Prompt + 'p)>,
    interrupt: &'a Interrupt,
    peer: String,
    attempts: Vec<Attempt>,
    accepted: Vec<String>,
}

/// What worked, or nothing yet.
type Progress = Result<Option<String>, TransportError>;

impl Auth<'_, '_> {
    fn all(&mut self) -> Progress {
        if self.list_methods()? {
            return Ok(Some("no authentication".to_owned()));
        }
        let mut needs_passphrase = None;
        if self.offers("publickey") {
            if let Some(file) = &self.options.identity {
                match self.key_file(file) {
                    // The SSH agent may hold it opened.
                    Err(TransportError::KeyFile { file, source: KeyProblem::NeedsPassphrase }) => {
                        needs_passphrase = Some(file);
                    }
                    done @ (Ok(Some(_)) | Err(_)) => return done,
                    Ok(None) => {}
                }
            }
            if self.options.use_agent
                && let Some(done) = self.agent()?
            {
                return Ok(Some(done));
            }
            if self.options.identity.is_none()
                && let Some(done) = self.usual_key_files()?
            {
                return Ok(Some(done));
            }
        }
        if self.prompt.is_some()
            && let Some(done) = self.password()?
        {
            return Ok(Some(done));
        }
        match needs_passphrase {
            Some(file) => Err(TransportError::KeyFile { file, source: KeyProblem::NeedsPassphrase }),
            None => Ok(None),
        }
    }

    /// Asks what the server accepts; true if it lets everybody in.
    fn list_methods(&mut self) -> Result<bool, TransportError> {
        let user = &self.options.user;
        let methods = self.driver.run(&self.guard(), |s| match s.auth_methods(user) {
            Ok(methods) => Ok(methods.split(',').map(str::to_owned).collect()),
            Err(_) if s.authenticated() => Ok(Vec::new()),
            Err(e) => Err(e),
        });
        self.accepted = methods.map_err(|f| self.failure(f))?;
        Ok(self.driver.session.authenticated())
    }

    fn offers(&self, method: &str) -> bool {
        self.accepted.iter().any(|m| m == method)
    }

    fn agent(&mut self) -> Progress {
        let Some(socket) = &self.options.agent_socket else {
            return Ok(
                self.note("SSH agent", AuthOutcome::AgentUnreachable("`SSH_AUTH_SOCK` is not set".into()))
            );
        };
        let session = &self.driver.session;
        let listed = session.agent().and_then(|mut agent| {
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            let identities = agent.identities()?;
            Ok((agent, identities))
        });
        let (agent, identities) = match listed {
            Ok(listed) => listed,
            Err(e) => {
                return Ok(self.note("SSH agent", AuthOutcome::AgentUnreachable(e.message().to_owned())));
            }
        };
        if identities.is_empty() {
            return Ok(self.note("SSH agent", AuthOutcome::AgentEmpty));
        }
        let user = &self.options.user;
        for identity in &identities {
            let what = format!("SSH agent's key `{}`", identity.comment());
            match self.driver.run(&self.guard(), |_| agent.userauth(user, identity)) {
                Ok(()) => return Ok(Some(what)),
                Err(Failure::Ssh(e)) if !is_lost(&e) => self.note(&what, AuthOutcome::Rejected),
                Err(failure) => {
                    self.note(&what, AuthOutcome::Rejected);
                    return Err(self.failure(failure));
                }
            };
        }
        Ok(None)
    }

    fn usual_key_files(&mut self) -> Progress {
        for file in default_identities().into_iter().filter(|f| f.exists()) {
            match self.key_file(&file) {
                Err(TransportError::KeyFile { file, source }) => {
                    self.note(&words(&file), AuthOutcome::Key(source));
                }
                done @ (Ok(Some(_)) | Err(_)) => return done,
                Ok(None) => {}
            }
        }
        Ok(None)
    }

    fn key_file(&mut self, file: &Path) -> Progress {
        let unusable = |source| TransportError::KeyFile { file: file.to_owned(), source };
        let key = KeyFile::read(file).map_err(unusable)?;
        if !key.encrypted {
            return match self.offer(&key, None)? {
                Ok(true) => Ok(Some(words(file))),
                Ok(false) => Ok(self.note(&words(file), AuthOutcome::Rejected)),
                Err(why) => Err(unusable(KeyProblem::Format(why))),
            };
        }
        for attempt in 0..ASK {
            let secret = Secret::Passphrase { file: file.to_owned() };
            let Some(passphrase) = self.ask(&secret, attempt > 0)? else {
                return Err(unusable(KeyProblem::NeedsPassphrase));
            };
            match self.offer(&key, Some(&passphrase))? {
                Ok(true) => return Ok(Some(words(file))),
                Ok(false) => return Ok(self.note(&words(file), AuthOutcome::Rejected)),
                Err(_) => {}
            }
        }
        Err(unusable(KeyProblem::WrongPassphrase))
    }

    /// Whether the server takes the key; the inner error says why the key cannot be opened.
    fn offer(&self, key: &KeyFile, passphrase: Option<&str>) -> Result<Result<bool, String>, TransportError> {
        let user = &self.options.user;
        match self.driver.run(&self.guard(), |s| s.userauth_pubkey_memory(user, None, &key.text, passphrase))
        {
            Ok(()) => Ok(Ok(true)),
            Err(Failure::Ssh(e)) => match e.code {
                code::AUTHENTICATION_FAILED => Ok(Ok(false)),
                // libssh2 says so both when the server rejects the signature and when it could not sign.
                code::PUBLICKEY_UNVERIFIED if !e.message.contains("Callback") => Ok(Ok(false)),
                _ if is_lost(&e) => Err(self.failure(Failure::Ssh(e))),
                _ => Ok(Err(e.message)),
            },
            Err(ended) => Err(self.failure(ended)),
        }
    }

    fn password(&mut self) -> Progress {
        let keyboard = !self.offers("password");
        if keyboard && !self.offers("keyboard-interactive") {
            return Ok(None);
        }
        let user = self.options.user.clone();
        for attempt in 0..ASK {
            let secret = Secret::Password { user: user.clone(), host: self.options.host.clone() };
            let Some(password) = self.ask(&secret, attempt > 0)? else {
                return Ok(self.note("password", AuthOutcome::NotGiven));
            };
            let done = self.driver.run(&self.guard(), |session: &Session| match keyboard {
                true => session.userauth_keyboard_interactive(&user, &mut Answer(&password)),
                false => session.userauth_password(&user, &password),
            });
            match done {
                Ok(()) => return Ok(Some("password".to_owned())),
                Err(Failure::Ssh(e)) if !is_lost(&e) => self.note("password", AuthOutcome::Rejected),
                Err(failure) => {
                    self.note("password", AuthOutcome::Rejected);
                    return Err(self.failure(failure));
                }
            };
        }
        Ok(None)
    }

    /// What the user types; nothing if there is nobody. Ctrl-C ends connecting, and asks for nothing else.
    fn ask(&mut self, secret: &Secret, again: bool) -> Result<Option<String>, TransportError> {
        let Some(prompt) = &mut self.prompt else { return Ok(None) };
        prompt.secret(secret, again).map_err(|Interrupted| TransportError::Interrupted)
    }

    fn guard(&self) -> Guard {
        Guard::new(self.interrupt, &self.peer, "authentication", Some(ATTEMPT))
    }

    /// Keeps a failed attempt for the error; `None`, so that the caller goes on.
    fn note(&mut self, what: &str, outcome: AuthOutcome) -> Option<String> {
        self.attempts.push(Attempt { what: what.to_owned(), outcome });
        None
    }

    fn failure(&self, failure: Failure) -> TransportError {
        match failure {
            Failure::Ssh(source) => TransportError::Lost { peer: self.peer.clone(), source },
            Failure::Ended(error) => error,
        }
    }

    fn rejected(self) -> TransportError {
        let (peer, user) = (self.peer, self.options.user.clone());
        TransportError::AuthRejected { peer, user, attempts: self.attempts, accepted: self.accepted }
    }
}

fn words(file: &Path) -> String {
    format!("key file `{}`", file.display())
}

/// Answers every question of the keyboard-interactive method with the password.
struct Answer<'a>(&'a str);

impl KeyboardInteractivePrompt for Answer<'_> {
    fn prompt(&mut self, _user: &str, _instructions: &str, prompts: &[ssh2::Prompt<'_>]) -> Vec<String> {
        prompts.iter().map(|_| self.0.to_owned()).collect()
    }
}
