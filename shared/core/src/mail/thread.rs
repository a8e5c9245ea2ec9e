//! Which conversation a mail belongs to, where the provider does not say, and what its subject is without what programs put
//! before it.

use super::phrases::{FORWARD_PREFIXES, REPLY_PREFIXES};
use super::{Incoming, MessageId};

/// The conversation that a mail belongs to: what `known` says of the mail it answers, else of the newest of its
/// references that is known. Gmail's own `threadId` comes before this; references mend what it tears apart, such as
/// an answer to a forwarded mail or one under a changed subject.
pub fn thread_of<T>(incoming: &Incoming, known: impl Fn(&MessageId) -> Option<T>) -> Option<T> {
    let mut asked: Vec<&MessageId> = Vec::new();
    for id in incoming.in_reply_to.iter().rev().chain(incoming.references.iter().rev()) {
        // Each is a read of the store.
        if asked.contains(&id) {
            continue;
        }
        if let Some(thread) = known(id) {
            return Some(thread);
        }
        asked.push(id);
    }
    None
}

/// The prefix that a subject begins with, if it is one of the list, and the rest: `Re:`, `AW :`, `RE[2]:`, `Re: [EXT] `.
fn prefix<'a>(subject: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    let subject = subject.trim_start();
    let colon = subject.find([':', '：']).filter(|colon| *colon <= 24)?;
    let (word, rest) = subject.split_at_checked(colon)?;
    let rest = rest.strip_prefix([':', '：'])?;
    // Some count: "Re[2]", "Re(2)", "Re^2".
    let end = word.find(['[', '(', '^']).unwrap_or(word.len());
    let (word, count) = word.split_at_checked(end)?;
    let counts =
        count.trim_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | '^' | ' '));
    (counts.is_empty() && prefixes.contains(&word.trim().to_lowercase().as_str())).then(|| rest.trim_start())
}

/// A subject without the prefixes of answers and forwarded mails, in whichever languages and however many.
#[must_use]
pub fn base_subject(subject: &str) -> &str {
    let mut rest = subject.trim();
    while let Some(shorter) = prefix(rest, REPLY_PREFIXES).or_else(|| prefix(rest, FORWARD_PREFIXES)) {
        rest = shorter;
    }
    rest
}

/// Whether two subjects are those of one conversation.
#[must_use]
pub fn same_subject(one: &str, other: &str) -> bool {
    let words = |subject: &str| -> Vec<String> {
        base_subject(subject).split_whitespace().map(str::to_lowercase).collect()
    };
    words(one) == words(other)
}

/// The subject of an answer: one `Re:`, however many there were. What says that a mail was forwarded stays, as it
/// does in Gmail: a reply whose subject differs begins another thread there.
#[must_use]
pub fn reply_subject(subject: &str) -> String {
    let mut rest = subject.trim();
    while let Some(shorter) = prefix(rest, REPLY_PREFIXES) {
        rest = shorter;
    }
    format!("Re: {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests;
