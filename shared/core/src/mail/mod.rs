//! Mail: what a stranger's bytes say, who may be answered, which conversation it belongs to, and how an answer is written.
//! Fetching and sending, and what a mail is about, are not decided here.

mod automatic;
mod compose;
mod headers;
mod history;
mod html;
mod parts;
mod phrases;
mod thread;

use std::fmt;

pub use automatic::Automatic;
pub use compose::{Reply, Uncomposable, compose};
use headers::Headers;
use serde::{Deserialize, Serialize};
pub use thread::{base_subject, reply_subject, same_subject, thread_of};

use crate::normalize;
use crate::personal::Personal;
use crate::time::Timestamp;

/// The longest mail that is read, in bytes: 50 MB is what Gmail takes in at most, so that no mail that a mailbox can hold
/// is refused for its length. Reading takes no memory that grows with it beside the mail itself.
pub const MAX_RAW: usize = 50 * 1024 * 1024;
/// The longest text that is kept of a mail, in bytes: some twenty pages.
pub const MAX_TEXT: usize = 64 * 1024;
/// How deep parts are nested at most.
pub const MAX_DEPTH: usize = 12;
/// How many parts are read at most.
pub const MAX_PARTS: usize = 250;
/// How many header fields of a mail or a part are read at most.
pub const MAX_HEADERS: usize = 1000;
/// How many addresses of a field are kept at most.
pub const MAX_ADDRESSES: usize = 100;
/// How many references are kept and written at most: the first, and the newest.
pub const MAX_REFERENCES: usize = 21;
/// The longest message id that is one, in bytes: what fits in a line (RFC 5322, section 2.1.1).
const MAX_MESSAGE_ID: usize = 900;

/// The name of one mail (RFC 5322 `Message-ID`), without its angle brackets. It has no `Display`, and its `Debug`
/// does not show it: senders put addresses into it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    /// The id of a mail that is about to be written: `random` must be of a source that does not repeat, `domain` the
    /// sender's. `None` when the two make no id.
    #[must_use]
    pub fn new(random: &str, domain: &str) -> Option<Self> {
        let plain = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        };
        if plain(random) && plain(domain) { Self::parse(&format!("{random}@{domain}")) } else { None }
    }

    /// Reads an id, with or without its angle brackets; `None` when it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('<').unwrap_or(text);
        let text = text.strip_suffix('>').unwrap_or(text);
        let fits = |c: char| {
            !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | char::REPLACEMENT_CHARACTER)
        };
        (!text.is_empty() && text.len() <= MAX_MESSAGE_ID && text.chars().all(fits))
            .then(|| Self(text.to_owned()))
    }

    /// The id, without angle brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(message id)")
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a message id"))
    }
}

/// Somebody's address, with the name beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The name, as its owner writes it: anybody can write any.
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

/// Something that is attached. Its content is never read here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its file name, as the sender gave it: for showing, never for storing under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Personal<String>>,
    /// What it says it is: `image/jpeg`.
    pub media_type: String,
    /// How many bytes it has, decoded; of quoted-printable about as many.
    pub size: u64,
}

/// A mail that was read.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its name.
    pub message_id: Option<MessageId>,
    /// The mails that it answers: mostly one.
    pub in_reply_to: Vec<MessageId>,
    /// The conversation that it stands in, oldest first.
    pub references: Vec<MessageId>,
    /// Who wrote it. `None` when that is no address.
    pub from: Option<Address>,
    /// Where answers are asked to go.
    pub reply_to: Vec<Address>,
    /// To whom.
    pub to: Vec<Address>,
    /// To whom else.
    pub cc: Vec<Address>,
    /// Its subject, in one line.
    pub subject: Personal<String>,
    /// When it says it was written: the sender's clock.
    pub date: Option<Timestamp>,
    /// The whole text, plain, at most [`MAX_TEXT`] bytes.
    pub text: Personal<String>,
    /// What is new in it: without quoted and forwarded mails and without the signature. The whole text, where otherwise
    /// nothing would be left.
    pub new_text: Personal<String>,
    /// The signature.
    pub signature: Option<Personal<String>>,
    /// Whether the text holds quoted or forwarded mails.
    pub quoted: bool,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// Why no one may answer it automatically. See [`Incoming::unanswerable`].
    pub automatic: Option<Automatic>,
    /// Whether something was left out because a bound was reached.
    pub truncated: bool,
    /// How many parts were read.
    pub parts: usize,
    /// How many bytes the mail has.
    pub size: usize,
}

