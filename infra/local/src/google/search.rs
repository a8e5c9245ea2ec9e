//! Gmail's search box: the operators that programs use. What it does not know it looks for as a word, as Gmail does.

use std::time::Duration;

use storeward_core::time::{DAY, HOUR, Timestamp};

use super::mailbox::Message;

/// A search.
#[derive(Debug)]
pub(super) struct Search(Vec<Term>);

#[derive(Debug)]
struct Term {
    wanted: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    MessageId(String),
    NewerThan(Duration),
    OlderThan(Duration),
    After(Timestamp),
    Before(Timestamp),
    In(String),
    Is(String),
    From(String),
    To(String),
    Subject(String),
    Word(String),
}

impl Search {
    /// Reads what stands in the box.
    pub(super) fn read(text: &str) -> Self {
        Self(words(text).iter().filter_map(|word| term(word)).collect())
    }

    /// Whether it finds a message. What lies in spam and trash is found when it is asked for, or `everywhere`.
    pub(super) fn finds(&self, message: &Message, everywhere: bool, now: Timestamp) -> bool {
        let names = |places: &[&str]| {
            self.0.iter().any(|term| {
                term.wanted && matches!(&term.kind, Kind::In(place) if places.contains(&place.as_str()))
            })
        };
        let hidden = |label: &str, place: &str| {
            message.labels.contains(label) && !everywhere && !names(&["anywhere", place])
        };
        if hidden("SPAM", "spam") || hidden("TRASH", "trash") {
            return false;
        }
        self.0.iter().all(|term| term.kind.fits(message, now) == term.wanted)
    }
}

impl Kind {
    fn fits(&self, message: &Message, now: Timestamp) -> bool {
        let contains = |list: &[String], part: &str| list.iter().any(|one| one.contains(part));
        let heading = &message.heading;
        match self {
            Self::MessageId(id) => heading.message_id == *id,
            Self::NewerThan(age) => message.received_at >= now - *age,
            Self::OlderThan(age) => message.received_at < now - *age,
            Self::After(time) => message.received_at >= *time,
            Self::Before(time) => message.received_at < *time,
            Self::In(place) if place == "anywhere" => true,
            Self::In(place) => message.labels.contains(&place.to_ascii_uppercase()),
            Self::Is(state) if state == "read" => !message.labels.contains("UNREAD"),
            Self::Is(state) => message.labels.contains(&state.to_ascii_uppercase()),
            Self::From(part) => contains(&heading.from, part),
            Self::To(part) => contains(&heading.to, part),
            Self::Subject(part) => heading.subject.to_lowercase().contains(part),
            Self::Word(part) => {
                heading.subject.to_lowercase().contains(part)
                    || String::from_utf8_lossy(&message.raw).to_lowercase().contains(part)
            }
        }
    }
}

/// The words of a search: what stands in quotation marks or round brackets is one.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => all.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    all.push(word);
    all.retain(|word| !word.is_empty());
    all
}

fn term(word: &str) -> Option<Term> {
    let (wanted, word) = word.strip_prefix('-').map_or((true, word), |rest| (false, rest));
    let plain = || Kind::Word(word.to_lowercase());
    let kind = match word.split_once(':') {
        Some((operator, value)) => match operator.to_ascii_lowercase().as_str() {
            "rfc822msgid" => Kind::MessageId(value.trim_matches(['<', '>']).to_owned()),
            "newer_than" => age(value).map_or_else(plain, Kind::NewerThan),
            "older_than" => age(value).map_or_else(plain, Kind::OlderThan),
            "after" | "newer" => time(value).map_or_else(plain, Kind::After),
            "before" | "older" => time(value).map_or_else(plain, Kind::Before),
            "in" | "label" => Kind::In(value.to_ascii_lowercase()),
            "is" => Kind::Is(value.to_ascii_lowercase()),
            "from" => Kind::From(value.to_lowercase()),
            "to" => Kind::To(value.to_lowercase()),
            "subject" => Kind::Subject(value.to_lowercase()),
            _ => plain(),
        },
        None => plain(),
    };
    (!word.is_empty()).then_some(Term { wanted, kind })
}

/// `7d`, `2m`, `1y`: days, months and years; and hours.
fn age(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'h' => HOUR,
        'd' => DAY,
        'm' => DAY * 30,
        'y' => DAY * 365,
        _ => return None,
    };
    let number: u32 = text[..text.len() - 1].parse().ok()?;
    unit.checked_mul(number)
}

/// Seconds since the epoch, or `2026/11/22` at midnight in UTC.
fn time(text: &str) -> Option<Timestamp> {
    let day = || Timestamp::parse_rfc3339(&format!("{}T00:00:00Z", text.replace('/', "-")));
    text.parse().ok().map(Timestamp::from_seconds).or_else(day)
}
