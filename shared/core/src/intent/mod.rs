//! What a mail is about: intent, confidence, language. How they are found out is not here.

use serde::{Deserialize, Serialize};

macro_rules! languages {
    ($($name:ident $code:literal),+ $(,)?) => {
        /// A language a mail can be written in. Stored and shown as its ISO 639-1 code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Language {
            $(#[doc = stringify!($name)] #[serde(rename = $code)] $name,)+
        }

        impl Language {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The ISO 639-1 code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The name in English.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

languages! {
    English "en",
    German "de",
    French "fr",
    Spanish "es",
    Italian "it",
    Portuguese "pt",
    Dutch "nl",
    Swedish "sv",
    Danish "da",
    Norwegian "nb",
    Finnish "fi",
    Polish "pl",
    Czech "cs",
    Hungarian "hu",
    Romanian "ro",
    Turkish "tr",
    Greek "el",
    Russian "ru",
    Ukrainian "uk",
    Hebrew "he",
    Arabic "ar",
    Japanese "ja",
    Korean "ko",
    Chinese "zh",
    Thai "th",
}

impl Language {
    /// The language of that code, in whatever case, and with a region or script behind it or not ("pt-BR").
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        let code = code.split(['-', '_']).next().unwrap_or("");
        Self::ALL.iter().copied().find(|language| language.code().eq_ignore_ascii_case(code))
    }
}

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
