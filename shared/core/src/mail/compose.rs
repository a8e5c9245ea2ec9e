//! Mails that answer: as bytes, ready to be handed to the provider. Who answers and what is decided elsewhere.

use std::fmt;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId as Ids;
use mail_builder::headers::raw::Raw;

use super::headers::bounded;
use super::{Address, MessageId, reply_subject, tidy};
use crate::alert::clean;
use crate::normalize;
use crate::personal::Personal;
use crate::time::Timestamp;

/// The longest subject and name that are written, in characters.
const MAX_LINE: usize = 250;

/// An answer to a mail.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Made before the first try and kept: by it a retry finds what was sent.
    pub message_id: MessageId,
    /// The mailbox that answers.
    pub from: Address,
    /// Whom it answers.
    pub to: Address,
    /// The subject of the mail that is answered; `Re:` is put before it where it is missing.
    pub subject: Personal<String>,
    /// The mail that is answered.
    pub in_reply_to: Option<MessageId>,
    /// The references of the mail that is answered; its own id is added.
    pub references: Vec<MessageId>,
    /// What is said, as plain text.
    pub text: Personal<String>,
    /// When it is written.
    pub date: Timestamp,
    /// Whether a rule sends it, and no person (RFC 3834): then programs do not answer it.
    pub auto_submitted: bool,
}

/// Why an answer cannot be written. Nothing personal is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncomposable {
    /// The sender's address is none.
    From,
    /// The recipient's address is none: the answer is for a person to send.
    To,
    /// There is nothing to say.
    Empty,
}

impl fmt::Display for Uncomposable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::From => "the mailbox has no valid address: connect it again",
            Self::To => "the recipient has no valid address: answer by hand",
            Self::Empty => "the answer has no text: write one",
        })
    }
}

impl std::error::Error for Uncomposable {}

/// Writes an answer as a mail (RFC 5322). No field can hold a line end, whatever stands in it. The same answer is
/// always the same bytes.
pub fn compose(reply: &Reply) -> Result<Vec<u8>, Uncomposable> {
    let from = mailbox(&reply.from).ok_or(Uncomposable::From)?;
    let to = mailbox(&reply.to).ok_or(Uncomposable::To)?;
    let text = tidy(reply.text.expose());
    if text.is_empty() {
        return Err(Uncomposable::Empty);
    }
    let mut references: Vec<MessageId> =
        reply.references.iter().filter(|id| Some(*id) != reply.in_reply_to.as_ref()).cloned().collect();
    references.extend(reply.in_reply_to.clone());
    let references = bounded(references);
    let mut mail = MessageBuilder::new()
        .message_id(Ids::new(reply.message_id.as_str()))
        .date(Date::new(reply.date.seconds()))
        .from(from)
        .to(to)
        .subject(reply_subject(&clean(reply.subject.expose(), MAX_LINE)));
    if let Some(answered) = &reply.in_reply_to {
        mail = mail.in_reply_to(Ids::new(answered.as_str()));
    }
    if !references.is_empty() {
        mail = mail.references(Ids::new_list(references.iter().map(MessageId::as_str)));
    }
    if reply.auto_submitted {
        mail = mail.header("Auto-Submitted", Raw::new("auto-replied"));
    }
    let mut bytes = Vec::new();
    mail.text_body(format!("{text}\n")).serialize(&mut bytes);
    Ok(bytes)
}

/// An address as it is written; `None` when it is none.
fn mailbox(address: &Address) -> Option<Mailbox<'static>> {
    normalize::email(address.address.expose())?;
    let plain = address.address.expose().trim();
    let awkward = |c: char| matches!(c, '<' | '>' | ',' | ';' | ':' | '(' | ')' | '\\' | '"' | '[' | ']');
    if plain.contains(awkward) {
        return None;
    }
    let name = address.name.as_ref().map(|name| clean(name.expose(), MAX_LINE));
    Some(Mailbox::new_address(name.filter(|name| !name.is_empty()), plain.to_owned()))
}

#[cfg(test)]
mod tests;
