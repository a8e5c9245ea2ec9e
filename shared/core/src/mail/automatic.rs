//! Which mails no one may answer without a person looking: what programs send, and what would come back for ever. From the
//! header alone; what is written in the mail decides nothing here.

use serde::{Deserialize, Serialize};

use super::headers::Headers;
use super::phrases::{AWAY_SUBJECTS, BOUNCE_LOCAL_PARTS, NO_REPLY_LOCAL_PARTS};
use super::{Address, base_subject};

/// Why no one may answer a mail automatically. The first that applies is told, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// It comes from the mailbox itself. [`super::Incoming::unanswerable`] tells it.
    OwnMail,
    /// It says what became of another mail: no sender to return to, a report, or a mail system's own address.
    Bounce,
    /// `Auto-Submitted` with anything but `no` (RFC 3834).
    AutoSubmitted,
    /// One of the older fields that say the same, or one that asks not to be answered by a program.
    AutoReply,
    /// `Precedence` is `bulk`, `junk` or `list`.
    Bulk,
    /// It went over a list, or can be unsubscribed from.
    List,
    /// Nobody reads what is answered to its address.
    NoReply,
    /// Its subject is that of a note that somebody is away. People can write such a subject too.
    Away,
}

impl Automatic {
    /// Whether it is no customer's mail at all, so that nobody has to look at it: a newsletter, or news of a mail that
    /// was not delivered. The others can be a customer's: a shop's contact form is sent by a program too.
    #[must_use]
    pub const fn is_no_customers_mail(self) -> bool {
        matches!(self, Self::OwnMail | Self::Bounce | Self::Bulk | Self::List)
    }

    /// Whether the header says so, and not only a subject that people can write too.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::Away)
    }
}

/// The reason that the header gives. `answered` is whoever an answer would go to.
pub(super) fn reason(
    headers: &Headers<'_>,
    from: Option<&Address>,
    answered: Option<&Address>,
    subject: &str,
) -> Option<Automatic> {
    let says = |name: &str, words: &[&str]| {
        headers.token(name).is_some_and(|value| words.iter().any(|word| first_word(&value) == *word))
    };
    if is_bounce(headers, from) {
        return Some(Automatic::Bounce);
    }
    if headers.token("Auto-Submitted").is_some_and(|value| !matches!(first_word(&value), "no" | "")) {
        return Some(Automatic::AutoSubmitted);
    }
    let suppressed = headers.token("X-Auto-Response-Suppress").is_some_and(|value| {
        value.split([',', ';', ' ']).any(|word| matches!(word.trim(), "all" | "oof" | "autoreply"))
    });
    let marked = [
        "X-Autoreply",
        "X-Autoreply-From",
        "X-Autorespond",
        "X-Autoresponder",
        "X-Auto-Reply",
        "X-Mail-Autoreply",
        "X-Loop",
    ];
    let marked = marked.iter().any(|name| headers.has(name) && !says(name, &["no", "false"]));
    if suppressed || marked || says("Precedence", &["auto_reply", "auto-reply"]) {
        return Some(Automatic::AutoReply);
    }
    if says("Precedence", &["bulk", "junk", "list"]) || says("X-Precedence", &["bulk", "junk", "list"]) {
        return Some(Automatic::Bulk);
    }
    if ["List-Id", "List-Unsubscribe", "List-Post", "List-Help"].iter().any(|name| headers.has(name)) {
        return Some(Automatic::List);
    }
    if answered.is_some_and(|address| is_one_of(address, NO_REPLY_LOCAL_PARTS)) {
        return Some(Automatic::NoReply);
    }
    let subject = base_subject(subject).to_lowercase();
    let away = AWAY_SUBJECTS.iter().any(|begins| subject.strip_prefix(begins).is_some_and(ends_word));
    away.then_some(Automatic::Away)
}

fn ends_word(rest: &str) -> bool {
    !rest.chars().next().is_some_and(char::is_alphanumeric)
}

fn first_word(value: &str) -> &str {
    value.split([';', ' ', '(', '\t', '\r', '\n', ',']).next().unwrap_or_default()
}

fn is_bounce(headers: &Headers<'_>, from: Option<&Address>) -> bool {
    let nowhere = headers.token("Return-Path").is_some_and(|path| {
        path.strip_prefix('<')
            .and_then(|path| path.strip_suffix('>'))
            .is_some_and(|path| path.trim().is_empty())
    });
    let report = headers.content_type("Content-Type").is_some_and(|content| {
        content.c_type.eq_ignore_ascii_case("multipart")
            && content.c_subtype.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("report"))
    });
    nowhere
        || report
        || headers.has("X-Failed-Recipients")
        || from.is_some_and(|from| is_one_of(from, BOUNCE_LOCAL_PARTS))
}

/// Whether the local part, without what parts its words and without what follows a plus, is in the list or begins with a
/// member of it that a parting follows (`noreply-123`, `bounces+abc`).
fn is_one_of(address: &Address, list: &[&str]) -> bool {
    let lower = address.address.expose().to_lowercase();
    let local = lower.rsplit_once('@').map_or(lower.as_str(), |(local, _)| local);
    let mut joined = String::new();
    for word in local.split(['-', '_', '.', '+', '=']) {
        joined.push_str(word);
        if list.contains(&joined.as_str()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