impl Incoming {
    /// Whom an answer goes to: the first address that answers are asked to go to, else whoever wrote it.
    #[must_use]
    pub fn answered(&self) -> Option<&Address> {
        self.reply_to.first().or(self.from.as_ref())
    }

    /// Whether one of a mailbox's own addresses, in their normal form, wrote it.
    #[must_use]
    pub fn is_own(&self, own: &[Personal<String>]) -> bool {
        self.from.as_ref().and_then(Address::normal).is_some_and(|from| own.contains(&from))
    }

    /// Why no one may answer it automatically, in a mailbox with these addresses in their normal form. An answer that
    /// would come back to the mailbox is such a reason too.
    #[must_use]
    pub fn unanswerable(&self, own: &[Personal<String>]) -> Option<Automatic> {
        let returns = self.answered().and_then(Address::normal).is_some_and(|to| own.contains(&to));
        if returns || self.is_own(own) { Some(Automatic::OwnMail) } else { self.automatic }
    }
}

/// Why bytes were not read as a mail. Nothing personal is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableMail {
    /// It has more than [`MAX_RAW`] bytes: so many.
    TooLarge(usize),
    /// There is nothing.
    Empty,
}

impl fmt::Display for UnreadableMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(size) => {
                write!(
                    f,
                    "the mail has {size} bytes and at most {MAX_RAW} are read: a person has to look at it"
                )
            }
            Self::Empty => f.write_str("the mail has no content: fetch it again"),
        }
    }
}

impl std::error::Error for UnreadableMail {}

/// Reads a mail. Whatever the bytes are, it takes time in proportion to their number and little memory: what is nested
/// too deep, too many or too long is left out, and [`Incoming::truncated`] says so.
pub fn read(raw: &[u8]) -> Result<Incoming, UnreadableMail> {
    if raw.len() > MAX_RAW {
        return Err(UnreadableMail::TooLarge(raw.len()));
    }
    let content = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    let start =
        content.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(UnreadableMail::Empty)?;
    let (headers, body) = Headers::split(content.get(start..).unwrap_or_default());
    let (mut found, parts) = parts::read(&headers, body);
    let mut truncated = parts.cut || found.cut;
    truncated |= parts::cut_at(&mut found.plain, MAX_TEXT);
    let split = history::split(&found.plain);
    let from = headers.addresses("From").into_iter().next();
    let reply_to = headers.addresses("Reply-To");
    let subject = headers.text("Subject").unwrap_or_default();
    let automatic = automatic::reason(&headers, from.as_ref(), reply_to.first().or(from.as_ref()), &subject);
    Ok(Incoming {
        message_id: headers.ids("Message-ID").into_iter().next(),
        in_reply_to: headers.ids("In-Reply-To"),
        references: headers.ids("References"),
        from,
        reply_to,
        to: headers.addresses("To"),
        cc: headers.addresses("Cc"),
        subject: Personal::new(subject),
        date: headers.date(),
        text: Personal::new(found.plain),
        new_text: Personal::new(split.new_text),
        signature: split.signature.map(Personal::new),
        quoted: split.quoted,
        attachments: parts.attachments,
        automatic,
        truncated,
        parts: parts.count,
        size: raw.len(),
    })
}

/// Whether a character of a text is shown: not a control character, and none of those that are there to hide or to turn
/// round what stands beside them.
const fn is_shown(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'
        | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A text with one kind of line end and of space, without what is not shown, without white space at the ends of its lines,
/// and with at most one empty line in a row.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut blanks = 0;
    // "\r\n" is one end, and so is each of them alone.
    let joined = text.replace("\r\n", "\n");
    for line in joined.split(['\n', '\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{c}', '\u{b}']) {
        let start = tidied.len();
        for c in line.chars() {
            match c {
                '\t' | '\u{a0}' | '\u{202f}' | '\u{2007}' => tidied.push(' '),
                _ if is_shown(c) => tidied.push(c),
                _ => {}
            }
        }
        tidied.truncate(start + tidied.get(start..).unwrap_or_default().trim_end().len());
        if tidied.len() == start {
            blanks += 1;
            if blanks > 1 {
                continue;
            }
        } else {
            blanks = 0;
        }
        tidied.push('\n');
    }
    tidied.trim().to_owned()
}

#[cfg(test)]
mod tests;
