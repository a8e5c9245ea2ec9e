//! What the check saw while it looked: how many orders stand under each key. It is how common a value is in this
//! shop, today; nothing is counted or stored for it, so nothing of it has to be erased.

use std::collections::BTreeMap;

use super::keys::MatchKey;

/// How many orders stand under one key, inside the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many were read.
    pub count: usize,
    /// Whether there are more than the check reads: the key is saturated.
    pub more: bool,
}

/// How many orders stand under the keys that were looked up. A key that was not says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    rows: BTreeMap<MatchKey, Rows>,
}

impl Seen {
    /// Nothing looked up yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers what stood under a key.
    pub fn add(&mut self, key: MatchKey, rows: Rows) {
        self.rows.insert(key, rows);
    }

    /// What stood under a key, when it was looked up.
    #[must_use]
    pub fn rows(&self, key: &MatchKey) -> Option<Rows> {
        self.rows.get(key).copied()
    }

    /// The fullest of the keys that both sides have, of one kind.
    pub(super) fn shared<'a>(&self, keys: impl Iterator<Item = &'a MatchKey>) -> Option<Rows> {
        keys.filter_map(|key| self.rows(key)).max_by_key(|rows| (rows.more, rows.count))
    }
}
