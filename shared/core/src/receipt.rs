//! Receipts: that a person or an installation was erased, what that was, why, and how it was checked that nothing is
//! left. A receipt holds nothing about a person. It stands inside a ledger entry, whose leaf the day's root covers;
//! signing roots is the ledger's.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data_map::Kind;
use crate::ledger;
use crate::time::Timestamp;

/// What was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Erased {
    /// A person, in one installation.
    Person,
    /// An installation with everything it had.
    Installation,
}

/// How it was checked that nothing of a kind is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The partitions that can hold it were read again, strongly consistent, after the last deletion.
    ReadAgain,
    /// Each item was deleted before what leads to it, a record or an index row, and nothing that leads to it is left.
    NothingLeadsToIt,
    /// It goes in the transaction that writes this receipt.
    WithThisReceipt,
    /// It stays: it is not about who was erased, or says nothing but that they were.
    Stays,
}

/// The check of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The kind, by its name in the data map.
    pub kind: String,
    /// How it was checked.
    pub how: How,
    /// How many partitions were read for it.
    pub partitions: u64,
    /// How many items were found in them.
    pub found: u64,
}

impl Check {
    /// The check of `kind`.
    #[must_use]
    pub fn new(kind: Kind, how: How, partitions: u64, found: u64) -> Self {
        Self { kind: kind.name().to_owned(), how, partitions, found }
    }
}

/// That something was erased. Made by [`Receipt::new`]; [`Receipt::verify`] says whether one is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was erased.
    pub erased: Erased,
    /// Who asked: the blinded reference of a request, or the topic or rule that began it.
    pub asked_by: String,
    /// When that was asked for, as far as it is known.
    pub asked_at: Option<Timestamp>,
    /// When it was done.
    pub done_at: Timestamp,
    /// How many records were deleted or anonymised, by kind.
    pub counts: BTreeMap<String, u64>,
    /// How it was checked, kind by kind: every kind of the data map as it was then.
    pub checks: Vec<Check>,
    /// SHA-256 of everything above, as RFC 6962 hashes a leaf, in hexadecimal digits.
    pub digest: String,
}

/// Why a receipt does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what was written: its digest differs.
    Altered,
    /// It says that something of a kind was left.
    SomethingLeft(String),
    /// It does not say that anything was checked.
    NothingChecked,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered => f.write_str("the receipt was altered: its digest is not that of its content"),
            Self::SomethingLeft(kind) => write!(f, "items of the kind {kind} were left"),
            Self::NothingChecked => f.write_str("the receipt names no check"),
        }
    }
}

impl std::error::Error for Fault {}

impl Receipt {
    /// A receipt with its digest.
    #[must_use]
    pub fn new(
        erased: Erased,
        asked_by: impl Into<String>,
        asked_at: Option<Timestamp>,
        done_at: Timestamp,
        counts: BTreeMap<String, u64>,
        checks: Vec<Check>,
    ) -> Self {
        let asked_by = asked_by.into();
        let mut receipt = Self { erased, asked_by, asked_at, done_at, counts, checks, digest: String::new() };
        receipt.digest = receipt.content_digest();
        receipt
    }

    /// The digest of the content: of its JSON without the digest, whose order of members is that of this type.
    fn content_digest(&self) -> String {
        let content = Self { digest: String::new(), ..self.clone() };
        // Texts, numbers and maps with texts as keys: there is nothing in it that JSON cannot say.
        let json = serde_json::to_vec(&content).unwrap_or_default();
        hex::encode(ledger::leaf(&json))
    }

    /// Whether it is as it was written and says that nothing is left.
    ///
    /// # Errors
    /// The first fault found.
    pub fn verify(&self) -> Result<(), Fault> {
        if self.digest != self.content_digest() {
            return Err(Fault::Altered);
        }
        if self.checks.is_empty() {
            return Err(Fault::NothingChecked);
        }
        match self.checks.iter().find(|check| check.found > 0) {
            Some(check) => Err(Fault::SomethingLeft(check.kind.clone())),
            None => Ok(()),
        }
    }

