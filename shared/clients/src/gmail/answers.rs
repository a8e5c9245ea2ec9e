//! What Gmail answers, as it is told to callers and as it stands on the wire.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use storeward_core::gmail::{HistoryId, MessageId, ThreadId};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(pub(super) String);

impl PageToken {
    /// A page that was kept by [`PageToken::to_keep`].
    #[must_use]
    pub fn kept(kept: Personal<String>) -> Self {
        Self(kept.into_inner())
    }

    /// The page, for sealing: Gmail does not say what is in it.
    #[must_use]
    pub fn to_keep(&self) -> Personal<String> {
        Personal::new(self.0.clone())
    }
}

/// Whose mailbox it is, and how far its history goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The mailbox's address, as Google writes it.
    #[serde(rename = "emailAddress")]
    pub address: Personal<String>,
    /// How far its history goes.
    #[serde(deserialize_with = "number")]
    pub history_id: HistoryId,
}

/// What became of the wish to be told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Changes are told.
    Until {
        /// Until when, seven days from now.
        expires_at: Timestamp,
        /// How far the mailbox's history goes: what changes from there on is told.
        history_id: HistoryId,
    },
    /// The mailbox tells another topic of this project: stop that, then watch again.
    OtherClient,
}

/// A message, by what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageName {
    /// The message.
    pub id: MessageId,
    /// The thread it is in.
    pub thread_id: ThreadId,
    /// Its labels, where they are told: `INBOX`, `SENT`, `DRAFT`, `SPAM` and the like.
    #[serde(default)]
    pub label_ids: BTreeSet<String>,
}

/// A part of a mailbox's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The messages that came in it, oldest first, each once. Some may be gone by now.
    pub added: Vec<MessageName>,
    /// Where it goes on, asked from the same start.
    pub next: Option<PageToken>,
    /// How far the history goes: the next start, once there is no next page.
    pub history_id: HistoryId,
}

/// What a mailbox's history says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// A part of it.
    Page(HistoryPage),
    /// Gmail has forgotten what came since that start: only looking through the mailbox tells.
    TooOld,
}

/// A page of what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagesPage {
    /// The messages, latest first.
    #[serde(default)]
    pub messages: Vec<MessageName>,
    /// Where it goes on.
    #[serde(default, rename = "nextPageToken")]
    pub next: Option<PageToken>,
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// What it is called.
    pub name: MessageName,
    /// When Gmail received it: more reliable than the `Date` in it.
    pub received_at: Timestamp,
    /// The mail (RFC 5322).
    pub raw: Personal<Vec<u8>>,
}

/// What a message says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// What it is called.
    pub name: MessageName,
    /// When Gmail received it.
    pub received_at: Timestamp,
    /// About how many bytes it has.
    pub size: u64,
    /// Its headers in their order, decoded.
    pub headers: Vec<(String, Personal<String>)>,
}

/// A message that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched<T> {
    /// It.
    Found(T),
    /// It is deleted.
    Gone,
    /// It is larger than what was to be read.
    TooLarge,
}

/// What became of a mail that was to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It is sent.
    Sent(MessageName),
    /// The thread it should go into is deleted: nothing was sent.
    ThreadGone,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WatchAnswer {
    #[serde(deserialize_with = "number")]
    pub(super) history_id: HistoryId,
    #[serde(deserialize_with = "number")]
    pub(super) expiration: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryAnswer {
    #[serde(default)]
    pub(super) history: Vec<HistoryRecord>,
    #[serde(default)]
    pub(super) next_page_token: Option<PageToken>,
    #[serde(deserialize_with = "number")]
    pub(super) history_id: HistoryId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryRecord {
    #[serde(default)]
    pub(super) messages_added: Vec<Added>,
}

#[derive(Deserialize)]
pub(super) struct Added {
    pub(super) message: MessageName,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawAnswer<'a> {
    #[serde(flatten)]
    pub(super) name: MessageName,
    #[serde(deserialize_with = "number")]
    pub(super) internal_date: u64,
    #[serde(borrow)]
    pub(super) raw: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeadAnswer {
    #[serde(flatten)]
    pub(super) name: MessageName,
    #[serde(deserialize_with = "number")]
    pub(super) internal_date: u64,
    #[serde(default)]
    pub(super) size_estimate: u64,
    pub(super) payload: Payload,
}

#[derive(Deserialize)]
pub(super) struct Payload {
    #[serde(default)]
    pub(super) headers: Vec<HeaderPart>,
}

#[derive(Deserialize)]
pub(super) struct HeaderPart {
    pub(super) name: String,
    pub(super) value: Personal<String>,
}

#[derive(Deserialize)]
pub(super) struct ThreadAnswer {
    #[serde(default)]
    pub(super) messages: Vec<MessageName>,
}

/// Gmail writes 64-bit numbers as strings.
pub(super) fn number<'de, D: Deserializer<'de>, T: From<u64>>(deserializer: D) -> Result<T, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::String(digits) => digits.parse().ok(),
        number => number.as_u64(),
    };
    number.map(T::from).ok_or_else(|| D::Error::custom("not a number"))
}

pub(super) fn time(milliseconds: u64) -> Timestamp {
    Timestamp(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}
