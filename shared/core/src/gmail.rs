//! What Gmail names things by: messages, threads, and points in a mailbox's history. Calls are the clients'.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::personal::Personal;

/// A message of a mailbox, as Gmail numbers it. It leads to what a person wrote, so it is never shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MessageId(Personal<String>);

/// A conversation in a mailbox, as Gmail numbers it. It leads to what a person wrote, so it is never shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ThreadId(Personal<String>);

/// The most characters of an id. Gmail's have 16 hexadecimal digits, and it promises nothing of their form.
const LONGEST_ID: usize = 64;

/// Whether a text can stand in the path of an address as it is.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(plain)
}

/// A text that cannot be an id of Gmail's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of Gmail has 1 to 64 letters and digits")
    }
}

impl std::error::Error for NotAnId {}

impl TryFrom<String> for MessageId {
    type Error = NotAnId;
    fn try_from(id: String) -> Result<Self, NotAnId> {
        if is_id(&id) { Ok(Self(id.into())) } else { Err(NotAnId) }
    }
}

impl MessageId {
    /// Takes an id; `None` for what cannot be one.
    #[must_use]
    pub fn new(id: String) -> Option<Self> {
        Self::try_from(id).ok()
    }

    /// The id, for sealing and for the request.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl TryFrom<String> for ThreadId {
    type Error = NotAnId;
    fn try_from(id: String) -> Result<Self, NotAnId> {
        if is_id(&id) { Ok(Self(id.into())) } else { Err(NotAnId) }
    }
}

impl ThreadId {
    /// Takes an id; `None` for what cannot be one.
    #[must_use]
    pub fn new(id: String) -> Option<Self> {
        Self::try_from(id).ok()
    }

    /// The id, for sealing and for the request.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A point in the history of a mailbox. Later points are greater; the gaps between them mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HistoryId(pub u64);

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for HistoryId {
    fn from(point: u64) -> Self {
        Self(point)
    }
}

impl FromStr for HistoryId {
    type Err = ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_what_gmail_calls_a_message_then_it_is_an_id_and_nothing_that_could_leave_the_path_is() {
        for good in ["18f0a1b2c3d4e5f6", "r-123_4", &"a".repeat(64)] {
            assert_eq!(MessageId::new(good.to_owned()).unwrap().expose(), good);
            assert_eq!(ThreadId::new(good.to_owned()).unwrap().expose(), good);
        }
        for bad in ["", "a/b", "..", "a?b", "a b", "a%2f", "é", &"a".repeat(65)] {
            assert!(
                MessageId::new(bad.to_owned()).is_none() && ThreadId::new(bad.to_owned()).is_none(),
                "{bad}"
            );
        }
        let stored = serde_json::to_string(&MessageId::new("18f0".to_owned())).unwrap();
        assert_eq!(stored, r#""18f0""#);
        assert!(serde_json::from_str::<MessageId>(r#""a/b""#).is_err());
        let shown = format!("{:?}", MessageId::new("18f0a1b2c3d4e5f6".to_owned()).unwrap());
        assert!(!shown.contains("18f0"), "{shown}");
    }

    #[test]
    fn given_a_point_of_history_then_it_reads_as_it_is_written_and_has_an_order() {
        let point: HistoryId = "18446744073709551615".parse().unwrap();
        assert_eq!((point.to_string().as_str(), point), ("18446744073709551615", HistoryId(u64::MAX)));
        assert!("-1".parse::<HistoryId>().is_err() && HistoryId(9) < HistoryId(10));
    }
}
