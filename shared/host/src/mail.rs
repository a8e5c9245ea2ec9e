//! Sending one platform mail at most once: it was announced in the store before, and what became of it is told so that the
//! caller can mark it (docs/decisions/0014-a-mail-at-most-once.md). What a mail says is `core`'s.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::resend::{Email, KEY_MEMORY, Sent};
use storeward_core::alert::Mail;
use storeward_core::personal::Personal;
use storeward_core::time::HOUR;
use storeward_store::Mailing;

use crate::context::{Context, HostError};
use crate::job::JobError;
use crate::settings::Setting;

/// How long after its announcement a mail of which nobody knows whether it was sent can be sent again: as long as Resend
/// certainly remembers its key.
const REPEATABLE: Duration = KEY_MEMORY.saturating_sub(HOUR);

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailed {
    /// It is sent, now or by an earlier try, under this id of Resend's where it is known.
    Sent(Option<String>),
    /// Resend does not take it: the address, most likely. It never will.
    NotTaken,
    /// Nobody knows whether an earlier try was sent, and it is too late to repeat it.
    Uncertain,
    /// It was certainly not sent.
    NotSent(JobError),
    /// It may have been sent.
    Unknown(JobError),
}

impl Context {
    /// Sends a mail that was announced as `mailing` under an idempotency key of its own.
    ///
    /// # Errors
    /// When the function lacks a setting or the client cannot be made.
    pub async fn send_mail(
        &self,
        to: Personal<String>,
        mail: Mail,
        key: &str,
        mailing: &Mailing,
    ) -> Result<Mailed, HostError> {
        if mailing.tries > 1 && self.now().since(mailing.since) >= REPEATABLE {
            tracing::warn!(
                tries = mailing.tries,
                "a mail that may have been sent a day ago is not sent again"
            );
            return Ok(Mailed::Uncertain);
        }
        let email = Email {
            from: self.setting(Setting::MailFrom)?.to_owned(),
            to: vec![to],
            subject: mail.subject,
            text: mail.text,
            html: Some(mail.html),
        };
        Ok(match self.resend().await?.send(&email, key).await {
            Ok(Sent::Taken { id }) => Mailed::Sent(Some(id)),
            // An earlier try was sent, in the words of then.
            Ok(Sent::InOtherWords) => Mailed::Sent(None),
            Err(ClientError::Rejected(code)) if code.starts_with("status ") => {
                // Not the answer of a Resend that read the mail: the endpoint is not what it should be.
                Mailed::NotSent(JobError::DeadLetter(format!("Resend: {code}")))
            }
            Err(ClientError::Rejected(code)) => {
                tracing::warn!(code, "Resend does not take the mail");
                Mailed::NotTaken
            }
            Err(error @ ClientError::Throttled(_)) => Mailed::NotSent(JobError::Retry(error.to_string())),
            Err(error @ ClientError::Unavailable(_)) => Mailed::Unknown(JobError::Retry(error.to_string())),
            Err(error) => Mailed::NotSent(JobError::DeadLetter(format!("Resend: {error}"))),
        })
    }
}
