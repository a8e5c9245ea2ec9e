//! Items as DynamoDB sees them: attributes written and read by name, the open half and the sealed half.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storeward_core::data_map::Kind;
use storeward_core::retention::{Lives, RetentionPolicy};
use storeward_core::time::Timestamp;

use crate::crypto::{Entropy, TenantKeys};
use crate::error::{Result, StoreError};
use crate::keyspace::Key;

/// The TTL attribute of every table, in epoch seconds.
pub(crate) const EXPIRES_AT: &str = "expires_at";
/// What keeps an item and since when: its end is computed from it at every read, under the policy of that moment.
pub(crate) const LIVES: &str = "lives";
pub(crate) const SEALED: &str = "sealed";

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// An item under construction: its key and kind are there from the start.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) attributes: HashMap<String, AttributeValue>,
}

impl Item {
    pub(crate) fn new(key: Key) -> Self {
        let attributes = HashMap::from([
            ("pk".to_owned(), text(&key.pk)),
            ("sk".to_owned(), text(&key.sk)),
            ("kind".to_owned(), text(key.kind.name())),
        ]);
        Self { key, attributes }
    }

    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.attributes.insert(name.to_owned(), value);
        self
    }

    /// Sets the end of the item's life, for something that began at `from`: by the data map here, and by the
    /// installation's policy when it is written.
    pub(crate) fn expiring(self, from: Timestamp) -> Self {
        let kind = self.key.kind;
        self.living(&Lives::of(kind, from))
    }

    /// Sets the same end of life as the record it points to.
    pub(crate) fn expiring_with(self, kind: Kind, from: Timestamp) -> Self {
        self.living(&Lives::of(kind, from))
    }

    /// Lets the item live as long as another record too: it ends with the later of them.
    pub(crate) fn and_with(self, kind: Kind, from: Timestamp) -> Self {
        let lives = self.attributes.get(LIVES).and_then(|lives| lives.as_s().ok());
        let lives = Lives::read(lives.map_or("", String::as_str)).and(kind, from);
        self.living(&lives)
    }

    fn living(self, lives: &Lives) -> Self {
        match lives.latest() {
            Some(end) => self.set(LIVES, text(lives.to_string())).set(EXPIRES_AT, number(end)),
            None => self,
        }
    }

    /// Lets the item end no later than what it belongs to, as that is stored: writing again does not prolong.
    pub(crate) fn not_after(self, end: Option<i64>) -> Self {
        let Some(end) = end else { return self };
        let own = self.attributes.get(EXPIRES_AT).and_then(|end| end.as_n().ok()?.parse().ok());
        self.set(EXPIRES_AT, number(own.map_or(end, |own: i64| own.min(end))))
    }

    /// The item with its end under a policy: nothing is written that lives longer.
    pub(crate) fn under(mut self, policy: &RetentionPolicy) -> Self {
        if let Some(end) = Stored::end_of(&self.attributes, policy) {
            self.attributes.insert(EXPIRES_AT.to_owned(), number(end));
        }
        self
    }

    /// The values that an update needs which may be what makes the item: its life and its end under a policy.
    pub(crate) fn life(self, policy: &RetentionPolicy) -> Vec<(&'static str, AttributeValue)> {
        let mut item = self.under(policy);
        let names = [(EXPIRES_AT, ":expires_at"), (LIVES, ":lives")];
        names.into_iter().filter_map(|(name, value)| Some((value, item.attributes.remove(name)?))).collect()
    }

    /// Adds the sealed half.
    pub(crate) fn sealed<T: Serialize>(
        self,
        keys: &TenantKeys,
        value: &T,
        entropy: &dyn Entropy,
    ) -> Result<Self> {
        let blob = seal(&self.key, keys, value, entropy)?;
        Ok(self.set(SEALED, blob))
    }
}

/// The sealed half for an item under `key`.
pub(crate) fn seal<T: Serialize>(
    key: &Key,
    keys: &TenantKeys,
    value: &T,
    entropy: &dyn Entropy,
) -> Result<AttributeValue> {
    let plain = zeroize::Zeroizing::new(
        serde_json::to_vec(value).map_err(|_| StoreError::Corrupt("a record to seal"))?,
    );
    Ok(AttributeValue::B(Blob::new(keys.seal(&key.place(), &plain, entropy)?)))
}

