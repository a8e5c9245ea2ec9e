//! What a person can have said about the use of their data, short of having it erased: that it is restricted (GDPR
//! Art. 18), or that they object to it (Art. 21). Where that is kept and kept to is the store's.

use serde::{Deserialize, Serialize};

/// A limit on the processing of what is about a person. Under either nothing new about the person is stored, and what is
/// stored stays as it is and is not used (docs/decisions/0018-restriction-and-objection.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Art. 18: for a time, until what the person disputes is settled. Lifting it makes up for what was missed.
    Restricted,
    /// Art. 21: the person does not want it. It outlasts an erasure, and lifting it counts from then on alone.
    Objected,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 2] = [Self::Restricted, Self::Objected];

    /// The word for it, in the ledger and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Objected => "objected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_that_are_stored() {
        assert_eq!(Limit::ALL.map(Limit::name), ["restricted", "objected"]);
        for limit in Limit::ALL {
            assert_eq!(serde_json::to_value(limit).unwrap(), limit.name());
        }
    }
}
