//! What a mail is about: stands in for the branch that tells it, with its types alone, until that is merged.

use serde::{Deserialize, Serialize};

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Money or goods are to come back.
    Refund,
    /// Everything else that a person may ask or say.
    Question,
    /// Where something is that was ordered.
    Shipping,
    /// An offer or a trick that nobody asked for.
    Spam,
}

impl Intent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Refund, Self::Question, Self::Shipping, Self::Spam];

    /// The name, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Question => "question",
            Self::Shipping => "shipping",
            Self::Spam => "spam",
        }
    }

    /// The intent of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.name() == name)
    }
}

/// How likely an answer is right, in basis points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(u16);

impl Confidence {
    /// So many basis points.
    #[must_use]
    pub const fn of_basis_points(points: u16) -> Self {
        if points > 10_000 { Self(10_000) } else { Self(points) }
    }

    /// In basis points.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }
}

/// A language a mail can be written in. Stored and shown as its ISO 639-1 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    English,
    /// German.
    #[serde(rename = "de")]
    German,
}