    /// How it was checked, in a sentence for a reader of the ledger.
    #[must_use]
    pub fn sentence(&self) -> String {
        let of = |how: How| self.checks.iter().filter(|check| check.how == how).count();
        let partitions: u64 = self.checks.iter().map(|check| check.partitions).sum();
        let mut parts = vec![format!(
            "{partitions} partitions of {} kinds read again: nothing found",
            of(How::ReadAgain)
        )];
        if of(How::NothingLeadsToIt) > 0 {
            parts.push(format!(
                "{} kinds deleted before what leads to them, of which nothing is left",
                of(How::NothingLeadsToIt)
            ));
        }
        if self.erased == Erased::Installation {
            parts.push("keys destroyed".to_owned());
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt(found: u64) -> Receipt {
        let checks = vec![
            Check::new(Kind::Order, How::ReadAgain, 16, found),
            Check::new(Kind::Match, How::NothingLeadsToIt, 0, 0),
        ];
        let counts = BTreeMap::from([("order".to_owned(), 3)]);
        Receipt::new(Erased::Person, "request/0", Some(Timestamp(1)), Timestamp(2), counts, checks)
    }

    #[test]
    fn a_receipt_verifies_as_it_was_written_and_after_storing_and_reading_it() {
        let written = receipt(0);
        assert_eq!(written.verify(), Ok(()));
        let read: Receipt = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
        assert_eq!(read.verify(), Ok(()));
        assert_eq!(read, written);
    }

    #[test]
    fn a_receipt_that_leaves_something_or_checked_nothing_does_not_verify() {
        assert_eq!(receipt(1).verify(), Err(Fault::SomethingLeft("order".to_owned())));
        let unchecked = Receipt::new(Erased::Person, "a", None, Timestamp(0), BTreeMap::new(), Vec::new());
        assert_eq!(unchecked.verify(), Err(Fault::NothingChecked));
    }

    #[test]
    fn a_fault_says_what_is_wrong() {
        let faults = [Fault::Altered, Fault::SomethingLeft("order".to_owned()), Fault::NothingChecked];
        assert_eq!(
            faults.map(|fault| fault.to_string()),
            [
                "the receipt was altered: its digest is not that of its content",
                "items of the kind order were left",
                "the receipt names no check",
            ]
        );
    }

    #[test]
    fn a_sentence_tells_what_was_read_what_followed_from_it_and_that_keys_went() {
        assert_eq!(
            receipt(0).sentence(),
            "16 partitions of 1 kinds read again: nothing found; 1 kinds deleted before what leads to them, of which \
             nothing is left"
        );
        let checks = vec![
            Check::new(Kind::Order, How::ReadAgain, 16, 0),
            Check::new(Kind::Case, How::ReadAgain, 2, 0),
            Check::new(Kind::Keys, How::WithThisReceipt, 0, 0),
        ];
        let shop =
            Receipt::new(Erased::Installation, "purge", None, Timestamp(2), BTreeMap::new(), checks.clone());
        assert_eq!(shop.sentence(), "18 partitions of 2 kinds read again: nothing found; keys destroyed");
        let of_person = Receipt::new(Erased::Person, "a", None, Timestamp(2), BTreeMap::new(), checks);
        assert_eq!(of_person.sentence(), "18 partitions of 2 kinds read again: nothing found");
    }

    proptest! {
        #[test]
        fn whatever_is_altered_shows(field in 0..7usize, by in 1u64..1000) {
            let mut altered = receipt(0);
            match field {
                0 => altered.erased = Erased::Installation,
                1 => altered.asked_by.push('x'),
                2 => altered.asked_at = None,
                3 => altered.done_at = Timestamp(2 + i64::try_from(by).unwrap()),
                4 => *altered.counts.get_mut("order").unwrap() += by,
                5 => altered.checks[0].partitions += by,
                _ => altered.checks.truncate(1),
            }
            prop_assert_eq!(altered.verify(), Err(Fault::Altered));
        }
    }
}