/// A further sealed part of an item, in an attribute of its own: it changes without the other parts being read.
pub(crate) fn seal_part<T: Serialize>(
    key: &Key,
    part: &'static str,
    keys: &TenantKeys,
    value: &T,
    entropy: &dyn Entropy,
) -> Result<AttributeValue> {
    let plain = zeroize::Zeroizing::new(
        serde_json::to_vec(value).map_err(|_| StoreError::Corrupt("a part to seal"))?,
    );
    Ok(AttributeValue::B(Blob::new(keys.seal(&part_place(key, part), &plain, entropy)?)))
}

fn part_place(key: &Key, part: &str) -> String {
    format!("{}|{part}", key.place())
}

/// A stored item, read.
#[derive(Clone, Debug)]
pub(crate) struct Stored(pub(crate) HashMap<String, AttributeValue>);

impl Stored {
    /// What is stored, unless its time is over: by the end that was written, or by the policy as it is now, whichever is
    /// earlier. DynamoDB deletes expired items late, so readers look; and what a policy shortened is gone at once.
    pub(crate) fn alive(
        attributes: HashMap<String, AttributeValue>,
        now: Timestamp,
        policy: &RetentionPolicy,
    ) -> Option<Self> {
        match Self::end_of(&attributes, policy) {
            Some(end) if end <= now.seconds() => None,
            _ => Some(Self(attributes)),
        }
    }

    fn end_of(attributes: &HashMap<String, AttributeValue>, policy: &RetentionPolicy) -> Option<i64> {
        let lives = attributes.get(LIVES).and_then(|lives| lives.as_s().ok());
        let stored = attributes.get(EXPIRES_AT).and_then(|end| end.as_n().ok()?.parse().ok());
        Lives::read(lives.map_or("", String::as_str)).end_stored(stored, policy)
    }

    /// When the item ends, in epoch seconds: the earlier of what was written and what the policy says now.
    pub(crate) fn end(&self, policy: &RetentionPolicy) -> Option<i64> {
        Self::end_of(&self.0, policy)
    }

    /// The end that was written.
    pub(crate) fn end_written(&self) -> Option<i64> {
        self.optional_number(EXPIRES_AT)
    }

    pub(crate) fn optional_text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<&str> {
        self.optional_text(name).ok_or(StoreError::Corrupt(name))
    }

    pub(crate) fn optional_number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok())
    }

    pub(crate) fn number(&self, name: &'static str) -> Result<i64> {
        self.optional_number(name).ok_or(StoreError::Corrupt(name))
    }

    pub(crate) fn time(&self, name: &'static str) -> Result<Timestamp> {
        self.number(name).map(Timestamp)
    }

    pub(crate) fn binary(&self, name: &'static str) -> Result<&[u8]> {
        self.0
            .get(name)
            .and_then(|value| value.as_b().ok())
            .map(AsRef::as_ref)
            .ok_or(StoreError::Corrupt(name))
    }

    pub(crate) fn key(&self, kind: Kind) -> Result<Key> {
        Ok(Key { kind, pk: self.text("pk")?.to_owned(), sk: self.text("sk")?.to_owned() })
    }

    /// Opens the sealed half.
    pub(crate) fn unseal<T: DeserializeOwned>(&self, kind: Kind, keys: &TenantKeys) -> Result<T> {
        let plain = keys.open(&self.key(kind)?.place(), self.binary(SEALED)?)?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt("a sealed record"))
    }

    /// Opens a further sealed part, where there is one.
    pub(crate) fn unseal_part<T: DeserializeOwned>(
        &self,
        kind: Kind,
        part: &'static str,
        keys: &TenantKeys,
    ) -> Result<Option<T>> {
        if !self.0.contains_key(part) {
            return Ok(None);
        }
        let plain = keys.open(&part_place(&self.key(kind)?, part), self.binary(part)?)?;
        serde_json::from_slice(&plain).map(Some).map_err(|_| StoreError::Corrupt(part))
    }

    pub(crate) fn has_sealed(&self) -> bool {
        self.0.contains_key(SEALED)
    }
}
