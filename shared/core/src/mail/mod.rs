//! Mail: stands in for the branch that reads mails, with its types alone, until that is merged.

use serde::{Deserialize, Serialize};

use crate::normalize;
use crate::personal::Personal;
use crate::time::Timestamp;

/// The name of one mail (RFC 5322 `Message-ID`), without its angle brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    /// The id of a mail that is about to be written.
    #[must_use]
    pub fn new(random: &str, domain: &str) -> Option<Self> {
        Self::parse(&format!("{random}@{domain}"))
    }

    /// Reads an id, with or without its angle brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The id, without angle brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(message id)")
    }
}

/// Somebody's address, with the name beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The name, as its owner writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Personal<String>>,
    /// The address as it was written.
    pub address: Personal<String>,
}

impl Address {
    /// The form under which a person is found.
    #[must_use]
    pub fn normal(&self) -> Option<Personal<String>> {
        normalize::email(self.address.expose())
    }
}

/// Something that is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its file name, as the sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Personal<String>>,
    /// What it says it is.
    pub media_type: String,
    /// How many bytes it has.
    pub size: u64,
}

/// Why no one may answer a mail automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// It comes from the mailbox itself.
    OwnMail,
    /// It says what became of another mail.
    Bounce,
    /// `Auto-Submitted` with anything but `no`.
    AutoSubmitted,
    /// One of the older fields that say the same.
    AutoReply,
    /// `Precedence` is `bulk`, `junk` or `list`.
    Bulk,
    /// It went over a list.
    List,
    /// Nobody reads what is answered to its address.
    NoReply,
    /// Its subject is that of a note that somebody is away.
    Away,
}

/// A mail that was read.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its name.
    pub message_id: Option<MessageId>,
    /// The mails that it answers.
    pub in_reply_to: Vec<MessageId>,
    /// The conversation that it stands in, oldest first.
    pub references: Vec<MessageId>,
    /// Who wrote it.
    pub from: Option<Address>,
    /// Where answers are asked to go.
    pub reply_to: Vec<Address>,
    /// To whom.
    pub to: Vec<Address>,
    /// To whom else.
    pub cc: Vec<Address>,
    /// Its subject, in one line.
    pub subject: Personal<String>,
    /// When it says it was written.
    pub date: Option<Timestamp>,
    /// The whole text.
    pub text: Personal<String>,
    /// What is new in it.
    pub new_text: Personal<String>,
    /// The signature.
    pub signature: Option<Personal<String>>,
    /// Whether the text holds quoted or forwarded mails.
    pub quoted: bool,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// Why no one may answer it automatically.
    pub automatic: Option<Automatic>,
    /// Whether something was left out because a bound was reached.
    pub truncated: bool,
    /// How many parts were read.
    pub parts: usize,
    /// How many bytes the mail has.
    pub size: usize,
}
