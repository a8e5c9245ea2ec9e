//! What a customer's mail is about, told by a weighted lexicon: intent, confidence, language, the sentence that
//! decided it and the terms that did. Pure and without a network; what else can be asked is another's matter.

mod language;
mod lexicon;
mod score;
mod text;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use language::Language;

use crate::personal::Personal;

/// The version of lexicon and arithmetic, kept with a decision so that it can be made again.
pub const VERSION: &str = "lexicon-1";

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Money is to come back, or goods to go back: asked for, waited for, or asked about.
    Refund,
    /// Everything else that a person may ask or say.
    Question,
    /// Where something is that was ordered, when and how it comes, and where to.
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

/// How likely an answer is right, in basis points: 10,000 is certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Confidence(u16);

impl Confidence {
    /// Nothing speaks for it.
    pub const NONE: Self = Self(0);
    /// Nothing speaks against it.
    pub const CERTAIN: Self = Self(10_000);

    /// So many basis points; more than 10,000 are 10,000.
    #[must_use]
    pub const fn of_basis_points(points: u16) -> Self {
        if points > Self::CERTAIN.0 { Self::CERTAIN } else { Self(points) }
    }

    /// A share of one, rounded to a basis point; outside 0 to 1 the nearest of the two, and what is no number is 0.
    #[must_use]
    pub fn of_ratio(ratio: f64) -> Self {
        let points = (ratio.clamp(0.0, 1.0) * f64::from(Self::CERTAIN.0)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 10,000, and NaN becomes 0"
        )]
        Self(points as u16)
    }

    /// In basis points.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// As a share of one.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::CERTAIN.0)
    }
}

impl<'de> Deserialize<'de> for Confidence {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::of_basis_points)
    }
}

/// What is read: what the customer wrote as plain text, without quoted history and signature.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The subject line, where there is one. A reply's subject counts little: its words are mostly the shop's.
    pub subject: Option<&'a str>,
    /// The new text of the mail.
    pub text: &'a str,
}

/// One term that was found, and what it added to the sum of its intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The term as the lexicon has it. It is the lexicon's and never the customer's words.
    pub term: String,
    /// The intent it speaks for, or against where `bits` is negative.
    pub intent: Intent,
    /// What it adds to the intent's sum, in bits: 1 bit doubles the odds.
    pub bits: f64,
    /// Whether the customer declines what the term names ("no refund needed").
    pub negated: bool,
}

/// What was made of a mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// What it is about.
    pub intent: Intent,
    /// How likely that is right.
    pub confidence: Confidence,
    /// The language it is written in; `None` where that cannot be told.
    pub language: Option<Language>,
    /// The sentence that decided it, at most 500 characters of it, as the customer wrote it. Empty for an empty mail.
    pub sentence: Personal<String>,
    /// What was found, the weightiest first. With [`Intent::prior`] it is the whole sum.
    pub evidence: Vec<Evidence>,
    /// The intent that comes next.
    pub runner_up: Option<(Intent, Confidence)>,
}

/// Tells what a mail is about. Never fails: of a mail that says nothing it is a question, with confidence 0.
#[must_use]
pub fn classify(reading: &Reading<'_>) -> Classified {
    score::classify(reading)
}
