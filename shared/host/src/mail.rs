//! Sending a platform mail at most once: it was announced in the store before, and what became of it is told so that the
//! caller can mark it (docs/decisions/0014-a-mail-at-most-once.md). What a mail says is `core`'s.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::resend::{Email, KEY_MEMORY, Sent};
use storeward_core::alert::Mail;
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Categories, Outgoing, Use};
use storeward_core::personal::Personal;
use storeward_core::time::HOUR;
use storeward_store::{Installation, Mailing};

use crate::context::{Context, HostError};
use crate::job::JobError;
use crate::settings::Setting;

/// How long after its announcement a mail of which nobody knows whether it was sent can be sent again: as long as Resend
/// certainly remembers its key.
pub const REPEATABLE: Duration = KEY_MEMORY.saturating_sub(HOUR);

/// A mail that is to go out: to whom, what for, and under which key.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The address: the merchant's, or that of a person who is asked for proof.
    pub to: Personal<String>,
    /// What it says.
    pub mail: Mail,
    /// What it is for.
    pub purpose: Use,
    /// Its idempotency key: blinded and random names only.
    pub key: String,
}

/// What became of a try to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailed {
    /// It is sent, now or by an earlier try; by which id of Resend's, where that is known.
    Sent(Option<String>),
    /// It is not sent and never will be: the address is none, or the merchant objected to its being sent.
    Refused,
    /// It may have been sent, so long ago that another try could be a second mail. It is not tried again.
    Lost,
    /// It was certainly not sent.
    NotSent(JobError),
    /// It may have been sent.
    Unknown(JobError),
}

/// What a mail carries: whose it is, the orders in one about cases, and the random name of what it is about in its key.
const fn carried(purpose: Use) -> Categories {
    match purpose {
        Use::CaseMail => {
            Categories::of(&[Category::MerchantAccount, Category::OrderMetadata, Category::Pseudonym])
        }
        _ => Categories::of(&[Category::MerchantAccount, Category::Pseudonym]),
    }
}

impl Context {
    /// Whether mail of a kind may go out for a merchant. A mistake in the declaration is left to the gate, which reports it.
    #[must_use]
    pub fn may_mail(&self, installation: &Installation, purpose: Use) -> bool {
        match self.permitted(installation, Processor::Resend, purpose, carried(purpose)) {
            Ok(()) => true,
            Err(refusal) => refusal.is_a_fault(),
        }
    }

    /// Sends a mail that was announced as `mailing`.
    ///
    /// # Errors
    /// When the function lacks a setting, or the client cannot be made.
    pub async fn send_letter(
        &self,
        installation: &Installation,
        letter: Letter,
        mailing: &Mailing,
    ) -> Result<Mailed, HostError> {
        if mailing.tries > 1 && self.now().since(mailing.since) >= REPEATABLE {
            // Resend does not know the key any more: a second mail would be worse than none, for what it tells is in the app.
            tracing::warn!(
                tries = mailing.tries,
                "a mail that may have been sent a day ago is not sent again"
            );
            return Ok(Mailed::Lost);
        }
        let Letter { to, mail, purpose, key } = letter;
        let recipient = match purpose {
            Use::ProofMail => Category::CustomerContact,
            _ => Category::MerchantAccount,
        };
        let about = carried(purpose).without(Categories::of(&[Category::Pseudonym]));
        let email = Email {
            purpose,
            from: self.setting(Setting::MailFrom)?.to_owned(),
            to: vec![Outgoing::personal(recipient, &to)],
            subject: Outgoing::carrying(about, mail.subject),
            text: Outgoing::carrying(about, mail.text),
            html: Some(Outgoing::carrying(about, mail.html)),
        };
        let key = Outgoing::about(Category::Pseudonym, key);
        let dead =
            |error: &dyn std::fmt::Display| Mailed::NotSent(JobError::DeadLetter(format!("Resend: {error}")));
        Ok(match self.resend_for(installation).await?.send(&email, &key).await {
            Ok(Sent::Taken { id }) => {
                tracing::info!(mail = id, "sent");
                Mailed::Sent(Some(id))
            }
            // An earlier try was sent, with what it had to say then.
            Ok(Sent::InOtherWords) => Mailed::Sent(None),
            // Not the answer of a Resend that read the mail: the endpoint is not what it should be.
            Err(ClientError::Rejected(code)) if code.starts_with("status ") => dead(&code),
            Err(ClientError::Rejected(code)) => {
                // The merchant's address, most likely. What it tells is in the app.
                tracing::warn!(code, "Resend does not take the mail");
                Mailed::Refused
            }
            Err(ClientError::NotPermitted(refusal)) if refusal.is_a_fault() => {
                dead(&format!("not sent: {refusal}"))
            }
            // The merchant objected just now.
            Err(ClientError::NotPermitted(_)) => Mailed::Refused,
            Err(error @ ClientError::Throttled(_)) => Mailed::NotSent(JobError::Retry(error.to_string())),
            Err(error @ (ClientError::Unauthorized | ClientError::Closed)) => dead(&error),
            Err(error @ ClientError::Unavailable(_)) => Mailed::Unknown(JobError::Retry(error.to_string())),
        })
    }
}
