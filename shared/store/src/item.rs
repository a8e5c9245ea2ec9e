//! Items as DynamoDB sees them: attributes written and read by name, the open half and the sealed half.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storeward_core::data_map::{Kind, Retention};
use storeward_core::time::Timestamp;

use crate::crypto::{Entropy, TenantKeys};
use crate::error::{Result, StoreError};
use crate::keyspace::Key;

/// The TTL attribute of every table, in epoch seconds.
pub(crate) const EXPIRES_AT: &str = "expires_at";
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

    /// Sets the end of the item's life by the data map, for something that began at `from`.
    pub(crate) fn expiring(self, from: Timestamp) -> Self {
        match expiry(self.key.kind, from) {
            Some(seconds) => self.set(EXPIRES_AT, number(seconds)),
            None => self,
        }
    }

    /// Sets the same end of life as the record it points to.
    pub(crate) fn expiring_with(self, kind: Kind, from: Timestamp) -> Self {
        match expiry(kind, from) {
            Some(seconds) => self.set(EXPIRES_AT, number(seconds)),
            None => self,
        }
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

/// When something of `kind` that began at `from` ends, in epoch seconds; `None` for what has no window.
pub(crate) fn expiry(kind: Kind, from: Timestamp) -> Option<i64> {
    match kind.row().retention {
        Retention::Window(window) => Some((from + window).seconds()),
        Retention::UntilPurge | Retention::WithRecord | Retention::Permanent => None,
    }
}

/// A stored item, read.
#[derive(Clone, Debug)]
pub(crate) struct Stored(pub(crate) HashMap<String, AttributeValue>);

impl Stored {
    /// What is stored, unless its time is over: DynamoDB deletes expired items late, so readers look.
    pub(crate) fn alive(attributes: HashMap<String, AttributeValue>, now: Timestamp) -> Option<Self> {
        let stored = Self(attributes);
        match stored.optional_number(EXPIRES_AT) {
            Some(expires_at) if expires_at <= now.seconds() => None,
            _ => Some(stored),
        }
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
